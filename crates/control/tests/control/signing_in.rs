//! Signing in: passwords, sessions, the second factor, and how often somebody may guess.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::atomic::Ordering,
};

use forebay_control::{Control, PeopleError, PersonChange, PersonId, ProjectRole, SignIn, StoreError};

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

/// A network of its own for each number.
fn elsewhere(n: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 7, n, 0, 0, 0, 1))
}

#[test]
fn who_guesses_keeps_nobody_out_who_has_signed_in_with_the_same_browser_before() {
    let (_dir, control, clock) = clocked_store();
    let zoe = enter_with_password(&control, "zoe");
    enter_with_password(&control, "ann");
    let [known, anns] = ["zoe", "ann"]
        .map(|name| control.sign_in(&sign_in(&format!("{name}@example.com"), PASSWORD)).unwrap().device);
    let attempt = |password, address, device| {
        let attempt =
            SignIn { password, address, device, code: None, user_agent: "", email: "zoe@example.com" };
        control.sign_in(&attempt)
    };
    let wrong = |error: PeopleError| assert!(matches!(error, PeopleError::SignInWrong), "{error}");
    let throttled = |error: PeopleError| assert!(matches!(error, PeopleError::Throttled { .. }), "{error}");
    // From many networks, a few from each: forty an hour are looked at.
    for n in 0..40 {
        wrong(attempt("a guess", elsewhere(n / 9), None).unwrap_err());
    }
    throttled(attempt("a guess", elsewhere(50), None).unwrap_err());
    throttled(attempt(PASSWORD, elsewhere(50), None).unwrap_err());
    // Nor with what another's browser was told, nor with anything made up.
    let forged = format!("{}{}", &known[..110], if known.ends_with("00") { "11" } else { "00" });
    for device in [anns.as_str(), &forged, "", "é", &known[1..]] {
        throttled(attempt(PASSWORD, elsewhere(51), Some(device)).unwrap_err());
    }
    // Wherever it is by now; and it has as many guesses as anybody has from one place.
    for n in 0..10 {
        wrong(attempt("mistyped", elsewhere(60 + n), Some(&known)).unwrap_err());
    }
    throttled(attempt(PASSWORD, elsewhere(99), Some(&known)).unwrap_err());
    clock.fetch_add(15 * 60_000, Ordering::Relaxed);
    let again = attempt(PASSWORD, elsewhere(99), Some(&known)).unwrap();
    assert!(!format!("{again:?}").contains(&again.device), "no secret in a message");
    throttled(attempt(PASSWORD, elsewhere(50), None).unwrap_err());
    // Whoever runs commands on the host lets anybody in again.
    assert!(control.acting(zoe).forgive_failures(zoe).is_err());
    assert_eq!(control.host().forgive_failures(zoe).unwrap(), 50);
    attempt(PASSWORD, elsewhere(50), None).unwrap();
    // A browser is known for half a year.
    clock.fetch_add(forebay_control::DEVICE_LIFE_MS, Ordering::Relaxed);
    for n in 0..40 {
        wrong(attempt("a guess", elsewhere(n / 9), Some(&again.device)).unwrap_err());
    }
    throttled(attempt(PASSWORD, elsewhere(50), Some(&again.device)).unwrap_err());
    clock.fetch_add(60 * 60_000, Ordering::Relaxed);
    attempt(PASSWORD, elsewhere(50), None).expect("an hour later they are forgotten");
}

#[test]
fn however_many_browsers_are_known_guesses_from_all_of_them_are_bounded_together() {
    let (_dir, control, clock) = clocked_store();
    enter_with_password(&control, "zoe");
    let sign_in_with = |password, device| {
        control.sign_in(&SignIn { device: Some(device), ..sign_in("zoe@example.com", password) })
    };
    let known: Vec<String> = (0..7).map(|_| sign_in_with(PASSWORD, "").unwrap().device).collect();
    for device in &known[..5] {
        for _ in 0..8 {
            let error = sign_in_with("a guess", device).unwrap_err();
            assert!(matches!(error, PeopleError::SignInWrong), "{error}");
        }
    }
    for device in &known {
        let error = sign_in_with(PASSWORD, device).unwrap_err();
        assert!(matches!(error, PeopleError::Throttled { retry_after_s: 3600 }), "{error:?}");
    }
    sign_in_with(PASSWORD, "").expect("a browser that is not known is bounded by the guesses of such");
    clock.fetch_add(60 * 60_000, Ordering::Relaxed);
    sign_in_with(PASSWORD, &known[6]).unwrap();
}

