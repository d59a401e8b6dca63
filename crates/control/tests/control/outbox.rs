//! Messages to people: put into the outbox with what gives cause for them, bounded, and told of when they are not sent.

use std::sync::atomic::Ordering;

use forebay_control::{
    Acting, Channel, Channels, Content, Control, Grace, HandOver, Message, MessageState, NewInvitation,
    OrganisationRole, PeopleError, PersonChange, PersonId, PreferencesChange, Sending,
};

use crate::common::{
    HOME, PASSWORD, clocked_store, enter, enter_with_password, host_proof, organisation, proof, sign_in,
    store,
};

fn with_mail(control: &Control) {
    let url = Some("https://console.example.com/".to_owned());
    control.set_channels(&Channels { mail: true, text: false, console_url: url }).unwrap();
}

fn due(control: &Control) -> Vec<Message> {
    control.due_messages(Channel::Mail, 1000).unwrap()
}

/// Whom mails wait for, and what about; they count as sent after that.
fn sent(control: &Control) -> Vec<(String, String)> {
    for message in due(control) {
        control.carried(message.id, &Sending::Sent).unwrap();
    }
    let mut all = control.host().messages(Some(MessageState::Sent), 1000).unwrap();
    all.reverse();
    let shown = all.into_iter().map(|message| (message.about, message.recipient)).collect();
    let db = rusqlite::Connection::open(Control::path(control.dir())).unwrap();
    db.execute("DELETE FROM outbox", []).unwrap();
    shown
}

#[track_caller]
fn told(control: &Control, want: &[(&str, &str)]) {
    let got = sent(control);
    let got: Vec<_> = got.iter().map(|(about, to)| (about.as_str(), to.as_str())).collect();
    assert_eq!(got, want);
}

fn mail(message: &Message) -> (&str, &str) {
    match &message.content {
        Content::Mail { subject, text } => (subject, text),
        Content::Code(_) => panic!("a code is no mail"),
    }
}

fn notices_to(email: &str) -> PreferencesChange {
    PreferencesChange { notice_email: Some(Some(email.to_owned())), ..PreferencesChange::default() }
}

/// Enters an address for notices and confirms it, with the code that was sent there.
fn confirm(control: &Control, acting: &Acting<'_>, id: PersonId, email: &str) {
    acting.change_preferences(id, &notices_to(email)).unwrap();
    acting.confirm_notice_email(id, &code_of(control)).unwrap();
    sent(control);
}

fn code_of(control: &Control) -> String {
    let due = due(control);
    let text =
        due.iter().map(mail).find(|(subject, _)| subject.contains("Confirm")).expect("a mail with a code").1;
    text.lines()
        .map(str::trim)
        .find(|line| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit()))
        .unwrap()
        .into()
}

#[test]
fn without_mail_nothing_waits_to_be_sent() {
    let (_dir, control) = store();
    let zoe = enter_with_password(&control, "zoe");
    control.acting(zoe).set_password(zoe, "another battery", None, &proof(&control, zoe)).unwrap();
    assert_eq!(control.host().messages(None, 10).unwrap(), []);
    assert_eq!(control.channels().unwrap(), Channels::default());
}

#[test]
fn what_concerns_an_account_is_told_at_its_address_and_at_a_confirmed_one_for_notices() {
    let (_dir, control) = store();
    with_mail(&control);
    let zoe = enter_with_password(&control, "zoe");
    let (acting, own, other) = (control.acting(zoe), "zoe@example.com", "notices@example.org");
    told(&control, &[("password-changed", own)]);
    acting.change_preferences(zoe, &notices_to("Notices@example.org")).unwrap();
    let code = code_of(&control);
    told(&control, &[("confirm-address", other), ("notice-email-changed", own)]);
    acting.set_password(zoe, "another battery", None, &proof(&control, zoe)).unwrap();
    told(&control, &[("password-changed", own)]);
    acting.confirm_notice_email(zoe, &code).unwrap();
    assert!(acting.preferences(zoe).unwrap().notice_email_confirmed);
    let again = control.acting(zoe).prove_password("another battery").unwrap();
    acting.set_password(zoe, PASSWORD, None, &again).unwrap();
    told(&control, &[("password-changed", own), ("password-changed", other)]);
    // Another address waits for its own code.
    acting.change_preferences(zoe, &notices_to("third@example.org")).unwrap();
    assert!(!acting.preferences(zoe).unwrap().notice_email_confirmed);
    assert!(matches!(acting.confirm_notice_email(zoe, &code), Err(PeopleError::ConfirmationWrong)));
}

