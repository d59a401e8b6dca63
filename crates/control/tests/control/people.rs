//! People, organisations and roles: who may do what, and what can never be.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, atomic::Ordering},
};

use forebay_control::{
    Acting, Control, HandOver, NewPerson, NewProject, OrganisationRole, PeopleError, PersonChange, PersonId,
    ProjectRole, SignIn,
};

use crate::common::{clocked_store, store};

const PASSWORD: &str = "correct horse battery";
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

fn enter(control: &Control, name: &str) -> PersonId {
    let email = format!("{name}@example.com");
    control.host().create_person(&NewPerson { email, name: name.to_owned(), password: None }).unwrap().id
}

fn enter_with_password(control: &Control, name: &str) -> PersonId {
    let id = enter(control, name);
    control.host().set_password(id, None, PASSWORD, None).unwrap();
    id
}

/// An organisation with an owner, an admin and a member, in this order, and a project of it.
fn organisation(control: &Control) -> (u64, [PersonId; 3], u64) {
    let project =
        control.create_project(&NewProject { name: "shop".to_owned(), ..NewProject::default() }).unwrap();
    let people = ["owner", "admin", "member"].map(|name| enter(control, name));
    for (person, role) in people.into_iter().zip(["owner", "admin", "member"]) {
        control.host().set_organisation_role(1, person, role.parse().unwrap()).unwrap();
    }
    (1, people, project.id)
}

fn sign_in<'a>(email: &'a str, password: &'a str) -> SignIn<'a> {
    SignIn { email, password, code: None, address: HOME, user_agent: "a browser" }
}

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
    refused(control.host().delete_person(owner, None, &[]).unwrap_err());
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
    // A stranger who is given a role belongs to the organisation from then on, and loses both together.
    control.acting(owner).set_project_role(project, stranger, Some(ProjectRole::Owner)).unwrap();
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
fn signing_in_begins_a_session_that_lasts_until_it_ends() {
    let (_dir, control, clock) = clocked_store();
    let person = enter_with_password(&control, "zoe");
    let signed_in = control.sign_in(&sign_in("Zoe@Example.com", PASSWORD)).unwrap();
    assert_eq!(signed_in.session.person, person);
    assert!(!format!("{signed_in:?}").contains(&signed_in.secret), "no secret in a message");
    assert_eq!(control.session(&signed_in.secret).unwrap(), Some(signed_in.session.clone()));
    assert_eq!(control.session("another").unwrap(), None);
    // Seen each day it lives on, up to 90 days.
    for _ in 0..89 {
        clock.fetch_add(24 * 3_600_000, Ordering::Relaxed);
        assert!(control.session(&signed_in.secret).unwrap().is_some());
    }
    clock.fetch_add(24 * 3_600_000, Ordering::Relaxed);
    assert_eq!(control.session(&signed_in.secret).unwrap(), None, "90 days old");
    // Not seen for 14 days.
    let signed_in = control.sign_in(&sign_in("zoe@example.com", PASSWORD)).unwrap();
    clock.fetch_add(14 * 24 * 3_600_000, Ordering::Relaxed);
    assert_eq!(control.session(&signed_in.secret).unwrap(), None);
    assert_eq!(control.acting(person).sessions(person).unwrap(), []);
    // Signed out.
    let signed_in = control.sign_in(&sign_in("zoe@example.com", PASSWORD)).unwrap();
    control.end_session(&signed_in.secret).unwrap();
    assert_eq!(control.session(&signed_in.secret).unwrap(), None);
}

