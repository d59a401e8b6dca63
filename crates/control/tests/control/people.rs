//! People, organisations and roles: who may do what, and what can never be.

use std::sync::Arc;

use forebay_control::{
    Acting, AuditFilter, Control, HandOver, NewPerson, OrganisationRole, PeopleError, PersonChange,
    ProjectRole,
};

use crate::common::{PASSWORD, enter, enter_with_password, host_proof, organisation, proof, sign_in, store};

fn roles(control: &Control, organisation: u64) -> Vec<(String, OrganisationRole)> {
    let members = control.host().organisation(organisation).unwrap().members;
    members.into_iter().map(|member| (member.name, member.role)).collect()
}

fn actions(control: &Control) -> Vec<(String, String)> {
    control.audit_entries(1000).unwrap().into_iter().rev().map(|entry| (entry.actor, entry.action)).collect()
}

#[test]
fn an_address_belongs_to_one_person_however_it_is_written() {
    let (_dir, control) = store();
    let zoe = enter(&control, "Zoë");
    let again = NewPerson { email: "zoË@EXAMPLE.com".to_owned(), name: "x".to_owned(), password: None };
    let error = control.host().create_person(&again).unwrap_err();
    assert!(matches!(error, PeopleError::EmailTaken { .. }), "{error}");
    assert_eq!(control.host().person_of_email("ZOË@example.COM").unwrap().id, zoe);
    let error = control.host().person_of_email("nobody@example.com").unwrap_err();
    assert!(error.to_string().starts_with("there is no person \"nobody@example.com\""), "{error}");
    for (email, name) in [("no address", "x"), ("a@b.c", ""), ("a@b.c", " x"), ("a@b.c", "a\nb")] {
        let new = NewPerson { email: email.to_owned(), name: name.to_owned(), password: None };
        control.host().create_person(&new).unwrap_err();
    }
    assert_eq!(control.host().people().unwrap().len(), 1);
}

#[test]
fn an_organisation_keeps_an_owner_whoever_asks() {
    let (dir, control) = store();
    let (organisation, [owner, admin, _], _) = organisation(&control);
    let refused = |error: PeopleError| assert!(matches!(error, PeopleError::LastOwner { .. }), "{error}");
    for acting in [control.host(), control.acting(owner)] {
        refused(acting.set_organisation_role(organisation, owner, OrganisationRole::Member).unwrap_err());
        refused(acting.remove_member(organisation, owner).unwrap_err());
    }
    refused(control.host().delete_person(owner, &host_proof(&control), &[]).unwrap_err());
    // Behind the program's back, too.
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    db.pragma_update(None, "foreign_keys", true).unwrap();
    for sql in [
        "DELETE FROM organisation_members",
        "DELETE FROM organisation_members WHERE role = 'owner'",
        "UPDATE organisation_members SET role = 'admin' WHERE role = 'owner'",
    ] {
        let error = db.execute(sql, []).unwrap_err();
        assert!(error.to_string().contains("an organisation keeps at least one owner"), "{sql}: {error}");
    }
    assert!(
        db.execute("DELETE FROM people", []).is_err(),
        "who belongs to something is not deleted by itself"
    );
    // With another owner it goes.
    control.acting(owner).set_organisation_role(organisation, admin, OrganisationRole::Owner).unwrap();
    control.acting(admin).set_organisation_role(organisation, owner, OrganisationRole::Member).unwrap();
    assert_eq!(
        roles(&control, organisation),
        [
            ("admin", OrganisationRole::Owner),
            ("member", OrganisationRole::Member),
            ("owner", OrganisationRole::Member)
        ]
        .map(|(name, role)| (name.to_owned(), role))
    );
}

