//! What people may do with projects, and what becomes of a project that is deleted or handed on.

use std::sync::atomic::Ordering;

use forebay_control::{
    Control, Keep, NewAccount, NewProject, OrganisationRole, PeopleError, PersonId, ProjectChange,
    ProjectRole,
};
use forebay_record::ProjectId;

use crate::common::{clocked_store, enter, host_proof, named, organisation, proof, store};

const DAY_MS: u64 = 24 * 3_600_000;

fn ids(control: &Control, person: PersonId) -> Vec<(u64, ProjectRole)> {
    control.acting(person).projects().unwrap().into_iter().map(|view| (view.project.id, view.role)).collect()
}

/// With a password, so that they can prove it.
fn with_password(control: &Control, person: PersonId) {
    control.host().set_password(person, crate::common::PASSWORD, None, &host_proof(control)).unwrap();
}

#[test]
fn everybody_sees_the_projects_that_are_theirs_and_as_what() {
    let (_dir, control) = store();
    let (_, [owner, admin, member], project) = organisation(&control);
    let second = control.host().create_project(&NewProject { id: Some(2), ..named("second") }).unwrap().id;
    let stranger = enter(&control, "stranger");
    assert_eq!(ids(&control, stranger), []);
    assert_eq!(ids(&control, member), []);
    control.host().set_project_role(project, member, Some(ProjectRole::Consumer)).unwrap();
    assert_eq!(ids(&control, member), [(project, ProjectRole::Consumer)]);
    assert_eq!(ids(&control, admin), [(second, ProjectRole::Admin), (project, ProjectRole::Admin)]);
    assert_eq!(ids(&control, owner), [(second, ProjectRole::Owner), (project, ProjectRole::Owner)]);
    let hidden = control.acting(member).project(second).unwrap_err();
    assert!(matches!(hidden, PeopleError::ProjectNotFound { .. }), "{hidden}");
    let members = control.acting(member).project_members(project).unwrap();
    let members: Vec<_> = members.iter().map(|m| (&*m.name, m.role, m.given)).collect();
    assert_eq!(
        members,
        [
            ("admin", ProjectRole::Admin, None),
            ("member", ProjectRole::Consumer, Some(ProjectRole::Consumer)),
            ("owner", ProjectRole::Owner, None)
        ]
    );
}

#[test]
fn a_project_is_created_where_it_was_said_by_an_admin_of_there() {
    let (_dir, control) = store();
    let (id, [owner, admin, member], _) = organisation(&control);
    let in_it = |organisation| NewProject { organisation, ..named("new") };
    control.acting(admin).create_project(&in_it(Some(id))).unwrap();
    control.acting(admin).create_project(&in_it(None)).expect("the only one there is for them");
    for organisation in [Some(id), None] {
        let error = control.acting(member).create_project(&in_it(organisation)).unwrap_err();
        assert!(matches!(error, PeopleError::Denied { .. }), "{error}");
    }
    let other = control.acting(owner).create_organisation("other", None).unwrap().id;
    for acting in [control.acting(owner), control.host()] {
        let error = acting.create_project(&in_it(None)).unwrap_err();
        assert_eq!(error.to_string(), format!("say which organisation is meant: {id}, {other}"));
    }
    let there = control.acting(owner).create_project(&in_it(Some(other))).unwrap().id;
    assert_eq!(control.host().project(there).unwrap().project.organisation, other);
    let hidden = control.acting(admin).create_project(&in_it(Some(other))).unwrap_err();
    assert!(matches!(hidden, PeopleError::OrganisationNotFound { .. }), "{hidden}");
    let stranger = enter(&control, "stranger");
    let error = control.acting(stranger).create_project(&in_it(None)).unwrap_err();
    assert!(error.to_string().contains("you belong to no organisation"), "{error}");
}

#[test]
fn settings_are_the_admins_and_how_long_events_are_kept_the_owners() {
    let (_dir, control) = store();
    let (_, [owner, admin, member], project) = organisation(&control);
    control.host().set_project_role(project, member, Some(ProjectRole::Analyst)).unwrap();
    let zone = ProjectChange { timezone: Some("Europe/Berlin".to_owned()), ..ProjectChange::default() };
    let keep = ProjectChange { retention_days: Some(Some(7)), ..ProjectChange::default() };
    let denied = |error: PeopleError| assert!(matches!(error, PeopleError::ProjectDenied { .. }), "{error}");
    denied(control.acting(member).change_project(project, &zone).unwrap_err());
    denied(control.acting(member).add_token(project, "t").unwrap_err());
    assert_eq!(control.acting(admin).change_project(project, &zone).unwrap().timezone, "Europe/Berlin");
    control.acting(admin).add_token(project, "t").unwrap();
    denied(control.acting(admin).change_project(project, &keep).unwrap_err());
    denied(control.acting(admin).retire_token(project, "t", Some(0)).unwrap_err());
    denied(control.acting(admin).remove_token(project, "t").unwrap_err());
    control.acting(owner).change_project(project, &keep).unwrap();
    control.acting(owner).remove_token(project, "t").unwrap();
}

