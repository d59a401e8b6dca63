//! How people come in: the first by the set-up link, everybody else by invitation.

use std::sync::atomic::Ordering;

use forebay_control::{
    Control, Invited, NewInvitation, NewPerson, OrganisationRole, PeopleError, PersonId, ProjectRole,
};

use crate::common::{PASSWORD, clocked_store, enter, organisation, sign_in, store};

const DAY_MS: u64 = 24 * 3_600_000;

fn to(email: &str, role: OrganisationRole) -> NewInvitation {
    NewInvitation { organisation: 1, email: email.to_owned(), role, project: None, expires_at_ms: None }
}

fn invite(control: &Control, by: PersonId, email: &str, role: OrganisationRole) -> Invited {
    control.acting(by).invite(&to(email, role)).unwrap()
}

fn gone<T: std::fmt::Debug>(outcome: Result<T, PeopleError>) {
    assert!(matches!(outcome, Err(PeopleError::InvitationGone)), "{outcome:?}");
}

#[test]
fn the_first_person_comes_by_the_set_up_link_and_nobody_after() {
    let (dir, control, clock) = clocked_store();
    assert!(control.awaits_setup().unwrap());
    let first = control.new_setup_code().unwrap().unwrap();
    assert!(!format!("{first:?}").contains(&first.code), "no secret in a message");
    let second = control.new_setup_code().unwrap().unwrap();
    let gone = |code: &str| {
        let error = control.check_setup_code(code).unwrap_err();
        assert!(matches!(error, PeopleError::SetupCodeGone), "{error}");
    };
    gone(&first.code);
    gone("");
    crate::common::open(dir.path()).check_setup_code(&second.code).expect("valid across restarts");
    clock.fetch_add(DAY_MS, Ordering::Relaxed);
    gone(&second.code);
    let third = control.new_setup_code().unwrap().unwrap();
    let zoe = NewPerson {
        email: "zoe@example.com".to_owned(),
        name: "Zoë".to_owned(),
        password: Some(PASSWORD.to_owned()),
    };
    let weak = NewPerson { password: Some("weak".to_owned()), ..zoe.clone() };
    assert!(matches!(control.set_up(&third.code, &weak, None), Err(PeopleError::PasswordWeak { .. })));
    let entered = control.set_up(&third.code, &zoe, Some("Acme")).unwrap();
    assert_eq!(
        (entered.organisations[0].name.as_str(), entered.organisations[0].role),
        ("Acme", OrganisationRole::Owner)
    );
    control.sign_in(&sign_in("zoe@example.com", PASSWORD)).unwrap();
    gone(&third.code);
    assert!(!control.awaits_setup().unwrap());
    assert_eq!(control.new_setup_code().unwrap(), None);
    let again = NewPerson { email: "again@example.com".to_owned(), ..zoe };
    assert!(matches!(control.set_up(&third.code, &again, None), Err(PeopleError::SetupCodeGone)));
}

#[test]
fn who_is_invited_comes_in_as_what_they_were_invited_as_and_the_code_counts_once() {
    let (_dir, control) = store();
    let (id, [owner, admin, _], project) = organisation(&control);
    let new = NewInvitation {
        project: Some((project, ProjectRole::Analyst)),
        ..to("Ann@Example.com", OrganisationRole::Member)
    };
    let invited = control.acting(admin).invite(&new).unwrap();
    assert!(!format!("{invited:?}").contains(&invited.code), "no secret in a message");
    let shown = control.invitation(&invited.code).unwrap();
    assert_eq!((shown.organisation_name.as_str(), shown.email.as_str()), ("default", "Ann@Example.com"));
    assert_eq!(control.acting(owner).invitations(id).unwrap(), std::slice::from_ref(&invited.invitation));
    let weak = control.accept_invitation(&invited.code, "Ann", "weak").unwrap_err();
    assert!(matches!(weak, PeopleError::PasswordWeak { .. }), "{weak}");
    let ann = control.accept_invitation(&invited.code, "Ann", PASSWORD).unwrap();
    assert_eq!(
        (ann.organisations[0].role, ann.projects[0].role),
        (OrganisationRole::Member, ProjectRole::Analyst)
    );
    control.sign_in(&sign_in("ann@example.com", PASSWORD)).unwrap();
    gone(control.invitation(&invited.code));
    gone(control.accept_invitation(&invited.code, "Ann", PASSWORD));
    assert_eq!(control.acting(owner).invitations(id).unwrap(), []);
    let error = control.acting(admin).invite(&to("ANN@example.com", OrganisationRole::Member)).unwrap_err();
    assert!(matches!(error, PeopleError::AlreadyMember { .. }), "{error}");
}