#[test]
fn nobody_gives_a_role_above_their_own_nor_changes_their_equals() {
    let (_dir, control) = store();
    let (id, [owner, admin, member], _) = organisation(&control);
    let other_admin = enter(&control, "other");
    control.host().set_organisation_role(id, other_admin, OrganisationRole::Admin).unwrap();
    let newcomer = enter(&control, "newcomer");
    let set = |acting: Acting<'_>, whom, role| acting.set_organisation_role(id, whom, role);
    set(control.host(), newcomer, OrganisationRole::Member).unwrap();
    // An admin.
    let above = |error: PeopleError| assert!(matches!(error, PeopleError::AboveOneself { .. }), "{error}");
    above(set(control.acting(admin), member, OrganisationRole::Owner).unwrap_err());
    above(set(control.acting(admin), admin, OrganisationRole::Owner).unwrap_err());
    above(set(control.acting(admin), owner, OrganisationRole::Member).unwrap_err());
    above(set(control.acting(admin), other_admin, OrganisationRole::Member).unwrap_err());
    above(control.acting(admin).remove_member(id, other_admin).unwrap_err());
    above(control.acting(admin).remove_member(id, owner).unwrap_err());
    set(control.acting(admin), newcomer, OrganisationRole::Admin).unwrap();
    set(control.acting(admin), member, OrganisationRole::Admin).unwrap();
    set(control.acting(admin), admin, OrganisationRole::Member).unwrap();
    // A member.
    let denied = |error: PeopleError| assert!(matches!(error, PeopleError::Denied { .. }), "{error}");
    denied(set(control.acting(admin), newcomer, OrganisationRole::Member).unwrap_err());
    denied(control.acting(admin).remove_member(id, newcomer).unwrap_err());
    denied(control.acting(admin).rename_organisation(id, "x").unwrap_err());
    control.acting(admin).remove_member(id, admin).unwrap();
    // Who does not belong to it sees nothing of it.
    let hidden =
        |error: PeopleError| assert!(matches!(error, PeopleError::OrganisationNotFound { .. }), "{error}");
    hidden(control.acting(admin).organisation(id).unwrap_err());
    hidden(set(control.acting(admin), admin, OrganisationRole::Owner).unwrap_err());
    assert_eq!(control.acting(admin).organisations().unwrap(), []);
    // An owner, to owners.
    set(control.acting(owner), newcomer, OrganisationRole::Owner).unwrap();
    set(control.acting(newcomer), owner, OrganisationRole::Admin).unwrap();
    // And a host, to everybody.
    set(control.host(), owner, OrganisationRole::Owner).unwrap();
}

#[test]
fn a_role_in_a_project_is_the_stronger_of_given_and_implied() {
    let (_dir, control) = store();
    let (_, [owner, admin, member], project) = organisation(&control);
    let role = |person| control.acting(person).project_role(project).unwrap();
    assert_eq!(role(owner), Some(ProjectRole::Owner));
    assert_eq!(role(admin), Some(ProjectRole::Admin));
    assert_eq!(role(member), None);
    let stranger = enter(&control, "stranger");
    assert_eq!(role(stranger), None);
    control.acting(admin).set_project_role(project, member, Some(ProjectRole::Analyst)).unwrap();
    control.acting(owner).set_project_role(project, admin, Some(ProjectRole::Consumer)).unwrap();
    assert_eq!((role(member), role(admin)), (Some(ProjectRole::Analyst), Some(ProjectRole::Admin)));
    // Above oneself, or above one's role.
    for error in [
        control.acting(admin).set_project_role(project, member, Some(ProjectRole::Owner)).unwrap_err(),
        control.acting(member).set_project_role(project, stranger, Some(ProjectRole::Consumer)).unwrap_err(),
    ] {
        assert!(matches!(error, PeopleError::ProjectDenied { .. }), "{error}");
    }
    let error =
        control.acting(stranger).set_project_role(project, stranger, Some(ProjectRole::Owner)).unwrap_err();
    assert!(matches!(error, PeopleError::ProjectNotFound { .. }), "{error}");
    // A stranger who is given a role, which takes the host or an invitation, belongs to the organisation from then on, and
    // loses both together.
    control.host().set_project_role(project, stranger, Some(ProjectRole::Owner)).unwrap();
    assert_eq!(role(stranger), Some(ProjectRole::Owner));
    assert_eq!(control.host().person(stranger).unwrap().organisations[0].role, OrganisationRole::Member);
    control.acting(stranger).remove_member(1, stranger).unwrap();
    assert_eq!(role(stranger), None);
    assert_eq!(control.host().person(stranger).unwrap().projects, []);
    control.acting(admin).set_project_role(project, member, None).unwrap();
    assert_eq!(role(member), None);
    assert_eq!(control.host().project_role(project + 1).unwrap(), None);
}

