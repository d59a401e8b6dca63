//! The audit: who reads what of it, and that it shows when somebody tampered with it.

use std::sync::atomic::Ordering;

use forebay_control::{AuditEntry, AuditFilter, Control, Keep, OrganisationRole, PeopleError, ProjectRole};

use crate::common::{brought, clocked_store, enter, open, organisation, store};

fn actions(entries: &[AuditEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.action.as_str()).collect()
}

#[test]
fn the_audit_is_read_by_those_it_is_about_and_their_admins() {
    let (_dir, control) = store();
    let (id, [owner, admin, member], project) = organisation(&control);
    control.acting(owner).set_project_role(project, member, Some(ProjectRole::Admin)).unwrap();
    control.acting(member).rename_project(project, "renamed").unwrap();
    control.acting(admin).rename_organisation(id, "acme").unwrap();
    let stranger = enter(&control, "stranger");
    let other = control.acting(stranger).create_organisation("other", None).unwrap().id;
    let of_organisation = AuditFilter { organisation: Some(id), ..AuditFilter::default() };
    let of_project = AuditFilter { project: Some(project), ..AuditFilter::default() };
    let read = |acting: forebay_control::Acting<'_>, filter: &AuditFilter| {
        acting.audit(filter).map(|page| page.entries)
    };
    let seen = read(control.acting(admin), &of_organisation).unwrap();
    assert_eq!(actions(&seen)[..3], ["organisation.changed", "project.changed", "project.role_changed"]);
    assert!(seen.iter().all(|entry| entry.organisation == Some(id)));
    let seen = read(control.acting(member), &of_project).unwrap();
    assert_eq!(actions(&seen), ["project.changed", "project.role_changed", "project.created"]);
    assert!(matches!(read(control.acting(member), &of_organisation), Err(PeopleError::Denied { .. })));
    assert!(matches!(read(control.acting(stranger), &of_project), Err(PeopleError::ProjectNotFound { .. })));
    let both = AuditFilter { project: Some(project), organisation: Some(other), ..AuditFilter::default() };
    assert_eq!(read(control.acting(member), &both).unwrap(), [], "both hold");
    // Without either: oneself.
    let own = read(control.acting(member), &AuditFilter::default()).unwrap();
    assert_eq!(actions(&own), ["project.changed", "person.created"]);
    let others = AuditFilter { actor: Some(format!("person:{admin}")), ..AuditFilter::default() };
    assert_eq!(read(control.acting(member), &others).unwrap(), []);
    assert_eq!(actions(&read(control.host(), &others).unwrap()), ["organisation.changed"]);
}

