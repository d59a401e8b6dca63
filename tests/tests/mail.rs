//! Mail, with the real server and a mail server of the test's own: notices, an address that is confirmed, invitations, and
//! what the console and the command line say of it.

use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::smtp::{Manners, Smtp, Taken};
use forebay_tests::{Forebay, Request, Setup, eventually};

const OWNER: &str = "ada@example.com";

fn settings(smtp: &Smtp) -> String {
    format!(
        "console.url = \"https://console.example.com\"\n[mail]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         from = \"Forebay <forebay@example.com>\"\n",
        smtp.addr.port()
    )
}

/// A server that mails, with an owner of its first organisation.
fn with_owner(smtp: &Smtp) -> Forebay {
    let forebay = Setup::new().config(&settings(smtp)).start();
    forebay.create_project("Shop");
    enter(&forebay, OWNER, "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", OWNER]);
    forebay
}

/// The first mail to `recipient` with that subject.
#[track_caller]
fn mail(smtp: &Smtp, recipient: &str, subject: &str) -> Taken {
    let line = format!("Subject: {subject}\r\n");
    let find =
        || smtp.taken().into_iter().find(|mail| mail.recipient == recipient && mail.data.contains(&line));
    eventually(&format!("{subject:?} to {recipient}: {:?}", smtp.taken()), || find().is_some());
    find().expect("it was there")
}

#[test]
fn people_are_told_by_mail_confirm_another_address_and_are_invited() {
    let smtp = Smtp::start(Manners::default());
    let forebay = with_owner(&smtp);
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);

    // An address for notices, and the code that was sent there.
    let address = ("notice_email", "ops@example.org");
    ada.post("/console/me/preferences", &[address, ("tells_sign_ins", "on")]).expect_status(303);
    let page = ada.get("/console/me/preferences").text();
    assert!(page.contains("Confirm ops@example.org"), "{page}");
    let sent = mail(&smtp, "ops@example.org", "Confirm this address for notices");
    let code = sent.data.lines().map(str::trim).find(|line| line.len() == 6 && line.parse::<u32>().is_ok());
    let wrong = ada.post("/console/me/preferences/notice-confirm", &[("code", "none")]);
    assert!(wrong.expect_status(400).text().contains("not the code that was sent"));
    let soon = ada.post("/console/me/preferences/notice-code", &[]);
    assert!(soon.expect_status(409).text().contains("another one can be asked for in"), "{}", soon.text());
    let code = code.expect("a line of six digits");
    ada.post("/console/me/preferences/notice-confirm", &[("code", code)]).expect_status(303);
    assert!(!ada.get("/console/me/preferences").text().contains("Confirm ops@example.org"));

    // A change is told at both.
    let fields = [("current", PASSWORD), ("password", "another battery"), ("again", "another battery")];
    ada.post("/console/me/password", &fields).expect_status(303);
    for recipient in [OWNER, "ops@example.org"] {
        let told = mail(&smtp, recipient, "Your password was changed");
        assert!(!told.data.contains("another battery") && !told.data.contains(PASSWORD), "{}", told.data);
    }

    // Somebody is invited; the link leads to where the console is, whatever host the page was asked for by.
    let fields = [("email", "new@example.com"), ("role", "member"), ("by_mail", "on")];
    let page = ada.post("/console/organisations/1/invitations", &fields).expect_status(200).text();
    assert!(page.contains("A mail with it is on its way"), "{page}");
    let invited = smtp_text(&mail(&smtp, "new@example.com", "An invitation to \"default\""));
    assert!(invited.contains("https://console.example.com/console/invitation?code="), "{invited}");
    forebay.cli(&["organisation", "invite", "1", "cli@example.com", "--mail"]);
    mail(&smtp, "cli@example.com", "An invitation to \"default\"");
    let csrf = ada.csrf();
    let call =
        Request::post("/api/app/organizations/1/invitations", r#"{"email":"call@example.com","mail":true}"#);
    ada.send(call.header("X-CSRF-Token", &csrf)).expect_status(201);
    mail(&smtp, "call@example.com", "An invitation to \"default\"");
    let fields = [("email", "to-project@example.com"), ("role", "analyst"), ("by_mail", "on")];
    let shop = forebay.cli(&["project", "list", "--json"]).lines().last().expect("a project").u64("id");
    ada.post(&format!("/console/projects/{shop}/members/invite"), &fields).expect_status(200);
    mail(&smtp, "to-project@example.com", "An invitation to \"default\"");

    // What was sent is listed, and counted; what it said is not.
    let listed = forebay.cli(&["mail", "list", "--json"]).success();
    let lines = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(lines.contains("\"about\":\"invitation\"") && lines.contains("\"state\":\"sent\""), "{lines}");
    assert!(!lines.contains("code=") && !lines.contains(code), "{lines}");
    let page = ada.get("/console/messages").expect_status(200).text();
    assert!(page.contains("password-changed") && !page.contains(code), "{page}");
    let metrics = forebay.metrics();
    assert!(metrics.find("forebay_messages_sent_total", &[("channel", "mail")]) >= Some(5.0));
}