#[test]
fn a_deleted_person_loses_everything_and_takes_nothing_along() {
    let (_dir, control) = store();
    let (organisation, [owner, admin, _], project) = organisation(&control);
    control.host().set_password(owner, PASSWORD, None, &host_proof(&control)).unwrap();
    let signed_in = control.sign_in(&sign_in("owner@example.com", PASSWORD)).unwrap();
    let own = control.acting(owner).create_organisation("only mine", None).unwrap();
    let acting = control.acting(owner);
    let error = acting.delete_person(owner, &host_proof(&control), &[]).unwrap_err();
    assert!(matches!(error, PeopleError::PasswordNeeded), "somebody else's proof: {error}");
    let proof = proof(&control, owner);
    let error = acting.delete_person(owner, &proof, &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("owner@example.com is the only owner of organisation 1 (default)"),
        "{error}"
    );
    let stranger = enter(&control, "stranger");
    for to in [stranger, owner] {
        let error = acting.delete_person(owner, &proof, &[HandOver { organisation, to }]).unwrap_err();
        assert!(matches!(error, PeopleError::NotAMember { .. }), "{error}");
    }
    assert_eq!(
        roles(&control, organisation)[0],
        ("owner".to_owned(), OrganisationRole::Owner),
        "nothing was done"
    );
    assert!(control.session(&signed_in.secret).unwrap().is_some());

    acting.delete_person(owner, &proof, &[HandOver { organisation, to: admin }]).unwrap();
    assert_eq!(roles(&control, organisation)[0], ("admin".to_owned(), OrganisationRole::Owner));
    assert_eq!(control.session(&signed_in.secret).unwrap(), None);
    assert!(matches!(control.host().person(owner), Err(PeopleError::PersonNotFound { .. })));
    assert!(matches!(
        control.sign_in(&sign_in("owner@example.com", PASSWORD)),
        Err(PeopleError::SignInWrong)
    ));
    assert!(matches!(control.host().organisation(own.id), Err(PeopleError::OrganisationNotFound { .. })));
    assert_eq!(control.host().project(project).unwrap().project.name, "shop", "projects stay");
    // The address is free again, and is not the same person.
    assert_ne!(enter(&control, "owner"), owner);
}

#[test]
fn an_organisation_is_deleted_by_an_owner_once_nothing_is_left_in_it() {
    let (_dir, control) = store();
    let (id, [owner, admin, _], project) = organisation(&control);
    let host = host_proof(&control);
    let error = control.acting(admin).delete_organisation(id, &host).unwrap_err();
    assert!(matches!(error, PeopleError::PasswordNeeded), "{error}");
    let in_use =
        |error: PeopleError| assert!(matches!(error, PeopleError::OrganisationInUse { .. }), "{error}");
    in_use(control.host().delete_organisation(id, &host).unwrap_err());
    control.host().delete_project(project, &host).unwrap();
    in_use(control.host().delete_organisation(id, &host).unwrap_err());
    let other = control.acting(owner).create_organisation("other", None).unwrap().id;
    control.host().set_organisation_role(other, admin, OrganisationRole::Admin).unwrap();
    for person in [owner, admin] {
        control.host().set_password(person, PASSWORD, None, &host).unwrap();
    }
    let error = control.acting(admin).delete_organisation(other, &proof(&control, admin)).unwrap_err();
    assert!(matches!(error, PeopleError::Denied { .. }), "{error}");
    control.acting(owner).delete_organisation(other, &proof(&control, owner)).unwrap();
    assert!(matches!(control.host().organisation(other), Err(PeopleError::OrganisationNotFound { .. })));
    assert_eq!(control.host().person(admin).unwrap().organisations.len(), 1);
}

