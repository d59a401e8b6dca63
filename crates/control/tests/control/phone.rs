//! A phone as second factor: proven before it is asked for, codes bounded in life, guesses and number.

use std::sync::atomic::Ordering;

use forebay_control::{
    Channel, Channels, Content, Control, MessageState, PeopleError, PersonId, Sending, SignIn, TwoFactorKind,
};

use crate::common::{
    PASSWORD, clocked_store, enter_with_password, host_proof, organisation, proof, sign_in, store,
};

const NUMBER: &str = "+49 170 1234567";

fn with_texts(control: &Control) {
    control.set_channels(&Channels { text: true, ..Channels::default() }).unwrap();
}

/// The code that waits to be sent, which it is from now on.
fn code(control: &Control) -> String {
    let mut due = control.due_messages(Channel::Text, 10).unwrap();
    assert_eq!(due.len(), 1, "one code at a time");
    let message = due.pop().unwrap();
    assert_eq!(message.recipient, "+491701234567");
    control.carried(message.id, &Sending::Sent).unwrap();
    match message.content {
        Content::Code(code) => code,
        Content::Mail { .. } => panic!("no mail is sent"),
    }
}

fn other_than(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

fn with_code<'a>(code: Option<&'a str>) -> SignIn<'a> {
    SignIn { code, ..sign_in("zoe@example.com", PASSWORD) }
}

/// Somebody whose second factor is a phone, and their recovery codes.
fn enrolled(control: &Control) -> (PersonId, Vec<String>) {
    let zoe = enter_with_password(control, "zoe");
    with_texts(control);
    control.acting(zoe).begin_phone(zoe, NUMBER, &proof(control, zoe)).unwrap();
    let recovery = control.acting(zoe).confirm_two_factor(zoe, &code(control)).unwrap();
    (zoe, recovery)
}