#[test]
fn who_is_known_already_signs_in_and_takes_the_invitation_and_nobody_else_does() {
    let (_dir, control) = store();
    let (_, [owner, ..], _) = organisation(&control);
    let [zoe, other] = ["zoe", "other"].map(|name| enter(&control, name));
    let invited = invite(&control, owner, "zoe@example.com", OrganisationRole::Admin);
    let error = control.acting(other).accept_invitation(&invited.code).unwrap_err();
    assert!(matches!(error, PeopleError::InvitationOfAnother), "{error}");
    let zoe = control.acting(zoe).accept_invitation(&invited.code).unwrap();
    assert_eq!(zoe.organisations[0].role, OrganisationRole::Admin);
    // A role that grew meanwhile is not taken away by an invitation to a lesser one.
    let lesser = invite(&control, owner, "other@example.com", OrganisationRole::Member);
    control.host().set_organisation_role(1, other, OrganisationRole::Admin).unwrap();
    let other = control.acting(other).accept_invitation(&lesser.code).unwrap();
    assert_eq!(other.organisations[0].role, OrganisationRole::Admin);
}

#[test]
fn who_learns_by_an_invitation_that_an_address_is_known_uses_it_up_and_stands_in_the_audit() {
    let (_dir, control) = store();
    let (id, [owner, ..], _) = organisation(&control);
    let known = enter(&control, "known");
    let invited = invite(&control, owner, "Known@example.com", OrganisationRole::Member);
    let before = control.audit_entries(1).unwrap()[0].id;
    let error = control.accept_invitation(&invited.code, "x", PASSWORD).unwrap_err();
    assert!(matches!(error, PeopleError::InvitationSpent), "{error}");
    gone(control.accept_invitation(&invited.code, "x", PASSWORD));
    gone(control.acting(known).accept_invitation(&invited.code).map(|_| ()));
    assert_eq!(control.acting(owner).invitations(id).unwrap(), []);
    let entries = control.audit_entries(2).unwrap();
    assert_eq!((entries[0].action.as_str(), entries[1].id), ("organisation.invitation_spent", before));
    let detail = format!("invitation {} to the address of person:{known}", invited.invitation.id);
    assert_eq!((entries[0].detail.as_str(), entries[0].organisation), (detail.as_str(), Some(id)));
}

#[test]
fn inviting_tells_nobody_whether_somebody_has_an_account() {
    let (_dir, control) = store();
    let (_, [owner, ..], _) = organisation(&control);
    enter(&control, "known");
    // All that whoever invites gets to see: as a document, but for what belongs to each.
    let seen = |name: &str| {
        let invited = invite(&control, owner, &format!("{name}@example.com"), OrganisationRole::Member);
        let opened = control.invitation(&invited.code).unwrap();
        let weak = control.accept_invitation(&invited.code, name, "weak").unwrap_err().to_string();
        let document = serde_json::to_string(&(&invited, &opened, weak)).unwrap();
        let id = format!("\"id\":{}", invited.invitation.id);
        document.replace(&invited.code, "CODE").replace(&id, "ID").replace(name, "NAME")
    };
    assert_eq!(seen("known"), seen("strangers"));
    // Nor does anything else that takes a person's number or address.
    let acting = control.acting(owner);
    let told = |who: PersonId, name: &str| {
        let proof = acting.prove_password("").map(|_| ()).unwrap_err().to_string();
        let by_address = acting.person_of_email(&format!("{name}@example.com")).unwrap_err().to_string();
        let by_number = acting.person(who).unwrap_err().to_string();
        let role = acting.set_organisation_role(1, who, OrganisationRole::Member).unwrap_err().to_string();
        let project = control.host().create_project(&crate::common::named("p")).unwrap().id;
        let in_project = acting.set_project_role(project, who, Some(ProjectRole::Consumer)).unwrap_err();
        let out = acting.remove_member(1, who).unwrap_err().to_string();
        let all = [proof, by_address, by_number, role, in_project.to_string(), out].join("\n");
        all.replace(&who.to_string(), "N").replace(name, "NAME")
    };
    let known = control.host().person_of_email("known@example.com").unwrap().id;
    assert_eq!(told(known, "known"), told(PersonId(9), "strangers"));
}

