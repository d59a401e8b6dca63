//! What service accounts do themselves: as people of the same roles would, and nothing that is a person's own.

use std::sync::atomic::Ordering;

use forebay_control::{
    Account, AccountProject, AuditFilter, Control, Grace, NewAccount, NewInvitation, OrganisationRole,
    PeopleError, ProjectChange, ProjectRole, Scope,
};

use crate::common::{NOW_MS, clocked_store, enter, named, organisation, store};

fn account(
    control: &Control,
    name: &str,
    role: OrganisationRole,
    projects: &[(u64, ProjectRole)],
    scopes: Option<Vec<Scope>>,
) -> Account {
    let new = NewAccount {
        username: Some(name.to_owned()),
        projects: projects.iter().map(|&(id, role)| AccountProject { id, role }).collect(),
        organisation: Some(1),
        organisation_role: role,
        scopes,
        ..NewAccount::default()
    };
    control.host().create_service_account(&new).unwrap();
    found(control, name)
}

fn found(control: &Control, name: &str) -> Account {
    let all = control.host().list_service_accounts(None).unwrap();
    all.into_iter().find(|account| account.username == name).unwrap()
}

fn denied<T: std::fmt::Debug>(done: Result<T, PeopleError>) {
    let error = done.unwrap_err();
    assert!(
        matches!(
            error,
            PeopleError::Denied { .. } | PeopleError::ProjectDenied { .. } | PeopleError::AboveOneself { .. }
        ),
        "{error}"
    );
}

fn rename(name: &str) -> ProjectChange {
    ProjectChange { name: Some(name.to_owned()), ..ProjectChange::default() }
}

#[test]
fn a_service_account_does_what_its_role_lets_it_and_the_audit_names_it() {
    let (_dir, control) = store();
    let (_, _, project) = organisation(&control);
    let other = control.host().create_project(&named("other")).unwrap().id;
    let admin = account(&control, "robot", OrganisationRole::Member, &[(project, ProjectRole::Admin)], None);
    let acting = control.acting_account(&admin);
    acting.change_project(project, &rename("renamed")).unwrap();
    let token = acting.add_token(project, "brought").unwrap().tokens.pop().unwrap();
    assert_eq!(token.created_by, "service_account:robot");
    let mine = acting.audit(&AuditFilter::default()).unwrap().entries;
    let mine: Vec<_> = mine.iter().map(|entry| (&*entry.actor, &*entry.action)).collect();
    assert_eq!(
        mine,
        [("service_account:robot", "project.token_added"), ("service_account:robot", "project.changed")]
    );
    denied(acting.retire_token(project, "brought", Some(0)));
    denied(acting.delete_project(project, &acting.prove_password("").unwrap()));
    denied(acting.create_project(&named("third")));
    denied(acting.rename_organisation(1, "mine"));
    let hidden = acting.change_project(other, &rename("x")).unwrap_err();
    assert!(matches!(hidden, PeopleError::ProjectNotFound { .. }), "{hidden}");
    let seen: Vec<_> = acting.projects().unwrap().iter().map(|view| (view.project.id, view.role)).collect();
    assert_eq!(seen, [(project, ProjectRole::Admin)]);
}

#[test]
fn an_owner_among_service_accounts_resets_reveals_and_deletes_without_a_password_of_its_own() {
    let (_dir, control) = store();
    let (_, _, project) = organisation(&control);
    let owner = account(&control, "robot", OrganisationRole::Member, &[(project, ProjectRole::Owner)], None);
    let acting = control.acting_account(&owner);
    let proof = acting.prove_password("").unwrap();
    let reset = acting.reset_credentials(project, Grace::None, &proof).unwrap();
    assert_eq!(acting.reveal_credentials(project, &proof).unwrap().api_secret, reset.api_secret);
    let revealed = AuditFilter { action: Some("project.secret_revealed".into()), ..AuditFilter::default() };
    assert_eq!(control.host().audit(&revealed).unwrap().entries[0].actor, "service_account:robot");
    let others = control.acting_account(&account(
        &control,
        "other",
        OrganisationRole::Member,
        &[(project, ProjectRole::Owner)],
        None,
    ));
    let error = others.delete_project(project, &proof).unwrap_err();
    assert!(
        matches!(error, PeopleError::PasswordNeeded),
        "a proof is of use to whom it was made for: {error}"
    );
    acting.delete_project(project, &proof).unwrap();
}

