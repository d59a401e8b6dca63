//! The routing table against a plain map, and under readers that never stop.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use forebay_record::{LaneId, ProjectId};
use forebay_route::{Change, Ledger, LedgerLimits, Mac, Owner, ProjectSettings, Registry, ServiceAccount};
use proptest::prelude::*;

fn id(id: u64) -> ProjectId {
    ProjectId::new(id).unwrap()
}

fn registry() -> Registry {
    let lane_of = |id: ProjectId| LaneId(u16::try_from(id.as_u64() % 4).unwrap());
    Registry::new(Ledger::new(LedgerLimits::default()), lane_of)
}

fn settings(number: u64, tokens: &[&str]) -> ProjectSettings {
    ProjectSettings {
        name: format!("project {number}").into(),
        tokens: tokens.iter().map(|token| token.as_bytes().into()).collect(),
        api_key_mac: Some(mac(number)),
        api_secret_mac: Some(mac(1000 + number)),
        ..ProjectSettings::new(id(number))
    }
}

fn mac(seed: u64) -> Mac {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Mac(bytes)
}

fn owner(registry: &Registry, token: &str) -> Option<u64> {
    registry.token(token.as_bytes()).map(|project| project.id.as_u64())
}

#[test]
fn a_project_is_found_by_every_name_it_has() {
    let registry = registry();
    registry.apply(Change::Project(settings(7, &["a", "b.~_-"])));
    for found in [
        registry.token(b"a"),
        registry.token(b"b.~_-"),
        registry.project(id(7)),
        registry.by_api_key_mac(&mac(7)),
        registry.by_secret_mac(&mac(1007)),
    ] {
        let found = found.unwrap();
        assert_eq!((found.id, found.lane, found.token()), (id(7), LaneId(3), &b"a"[..]));
    }
    for missing in [&b"A"[..], b"a ", b"", b"ab", &[0xff; 300]] {
        assert!(registry.token(missing).is_none(), "{missing:?}");
    }
    assert!(registry.by_api_key_mac(&mac(1007)).is_none(), "a secret is no key");
    assert!(registry.by_secret_mac(&mac(7)).is_none(), "a key is no secret");
}

#[test]
fn a_change_keeps_the_tally_and_the_bytes_in_flight() {
    let registry = registry();
    registry.apply(Change::Project(settings(1, &["t"])));
    let before = registry.token(b"t").unwrap();
    registry.apply(Change::Project(ProjectSettings { accepts_events: false, ..settings(1, &["t", "u"]) }));
    let after = registry.token(b"u").unwrap();
    assert!(!after.accepts_events);
    assert!(Arc::ptr_eq(&before.tally, &after.tally));
    assert_eq!(after.tally.owner(), Owner::Project(id(1)));
}

#[test]
fn a_token_that_moves_is_never_lost_in_whatever_order_the_changes_come() {
    let moves = [settings(1, &["a"]), settings(2, &["b", "moved"])];
    for order in [[0, 1], [1, 0]] {
        let registry = registry();
        registry.replace_all([settings(1, &["a", "moved"]), settings(2, &["b"])], []);
        for at in order {
            registry.apply(Change::Project(moves[at].clone()));
        }
        assert_eq!(owner(&registry, "moved"), Some(2), "order {order:?}");
    }
}

#[test]
fn a_token_that_a_project_got_is_unknown_no_longer() {
    let ledger = Ledger::new(LedgerLimits::default());
    let registry = Registry::new(Arc::clone(&ledger), |_| LaneId(0));
    ledger.unknown_token(b"new", 3, 1);
    ledger.unknown_token(b"other", 1, 1);
    registry.apply(Change::Project(settings(1, &["new"])));
    let left: Vec<_> = ledger.unknown_tokens(10).into_iter().map(|unknown| unknown.token).collect();
    assert_eq!(left, [Box::from(&b"other"[..])]);
}

