//! Every interleaving of changes of the routing table and lookups in it.

use std::sync::Arc;

use forebay_record::{LaneId, ProjectId};
use loom::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::explore;
use crate::{Change, Ledger, LedgerLimits, Mac, Project, ProjectSettings, Registry, sync::wrong};

/// The `version`th settings of a project: what belongs to a version shows in every field.
fn settings(id: u64, version: u8, tokens: &[&str]) -> ProjectSettings {
    ProjectSettings {
        name: version.to_string().into(),
        tokens: tokens.iter().map(|token| Box::from(token.as_bytes())).collect(),
        api_secret_mac: Some(Mac([version; 32])),
        accepts_events: version.is_multiple_of(2),
        retention_days: Some(version.into()),
        created_at_ms: version.into(),
        ..ProjectSettings::new(ProjectId::new(id).unwrap())
    }
}

fn version(project: &Project) -> u64 {
    let version = project.settings.created_at_ms;
    assert_eq!(*project.settings.name, *version.to_string(), "a half of each version");
    assert_eq!(project.accepts_events, version % 2 == 0, "a half of each version");
    assert_eq!(project.settings.retention_days.map(u64::from), Some(version), "a half of each version");
    version
}

fn registry() -> Arc<Registry> {
    Arc::new(Registry::new(Ledger::new(LedgerLimits::default()), |_| LaneId(0)))
}

pub(super) fn project_in_lane_0() -> Arc<Project> {
    let registry = registry();
    registry.apply(Change::Project(settings(7, 1, &["a"])));
    registry.token(b"a").unwrap()
}

/// A project gives up one token, takes another and keeps a third, while it is looked up by the third.
fn changed() {
    explore(|| {
        let registry = registry();
        registry.apply(Change::Project(settings(7, 1, &["given up", "kept"])));
        let tally = Arc::clone(&registry.token(b"kept").unwrap().tally);
        let changer = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || registry.apply(Change::Project(settings(7, 2, &["kept", "taken"]))))
        };
        let mut last = 1;
        for _ in 0..2 {
            let found = registry.token(b"kept").expect("a token that stays is at no moment unknown");
            let now = version(&found);
            assert!(now >= last, "from version {last} back to {now}");
            assert!(Arc::ptr_eq(&found.tally, &tally), "a project keeps its tally through every change");
            last = now;
        }
        // By another way: both secrets are there for a moment, never none.
        let secret = |version| registry.by_secret_mac(&Mac([version; 32]));
        assert!(secret(1).or_else(|| secret(2)).is_some());
        changer.join().unwrap();
        assert!(registry.token(b"given up").is_none());
        assert_eq!(registry.token(b"taken").map(|found| version(&found)), Some(2));
    });
}

#[test]
fn a_reader_sees_a_change_or_not_but_never_a_part_of_it_and_never_goes_back() {
    changed();
}

/// What was applied before somebody is told so is seen by him.
fn told() {
    explore(|| {
        let registry = registry();
        let told = Arc::new(AtomicBool::new(false));
        let changer = {
            let (registry, told) = (Arc::clone(&registry), Arc::clone(&told));
            thread::spawn(move || {
                registry.apply(Change::Project(settings(7, 2, &["a"])));
                told.store(true, Ordering::Release);
            })
        };
        if told.load(Ordering::Acquire) {
            assert!(registry.token(b"a").is_some(), "a lookup that begins after the change sees it");
        }
        changer.join().unwrap();
    });
}

#[test]
fn a_lookup_that_begins_after_a_change_sees_it() {
    told();
}

/// A token moves from one project to another by two changes, in whatever order they arrive.
fn moved() {
    explore(|| {
        let registry = registry();
        registry.apply(Change::Project(settings(7, 1, &["stays", "moves"])));
        let from = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || registry.apply(Change::Project(settings(7, 2, &["stays"]))))
        };
        registry.apply(Change::Project(settings(8, 4, &["moves"])));
        from.join().unwrap();
        assert_eq!(registry.token(b"moves").map(|found| version(&found)), Some(4));
        assert_eq!(registry.token(b"stays").map(|found| version(&found)), Some(2));
        assert_eq!(registry.projects_len(), 2);
    });
}

#[test]
fn a_token_that_moves_ends_where_it_belongs_in_whatever_order_the_changes_come() {
    moved();
}

#[test]
fn the_models_of_the_routing_table_notice_what_is_wrong() {
    wrong::is_caught("putting the new ones first", changed);
    wrong::is_caught("one change at a time", moved);
    wrong::is_caught("asking whose it is by now", moved);
}
