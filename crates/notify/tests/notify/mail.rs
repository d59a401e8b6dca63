//! Mail: what is taken, refused, late or never answered.

use std::{fs, sync::Arc, time::Duration};

use forebay_control::{Channels, Control, MessageState, NewPerson, Sending};
use forebay_notify::{Courier, MailConfig, MailTls, Mailer};
use forebay_tests::smtp::{Manners, Smtp};
use tempfile::TempDir;

use crate::eventually;

fn config(smtp: &Smtp) -> MailConfig {
    MailConfig {
        host: smtp.addr.ip().to_string(),
        port: Some(smtp.addr.port()),
        tls: MailTls::None,
        from: "Forebay <forebay@example.com>".to_owned(),
        ..MailConfig::default()
    }
}

fn mailer(smtp: &Smtp) -> Mailer {
    Mailer::new(&config(smtp)).unwrap()
}

#[track_caller]
fn check_sending(manners: Manners, want: &str) -> Smtp {
    let smtp = Smtp::start(manners);
    let got = match mailer(&smtp).send("zoe@example.com", "Subject", "Text.\n") {
        Sending::Sent => "sent".to_owned(),
        Sending::Later(why) => format!("later: {why}"),
        Sending::Refused(why) => format!("refused: {why}"),
    };
    assert!(got.starts_with(want), "{got}");
    smtp
}

#[test]
fn a_mail_arrives_as_it_was_written() {
    let smtp = Smtp::start(Manners::default());
    let text = "Zoë's password was changed.\n\n.A line that begins with a dot\n";
    assert_eq!(mailer(&smtp).send("zoe@example.com", "Änderung", text), Sending::Sent);
    let [mail] = &smtp.taken()[..] else { panic!("{:?}", smtp.taken()) };
    assert_eq!(mail.recipient, "zoe@example.com");
    for line in [
        "From: Forebay <forebay@example.com>\r\n",
        "To: zoe@example.com\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Subject: =?utf-8?b?w4RuZGVydW5n?=\r\n",
    ] {
        assert!(mail.data.contains(line), "{line:?} in {}", mail.data);
    }
    assert!(mail.data.contains("Zo=C3=AB's password was changed.\r\n"), "{}", mail.data);
    assert!(mail.data.contains("\r\n..A line that begins"), "{}", mail.data);
}

#[test]
fn what_cannot_be_an_address_or_a_header_is_refused_and_nothing_is_said() {
    let smtp = Smtp::start(Manners::default());
    let mailer = mailer(&smtp);
    for bad in ["", "zoe", "zoe@example.com\r\nRCPT TO:<all@example.com>", "<zoe@example.com>"] {
        assert!(matches!(mailer.send(bad, "Subject", "Text"), Sending::Refused(_)), "{bad:?}");
    }
    assert_eq!(mailer.send("zoe@example.com", "a\r\nBcc: all@example.com", "Text"), Sending::Sent);
    let taken = smtp.taken();
    assert_eq!(taken.len(), 1);
    assert!(!taken[0].data.contains("\nBcc:"), "{}", taken[0].data);
    assert_eq!(smtp.asked(), 1);
}

#[test]
fn a_refusal_for_good_is_told_from_one_for_now() {
    let said = |answer| Manners { to_recipient: Some(answer), ..Manners::default() };
    check_sending(said("550 no such mailbox"), "refused: permanent error (550): no such mailbox");
    check_sending(said("451 greylisted"), "later: transient error (451): greylisted");
    check_sending(said("530 sign in first"), "later: ");
    check_sending(said("nonsense"), "later: ");
}

#[test]
fn a_server_that_is_gone_is_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config = MailConfig {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        tls: MailTls::None,
        from: "forebay@example.com".to_owned(),
        ..MailConfig::default()
    };
    let sending = Mailer::new(&config).unwrap().send("zoe@example.com", "Subject", "Text");
    assert!(matches!(&sending, Sending::Later(why) if why.contains("Connection refused")), "{sending:?}");
}

#[test]
fn a_server_that_says_nothing_is_given_up_for_now() {
    let silent = Manners { silent: Duration::from_secs(40), ..Manners::default() };
    check_sending(silent, "later: ");
}