#[track_caller]
fn is_sent(control: &Control) -> bool {
    match control.sign_in(&with_code(None)) {
        Err(PeopleError::CodeSent(sent)) => {
            assert_eq!(sent.to, "the phone that ends in 567");
            sent.is_sent
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_phone_is_asked_for_once_a_code_that_was_sent_there_has_come_back() {
    let (_dir, control, clock) = clocked_store();
    let zoe = enter_with_password(&control, "zoe");
    let (acting, of_zoe) = (control.acting(zoe), proof(&control, zoe));
    assert!(matches!(acting.begin_phone(zoe, NUMBER, &of_zoe), Err(PeopleError::TextsOff)));
    with_texts(&control);
    assert!(matches!(acting.begin_phone(zoe, "0170 1234567", &of_zoe), Err(PeopleError::PhoneInvalid)));
    acting.begin_phone(zoe, NUMBER, &of_zoe).unwrap();
    let first = code(&control);
    control.sign_in(&with_code(None)).expect("not proven yet, so not asked for");
    assert!(matches!(acting.confirm_two_factor(zoe, other_than(&first)), Err(PeopleError::CodeWrong)));
    assert!(matches!(acting.resend_phone_code(zoe), Err(PeopleError::CodeTooSoon { retry_after_s: 30 })));
    clock.fetch_add(30_000, Ordering::Relaxed);
    acting.resend_phone_code(zoe).unwrap();
    let second = code(&control);
    if first != second {
        assert!(matches!(acting.confirm_two_factor(zoe, &first), Err(PeopleError::CodeWrong)), "replaced");
    }
    let recovery = acting.confirm_two_factor(zoe, &second).unwrap();
    let shown = acting.two_factor(zoe).unwrap();
    assert_eq!((shown.kind, shown.phone.as_deref()), (Some(TwoFactorKind::Phone), Some("+491701234567")));
    assert_eq!((shown.since_ms.is_some(), shown.recovery_codes, recovery.len()), (true, 10, 10));
    assert!(matches!(acting.begin_phone(zoe, NUMBER, &of_zoe), Err(PeopleError::TwoFactorOn)));
    assert!(matches!(acting.begin_two_factor(zoe, &of_zoe), Err(PeopleError::TwoFactorOn)));

    assert!(is_sent(&control));
    let third = code(&control);
    assert!(matches!(control.sign_in(&with_code(Some(other_than(&third)))), Err(PeopleError::CodeWrong)));
    control.sign_in(&with_code(Some(&third))).unwrap();
    assert!(
        matches!(control.sign_in(&with_code(Some(&third))), Err(PeopleError::CodeWrong)),
        "it counts once"
    );
    control.sign_in(&with_code(Some(&recovery[0]))).unwrap();

    // The phone is lost: the host helps.
    control.host().end_two_factor(zoe, &host_proof(&control)).unwrap();
    control.sign_in(&with_code(None)).unwrap();
    assert_eq!(acting.two_factor(zoe).unwrap().kind, None);
}

#[test]
fn a_code_is_sent_for_the_right_password_only() {
    let (_dir, control) = store();
    enrolled(&control);
    let wrong = SignIn { password: "wrong password", ..with_code(None) };
    assert!(matches!(control.sign_in(&wrong), Err(PeopleError::SignInWrong)));
    assert_eq!(control.due_messages(Channel::Text, 10).unwrap(), []);
}

#[test]
fn a_code_counts_for_five_minutes_and_five_guesses() {
    let (_dir, control, clock) = clocked_store();
    enrolled(&control);
    assert!(is_sent(&control));
    let late = code(&control);
    clock.fetch_add(5 * 60_000, Ordering::Relaxed);
    assert!(matches!(control.sign_in(&with_code(Some(&late))), Err(PeopleError::CodeWrong)));
    assert!(is_sent(&control));
    let guessed = code(&control);
    for _ in 0..5 {
        assert!(matches!(
            control.sign_in(&with_code(Some(other_than(&guessed)))),
            Err(PeopleError::CodeWrong)
        ));
    }
    assert!(
        matches!(control.sign_in(&with_code(Some(&guessed))), Err(PeopleError::CodeWrong)),
        "not looked at"
    );
    clock.fetch_add(60_000, Ordering::Relaxed);
    assert!(is_sent(&control));
    let fresh = code(&control);
    control.sign_in(&with_code(Some(&fresh))).unwrap();
}

#[test]
fn codes_are_sent_every_half_minute_and_five_times_an_hour_at_most() {
    let (_dir, control, clock) = clocked_store();
    let (_, recovery) = enrolled(&control);
    // One was sent to prove the number.
    for _ in 1..5 {
        assert!(is_sent(&control));
        code(&control);
        assert!(is_sent(&control), "the one before still counts");
        assert_eq!(control.due_messages(Channel::Text, 10).unwrap(), [], "and no other is sent");
        clock.fetch_add(5 * 60_000, Ordering::Relaxed);
    }
    assert!(!is_sent(&control), "five within the hour, and none counts any more");
    control.sign_in(&with_code(Some(&recovery[0]))).unwrap();
    clock.fetch_add(3_600_000, Ordering::Relaxed);
    assert!(is_sent(&control));
    code(&control);
}

#[test]
fn a_right_code_gives_back_none_of_the_five_an_hour() {
    let (_dir, control, clock) = clocked_store();
    enrolled(&control);
    for _ in 1..5 {
        assert!(is_sent(&control), "at once, as the one before has come back");
        control.sign_in(&with_code(Some(&code(&control)))).unwrap();
    }
    assert!(!is_sent(&control));
    clock.fetch_add(3_600_000, Ordering::Relaxed);
    assert!(is_sent(&control));
}

#[test]
fn a_code_that_cannot_be_sent_in_time_is_given_up() {
    let (_dir, control, clock) = clocked_store();
    enrolled(&control);
    assert!(is_sent(&control));
    let mut tries = 0;
    for _ in 0..600 {
        for message in control.due_messages(Channel::Text, 10).unwrap() {
            tries += 1;
            control.carried(message.id, &Sending::Later("the gateway is down".to_owned())).unwrap();
        }
        clock.fetch_add(1000, Ordering::Relaxed);
    }
    let failed = control.host().messages(Some(MessageState::Failed), 10).unwrap();
    assert_eq!((failed.len(), tries > 4 && tries < 20), (1, true), "{tries} {failed:?}");
    assert_eq!(control.message_stats().texts_failed, 1);
}

#[test]
fn neither_number_nor_code_lies_in_the_store_in_plain() {
    let (dir, control) = store();
    enrolled(&control);
    assert!(is_sent(&control));
    let db = rusqlite::Connection::open(Control::path(dir.path())).unwrap();
    let sealed: Vec<u8> = db.query_row("SELECT secret_sealed FROM two_factor", [], |row| row.get(0)).unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"701234"), "sealed");
    let waiting: Vec<u8> =
        db.query_row("SELECT sealed FROM outbox WHERE state = 'waiting'", [], |row| row.get(0)).unwrap();
    let code = code(&control);
    assert!(!waiting.windows(6).any(|window| window == code.as_bytes()), "sealed while it waits");
    let mac: Vec<u8> = db.query_row("SELECT mac FROM codes", [], |row| row.get(0)).unwrap();
    assert_eq!(mac.len(), 32);
}

/// The bytes of the store's files hold none of it.
fn nowhere(dir: &std::path::Path, plain: &str) {
    for file in ["control.db", "control.db-wal"] {
        let Ok(bytes) = std::fs::read(dir.join(file)) else { continue };
        let found = bytes.windows(plain.len()).any(|window| window == plain.as_bytes());
        assert!(!found, "{plain} in {file}");
    }
}

#[test]
fn a_number_is_sealed_while_a_code_waits_and_shown_by_its_last_digits() {
    let (dir, control) = store();
    let (zoe, _) = enrolled(&control);
    let other = enter_with_password(&control, "other");
    control.acting(other).begin_phone(other, "+49 170 9999567", &proof(&control, other)).unwrap();
    assert!(is_sent(&control));
    nowhere(dir.path(), "1701234567");
    nowhere(dir.path(), "1709999567");
    for state in [MessageState::Waiting, MessageState::Sent] {
        let shown = control.host().messages(Some(state), 10).unwrap();
        assert!(!shown.is_empty() && shown.iter().all(|m| m.recipient == "the phone that ends in 567"));
    }
    let data = control.acting(zoe).personal_data(zoe).unwrap();
    assert!(data.messages.iter().all(|message| message.recipient == "the phone that ends in 567"));
    let mut due = control.due_messages(Channel::Text, 10).unwrap();
    due.sort_by(|a, b| a.recipient.cmp(&b.recipient));
    let numbers: Vec<_> = due.iter().map(|message| message.recipient.as_str()).collect();
    assert_eq!(numbers, ["+491701234567", "+491709999567"], "each goes where it should");
}

#[test]
fn of_codes_to_one_number_so_many_are_sent_an_hour_whoever_it_is_said_to_be() {
    let (_dir, control, clock) = clocked_store();
    with_texts(&control);
    for n in 0..7 {
        let id = enter_with_password(&control, &format!("p{n}"));
        control.acting(id).begin_phone(id, NUMBER, &proof(&control, id)).unwrap();
        for _ in 1..5 {
            clock.fetch_add(30_000, Ordering::Relaxed);
            control.acting(id).resend_phone_code(id).unwrap();
        }
    }
    let other = enter_with_password(&control, "another");
    control.acting(other).begin_phone(other, "+49 170 9999567", &proof(&control, other)).unwrap();
    let count = |state| control.host().messages(Some(state), 100).unwrap().len();
    assert_eq!(
        (count(MessageState::Waiting), count(MessageState::Failed)),
        (31, 5),
        "thirty, and the other's"
    );
}

#[test]
fn numbers_of_an_earlier_version_are_sealed_and_what_waits_goes_out() {
    let (dir, control) = store();
    let (zoe, _) = enrolled(&control);
    assert!(is_sent(&control));
    // As the version before wrote it: the number in plain, the code alone in the seal.
    let waiting = control.due_messages(Channel::Text, 10).unwrap().pop().unwrap();
    control.seal_numbers_as_before_for_tests(waiting.id).unwrap();
    drop(control);
    let plain: i64 = rusqlite::Connection::open(Control::path(dir.path()))
        .unwrap()
        .query_row("SELECT count(*) FROM outbox WHERE recipient = '+491701234567'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(plain, 2, "the one that was sent, and the one that waits");
    let control = crate::common::open(dir.path());
    nowhere(dir.path(), "1701234567");
    let code = code(&control);
    assert_eq!(control.host().messages(None, 10).unwrap().len(), 2);
    control.sign_in(&with_code(Some(&code))).unwrap();
    assert_eq!(control.acting(zoe).two_factor(zoe).unwrap().phone.as_deref(), Some("+491701234567"));
}

#[test]
fn an_organisation_that_requires_a_second_factor_takes_a_phone_too() {
    let (_dir, control) = store();
    let (id, [owner, ..], _) = organisation(&control);
    with_texts(&control);
    control.host().begin_phone(owner, NUMBER, &host_proof(&control)).unwrap();
    assert!(control.acting(owner).require_two_factor(id, true).is_err(), "not proven yet");
    control.acting(owner).confirm_two_factor(owner, &code(&control)).unwrap();
    assert!(control.acting(owner).require_two_factor(id, true).unwrap().requires_two_factor);
    control.acting(owner).organisation(id).unwrap();
}

#[test]
fn a_server_that_sends_no_texts_any_more_lets_recovery_codes_in() {
    let (_dir, control) = store();
    let (_, recovery) = enrolled(&control);
    control.set_channels(&Channels::default()).unwrap();
    let Err(PeopleError::CodeSent(sent)) = control.sign_in(&with_code(None)) else {
        panic!("a code is asked for")
    };
    assert!(!sent.is_sent && !sent.is_carried);
    control.sign_in(&with_code(Some(&recovery[0]))).unwrap();
}