/// A mail's text with the ends of lines that quoted-printable folds taken away.
fn smtp_text(mail: &Taken) -> String {
    mail.data.replace("=\r\n", "").replace("=3D", "=")
}

#[test]
fn a_mail_that_is_refused_is_told_where_the_operator_looks() {
    let smtp = Smtp::start(Manners { to_recipient: Some("550 nobody here"), ..Manners::default() });
    let forebay = with_owner(&smtp);
    let failed = || forebay.cli(&["mail", "list", "--state", "failed", "--json"]).stdout;
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    let fields = [("current", PASSWORD), ("password", "another battery"), ("again", "another battery")];
    ada.post("/console/me/password", &fields).expect_status(303);
    eventually("the refusal is listed", || String::from_utf8_lossy(&failed()).contains("nobody here"));
    assert!(ada.get("/console/messages").text().contains("nobody here"));
    let config = forebay.data_dir().join("mail.toml");
    std::fs::write(&config, settings(&smtp)).expect("a file in the data directory");
    let config = config.to_str().expect("UTF-8");
    let tried = forebay.try_cli(&["mail", "test", "zoe@example.com", "--config", config]);
    assert_eq!(tried.status.code(), Some(1));
    assert!(tried.stderr.contains("did not take the mail to zoe@example.com"), "{}", tried.stderr);
    let well = Smtp::start(Manners::default());
    std::fs::write(config, settings(&well)).expect("a file in the data directory");
    forebay.cli(&["mail", "test", "zoe@example.com", "--config", config]);
    assert_eq!(well.taken().len(), 1);
    let off = forebay.try_cli(&["mail", "test", "zoe@example.com"]);
    assert!(off.stderr.contains("mail.host is not set"), "{}", off.stderr);
}

#[test]
fn a_server_that_sends_no_mail_says_so() {
    let forebay = Forebay::start();
    forebay.create_project("Shop");
    enter(&forebay, OWNER, "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", OWNER]);
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    assert!(ada.get("/console/me/preferences").text().contains("This server sends no mail now"));
    assert!(ada.get("/console/messages").text().contains("No mail is sent"));
    assert!(!ada.get("/console/organisations/1/members").text().contains("Send it by mail"));
    let csrf = ada.csrf();
    let call =
        Request::post("/api/app/organizations/1/invitations", r#"{"email":"call@example.com","mail":true}"#);
    let refused = ada.send(call.header("X-CSRF-Token", &csrf)).expect_status(409).text();
    assert!(refused.contains("No mail is sent"), "{refused}");
    assert!(
        forebay.cli(&["organisation", "invitations", "1", "--json"]).stdout.is_empty(),
        "nobody is invited"
    );
    assert_eq!(forebay.cli(&["mail", "list", "--json"]).stdout, b"");
}