#[test]
fn a_new_password_ends_the_other_sessions() {
    let (_dir, control) = store();
    let person = enter_with_password(&control, "zoe");
    let [kept, other] = [0, 1].map(|_| control.sign_in(&sign_in("zoe@example.com", PASSWORD)).unwrap());
    let acting = control.acting(person);
    let error = acting
        .set_password(person, Some("not it at all"), "another battery", Some(&kept.session))
        .unwrap_err();
    assert!(matches!(error, PeopleError::PasswordWrong), "{error}");
    let error = acting.set_password(person, Some(PASSWORD), "too short", Some(&kept.session)).unwrap_err();
    assert!(matches!(error, PeopleError::PasswordWeak { .. }), "{error}");
    assert_eq!(acting.sessions(person).unwrap().len(), 2);
    acting.set_password(person, Some(PASSWORD), "another battery", Some(&kept.session)).unwrap();
    assert!(control.session(&kept.secret).unwrap().is_some());
    assert_eq!(control.session(&other.secret).unwrap(), None);
    assert!(matches!(control.sign_in(&sign_in("zoe@example.com", PASSWORD)), Err(PeopleError::SignInWrong)));
    let third = control.sign_in(&sign_in("zoe@example.com", "another battery")).unwrap();
    assert_eq!(acting.end_sessions(person, Some(&third.session)).unwrap(), 1);
    assert_eq!(acting.sessions(person).unwrap(), [third.session]);
    // Nobody else's business.
    let other = enter(&control, "other");
    let error = control.acting(other).sessions(person).unwrap_err();
    assert!(matches!(error, PeopleError::NotOneself { .. }), "{error}");
    assert!(control.acting(other).set_password(person, Some(PASSWORD), "another battery", None).is_err());
}

#[test]
fn who_guesses_is_throttled_by_address_and_by_network_whether_the_person_exists_or_not() {
    let (_dir, control, clock) = clocked_store();
    enter_with_password(&control, "zoe");
    for email in ["zoe@example.com", "nobody@example.com"] {
        for _ in 0..10 {
            let error = control.sign_in(&sign_in(email, "wrong password")).unwrap_err();
            assert!(matches!(error, PeopleError::SignInWrong), "{error}");
        }
        // The right one is not looked at, either.
        for password in ["wrong password", PASSWORD] {
            let error = control.sign_in(&sign_in(email, password)).unwrap_err();
            assert!(matches!(error, PeopleError::Throttled { retry_after_s: 900 }), "{error:?}");
        }
    }
    clock.fetch_add(15 * 60_000, Ordering::Relaxed);
    control.sign_in(&sign_in("zoe@example.com", PASSWORD)).unwrap();
    // From one network, with an address for each guess.
    let from = |last: u16, email: &str| {
        let address = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        control
            .sign_in(&SignIn { email, password: "wrong password", code: None, address, user_agent: "" })
            .unwrap_err()
    };
    for n in 0..50 {
        let error = from(n, &format!("guess{n}@example.com"));
        assert!(matches!(error, PeopleError::SignInWrong), "{n}: {error}");
    }
    assert!(matches!(from(60, "guess60@example.com"), PeopleError::Throttled { .. }));
    control.sign_in(&sign_in("zoe@example.com", PASSWORD)).expect("from another network");
}

