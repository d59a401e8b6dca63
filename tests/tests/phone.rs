//! A phone as second factor, in the console of the real server with a provider of the test's own.

use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::gateway::{OK, Provider};
use forebay_tests::{Forebay, Setup, eventually};

const OWNER: &str = "ada@example.com";

/// The code in the message of that number, from 0.
#[track_caller]
fn code(provider: &Provider, nth: usize) -> String {
    eventually("a message is sent", || provider.asked().len() > nth);
    let asked = provider.asked()[nth].clone();
    let (_, rest) = asked.split_once("sign in is ").expect("a code");
    rest[..6].to_owned()
}

#[test]
fn a_phone_is_proven_asked_for_at_sign_in_and_switched_off_again() {
    let provider = Provider::answering(OK);
    let setting = format!("second_factor.gateway.url = \"{}\"\n", provider.url());
    let forebay = Setup::new().config(&setting).start();
    enter(&forebay, OWNER, "Ada");
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    let begin = [("number", "0170 1234567"), ("current", PASSWORD)];
    let answer = ada.post("/console/me/second-factor/phone", &begin);
    assert!(answer.expect_status(400).text().contains("That is no phone number"), "{}", answer.text());
    let begin = [("number", "+49 170 1234567"), ("current", PASSWORD)];
    let page = ada.post("/console/me/second-factor/phone", &begin).expect_status(200).text();
    assert!(page.contains("the phone that ends in 567") && !page.contains("+49170"), "{page}");
    let soon = ada.post("/console/me/second-factor/phone/resend", &[]);
    assert!(soon.expect_status(409).text().contains("another one can be asked for in"), "{}", soon.text());
    let first = code(&provider, 0);
    let wrong = ada.post("/console/me/second-factor/confirm", &[("code", "none")]);
    assert!(wrong.expect_status(400).text().contains("That code is not right"), "{}", wrong.text());
    let page = ada.post("/console/me/second-factor/confirm", &[("code", &first)]).expect_status(200).text();
    assert!(page.contains("Write these down"), "{page}");

    let mut again = Visitor::new(forebay.addr());
    again.get("/console/sign-in");
    let answer = again.post("/console/sign-in", &[("email", OWNER), ("password", PASSWORD)]);
    let page = answer.expect_status(200).text();
    assert!(page.contains("A code was sent to the phone that ends in 567"), "{page}");
    let half =
        page.split_once("name=\"half\" value=\"").expect("a form").1.split('"').next().unwrap_or_default();
    let sent = again.post("/console/sign-in/resend", &[("half", half)]);
    assert!(sent.expect_status(200).text().contains("A code was sent to"), "the one before still counts");
    let second = code(&provider, 1);
    let wrong = again.post("/console/sign-in/code", &[("half", half), ("code", "none")]);
    assert!(wrong.expect_status(400).text().contains("Code from the message"), "{}", wrong.text());
    again.post("/console/sign-in/code", &[("half", half), ("code", &second)]).expect_status(303);
    assert!(again.cookie("forebay-session").is_some());
    assert_eq!(provider.asked().len(), 2, "no other message was sent");
    assert!(
        !forebay.stderr().contains(&second) && !forebay.stderr().contains("1701234567"),
        "nor told to the log"
    );
    ada.post("/console/me/second-factor/end", &[("current", PASSWORD)]).expect_status(303);
    Visitor::signed_in(forebay.addr(), OWNER);
}

#[test]
fn a_server_without_a_gateway_says_so() {
    let forebay = Forebay::start();
    enter(&forebay, OWNER, "Ada");
    let mut ada = Visitor::signed_in(forebay.addr(), OWNER);
    assert!(ada.get("/console/me/second-factor").text().contains("This server sends no text messages"));
    let begin = [("number", "+49 170 1234567"), ("current", PASSWORD)];
    ada.post("/console/me/second-factor/phone", &begin).expect_status(409);
    let off = forebay.try_cli(&["mail", "test-text", "+491701234567"]);
    assert!(off.stderr.contains("second_factor.gateway.url is not set"), "{}", off.stderr);
}