#[test]
fn an_admin_of_the_organisation_among_service_accounts_manages_it_up_to_its_own_role() {
    let (_dir, control) = store();
    let (id, [owner, _, member], project) = organisation(&control);
    let admin = account(&control, "robot", OrganisationRole::Admin, &[], None);
    let acting = control.acting_account(&admin);
    assert_eq!(acting.organisations().unwrap()[0].role, OrganisationRole::Admin);
    let made = acting.create_project(&named("made")).unwrap().id;
    let seen: Vec<_> = acting.projects().unwrap().iter().map(|view| view.role).collect();
    assert_eq!(seen, [ProjectRole::Admin, ProjectRole::Admin], "of every project of the organisation");
    acting.set_organisation_role(id, member, OrganisationRole::Admin).unwrap();
    denied(acting.set_organisation_role(id, member, OrganisationRole::Owner));
    denied(acting.remove_member(id, owner));
    acting.set_project_role(made, member, Some(ProjectRole::Admin)).unwrap();
    denied(acting.set_project_role(made, member, Some(ProjectRole::Owner)));

    let new = |username: &str, role, projects: &[(u64, ProjectRole)]| NewAccount {
        username: Some(username.to_owned()),
        organisation: Some(id),
        organisation_role: role,
        projects: projects.iter().map(|&(id, role)| AccountProject { id, role }).collect(),
        ..NewAccount::default()
    };
    let peer = new("peer", OrganisationRole::Admin, &[(project, ProjectRole::Admin)]);
    acting.create_service_account(&peer).unwrap();
    denied(acting.create_service_account(&new("above", OrganisationRole::Owner, &[])));
    denied(acting.create_service_account(&new(
        "above",
        OrganisationRole::Member,
        &[(made, ProjectRole::Owner)],
    )));
    denied(acting.set_account_role("robot", OrganisationRole::Owner));
    control.host().set_account_role("peer", OrganisationRole::Owner).unwrap();
    denied(acting.rotate_service_account("peer", Grace::None));
    denied(acting.delete_service_account("peer"));
    control.host().set_account_role("robot", OrganisationRole::Owner).unwrap();
    acting.delete_service_account("peer").unwrap();
    acting.delete_organisation(id, &acting.prove_password("").unwrap()).unwrap_err();
}

#[test]
fn what_is_a_persons_own_is_not_a_service_accounts() {
    let (_dir, control) = store();
    let (_, [owner, ..], _) = organisation(&control);
    let robot = account(&control, "robot", OrganisationRole::Owner, &[], None);
    let acting = control.acting_account(&robot);
    for error in [
        acting.create_organisation("mine", None).unwrap_err(),
        acting
            .set_password(owner, "another password", None, &acting.prove_password("").unwrap())
            .unwrap_err(),
        acting.personal_data(owner).unwrap_err(),
        acting.sessions(owner).unwrap_err(),
        acting.losses(owner).unwrap_err(),
        acting.accept_invitation("code").unwrap_err(),
    ] {
        let own = matches!(
            error,
            PeopleError::PeopleOnly | PeopleError::NotOneself { .. } | PeopleError::InvitationGone
        );
        assert!(own, "{error}");
    }
    // An account is no owner that an organisation could be left with.
    let error = acting.remove_member(1, owner).unwrap_err();
    assert!(matches!(error, PeopleError::LastOwner { .. }), "{error}");
}