#[test]
fn a_deleted_person_loses_everything_and_takes_nothing_along() {
    let (_dir, control) = store();
    let (organisation, [owner, admin, _], project) = organisation(&control);
    control.host().set_password(owner, None, PASSWORD, None).unwrap();
    let signed_in = control.sign_in(&sign_in("owner@example.com", PASSWORD)).unwrap();
    let own = control.acting(owner).create_organisation("only mine", None).unwrap();
    let acting = control.acting(owner);
    let error = acting.delete_person(owner, Some("wrong password"), &[]).unwrap_err();
    assert!(matches!(error, PeopleError::PasswordWrong), "{error}");
    let error = acting.delete_person(owner, Some(PASSWORD), &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("owner@example.com is the only owner of organisation 1 (default)"),
        "{error}"
    );
    let stranger = enter(&control, "stranger");
    for to in [stranger, owner] {
        let error =
            acting.delete_person(owner, Some(PASSWORD), &[HandOver { organisation, to }]).unwrap_err();
        assert!(matches!(error, PeopleError::NotAMember { .. }), "{error}");
    }
    assert_eq!(
        roles(&control, organisation)[0],
        ("owner".to_owned(), OrganisationRole::Owner),
        "nothing was done"
    );
    assert!(control.session(&signed_in.secret).unwrap().is_some());

    acting.delete_person(owner, Some(PASSWORD), &[HandOver { organisation, to: admin }]).unwrap();
    assert_eq!(roles(&control, organisation)[0], ("admin".to_owned(), OrganisationRole::Owner));
    assert_eq!(control.session(&signed_in.secret).unwrap(), None);
    assert!(matches!(control.host().person(owner), Err(PeopleError::PersonNotFound { .. })));
    assert!(matches!(
        control.sign_in(&sign_in("owner@example.com", PASSWORD)),
        Err(PeopleError::SignInWrong)
    ));
    assert!(matches!(control.host().organisation(own.id), Err(PeopleError::OrganisationNotFound { .. })));
    assert_eq!(control.show_project(project).unwrap().name, "shop", "projects stay");
    // The address is free again, and is not the same person.
    assert_ne!(enter(&control, "owner"), owner);
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
    assert!(matches!(control.acting(zoe).change_person(zoe, &new, None), Err(PeopleError::PasswordWrong)));
    assert_eq!(
        control.acting(zoe).change_person(zoe, &new, Some(PASSWORD)).unwrap().email,
        "zoe@example.org"
    );
    let taken = email("OTHER@example.com");
    assert!(matches!(control.host().change_person(zoe, &taken, None), Err(PeopleError::EmailTaken { .. })));
    let spelling = email("ZOE@example.org");
    assert_eq!(control.host().change_person(zoe, &spelling, None).unwrap().email, "ZOE@example.org");
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

/// What an authenticator with that secret shows.
fn shown_by_authenticator(secret: &str, at_ms: u64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    totp_rs::Builder::new().with_secret(secret).build().unwrap().generate(at_ms / 1000).to_string()
}

fn with_code<'a>(code: Option<&'a str>) -> SignIn<'a> {
    SignIn { code, ..sign_in("zoe@example.com", PASSWORD) }
}

#[test]
fn a_second_factor_is_asked_for_once_it_is_proven_and_each_code_counts_once() {
    let (_dir, control, clock) = clocked_store();
    let zoe = enter_with_password(&control, "zoe");
    let acting = control.acting(zoe);
    assert!(matches!(acting.begin_two_factor(zoe, Some("wrong password")), Err(PeopleError::PasswordWrong)));
    assert!(matches!(acting.confirm_two_factor(zoe, "123456"), Err(PeopleError::TwoFactorOff)));
    let enrolment = acting.begin_two_factor(zoe, Some(PASSWORD)).unwrap();
    let url =
        format!("otpauth://totp/Forebay:zoe%40example%2Ecom?secret={}&issuer=Forebay", enrolment.secret);
    assert_eq!(enrolment.url, url);
    assert!(!format!("{enrolment:?}").contains(&enrolment.secret), "no secret in a message");
    let now = || clock.load(Ordering::Relaxed);
    let code =
        |steps: i64| shown_by_authenticator(&enrolment.secret, now().saturating_add_signed(steps * 30_000));
    control.sign_in(&with_code(None)).expect("not proven yet, so not asked for");
    assert!(matches!(acting.confirm_two_factor(zoe, &code(-5)), Err(PeopleError::CodeWrong)));
    let recovery = acting.confirm_two_factor(zoe, &code(0)).unwrap();
    assert_eq!(acting.two_factor(zoe).unwrap().since_ms, Some(now()));
    assert!(matches!(acting.begin_two_factor(zoe, Some(PASSWORD)), Err(PeopleError::TwoFactorOn)));

    assert!(matches!(control.sign_in(&with_code(None)), Err(PeopleError::CodeMissing)));
    assert!(
        matches!(control.sign_in(&with_code(Some(&code(0)))), Err(PeopleError::CodeWrong)),
        "used already"
    );
    let right_code = code(1);
    let wrong_password = SignIn { password: "wrong password", ..with_code(Some(&right_code)) };
    assert!(
        matches!(control.sign_in(&wrong_password), Err(PeopleError::SignInWrong)),
        "it is not said which"
    );
    // A clock that is half a minute ahead.
    let next = code(1);
    let spaced = format!("{} {}", &next[..3], &next[3..]);
    control.sign_in(&with_code(Some(&spaced))).unwrap();
    clock.fetch_add(30_000, Ordering::Relaxed);
    assert!(matches!(control.sign_in(&with_code(Some(&next))), Err(PeopleError::CodeWrong)));

    // Recovery codes, however they are typed.
    assert_eq!(recovery.len(), 10);
    let typed = recovery[3].to_uppercase().replace('-', " ");
    control.sign_in(&with_code(Some(&typed))).unwrap();
    assert!(matches!(control.sign_in(&with_code(Some(&recovery[3]))), Err(PeopleError::CodeWrong)));
    assert_eq!(acting.two_factor(zoe).unwrap().recovery_codes, 9);
    let renewed = acting.renew_recovery_codes(zoe, Some(PASSWORD)).unwrap();
    assert!(matches!(control.sign_in(&with_code(Some(&recovery[4]))), Err(PeopleError::CodeWrong)));
    control.sign_in(&with_code(Some(&renewed[0]))).unwrap();

    // The authenticator and the paper are lost: the host helps.
    control.host().end_two_factor(zoe, None).unwrap();
    assert!(matches!(control.host().end_two_factor(zoe, None), Err(PeopleError::TwoFactorOff)));
    control.sign_in(&with_code(None)).unwrap();
    assert_eq!(acting.two_factor(zoe).unwrap().recovery_codes, 0);
}