#[test]
fn no_organisation_gets_the_number_of_one_that_is_gone_nor_reads_its_audit() {
    let (_dir, control) = store();
    organisation(&control);
    let [zoe, stranger] = ["zoe", "stranger"].map(|name| enter_with_password(&control, name));
    let gone = control.acting(zoe).create_organisation("gone", None).unwrap().id;
    control.acting(zoe).delete_organisation(gone, &proof(&control, zoe)).unwrap();
    let next = control.acting(stranger).create_organisation("next", None).unwrap().id;
    assert!(next > gone, "{next} after {gone}");
    let filter = AuditFilter { organisation: Some(next), ..AuditFilter::default() };
    let read = control.acting(stranger).audit(&filter).unwrap().entries;
    assert!(read.iter().all(|entry| entry.subject == next.to_string()), "{read:?}");
    let filter = AuditFilter { organisation: Some(gone), ..AuditFilter::default() };
    let error = control.acting(stranger).audit(&filter).unwrap_err();
    assert!(matches!(error, PeopleError::OrganisationNotFound { .. }), "{error}");
}

#[test]
fn nobody_comes_to_look_after_the_server_because_the_first_organisation_is_gone() {
    let (_dir, control) = store();
    let first = control.host().create_organisation("first", None).unwrap().id;
    let [zoe, stranger] = ["zoe", "stranger"].map(|name| enter_with_password(&control, name));
    control.host().set_organisation_role(first, zoe, OrganisationRole::Owner).unwrap();
    let other = control.acting(stranger).create_organisation("other", None).unwrap().id;
    assert_eq!(control.first_organisation().unwrap(), Some(first));
    let error = control.acting(zoe).delete_organisation(first, &proof(&control, zoe)).unwrap_err();
    assert!(matches!(error, PeopleError::FirstOrganisation { .. }), "{error}");
    assert!(error.to_string().ends_with(&format!("`forebay organisation delete {first}`")), "{error}");
    // By the host's hand, as by the last one to leave, it goes; no other takes its place by itself.
    control.host().delete_organisation(first, &host_proof(&control)).unwrap();
    assert_eq!(control.first_organisation().unwrap(), None);
    control.acting(stranger).create_organisation("another", None).unwrap();
    assert_eq!(control.first_organisation().unwrap(), None);
    control.tell_operators(None, Some("no room")).expect("nobody to be told");
    let made = control.host().create_organisation("again", None).unwrap().id;
    assert_eq!((control.first_organisation().unwrap(), made > other), (Some(made), true));
}

#[test]
fn a_person_changes_what_is_theirs() {
    let (_dir, control) = store();
    let zoe = enter_with_password(&control, "zoe");
    let other = enter(&control, "other");
    let name = |name: &str| PersonChange { name: Some(name.to_owned()), ..PersonChange::default() };
    let email = |email: &str| PersonChange { email: Some(email.to_owned()), ..PersonChange::default() };
    assert_eq!(control.acting(zoe).change_person(zoe, &name("Zoë"), None).unwrap().name, "Zoë");
    assert!(matches!(
        control.acting(other).change_person(zoe, &name("x"), None),
        Err(PeopleError::NotOneself { .. })
    ));
    let new = email("zoe@example.org");
    assert!(matches!(control.acting(zoe).change_person(zoe, &new, None), Err(PeopleError::PasswordNeeded)));
    assert_eq!(
        control.acting(zoe).change_person(zoe, &new, Some(&proof(&control, zoe))).unwrap().email,
        "zoe@example.org"
    );
    let taken = email("OTHER@example.com");
    let proof = Some(&host_proof(&control));
    assert!(matches!(control.host().change_person(zoe, &taken, proof), Err(PeopleError::EmailTaken { .. })));
    let spelling = email("ZOE@example.org");
    assert_eq!(control.host().change_person(zoe, &spelling, proof).unwrap().email, "ZOE@example.org");
}