#[test]
fn nobody_invites_above_their_own_role_and_an_invitation_is_worth_what_its_giver_is() {
    let (_dir, control) = store();
    let (id, [owner, admin, member], project) = organisation(&control);
    let invite_by = |by, role| control.acting(by).invite(&to("ann@example.com", role));
    let error = invite_by(admin, OrganisationRole::Owner).unwrap_err();
    assert!(matches!(error, PeopleError::AboveOneself { .. }), "{error}");
    let error = invite_by(member, OrganisationRole::Member).unwrap_err();
    assert!(matches!(error, PeopleError::Denied { .. }), "{error}");
    let to_project = NewInvitation {
        project: Some((project, ProjectRole::Owner)),
        ..to("ann@example.com", OrganisationRole::Member)
    };
    let error = control.acting(admin).invite(&to_project).unwrap_err();
    assert!(matches!(error, PeopleError::ProjectDenied { .. }), "{error}");
    control.acting(owner).invite(&to_project).expect("an owner may");
    // To an owner's invitation an admin's hand does not reach.
    let by_owner = invite(&control, owner, "bob@example.com", OrganisationRole::Owner);
    let error = control.acting(admin).revoke_invitation(id, by_owner.invitation.id).unwrap_err();
    assert!(matches!(error, PeopleError::AboveOneself { .. }), "{error}");
    // Who may no longer invite, has invited nobody.
    let by_admin = invite(&control, admin, "ann@example.com", OrganisationRole::Admin);
    control.host().set_organisation_role(id, admin, OrganisationRole::Member).unwrap();
    gone(control.accept_invitation(&by_admin.code, "Ann", PASSWORD));
    control.host().set_organisation_role(id, admin, OrganisationRole::Admin).unwrap();
    control.invitation(&by_admin.code).expect("an admin again");
    let proof = control.host().prove_password("").unwrap();
    control.host().delete_person(admin, &proof, &[]).unwrap();
    gone(control.invitation(&by_admin.code));
}

#[test]
fn an_invitation_ends_by_its_time_by_being_taken_back_and_by_another_to_the_same_address() {
    let (_dir, control, clock) = clocked_store();
    let (id, [owner, ..], _) = organisation(&control);
    let now = clock.load(Ordering::Relaxed);
    for expires_at_ms in [0, now, now + 91 * DAY_MS] {
        let new = NewInvitation {
            expires_at_ms: Some(expires_at_ms),
            ..to("ann@example.com", OrganisationRole::Member)
        };
        let error = control.acting(owner).invite(&new).unwrap_err();
        assert!(matches!(error, PeopleError::ExpiryInvalid { .. }), "{error}");
    }
    let first = invite(&control, owner, "ann@example.com", OrganisationRole::Member);
    let second = invite(&control, owner, "ANN@example.com", OrganisationRole::Member);
    gone(control.invitation(&first.code));
    clock.fetch_add(7 * DAY_MS - 1, Ordering::Relaxed);
    control.invitation(&second.code).unwrap();
    clock.fetch_add(1, Ordering::Relaxed);
    gone(control.invitation(&second.code));
    assert_eq!(control.acting(owner).invitations(id).unwrap(), []);
    let third = invite(&control, owner, "ann@example.com", OrganisationRole::Member);
    control.acting(owner).revoke_invitation(id, third.invitation.id).unwrap();
    gone(control.invitation(&third.code));
    let error = control.acting(owner).revoke_invitation(id, third.invitation.id).unwrap_err();
    assert!(matches!(error, PeopleError::InvitationNotFound { .. }), "{error}");
    // Of another organisation it is none of theirs.
    let stranger = enter(&control, "stranger");
    let other = control.acting(stranger).create_organisation("other", None).unwrap();
    let fourth = invite(&control, owner, "ann@example.com", OrganisationRole::Member);
    let error = control.acting(stranger).revoke_invitation(other.id, fourth.invitation.id).unwrap_err();
    assert!(matches!(error, PeopleError::InvitationNotFound { .. }), "{error}");
}