#[test]
fn a_server_that_encrypts_nothing_gets_neither_mail_nor_password() {
    let smtp = Smtp::start(Manners { offers: &["AUTH PLAIN LOGIN"], ..Manners::default() });
    let config = MailConfig { tls: MailTls::StartTls, user: "forebay".to_owned(), ..config(&smtp) };
    let sending = Mailer::new(&config).unwrap().send("zoe@example.com", "Subject", "Text");
    assert!(matches!(&sending, Sending::Later(why) if why.contains("STARTTLS")), "{sending:?}");
    assert_eq!((smtp.taken(), smtp.asked()), (Vec::new(), 0));
    let config = MailConfig { tls: MailTls::None, host: "mail.example.com".to_owned(), ..config };
    let error = Mailer::new(&config).unwrap_err().to_string();
    assert!(error.starts_with("mail.password_file would go to mail.example.com unencrypted"), "{error}");
}

/// A certificate of 127.0.0.1, signed by itself, and what a server needs of it.
fn certificate(dir: &TempDir) -> (std::path::PathBuf, Arc<rustls::ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let path = dir.path().join("ca.pem");
    fs::write(&path, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (path, Arc::new(config))
}

#[test]
fn a_mail_goes_encrypted_and_signed_in_either_way_and_only_to_a_server_with_a_trusted_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let (ca_file, server) = certificate(&dir);
    let password_file = dir.path().join("password");
    fs::write(&password_file, "secret of mail\nanother line\n").unwrap();
    for (tls, from_the_first, offers) in [
        (MailTls::Tls, true, &["AUTH PLAIN"][..]),
        (MailTls::StartTls, false, &["STARTTLS", "AUTH PLAIN"][..]),
    ] {
        let offers: &'static [&'static str] = Box::leak(offers.to_vec().into_boxed_slice());
        let tls_of = Some((Arc::clone(&server), from_the_first));
        let smtp = Smtp::start(Manners { offers, tls: tls_of, ..Manners::default() });
        let config = MailConfig {
            tls,
            ca_file: Some(ca_file.clone()),
            user: "forebay".to_owned(),
            password_file: Some(password_file.clone()),
            ..config(&smtp)
        };
        assert_eq!(
            Mailer::new(&config).unwrap().send("zoe@example.com", "Subject", "Text"),
            Sending::Sent,
            "{tls:?}"
        );
        let [mail] = &smtp.taken()[..] else { panic!("{:?}", smtp.taken()) };
        assert!(mail.encrypted);
        // Base 64 of "\0forebay\0secret of mail".
        assert_eq!(mail.signed_in.as_deref(), Some("AGZvcmViYXkAc2VjcmV0IG9mIG1haWw="));
        let config = MailConfig { ca_file: None, ..config };
        let sending = Mailer::new(&config).unwrap().send("zoe@example.com", "Subject", "Text");
        assert!(matches!(&sending, Sending::Later(why) if why.contains("certificate")), "{sending:?}");
        assert!(!format!("{sending:?}").contains("secret of mail"));
        assert_eq!(smtp.taken().len(), 1);
    }
}

#[test]
fn a_password_that_is_not_taken_loses_no_mail() {
    let dir = tempfile::tempdir().unwrap();
    let password_file = dir.path().join("password");
    fs::write(&password_file, "old password").unwrap();
    let manners = Manners { offers: &["AUTH PLAIN"], to_sign_in: Some("535 wrong"), ..Manners::default() };
    let smtp = Smtp::start(manners);
    let config =
        MailConfig { user: "forebay".to_owned(), password_file: Some(password_file), ..config(&smtp) };
    let sending = Mailer::new(&config).unwrap().send("zoe@example.com", "Subject", "Text");
    assert!(matches!(sending, Sending::Later(_)), "{sending:?}");
}

#[test]
fn a_configuration_that_cannot_be_is_named() {
    let missing = MailConfig {
        host: "127.0.0.1".to_owned(),
        user: "forebay".to_owned(),
        password_file: Some("/nonexistent/password".into()),
        tls: MailTls::None,
        from: "forebay@example.com".to_owned(),
        ..MailConfig::default()
    };
    let said = |config: &MailConfig| Mailer::new(config).unwrap_err().to_string();
    assert_eq!(said(&missing), "cannot read /nonexistent/password");
    let nobody = MailConfig { from: "nobody".to_owned(), ..missing.clone() };
    assert!(said(&nobody).starts_with("mail.from \"nobody\" is no address"), "{}", said(&nobody));
    let no_ca = MailConfig { tls: MailTls::Tls, ca_file: Some("/nonexistent/ca.pem".into()), ..missing };
    assert_eq!(said(&no_ca), "cannot read /nonexistent/ca.pem");
}