#[test]
fn guessed_codes_are_throttled_like_guessed_passwords() {
    let (_dir, control) = store();
    let zoe = enter_with_password(&control, "zoe");
    let enrolment = control.host().begin_two_factor(zoe, None).unwrap();
    control
        .host()
        .confirm_two_factor(zoe, &shown_by_authenticator(&enrolment.secret, crate::common::NOW_MS))
        .unwrap();
    for _ in 0..10 {
        assert!(matches!(control.sign_in(&with_code(None)), Err(PeopleError::CodeMissing)), "no guess");
        assert!(matches!(control.sign_in(&with_code(Some("000000"))), Err(PeopleError::CodeWrong)));
    }
    assert!(matches!(control.sign_in(&with_code(None)), Err(PeopleError::Throttled { .. })));
}

#[test]
fn an_organisation_that_requires_a_second_factor_is_closed_to_those_without() {
    let (_dir, control) = store();
    let (id, [owner, admin, _], project) = organisation(&control);
    let required =
        |error: PeopleError| assert!(matches!(error, PeopleError::TwoFactorRequired { .. }), "{error}");
    required(control.acting(owner).require_two_factor(id, true).unwrap_err());
    assert!(!control.host().organisation(id).unwrap().requires_two_factor, "nobody locks themselves out");
    let enrolment = control.host().begin_two_factor(owner, None).unwrap();
    required(control.acting(owner).require_two_factor(id, true).unwrap_err());
    let code = shown_by_authenticator(&enrolment.secret, crate::common::NOW_MS);
    control.acting(owner).confirm_two_factor(owner, &code).unwrap();
    assert!(control.acting(owner).require_two_factor(id, true).unwrap().requires_two_factor);
    required(control.acting(admin).organisation(id).unwrap_err());
    required(control.acting(admin).project_role(project).unwrap_err());
    required(
        control.acting(admin).set_project_role(project, admin, Some(ProjectRole::Consumer)).unwrap_err(),
    );
    assert_eq!(control.acting(owner).project_role(project).unwrap(), Some(ProjectRole::Owner));
    control.host().organisation(id).expect("the host needs none");
    control.host().require_two_factor(id, false).unwrap();
    control.acting(admin).organisation(id).unwrap();
}