#[test]
fn every_change_is_in_the_audit_with_who_did_it_and_no_address() {
    let (_dir, control) = store();
    let (organisation, [owner, _, member], project) = organisation(&control);
    control.acting(owner).set_project_role(project, member, Some(ProjectRole::Consumer)).unwrap();
    control.acting(owner).rename_organisation(organisation, "acme").unwrap();
    control.acting(owner).remove_member(organisation, member).unwrap();
    let by_owner: Vec<_> =
        actions(&control).into_iter().filter(|(actor, _)| *actor == format!("person:{owner}")).collect();
    let wanted = ["project.role_changed", "organisation.changed", "organisation.member_removed"];
    assert_eq!(by_owner.iter().map(|(_, action)| action.as_str()).collect::<Vec<_>>(), wanted);
    let all = format!("{:?}", control.audit_entries(1000).unwrap());
    assert!(!all.contains('@'), "who a person was is forgotten with them: {all}");
    let before = actions(&control).len();
    control.acting(owner).rename_organisation(organisation, "acme").unwrap();
    control.acting(member).set_organisation_role(organisation, owner, OrganisationRole::Member).unwrap_err();
    assert_eq!(actions(&control).len(), before, "what changes nothing is no entry");
}

#[test]
fn of_two_that_leave_at_once_one_stays() {
    let (_dir, control) = store();
    let (organisation, [owner, admin, _], _) = organisation(&control);
    control.host().set_organisation_role(organisation, admin, OrganisationRole::Owner).unwrap();
    let control = Arc::new(control);
    let left: Vec<bool> = [owner, admin]
        .map(|person| {
            let control = Arc::clone(&control);
            std::thread::spawn(move || control.acting(person).remove_member(organisation, person).is_ok())
        })
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(left.iter().filter(|&&left| left).count(), 1, "{left:?}");
    assert_eq!(
        roles(&control, organisation).iter().filter(|(_, role)| *role == OrganisationRole::Owner).count(),
        1
    );
}

#[test]
fn people_are_seen_by_those_they_share_an_organisation_with_and_no_further() {
    let (_dir, control) = store();
    let (id, [owner, _, member], project) = organisation(&control);
    let stranger = enter(&control, "stranger");
    let other = control.acting(stranger).create_organisation("other", None).unwrap();
    control.host().set_organisation_role(other.id, owner, OrganisationRole::Member).unwrap();
    control.host().set_project_role(project, owner, Some(ProjectRole::Consumer)).unwrap();
    let names =
        |acting: Acting<'_>| -> Vec<_> { acting.people().unwrap().into_iter().map(|p| p.name).collect() };
    assert_eq!(names(control.host()), ["admin", "member", "owner", "stranger"]);
    assert_eq!(names(control.acting(member)), ["admin", "member", "owner"]);
    assert_eq!(names(control.acting(stranger)), ["owner", "stranger"]);
    let hidden = |error: PeopleError| assert!(matches!(error, PeopleError::PersonNotFound { .. }), "{error}");
    hidden(control.acting(member).person(stranger).unwrap_err());
    hidden(control.acting(member).person_of_email("stranger@example.com").unwrap_err());
    // Of whom one sees, what one shares with them.
    let seen = control.acting(stranger).person(owner).unwrap();
    assert_eq!(seen.organisations.iter().map(|o| o.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(seen.projects, []);
    assert_eq!(control.acting(owner).person(owner).unwrap().organisations.len(), 2);
    assert_eq!(control.acting(member).person(owner).unwrap().organisations[0].id, id);
}

#[test]
fn only_the_host_enters_people_and_a_member_with_their_membership_or_not_at_all() {
    let (_dir, control) = store();
    let (id, [owner, ..], _) = organisation(&control);
    let new = |name: &str| NewPerson {
        email: format!("{name}@example.com"),
        name: name.to_owned(),
        password: None,
    };
    let host_only = |error: PeopleError| assert!(matches!(error, PeopleError::HostOnly), "{error}");
    host_only(control.acting(owner).create_person(&new("x")).unwrap_err());
    host_only(control.acting(owner).create_member(&new("x"), id, OrganisationRole::Member).unwrap_err());
    control.host().create_member(&new("x"), 99, OrganisationRole::Member).unwrap_err();
    assert!(control.host().person_of_email("x@example.com").is_err(), "nothing is half done");
    let entered = control.host().create_member(&new("x"), id, OrganisationRole::Admin).unwrap();
    assert_eq!(entered.organisations[0].role, OrganisationRole::Admin);
}