#[test]
fn who_is_let_in_again_keeps_the_record_of_the_attempts_and_a_network_that_guesses_still_waits() {
    let (dir, control) = store();
    let [zoe, ann] = ["zoe", "ann"].map(|name| enter_with_password(&control, name));
    let attempt = |password, network| {
        control.sign_in(&SignIn { address: elsewhere(network), ..sign_in("zoe@example.com", password) })
    };
    let throttled = |error: PeopleError| assert!(matches!(error, PeopleError::Throttled { .. }), "{error}");
    let guess_until_throttled = || {
        for _ in 0..10 {
            attempt("a guess", 1).unwrap_err();
        }
        throttled(attempt(PASSWORD, 1).unwrap_err());
    };
    guess_until_throttled();
    assert_eq!(control.host().forgive_failures(ann).unwrap(), 0, "hers alone");
    throttled(attempt(PASSWORD, 1).unwrap_err());
    assert_eq!(control.host().forgive_failures(zoe).unwrap(), 10);
    assert_eq!(control.host().forgive_failures(zoe).unwrap(), 0, "those are forgiven already");
    attempt(PASSWORD, 1).unwrap();
    let told = control.acting(zoe).personal_data(zoe).unwrap().sign_ins;
    assert_eq!(told.iter().filter(|one| !one.succeeded).count(), 10);
    // Those that come after count, at the same moment, too.
    guess_until_throttled();
    // With thirty at others, the network has used up its fifty.
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    for n in 0..30 {
        let sql = "INSERT INTO sign_ins (at_ms, email_key, address, succeeded) VALUES (?1, ?2, ?3, 0)";
        let values = (crate::common::NOW_MS, format!("{n}@example.com"), "2001:db8:7:1::/64");
        db.execute(sql, values).unwrap();
    }
    assert_eq!(control.host().forgive_failures(zoe).unwrap(), 10);
    throttled(attempt(PASSWORD, 1).unwrap_err());
    attempt(PASSWORD, 2).unwrap();
}

#[test]
fn a_browser_is_known_for_the_last_four_people_that_signed_in_with_it() {
    let (_dir, control) = store();
    let names = ["zoe", "ann", "bob", "cy", "dan"];
    let people = names.map(|name| enter_with_password(&control, name));
    let enter = |name: &str, device: &str| {
        let email = format!("{name}@example.com");
        let attempt = SignIn { device: Some(device), ..sign_in(&email, PASSWORD) };
        control.sign_in(&attempt).unwrap().device
    };
    // Whatever else was in its place.
    let mut kept = "x.y.z".to_owned();
    for name in ["zoe", "zoe", "ann", "bob", "zoe", "cy", "dan"] {
        kept = enter(name, &kept);
        assert!(kept.len() <= forebay_control::DEVICE_BYTES_MAX, "{kept}");
    }
    assert_eq!(kept.len(), forebay_control::DEVICE_BYTES_MAX);
    names.iter().for_each(|name| drop(enter(name, &kept)));
    let known = people.map(|person| was_known(&control, person));
    assert_eq!(known, [true, false, true, true, true], "of Ann it was longest ago");
}

#[test]
fn a_browser_is_a_strangers_again_after_a_new_password_and_after_a_new_second_factor() {
    let (_dir, control, clock) = clocked_store();
    let zoe = enter_with_password(&control, "zoe");
    let acting = control.acting(zoe);
    let enter = |password: &str, code: Option<&str>, device: &str| {
        let attempt = SignIn { code, device: Some(device), ..sign_in("zoe@example.com", password) };
        let told = control.sign_in(&attempt).unwrap().device;
        clock.fetch_add(60_000, Ordering::Relaxed);
        (was_known(&control, zoe), told)
    };
    let (is_known, first) = enter(PASSWORD, None, "");
    assert!(!is_known);
    assert!(enter(PASSWORD, None, &first).0);
    acting.set_password(zoe, "another battery", None, &proof(&control, zoe)).unwrap();
    let (is_known, second) = enter("another battery", None, &first);
    assert!(!is_known, "of the password before");
    let host_proof = host_proof(&control);
    let secret = control.host().begin_two_factor(zoe, &host_proof).unwrap().secret;
    let code = || shown_by_authenticator(&secret, clock.load(Ordering::Relaxed));
    assert!(enter("another battery", None, &second).0, "nothing is asked for yet");
    acting.confirm_two_factor(zoe, &code()).unwrap();
    clock.fetch_add(60_000, Ordering::Relaxed);
    let (is_known, third) = enter("another battery", Some(&code()), &second);
    assert!(!is_known, "of when the password was enough");
    assert!(enter("another battery", Some(&code()), &third).0);
}

/// Whether it was by a browser they had signed in with that a person last tried to sign in.
fn was_known(control: &Control, person: PersonId) -> bool {
    let told = control.acting(person).personal_data(person).unwrap().sign_ins;
    told.last().unwrap().browser.is_some()
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
            .sign_in(&SignIn {
                email,
                password: "wrong password",
                code: None,
                address,
                user_agent: "",
                device: None,
            })
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
    control.sign_in(&sign_in("ann@example.com", PASSWORD)).expect("a session that guesses keeps nobody out");
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