#[test]
fn a_code_for_an_address_counts_once_for_an_hour_and_for_five_guesses() {
    let (_dir, control, clock) = clocked_store();
    with_mail(&control);
    let zoe = enter_with_password(&control, "zoe");
    let acting = control.acting(zoe);
    let nothing = |error: PeopleError| assert!(matches!(error, PeopleError::NothingToConfirm), "{error}");
    nothing(acting.confirm_notice_email(zoe, "123456").unwrap_err());
    nothing(acting.send_notice_code(zoe).unwrap_err());
    acting.change_preferences(zoe, &notices_to("other@example.org")).unwrap();
    assert!(matches!(acting.send_notice_code(zoe), Err(PeopleError::CodeTooSoon { retry_after_s: 30 })));
    let code = code_of(&control);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        assert!(matches!(acting.confirm_notice_email(zoe, wrong), Err(PeopleError::ConfirmationWrong)));
    }
    assert!(
        matches!(acting.confirm_notice_email(zoe, &code), Err(PeopleError::ConfirmationWrong)),
        "not looked at"
    );
    sent(&control);
    clock.fetch_add(30_000, Ordering::Relaxed);
    acting.send_notice_code(zoe).unwrap();
    let code = code_of(&control);
    clock.fetch_add(3_600_000, Ordering::Relaxed);
    assert!(
        matches!(acting.confirm_notice_email(zoe, &code), Err(PeopleError::ConfirmationWrong)),
        "an hour old"
    );
    acting.send_notice_code(zoe).unwrap();
    let code = code_of(&control);
    acting.confirm_notice_email(zoe, &format!(" {} {} ", &code[..3], &code[3..])).unwrap();
    nothing(acting.confirm_notice_email(zoe, &code).unwrap_err());
    // Sent five times an hour at most, whichever addresses are entered, the one that has come back included.
    for n in 0..3 {
        clock.fetch_add(30_000, Ordering::Relaxed);
        acting.change_preferences(zoe, &notices_to(&format!("a{n}@example.org"))).unwrap();
    }
    clock.fetch_add(30_000, Ordering::Relaxed);
    acting.send_notice_code(zoe).unwrap();
    clock.fetch_add(30_000, Ordering::Relaxed);
    assert!(matches!(acting.send_notice_code(zoe), Err(PeopleError::CodeTooSoon { .. })));
    control.host().confirm_notice_email(zoe, "").expect("the host's word is enough");
}

#[test]
fn a_change_that_is_rolled_back_tells_nobody() {
    let (_dir, control) = store();
    with_mail(&control);
    let (id, [owner, ..], _) = organisation(&control);
    control.host().set_password(owner, PASSWORD, None, &host_proof(&control)).unwrap();
    sent(&control);
    let of_owner = proof(&control, owner);
    let error = control.acting(owner).delete_person(owner, &of_owner, &[]).unwrap_err();
    assert!(matches!(error, PeopleError::LastOwner { organisation: (of, _), .. } if of == id), "{error}");
    assert_eq!(control.host().messages(None, 10).unwrap(), []);
}

#[test]
fn owners_are_told_who_becomes_one_who_is_none_any_more_and_of_a_reset_secret() {
    let (_dir, control) = store();
    with_mail(&control);
    let (id, [owner, admin, member], project) = organisation(&control);
    sent(&control);
    let host = control.host();
    host.set_organisation_role(id, admin, OrganisationRole::Owner).unwrap();
    told(&control, &[("owner-added", "owner@example.com"), ("owner-added", "admin@example.com")]);
    host.reset_credentials(project, Grace::Day, &host_proof(&control)).unwrap();
    let waiting = due(&control);
    let (subject, text) = mail(&waiting[0]);
    assert_eq!(subject, "API key and secret of \"shop\" were reset");
    assert!(
        text.contains("taken for: 24h.\n\nWhen: 2025-10-09T08:53:20Z\nWhere: https://console.example.com/\n"),
        "{text}"
    );
    told(&control, &[("secret-reset", "owner@example.com"), ("secret-reset", "admin@example.com")]);
    host.remove_member(id, admin).unwrap();
    told(&control, &[("owner-removed", "owner@example.com"), ("owner-removed", "admin@example.com")]);
    host.set_project_role(project, member, Some("owner".parse().unwrap())).unwrap();
    told(&control, &[("project-owner", "owner@example.com"), ("project-owner", "member@example.com")]);
    // The account goes, and the organisation with it to the next one.
    host.delete_person(owner, &host_proof(&control), &[HandOver { organisation: id, to: member }]).unwrap();
    let db = rusqlite::Connection::open(Control::path(control.dir())).unwrap();
    let to: String =
        db.query_row("SELECT recipient FROM outbox ORDER BY id LIMIT 1", [], |row| row.get(0)).unwrap();
    assert_eq!(to, "owner@example.com", "while it waits");
    told(
        &control,
        &[
            ("account-deleted", "somebody who left"),
            ("owner-added", "somebody who left"),
            ("owner-added", "member@example.com"),
            ("owner-removed", "member@example.com"),
        ],
    );
    // Who makes an organisation of their own is not told so.
    control.acting(admin).create_organisation("own", None).unwrap();
    told(&control, &[]);
}

