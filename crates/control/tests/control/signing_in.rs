//! Signing in: passwords, sessions, the second factor, and how often somebody may guess.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::atomic::Ordering,
};

use forebay_control::{Control, PeopleError, PersonChange, ProjectRole, SignIn, StoreError};

use crate::common::{
    PASSWORD, clocked_store, enter, enter_with_password, host_proof, organisation, proof, sign_in, store,
};

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
    let error = acting.prove_password("not it at all").unwrap_err();
    assert!(matches!(error, PeopleError::PasswordWrong), "{error}");
    let proof = proof(&control, person);
    let error = acting.set_password(person, "too short", Some(&kept.session), &proof).unwrap_err();
    assert!(matches!(error, PeopleError::PasswordWeak { .. }), "{error}");
    assert_eq!(acting.sessions(person).unwrap().len(), 2);
    acting.set_password(person, "another battery", Some(&kept.session), &proof).unwrap();
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
    assert!(control.acting(other).set_password(person, "another battery", None, &proof).is_err());
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
    let proof = proof(&control, zoe);
    assert!(matches!(acting.confirm_two_factor(zoe, "123456"), Err(PeopleError::TwoFactorOff)));
    let enrolment = acting.begin_two_factor(zoe, &proof).unwrap();
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
    assert!(matches!(acting.begin_two_factor(zoe, &proof), Err(PeopleError::TwoFactorOn)));

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
    let renewed = acting.renew_recovery_codes(zoe, &proof).unwrap();
    assert!(matches!(control.sign_in(&with_code(Some(&recovery[4]))), Err(PeopleError::CodeWrong)));
    control.sign_in(&with_code(Some(&renewed[0]))).unwrap();

    // The authenticator and the paper are lost: the host helps.
    control.host().end_two_factor(zoe, &host_proof(&control)).unwrap();
    assert!(matches!(
        control.host().end_two_factor(zoe, &host_proof(&control)),
        Err(PeopleError::TwoFactorOff)
    ));
    control.sign_in(&with_code(None)).unwrap();
    assert_eq!(acting.two_factor(zoe).unwrap().recovery_codes, 0);
}

#[test]
fn guessed_codes_are_throttled_like_guessed_passwords() {
    let (_dir, control) = store();
    let zoe = enter_with_password(&control, "zoe");
    let enrolment = control.host().begin_two_factor(zoe, &host_proof(&control)).unwrap();
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
    let enrolment = control.host().begin_two_factor(owner, &host_proof(&control)).unwrap();
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

#[test]
fn a_proof_of_the_password_is_its_givers_alone_and_soon_stale() {
    let (_dir, control, clock) = clocked_store();
    let [zoe, ann] = ["zoe", "ann"].map(|name| enter_with_password(&control, name));
    let of_zoe = proof(&control, zoe);
    let renamed = PersonChange { email: Some("new@example.com".to_owned()), ..PersonChange::default() };
    let needed = |error: PeopleError| assert!(matches!(error, PeopleError::PasswordNeeded), "{error}");
    needed(control.acting(ann).change_person(ann, &renamed, Some(&of_zoe)).unwrap_err());
    needed(control.acting(zoe).change_person(zoe, &renamed, Some(&host_proof(&control))).unwrap_err());
    clock.fetch_add(5 * 60_000 + 1, Ordering::Relaxed);
    needed(control.acting(zoe).change_person(zoe, &renamed, Some(&of_zoe)).unwrap_err());
    control.acting(zoe).change_person(zoe, &renamed, Some(&proof(&control, zoe))).unwrap();
    // Guessed at as little as at sign-in.
    for _ in 0..10 {
        assert!(matches!(
            control.acting(ann).prove_password("wrong password"),
            Err(PeopleError::PasswordWrong)
        ));
    }
    assert!(matches!(control.acting(ann).prove_password(PASSWORD), Err(PeopleError::Throttled { .. })));
    assert!(matches!(
        control.sign_in(&sign_in("ann@example.com", PASSWORD)),
        Err(PeopleError::Throttled { .. })
    ));
    control.acting(zoe).prove_password(PASSWORD).map(drop).unwrap();
}

#[test]
fn a_password_hash_that_is_none_is_damage_of_the_store_and_no_wrong_password() {
    let (dir, control) = store();
    enter_with_password(&control, "zoe");
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    db.execute("UPDATE people SET password_hash = 'plain text'", []).unwrap();
    let error = control.sign_in(&sign_in("zoe@example.com", PASSWORD)).unwrap_err();
    assert!(matches!(error, PeopleError::Store(StoreError::Damaged { .. })), "{error:?}");
    assert!(
        error.to_string().contains("control.db is damaged: the password hash of person 1 is none"),
        "{error}"
    );
}