#[test]
fn a_narrowed_service_account_does_nothing_here_and_says_to_what_it_is_narrowed() {
    let (_dir, control) = store();
    let (_, _, project) = organisation(&control);
    let roles = [(project, ProjectRole::Owner)];
    let scopes = Some(vec![Scope::Import, Scope::Export]);
    let robot = account(&control, "robot", OrganisationRole::Owner, &roles, scopes);
    assert_eq!(robot.scopes, Some(vec![Scope::Export, Scope::Import]));
    let acting = control.acting_account(&robot);
    for error in [
        acting.change_project(project, &rename("x")).unwrap_err(),
        acting.rename_organisation(1, "x").unwrap_err(),
        acting.project(project).unwrap_err(),
        acting.set_account_scopes("robot", None).unwrap_err(),
    ] {
        let expected = "the service account is narrowed to export, import";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let of = |control: &Control| control.snapshot().unwrap().accounts[0].clone();
    let settings = control.snapshot().unwrap().projects[0].clone();
    assert!(of(&control).may_read(&settings) && of(&control).may_write(&settings));
    for (scopes, reads, writes) in [
        (Some(&[Scope::Export][..]), true, false),
        (Some(&[Scope::Import]), false, true),
        (Some(&[Scope::EngageRead, Scope::Gdpr]), false, false),
        (None, true, true),
    ] {
        control.host().set_account_scopes("robot", scopes).unwrap();
        let account = of(&control);
        assert_eq!(
            (account.may_read(&settings), account.may_write(&settings)),
            (reads, writes),
            "{scopes:?}"
        );
        assert!(account.may_use(&settings));
    }
    acting.change_project(project, &rename("free again")).unwrap();
}

#[test]
fn a_role_in_a_project_says_whether_its_events_are_read_or_added_to() {
    let (_dir, control) = store();
    let (_, _, project) = organisation(&control);
    for (role, reads, writes) in [
        (ProjectRole::Consumer, false, false),
        (ProjectRole::Analyst, true, false),
        (ProjectRole::Admin, true, true),
        (ProjectRole::Owner, true, true),
    ] {
        account(&control, role.as_str(), OrganisationRole::Member, &[(project, role)], None);
        let snapshot = control.snapshot().unwrap();
        let found = snapshot.accounts.iter().find(|account| &*account.username == role.as_str()).unwrap();
        let settings = &snapshot.projects[0];
        assert_eq!((found.may_read(settings), found.may_write(settings)), (reads, writes), "{role}");
    }
}

#[test]
fn an_invitation_of_a_service_account_is_worth_what_the_account_may_give_when_it_is_taken() {
    let (_dir, control, clock) = clocked_store();
    let (id, ..) = organisation(&control);
    let robot = account(&control, "robot", OrganisationRole::Admin, &[], None);
    let acting = control.acting_account(&robot);
    let invite = |who: &str| {
        let new = NewInvitation {
            organisation: id,
            email: format!("{who}@example.com"),
            role: OrganisationRole::Admin,
            project: None,
            expires_at_ms: None,
        };
        acting.invite(&new).unwrap()
    };
    let taken = invite("taken");
    assert_eq!(taken.invitation.created_by, "service_account:robot");
    control.acting(enter(&control, "taken")).accept_invitation(&taken.code).unwrap();
    let (lowered, expired) = (invite("lowered"), invite("expired"));
    control.host().set_account_role("robot", OrganisationRole::Member).unwrap();
    let error = control.invitation(&lowered.code).unwrap_err();
    assert!(matches!(error, PeopleError::InvitationGone), "{error}");
    control.host().set_account_role("robot", OrganisationRole::Admin).unwrap();
    control.invitation(&lowered.code).unwrap();
    control.host().set_account_expiry("robot", Some(NOW_MS + 10)).unwrap();
    clock.store(NOW_MS + 11, Ordering::Relaxed);
    let error = control.invitation(&expired.code).unwrap_err();
    assert!(matches!(error, PeopleError::InvitationGone), "{error}");
    let error = acting.rename_organisation(id, "x").unwrap_err();
    assert!(
        matches!(error, PeopleError::OrganisationNotFound { .. }),
        "an expired account is nobody: {error}"
    );
    control.host().delete_service_account("robot").unwrap();
    assert_eq!(control.host().invitations(id).unwrap(), [], "and what it gave goes with it");
    let error = acting.rename_organisation(id, "x").unwrap_err();
    assert!(error.to_string().contains("there is no service account"), "{error}");
}