#[test]
fn a_second_factor_and_its_codes_a_new_address_and_a_gdpr_token_are_told() {
    let (_dir, control) = store();
    with_mail(&control);
    let (_, [owner, ..], _) = organisation(&control);
    let proof = || host_proof(&control);
    sent(&control);
    let (host, own) = (control.host(), "owner@example.com");
    let enrolment = host.begin_two_factor(owner, &proof()).unwrap();
    host.end_two_factor(owner, &proof()).unwrap();
    told(&control, &[]);
    let _ = enrolment;
    let enrolment = host.begin_two_factor(owner, &proof()).unwrap();
    let secret = totp_rs::Secret::try_from_base32(&enrolment.secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let code = totp.generate(crate::common::NOW_MS / 1000).to_string();
    let codes = host.confirm_two_factor(owner, &code).unwrap();
    host.set_password(owner, PASSWORD, None, &proof()).unwrap();
    let with_code = forebay_control::SignIn { code: Some(&codes[0]), ..sign_in(own, PASSWORD) };
    control.sign_in(&with_code).unwrap();
    host.renew_recovery_codes(owner, &proof()).unwrap();
    host.end_two_factor(owner, &proof()).unwrap();
    host.reset_gdpr_token(owner, 30, &proof()).unwrap();
    let change = PersonChange { email: Some("new@example.com".to_owned()), ..PersonChange::default() };
    host.change_person(owner, &change, Some(&proof())).unwrap();
    told(
        &control,
        &[
            ("second-factor-on", own),
            ("password-changed", own),
            ("recovery-code-used", own),
            ("recovery-codes-renewed", own),
            ("second-factor-off", own),
            ("gdpr-token-reset", own),
            ("email-changed", own),
            ("email-changed", "new@example.com"),
        ],
    );
}

#[test]
fn a_sign_in_from_a_new_place_is_told_unless_one_does_not_want_that() {
    let (_dir, control) = store();
    with_mail(&control);
    let zoe = enter_with_password(&control, "zoe");
    sent(&control);
    let from = |last: u8| forebay_control::SignIn {
        address: [198, 51, 100, last].into(),
        ..sign_in("zoe@example.com", PASSWORD)
    };
    control.sign_in(&from(1)).unwrap();
    told(&control, &[]);
    control.sign_in(&from(1)).unwrap();
    told(&control, &[]);
    control.sign_in(&from(2)).unwrap();
    let text = due(&control).iter().map(mail).map(|(_, text)| text.to_owned()).collect::<String>();
    assert!(text.contains("from 198.51.100.2, with \"a browser\""), "{text}");
    told(&control, &[("signed-in", "zoe@example.com")]);
    let quiet = PreferencesChange { tells_sign_ins: Some(false), ..PreferencesChange::default() };
    control.acting(zoe).change_preferences(zoe, &quiet).unwrap();
    control.sign_in(&from(3)).unwrap();
    told(&control, &[]);
    assert_eq!(HOME.to_string(), "192.0.2.7");
}

#[test]
fn no_mail_holds_a_secret_and_no_name_writes_lines_of_its_own() {
    let (_dir, control) = store();
    with_mail(&control);
    let (_, [owner, ..], project) = organisation(&control);
    enter_with_password(&control, "zoe");
    let attempt = forebay_control::SignIn {
        user_agent: "x\r\nBcc: all@example.com <b>http://evil.example</b>",
        ..sign_in("zoe@example.com", PASSWORD)
    };
    control.sign_in(&attempt).unwrap();
    control.sign_in(&forebay_control::SignIn { address: [203, 0, 113, 1].into(), ..attempt }).unwrap();
    let reset = control.host().reset_credentials(project, Grace::None, &host_proof(&control)).unwrap();
    let gdpr = control.host().reset_gdpr_token(owner, 1, &host_proof(&control)).unwrap();
    let waiting = due(&control);
    assert!(waiting.len() > 4, "{waiting:?}");
    for message in &waiting {
        let (subject, text) = mail(message);
        for secret in [&reset.api_key, &reset.api_secret, &gdpr.token, PASSWORD] {
            assert!(!subject.contains(secret) && !text.contains(secret), "{subject}");
        }
        assert!(!text.contains("\nBcc") && !text.contains("http://evil"), "{text}");
        assert!(!subject.contains(['\r', '\n']), "{subject}");
        assert!(!format!("{message:?}").contains(text.trim()), "what it says is not printed");
    }
    // Nor does it lie in the store in plain.
    let db = rusqlite::Connection::open(Control::path(control.dir())).unwrap();
    let mut rows = db.prepare("SELECT sealed FROM outbox").unwrap();
    let sealed: Vec<Vec<u8>> = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(sealed.iter().all(|bytes| !bytes.windows(8).any(|window| window == b"password")));
}

#[test]
fn a_mail_that_fails_is_tried_again_less_and_less_often_and_given_up_when_its_time_is_over() {
    let (_dir, control, clock) = clocked_store();
    with_mail(&control);
    enter_with_password(&control, "zoe");
    let began = clock.load(Ordering::Relaxed);
    let mut tries = Vec::new();
    while clock.load(Ordering::Relaxed) < began + 60 * 3_600_000 {
        for message in due(&control) {
            tries.push((clock.load(Ordering::Relaxed) - began) / 1000);
            control.carried(message.id, &Sending::Later("greylisted\r\nfor now".to_owned())).unwrap();
        }
        clock.fetch_add(10_000, Ordering::Relaxed);
    }
    assert_eq!(&tries[..6], [0, 30, 150, 750, 2550, 6150]);
    assert!(tries.len() < 40 && *tries.last().unwrap() <= 48 * 3600, "{tries:?}");
    let message = control.host().messages(Some(MessageState::Failed), 10).unwrap().pop().unwrap();
    assert_eq!(
        (usize::try_from(message.tries).unwrap(), message.error.as_deref()),
        (tries.len(), Some("greylisted  for now"))
    );
    assert_eq!(due(&control), []);
    let stats = control.message_stats();
    assert_eq!((stats.mails_failed, stats.mails_sent, stats.waiting), (1, 0, 0));
}

#[test]
fn what_is_refused_is_not_tried_again_and_what_it_said_is_gone() {
    let (_dir, control) = store();
    with_mail(&control);
    enter_with_password(&control, "zoe");
    let id = due(&control)[0].id;
    control.carried(id, &Sending::Refused("550 no such mailbox".to_owned())).unwrap();
    control.carried(id, &Sending::Sent).expect("told twice, which counts once");
    let message = control.host().messages(None, 10).unwrap().pop().unwrap();
    assert_eq!(
        (message.state, message.error.as_deref()),
        (MessageState::Failed, Some("550 no such mailbox"))
    );
    let db = rusqlite::Connection::open(Control::path(control.dir())).unwrap();
    let left: u64 =
        db.query_row("SELECT count(*) FROM outbox WHERE sealed IS NOT NULL", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    let zoe = PersonId(1);
    let error = control.acting(zoe).messages(None, 1).unwrap_err();
    assert!(matches!(error, PeopleError::HostOnly), "{error}");
}

#[test]
fn what_others_have_sent_to_somebody_leaves_room_for_what_they_must_hear() {
    let (_dir, control, clock) = clocked_store();
    with_mail(&control);
    let zoe = enter(&control, "zoe");
    let db = rusqlite::Connection::open(Control::path(control.dir())).unwrap();
    let now = clock.load(Ordering::Relaxed);
    for _ in 0..40 {
        db.execute(
            "INSERT INTO outbox (kind, about, recipient, sealed, created_at_ms, expires_at_ms, next_at_ms) \
             VALUES ('mail', 'invitation', 'zoe@example.com', x'00', ?1, ?1 + 1000000, ?1 + 500000)",
            [now],
        )
        .unwrap();
    }
    control.host().set_password(zoe, PASSWORD, None, &host_proof(&control)).unwrap();
    assert_eq!(control.host().messages(Some(MessageState::Failed), 10).unwrap(), []);
    assert_eq!(due(&control).len(), 1, "that the password was changed");
}

#[test]
fn the_outbox_is_bounded_in_all_and_for_each_recipient() {
    let (_dir, control, clock) = clocked_store();
    with_mail(&control);
    let zoe = enter(&control, "zoe");
    for _ in 0..35 {
        control.host().set_password(zoe, PASSWORD, None, &host_proof(&control)).unwrap();
    }
    let failed = control.host().messages(Some(MessageState::Failed), 100).unwrap();
    assert_eq!((due(&control).len(), failed.len()), (30, 5));
    assert!(
        failed[0].error.as_deref().unwrap().contains("more than 30 messages of a kind to one recipient"),
        "{failed:?}"
    );
    // As if very many had been put there.
    let db = rusqlite::Connection::open(Control::path(control.dir())).unwrap();
    db.execute_batch(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1970) \
         INSERT INTO outbox (kind, about, recipient, sealed, created_at_ms, expires_at_ms, next_at_ms) \
         SELECT 'mail', 'many', 'x' || n || '@example.com', x'00', 0, 9999999999999, 1 + n FROM n",
    )
    .unwrap();
    clock.fetch_add(2 * 3_600_000, Ordering::Relaxed);
    control.host().set_password(zoe, PASSWORD, None, &host_proof(&control)).unwrap();
    let waiting = control.host().messages(Some(MessageState::Waiting), 5000).unwrap();
    assert_eq!(waiting.len(), 2000);
    // Of those done, the last thousand.
    for message in &waiting {
        control.carried(message.id, &Sending::Sent).unwrap();
    }
    assert_eq!(control.host().messages(None, 5000).unwrap().len(), 1000);
    clock.fetch_add(31 * 24 * 3_600_000, Ordering::Relaxed);
    control.host().set_password(zoe, PASSWORD, None, &host_proof(&control)).unwrap();
    let last = due(&control)[0].id;
    control.carried(last, &Sending::Sent).unwrap();
    assert_eq!(control.host().messages(None, 5000).unwrap().len(), 1, "those of a month ago are gone");
}

#[test]
fn an_invitation_goes_by_mail_where_it_is_known_where_the_console_is() {
    let (_dir, control) = store();
    let (id, [owner, _, member], _) = organisation(&control);
    let new = |email: &str| NewInvitation {
        organisation: id,
        email: email.to_owned(),
        role: OrganisationRole::Member,
        project: None,
        expires_at_ms: None,
    };
    let invited = control.acting(owner).invite(&new("new@example.com")).unwrap();
    assert!(!control.acting(owner).mail_invitation(&invited.code).unwrap(), "no mail is sent");
    with_mail(&control);
    assert!(control.acting(owner).mail_invitation(&invited.code).unwrap());
    let waiting = due(&control);
    let link = format!("\nhttps://console.example.com/console/invitation?code={}\n", invited.code);
    assert!(mail(&waiting[0]).1.contains(&link), "{}", mail(&waiting[0]).1);
    told(&control, &[("invitation", "new@example.com")]);
    assert!(control.acting(owner).mail_invitation(&invited.code).unwrap(), "on its way, once");
    assert_eq!(due(&control), []);
    assert!(control.acting(member).mail_invitation(&invited.code).is_err());
    assert!(control.acting(owner).mail_invitation("another").is_err());
}

#[test]
fn those_who_look_after_the_server_are_told_of_its_disk_once_a_day() {
    let (_dir, control, clock) = clocked_store();
    with_mail(&control);
    organisation(&control);
    sent(&control);
    let low = || control.tell_operators(Some((3, 7 << 20)), Some("no space left"));
    low().unwrap();
    low().unwrap();
    let texts: Vec<_> = due(&control).iter().map(|message| mail(message).1.to_owned()).collect();
    assert!(texts[0].contains("3 percent (7 MiB)") && !texts[0].contains("If this was you"), "{texts:?}");
    assert_eq!(control.host().messages(None, 10).unwrap().len(), 2);
    clock.fetch_add(24 * 3_600_000, Ordering::Relaxed);
    low().unwrap();
    told(
        &control,
        &[
            ("disk-low", "owner@example.com"),
            ("cannot-store", "owner@example.com"),
            ("disk-low", "owner@example.com"),
            ("cannot-store", "owner@example.com"),
        ],
    );
}

#[test]
fn messages_are_part_of_the_data_about_a_person_and_go_when_it_is_erased() {
    let (_dir, control) = store();
    with_mail(&control);
    let zoe = enter_with_password(&control, "zoe");
    let acting = control.acting(zoe);
    confirm(&control, &acting, zoe, "other@example.org");
    acting.set_password(zoe, "another battery", None, &proof(&control, zoe)).unwrap();
    let data = acting.personal_data(zoe).unwrap();
    assert_eq!(data.messages.len(), 2);
    assert_eq!(acting.erasable_data(zoe).unwrap().messages, 0, "they wait to be sent");
    for message in due(&control) {
        control.carried(message.id, &Sending::Sent).unwrap();
    }
    let again = acting.prove_password("another battery").unwrap();
    assert_eq!(acting.erase_personal_data(zoe, &again).unwrap().messages, 2);
    assert_eq!(acting.personal_data(zoe).unwrap().messages, []);
}
