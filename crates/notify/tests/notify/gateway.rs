//! Text messages by a gateway: what it takes, refuses, answers late or never.

use std::{fs, net::TcpListener, sync::Arc, time::Duration};

use forebay_control::{Channels, Control, MessageState, NewPerson, PeopleError, Sending, SignIn};
use forebay_notify::{Courier, Gateway, GatewayConfig};

use forebay_tests::gateway::{OK, Provider};

use crate::eventually;

fn asking(provider: &Provider) -> GatewayConfig {
    GatewayConfig {
        url: provider.url(),
        headers: vec!["Content-Type: application/json".to_owned()],
        body: r#"{"to":"{number}","text":"Your code is {code}"}"#.to_owned(),
        ..GatewayConfig::default()
    }
}

#[track_caller]
fn check_sending(answer: &'static str, want: &str) {
    let provider = Provider::answering(answer);
    let sending = Gateway::new(&asking(&provider)).unwrap().send("+491701234567", "123456");
    let got = match sending {
        Sending::Sent => "sent".to_owned(),
        Sending::Later(why) => format!("later: {why}"),
        Sending::Refused(why) => format!("refused: {why}"),
    };
    assert_eq!(got, want);
}

#[test]
fn a_code_is_sent_as_the_provider_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let secret_file = dir.path().join("secret");
    fs::write(&secret_file, "s3cret of gateway\n").unwrap();
    let provider = Provider::answering(OK);
    let config = GatewayConfig {
        headers: vec!["Authorization: Bearer {secret}".to_owned(), "X-From: Forebay".to_owned()],
        secret_file: Some(secret_file.clone()),
        ..asking(&provider)
    };
    assert_eq!(Gateway::new(&config).unwrap().send("+491701234567", "042137"), Sending::Sent);
    let [asked] = &provider.asked()[..] else { panic!("{:?}", provider.asked()) };
    let lower = asked.to_ascii_lowercase();
    assert!(asked.starts_with("POST /messages HTTP/1.1\r\n"), "{asked}");
    assert!(lower.contains("\r\nauthorization: bearer s3cret of gateway\r\n"), "{asked}");
    assert!(lower.contains(&format!("\r\nhost: {}\r\n", provider.addr)), "{asked}");
    assert!(asked.ends_with(r#"{"to":"+491701234567","text":"Your code is 042137"}"#), "{asked}");

    // As fields of a form, where a plus is a blank unless it is encoded.
    let config = GatewayConfig {
        headers: vec!["Content-Type: application/x-www-form-urlencoded".to_owned()],
        body: "To={number}&Plain={digits}&Body=Code+{code}&Key={secret}".to_owned(),
        secret_file: Some(secret_file),
        ..asking(&provider)
    };
    assert_eq!(Gateway::new(&config).unwrap().send("+491701234567", "042137"), Sending::Sent);
    let asked = provider.asked().pop().unwrap();
    let body = "To=%2B491701234567&Plain=491701234567&Body=Code+042137&Key=s3cret%20of%20gateway";
    assert!(asked.ends_with(body), "{asked}");

    // All in the address.
    let config = GatewayConfig {
        url: format!("http://{}/send?to={{number}}&code={{code}}", provider.addr),
        method: "GET".to_owned(),
        body: String::new(),
        ..asking(&provider)
    };
    assert_eq!(Gateway::new(&config).unwrap().send("+491701234567", "042137"), Sending::Sent);
    let asked = provider.asked().pop().unwrap();
    assert!(asked.starts_with("GET /send?to=%2B491701234567&code=042137 HTTP/1.1\r\n"), "{asked}");
}

#[test]
fn a_refusal_for_good_is_told_from_one_for_now_and_repeats_neither_number_nor_code() {
    check_sending(OK, "sent");
    check_sending(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 31\r\n\r\n491701234567 and 123456 are bad",
        "refused: the gateway answered 400 Bad Request: (number) and (code) are bad",
    );
    check_sending(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        "later: the gateway answered 401 Unauthorized: ",
    );
    check_sending(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
        "later: the gateway answered 429 Too Many Requests: ",
    );
    check_sending(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        "later: the gateway answered 503 Service Unavailable: busy",
    );
    check_sending(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "later: the gateway answered 302 Found: ",
    );
}

#[test]
fn a_gateway_that_is_gone_breaks_off_or_says_nothing_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let gone = Gateway::new(&GatewayConfig { url, ..GatewayConfig::default() }).unwrap();
    let sending = gone.send("+491701234567", "123456");
    assert!(matches!(&sending, Sending::Later(why) if why.contains("Connection refused")), "{sending:?}");
    let broken = Provider::answering("HTTP/1.1 200");
    let sending = Gateway::new(&asking(&broken)).unwrap().send("+491701234567", "123456");
    assert!(matches!(sending, Sending::Later(_)), "{sending:?}");
    let silent = Provider::start(OK, Duration::from_secs(60));
    let sending = Gateway::new(&asking(&silent)).unwrap().send("+491701234567", "123456");
    assert_eq!(sending, Sending::Later("no answer within 15 seconds".to_owned()));
}