#[test]
fn an_account_accepts_its_own_secret_until_it_expires() {
    let registry = registry();
    registry.apply(Change::ServiceAccount(ServiceAccount {
        username: "etl".into(),
        secret_mac: mac(5),
        former_secret: None,
        projects: vec![id(9), id(3), id(9)],
        reads: vec![id(9), id(3)],
        writes: vec![id(9), id(2)],
        administers: Some(7),
        scoped_to_read: true,
        scoped_to_write: true,
        expires_at_ms: Some(100),
    }));
    let account = registry.service_account("etl").unwrap();
    for (seed, now_ms, accepted) in [(5, 0, true), (5, 99, true), (5, 100, false), (6, 0, false)] {
        assert_eq!(account.accepts(&mac(seed), now_ms), accepted, "seed {seed} at {now_ms}");
    }
    let of = |organisation, project| ProjectSettings { organisation, ..settings(project, &[]) };
    for (project, uses, writes) in [(3, true, false), (9, true, true), (4, false, false)] {
        assert_eq!(account.may_use(&of(1, project)), uses, "project {project}");
        assert_eq!(account.may_read(&of(1, project)), uses, "project {project}");
        assert_eq!(account.may_write(&of(1, project)), writes, "project {project}");
        assert!(account.may_write(&of(7, project)), "of an organisation that it administers");
    }
    let narrowed = ServiceAccount { scoped_to_write: false, ..ServiceAccount::clone(&account) };
    assert!(narrowed.may_read(&of(7, 9)) && !narrowed.may_write(&of(7, 9)) && !narrowed.may_write(&of(1, 9)));
    let narrowed = ServiceAccount { scoped_to_read: false, ..ServiceAccount::clone(&account) };
    assert!(narrowed.may_write(&of(1, 9)) && !narrowed.may_read(&of(1, 9)) && narrowed.may_use(&of(1, 9)));
    registry.apply(Change::ServiceAccountRemoved("etl".into()));
    assert!(registry.service_account("etl").is_none());
}

#[test]
fn readers_find_a_token_at_every_moment_of_a_thousand_changes() {
    let registry = registry();
    registry.replace_all((1..=50).map(|number| settings(number, &[&format!("token-{number}")])), []);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut looked = 0_u64;
                    while !done.load(Ordering::Relaxed) || looked == 0 {
                        for number in 1..=50 {
                            assert_eq!(owner(&registry, &format!("token-{number}")), Some(number));
                            looked += 1;
                        }
                    }
                })
            })
            .collect();
        for round in 0..1000 {
            let number = 1 + round % 50;
            let extra = format!("extra-{round}");
            registry.apply(Change::Project(settings(number, &[&format!("token-{number}"), &extra])));
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    assert_eq!(registry.projects_len(), 50);
}

#[derive(Clone, Debug)]
enum Operation {
    Put { project: u64, tokens: Vec<u8> },
    Remove { project: u64 },
    Reload,
}

fn operation() -> impl Strategy<Value = Operation> {
    let project = 1..6_u64;
    prop_oneof![
        6 => (project.clone(), prop::collection::vec(0..12_u8, 1..4))
            .prop_map(|(project, tokens)| Operation::Put { project, tokens }),
        2 => project.prop_map(|project| Operation::Remove { project }),
        1 => Just(Operation::Reload),
    ]
}

proptest! {
    // A reload builds all parts anew, which takes milliseconds without optimisation.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_answers_like_a_plain_map(operations in prop::collection::vec(operation(), 1..60)) {
        let registry = registry();
        let mut model: BTreeMap<u64, ProjectSettings> = BTreeMap::new();
        for operation in operations {
            match operation {
                Operation::Put { project, tokens } => {
                    let mut names: Vec<String> = tokens.iter().map(|token| format!("t{token}")).collect();
                    names.dedup();
                    // As the store has it: a token belongs to one project, so the others give it up.
                    for other in model.values_mut().filter(|other| other.id.as_u64() != project) {
                        let had = other.tokens.len();
                        other.tokens.retain(|token| !names.iter().any(|name| name.as_bytes() == &**token));
                        if other.tokens.len() != had {
                            registry.apply(Change::Project(other.clone()));
                        }
                    }
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    let new = settings(project, &names);
                    registry.apply(Change::Project(new.clone()));
                    model.insert(project, new);
                }
                Operation::Remove { project } => {
                    registry.apply(Change::ProjectRemoved(id(project)));
                    model.remove(&project);
                }
                Operation::Reload => registry.replace_all(model.values().cloned(), []),
            }
            let by_token: HashMap<&[u8], u64> = model
                .values()
                .flat_map(|project| project.tokens.iter().map(|token| (&**token, project.id.as_u64())))
                .collect();
            for token in (0..12).map(|token| format!("t{token}")) {
                prop_assert_eq!(owner(&registry, &token), by_token.get(token.as_bytes()).copied());
            }
            for number in 1..6 {
                let there = model.contains_key(&number);
                prop_assert_eq!(registry.project(id(number)).is_some(), there);
                prop_assert_eq!(registry.by_api_key_mac(&mac(number)).is_some(), there);
                prop_assert_eq!(registry.by_secret_mac(&mac(1000 + number)).is_some(), there);
            }
            prop_assert_eq!(registry.projects_len(), model.len());
        }
    }
}