#[test]
fn a_deleted_project_is_silent_at_once_and_can_be_had_back_for_thirty_days() {
    let (_dir, control, clock) = clocked_store();
    let (id, [owner, admin, member], project) = organisation(&control);
    control.host().set_project_role(project, member, Some(ProjectRole::Analyst)).unwrap();
    with_password(&control, owner);
    with_password(&control, admin);
    let error = control.acting(admin).delete_project(project, &proof(&control, admin)).unwrap_err();
    assert!(matches!(error, PeopleError::ProjectDenied { .. }), "{error}");
    let before = control.host().project(project).unwrap().project;
    let deleted = control.acting(owner).delete_project(project, &proof(&control, owner)).unwrap();
    assert_eq!(deleted.purged_at_ms, deleted.deleted_at_ms + 30 * DAY_MS);
    assert_eq!(control.snapshot().unwrap().projects, [], "its tokens and credentials are nobody's");
    assert_eq!(control.project_of_token(&before.token).unwrap(), None);
    for person in [owner, member] {
        assert_eq!(ids(&control, person), []);
    }
    assert!(control.host().project(project).is_err() && control.host().rename_project(project, "x").is_err());
    assert_eq!(control.host().organisation(id).unwrap().projects, 0);
    let taken = NewProject { token: Some(before.token.clone()), ..named("thief") };
    assert!(control.host().create_project(&taken).is_err(), "its token is kept for it");
    assert_eq!(control.acting(admin).deleted_projects(id).unwrap(), [deleted]);
    let error = control.acting(admin).undelete_project(project).unwrap_err();
    assert!(matches!(error, PeopleError::ProjectDenied { .. }), "{error}");
    clock.fetch_add(30 * DAY_MS - 1, Ordering::Relaxed);
    control.prune(Keep::default()).unwrap();
    assert_eq!(control.acting(owner).undelete_project(project).unwrap(), before);
    assert_eq!(ids(&control, member), [(project, ProjectRole::Analyst)]);
    assert!(matches!(control.host().undelete_project(project), Err(PeopleError::ProjectNotFound { .. })));

    control.host().delete_project(project, &host_proof(&control)).unwrap();
    clock.fetch_add(30 * DAY_MS, Ordering::Relaxed);
    control.prune(Keep::default()).unwrap();
    assert_eq!(control.host().deleted_projects(id).unwrap(), []);
    assert!(control.host().undelete_project(project).is_err());
    control.host().create_project(&taken).expect("free again");
}

#[test]
fn a_project_that_is_handed_on_leaves_people_and_service_accounts_behind() {
    let (_dir, control) = store();
    let (_, [owner, admin, member], project) = organisation(&control);
    control.host().set_project_role(project, member, Some(ProjectRole::Owner)).unwrap();
    let account =
        NewAccount { username: Some("etl".into()), projects: vec![project.into()], ..NewAccount::default() };
    control.host().create_service_account(&account).unwrap();
    let heir = enter(&control, "heir");
    let other = control.acting(heir).create_organisation("other", None).unwrap().id;
    for person in [owner, admin] {
        with_password(&control, person);
    }
    let proof = proof(&control, owner);
    let elsewhere = control.acting(owner).transfer_project(project, other, &proof).unwrap_err();
    assert!(matches!(elsewhere, PeopleError::OrganisationNotFound { .. }), "{elsewhere}");
    control.host().set_organisation_role(other, owner, OrganisationRole::Admin).unwrap();
    let error = control
        .acting(admin)
        .transfer_project(project, other, &crate::common::proof(&control, admin))
        .unwrap_err();
    assert!(matches!(error, PeopleError::ProjectDenied { .. }), "{error}");
    let moved = control.acting(owner).transfer_project(project, other, &proof).unwrap();
    assert_eq!(moved.organisation, other);
    assert_eq!(ids(&control, member), []);
    assert_eq!(ids(&control, heir), [(project, ProjectRole::Owner)]);
    assert_eq!(control.snapshot().unwrap().accounts[0].projects, [] as [ProjectId; 0]);
    let error = control.host().add_account_to_project("etl", project.into()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("belongs to organisation {other}, the service account to another")),
        "{error}"
    );
}