fn store() -> (TempDir, Arc<Control>) {
    let dir = tempfile::tempdir().unwrap();
    let control = Arc::new(Control::open(dir.path()).unwrap());
    control.set_channels(&Channels { mail: true, ..Channels::default() }).unwrap();
    (dir, control)
}

/// Gives cause for a mail.
fn change_password(control: &Control, name: &str) {
    let host = control.host();
    let email = format!("{name}@example.com");
    let new = NewPerson { email, name: name.to_owned(), password: None };
    let id = host.create_person(&new).unwrap().id;
    host.set_password(id, "correct horse battery", None, &host.prove_password("").unwrap()).unwrap();
}

#[test]
fn what_waits_in_the_outbox_is_carried_and_what_became_of_it_is_told() {
    let (_dir, control) = store();
    let manners = Manners { to_recipient: Some("550 no such mailbox"), first: Some(1), ..Manners::default() };
    let smtp = Smtp::start(manners);
    change_password(&control, "gone");
    change_password(&control, "zoe");
    let courier = Courier::start(&control, Some(mailer(&smtp)), None, Box::new(|| None)).unwrap();
    eventually("both are done", || {
        let stats = control.message_stats();
        (stats.mails_sent, stats.mails_failed) == (1, 1)
    });
    courier.stop();
    let [mail] = &smtp.taken()[..] else { panic!("{:?}", smtp.taken()) };
    assert_eq!(mail.recipient, "zoe@example.com");
    assert!(mail.data.contains("Subject: Your password was changed\r\n"), "{}", mail.data);
    let failed = control.host().messages(Some(MessageState::Failed), 10).unwrap();
    assert_eq!(failed[0].recipient, "gone@example.com");
    assert!(failed[0].error.as_deref().unwrap().contains("no such mailbox"), "{failed:?}");
}

#[test]
fn what_could_not_be_sent_waits_for_the_next_start() {
    let (_dir, control) = store();
    change_password(&control, "zoe");
    let busy = Smtp::start(Manners { to_recipient: Some("451 later"), ..Manners::default() });
    let courier = Courier::start(&control, Some(mailer(&busy)), None, Box::new(|| None)).unwrap();
    eventually("it was tried", || busy.asked() > 0);
    courier.stop();
    let waiting = control.host().messages(Some(MessageState::Waiting), 10).unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(busy.taken(), []);
}

#[test]
fn a_mail_server_that_hangs_does_not_hold_up_a_stop() {
    let (_dir, control) = store();
    change_password(&control, "zoe");
    let silent = Smtp::start(Manners { silent: Duration::from_secs(300), ..Manners::default() });
    let courier = Courier::start(&control, Some(mailer(&silent)), None, Box::new(|| None)).unwrap();
    let (stopped, is_stopped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        courier.stop();
        stopped.send(()).unwrap();
    });
    is_stopped.recv_timeout(Duration::from_secs(60)).expect("the stop does not wait for the mail server");
    assert_eq!(control.host().messages(Some(MessageState::Waiting), 10).unwrap().len(), 1, "it is not lost");
}

#[test]
fn those_who_look_after_the_server_are_told_when_events_cannot_be_stored() {
    let (_dir, control) = store();
    let host = control.host();
    host.create_organisation("first", None).unwrap();
    let new = NewPerson { email: "ada@example.com".into(), name: "Ada".into(), password: None };
    let ada = host.create_person(&new).unwrap().id;
    host.set_organisation_role(1, ada, forebay_control::OrganisationRole::Owner).unwrap();
    let smtp = Smtp::start(Manners::default());
    let unable = Box::new(|| Some("lane 0 cannot store: no space left".to_owned()));
    let courier = Courier::start(&control, Some(mailer(&smtp)), None, unable).unwrap();
    eventually("it is told", || smtp.taken().iter().any(|mail| mail.data.contains("lane 0 cannot store")));
    courier.stop();
}