#[test]
fn an_answer_without_end_is_not_read_to_it() {
    let endless: &'static str = Box::leak(
        format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{}", "x".repeat(1 << 20)).into_boxed_str(),
    );
    check_sending(endless, "sent");
}

#[test]
fn a_configuration_that_cannot_be_is_named() {
    let fine = GatewayConfig { url: "http://127.0.0.1:1/".to_owned(), ..GatewayConfig::default() };
    let said = |config: GatewayConfig| Gateway::new(&config).unwrap_err().to_string();
    assert!(
        said(GatewayConfig { url: "ftp://x".to_owned(), ..fine.clone() })
            .contains("\"ftp://x\" is no address")
    );
    let plain = GatewayConfig { url: "http://texts.example.com/send".to_owned(), ..fine.clone() };
    assert!(said(plain).contains("would send codes to texts.example.com unencrypted"));
    let method = GatewayConfig { method: "DELETE".to_owned(), ..fine.clone() };
    assert!(said(method).contains("is none of POST, PUT and GET"));
    let header = GatewayConfig { headers: vec!["A: b".to_owned(), "no colon".to_owned()], ..fine.clone() };
    assert!(said(header).contains("header 2 of"));
    let secret = GatewayConfig { headers: vec!["Authorization: Bearer {secret}".to_owned()], ..fine.clone() };
    assert!(said(secret).contains("secret_file is not set"));
    let missing = GatewayConfig { secret_file: Some("/nonexistent/secret".into()), ..fine };
    assert_eq!(said(missing), "cannot read /nonexistent/secret");
}

#[test]
fn a_code_goes_from_the_sign_in_to_the_phone() {
    let dir = tempfile::tempdir().unwrap();
    let control = Arc::new(Control::open(dir.path()).unwrap());
    control.set_channels(&Channels { text: true, ..Channels::default() }).unwrap();
    let host = control.host();
    let password = Some("correct horse battery".to_owned());
    let new = NewPerson { email: "zoe@example.com".to_owned(), name: "Zoe".to_owned(), password };
    let zoe = host.create_person(&new).unwrap().id;
    let provider = Provider::answering(OK);
    let gateway = Gateway::new(&asking(&provider)).unwrap();
    let courier = Courier::start(&control, None, Some(gateway), Box::new(|| None)).unwrap();
    let code = |nth: usize| {
        eventually("a code is sent", || provider.asked().len() > nth);
        let asked = provider.asked()[nth].clone();
        asked.split("Your code is ").nth(1).unwrap()[..6].to_owned()
    };
    host.begin_phone(zoe, "+49 170 1234567", &host.prove_password("").unwrap()).unwrap();
    host.confirm_two_factor(zoe, &code(0)).unwrap();
    let attempt = |code| SignIn {
        email: "zoe@example.com",
        password: "correct horse battery",
        code,
        address: [192, 0, 2, 7].into(),
        user_agent: "a browser",
        device: None,
    };
    assert!(matches!(control.sign_in(&attempt(None)), Err(PeopleError::CodeSent(_))));
    control.sign_in(&attempt(Some(&code(1)))).unwrap();
    eventually("both are told as sent", || control.message_stats().texts_sent == 2);
    courier.stop();
    assert_eq!(host.messages(Some(MessageState::Failed), 10).unwrap(), []);
}