#[test]
fn entries_are_found_by_action_and_time_page_by_page() {
    let (_dir, control, clock) = clocked_store();
    for number in 1..=25 {
        control.host().create_project(&brought(number, &format!("t{number}"))).unwrap();
        clock.fetch_add(1000, Ordering::Relaxed);
    }
    let start = crate::common::NOW_MS;
    let found = |filter: &AuditFilter| control.host().audit(filter).unwrap();
    let mut filter = AuditFilter { action: Some("project.".to_owned()), limit: 10, ..AuditFilter::default() };
    let mut subjects = Vec::new();
    loop {
        let page = found(&filter);
        subjects.extend(page.entries.iter().map(|entry| entry.subject.parse::<u64>().unwrap()));
        filter.before = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert!(subjects.iter().copied().eq((1..=25).rev()), "{subjects:?}");
    let between = AuditFilter {
        since_ms: Some(start + 2000),
        until_ms: Some(start + 4000),
        action: Some("project.created".to_owned()),
        ..AuditFilter::default()
    };
    assert_eq!(found(&between).entries.iter().map(|entry| &*entry.subject).collect::<Vec<_>>(), ["4", "3"]);
    let none = AuditFilter { action: Some("project".to_owned()), ..AuditFilter::default() };
    assert_eq!(found(&none).entries, []);
}

#[test]
fn whatever_is_done_to_the_audit_behind_the_programs_back_shows() {
    let cases = [
        ("UPDATE audit SET detail = 'nothing' WHERE id = 3", "what it says was changed"),
        ("UPDATE audit SET actor = 'somebody' WHERE id = 3", "what it says was changed"),
        ("UPDATE audit SET at_ms = 1 WHERE id = 3", "it does not follow the one before"),
        ("UPDATE audit SET action = 'project.renamed' WHERE id = 3", "it does not follow the one before"),
        ("UPDATE audit SET organisation_id = 9 WHERE id = 3", "it does not follow the one before"),
        ("DELETE FROM audit WHERE id = 3", "it does not follow the one before"),
        ("DELETE FROM audit WHERE id <= 2", "it does not follow the one before"),
        ("DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)", "there were later ones"),
        (
            "UPDATE audit SET id = 1000 WHERE id = 3; UPDATE audit SET id = 3 WHERE id = 4; \
             UPDATE audit SET id = 4 WHERE id = 1000",
            "it does not follow the one before",
        ),
        (
            "INSERT INTO audit (at_ms, actor, action, subject, detail) VALUES (1, 'x', 'y', 'z', '')",
            "it is not chained",
        ),
        ("UPDATE audit SET chain = zeroblob(32) WHERE id = 3", "it does not follow the one before"),
    ];
    for (sql, says) in cases {
        let (dir, control) = store();
        for number in 1..=4 {
            control.host().create_project(&brought(number, &format!("t{number}"))).unwrap();
        }
        assert_eq!(control.host().verify_audit(&[]).unwrap().damage, []);
        let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
        db.execute_batch(sql).unwrap();
        let damage = control.host().verify_audit(&[]).unwrap().damage;
        assert!(damage.iter().any(|found| found.what.contains(says)), "{sql}: {damage:?}");
    }
}

#[test]
fn a_head_that_was_noted_elsewhere_shows_that_the_end_was_cut_off() {
    let (dir, control) = store();
    control.host().create_project(&brought(1, "t")).unwrap();
    let early = control.host().verify_audit(&[]).unwrap();
    control.host().rename_project(1, "later").unwrap();
    let late = control.host().verify_audit(&[]).unwrap();
    let noted = [(early.last, early.head), (late.last, late.head)];
    assert_eq!(control.host().verify_audit(&noted).unwrap().damage, []);
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    db.execute("DELETE FROM audit WHERE id = ?1", [late.last]).unwrap();
    db.execute("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'audit'", [early.last]).unwrap();
    assert_eq!(control.host().verify_audit(&[]).unwrap().damage, [], "by itself it cannot be seen");
    let damage = control.host().verify_audit(&noted).unwrap().damage;
    assert_eq!(
        damage.iter().map(|found| found.what).collect::<Vec<_>>(),
        ["a head was noted of it, and it is not there"]
    );
    // And another that took its place.
    control.host().rename_project(1, "another").unwrap();
    let damage = control.host().verify_audit(&noted).unwrap().damage;
    assert_eq!(
        damage.iter().map(|found| found.what).collect::<Vec<_>>(),
        ["it has another head than was noted"]
    );
}

#[test]
fn what_goes_by_its_age_leaves_the_rest_provable() {
    let (dir, control, clock) = clocked_store();
    control.host().create_project(&brought(1, "t")).unwrap();
    clock.fetch_add(731 * 24 * 3_600_000, Ordering::Relaxed);
    let before = control.host().verify_audit(&[]).unwrap();
    control.host().rename_project(1, "b").unwrap();
    control.host().rename_project(1, "c").unwrap();
    control.prune(Keep::default()).unwrap();
    let after = control.host().verify_audit(&[(before.last, before.head)]).unwrap();
    assert_eq!((after.entries, after.damage), (2, vec![]), "a noted head that went by its age is no damage");
    clock.fetch_add(731 * 24 * 3_600_000, Ordering::Relaxed);
    control.prune(Keep::default()).unwrap();
    drop(control);
    let control = open(dir.path());
    assert_eq!(control.host().verify_audit(&[]).unwrap().entries, 0);
    control.host().rename_project(1, "d").unwrap();
    let last = control.host().verify_audit(&[]).unwrap();
    assert_eq!((last.entries, last.damage), (1, vec![]));
    let person = enter(&control, "zoe");
    control.host().set_organisation_role(1, person, OrganisationRole::Owner).unwrap();
    assert!(matches!(control.acting(person).verify_audit(&[]), Err(PeopleError::HostOnly)));
}
