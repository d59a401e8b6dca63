//! Every call of `/api/app` in its use: by a person who signs in by a call, and by a service account. Each answer is
//! held against the server's own description as it comes in.

use forebay_tests::console::{PASSWORD, Visitor, enter};
use forebay_tests::{Answer, Forebay, Json, Project, Request, eventually};

const OWNER: &str = "ada@example.com";

/// A person who uses calls and no page.
struct Caller {
    visitor: Visitor,
    csrf: String,
}

impl Caller {
    #[track_caller]
    fn signed_in(forebay: &Forebay, email: &str) -> Caller {
        let mut visitor = Visitor::new(forebay.addr());
        let body = format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#);
        let answer = visitor.send(Request::post("/api/app/sign-in", body));
        let session = answer.expect_status(200).json();
        let csrf = session.get("results").expect("results").str("csrf_token").to_owned();
        Caller { visitor, csrf }
    }

    #[track_caller]
    fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::new(method, path).header("X-CSRF-Token", &self.csrf);
        self.visitor.send(if method == "GET" { request } else { request.body(body) })
    }

    #[track_caller]
    fn get(&mut self, path: &str) -> Json {
        results(&self.send("GET", path, ""), 200)
    }

    #[track_caller]
    fn post(&mut self, path: &str, body: &str) -> Json {
        let answer = self.send("POST", path, body);
        assert!(matches!(answer.status, 200 | 201), "{path} {body}: {} {}", answer.status, answer.text());
        answer.json().get("results").cloned().unwrap_or(Json::Null)
    }
}

#[track_caller]
fn results(answer: &Answer, status: u16) -> Json {
    answer.expect_status(status).json().get("results").expect("results").clone()
}

fn with_owner() -> (Forebay, Project, Caller) {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    enter(&forebay, OWNER, "Ada");
    forebay.cli(&["owner", "grant", "--organisation", "1", "--email", OWNER]);
    let ada = Caller::signed_in(&forebay, OWNER);
    (forebay, project, ada)
}

#[test]
fn a_person_signs_in_and_out_by_calls_and_no_other_site_does_it_for_them() {
    let (forebay, _, mut ada) = with_owner();
    assert_eq!(ada.get("/api/app/me").str("user_email"), OWNER);
    let body = format!(r#"{{"email":"{OWNER}","password":"{PASSWORD}"}}"#);
    let foreign = Request::post("/api/app/sign-in", body).header("Origin", "https://evil.example");
    Visitor::new(forebay.addr()).send(foreign).expect_status(403);
    let wrong = Request::post("/api/app/sign-in", r#"{"email":"ada@example.com","password":"wrong"}"#);
    Visitor::new(forebay.addr()).send(wrong).expect_status(400);
    ada.send("POST", "/api/app/sign-out", "").expect_status(200);
    ada.send("GET", "/api/app/me", "").expect_status(401);
}

#[test]
fn a_projects_settings_tokens_and_credentials_are_changed_by_calls() {
    let (forebay, project, mut ada) = with_owner();
    let base = format!("/api/app/projects/{}", project.id);
    let change = r#"{"name":"Store","timezone":"Europe/Berlin","client_address":"mask","retention_days":30,
        "allowed_origins":["https://shop.example"],"id_merge":"simplified","accepts_events":false}"#;
    let changed = ada.post(&base, change);
    assert_eq!((changed.str("name"), changed.str("timezone")), ("Store", "Europe/Berlin"));
    let changed = ada.post(&base, r#"{"retention_days":0,"accepts_events":true,"allowed_origins":[]}"#);
    assert_eq!(changed.get("retention_days"), Some(&Json::Null));
    assert_eq!(ada.get(&base).str("role"), "owner");
    for (body, status) in [(r#"{"nme":"x"}"#, 400), (r#"{"timezone":"Mars/Olympus"}"#, 400), ("[]", 400)] {
        ada.send("POST", &base, body).expect_status(status);
    }
    let tokens = |shown: &Json| shown.get("tokens").and_then(Json::as_array).expect("tokens").to_vec();
    assert_eq!(tokens(&ada.post(&format!("{base}/tokens"), r#"{"token":"brought"}"#)).len(), 2);
    assert_eq!(tokens(&ada.post(&format!("{base}/tokens"), "{}")).len(), 3);
    let retire = r#"{"token":"brought","at":"2040-01-01T00:00:00Z"}"#;
    let retired = tokens(&ada.post(&format!("{base}/tokens/retire"), retire));
    assert!(
        retired
            .iter()
            .any(|token| token.str("token") == "brought" && token.get("ends_at_ms") != Some(&Json::Null))
    );
    ada.post(&format!("{base}/tokens/retire"), r#"{"token":"brought"}"#);
    assert_eq!(tokens(&ada.post(&format!("{base}/tokens/remove"), r#"{"token":"brought"}"#)).len(), 2);
    ada.send("POST", &format!("{base}/tokens/remove"), r#"{"token":"brought"}"#).expect_status(409);

    let password = format!(r#"{{"password":"{PASSWORD}"}}"#);
    let told = ada.post(&format!("{base}/credentials/reveal"), &password);
    assert_eq!((told.str("api_secret"), told.str("api_key")), (&*project.api_secret, &*project.api_key));
    ada.send("POST", &format!("{base}/credentials/reveal"), "{}").expect_status(400);
    let reset = format!(r#"{{"password":"{PASSWORD}","grace":"1h"}}"#);
    let reset = ada.post(&format!("{base}/credentials/reset"), &reset);
    assert_ne!(reset.str("api_secret"), project.api_secret);
    ada.post(&format!("{base}/credentials/end-former"), "");

    forebay.send(&Request::post(
        "/track",
        format!(r#"{{"event":"e","properties":{{"token":"{}"}}}}"#, project.token),
    ));
    eventually("the event is shown", || {
        ada.get(&format!("{base}/events")).as_array().is_some_and(|all| !all.is_empty())
    });
    assert!(ada.get(&format!("{base}/rejected")).as_array().is_some_and(<[Json]>::is_empty));
    ada.get(&format!("{base}/stats"));
    assert!(ada.get("/api/app/unclaimed-tokens").as_array().is_some());
}

#[test]
fn people_come_in_and_get_their_roles_by_calls() {
    let (forebay, project, mut ada) = with_owner();
    let organisation = "/api/app/organizations/1";
    let invited = ada.post(
        &format!("{organisation}/invitations"),
        &format!(
            r#"{{"email":"bob@example.com","role":"member","project":{{"id":{},"role":"analyst"}}}}"#,
            project.id
        ),
    );
    let code = format!(r#"{{"code":"{}"}}"#, invited.str("code"));
    let mut bob = Caller { visitor: Visitor::new(forebay.addr()), csrf: String::new() };
    let opened = bob.post("/api/app/invitation", &code);
    assert_eq!(opened.str("email"), "bob@example.com");
    assert!(!opened.to_string().contains("known"), "nothing of whether there is an account: {opened:?}");
    bob.send("POST", "/api/app/invitation", r#"{"code":"none"}"#).expect_status(409);
    let accept = format!(r#"{{"code":"{}","name":"Bob","password":"{PASSWORD}"}}"#, invited.str("code"));
    let session = bob.post("/api/app/invitation/accept", &accept);
    session.str("csrf_token").clone_into(&mut bob.csrf);
    let number = session.get("person").expect("a person").u64("id");
    assert_eq!(bob.get(&format!("/api/app/projects/{}", project.id)).str("role"), "analyst");

    let members = format!("/api/app/projects/{}/members", project.id);
    ada.post(&members, &format!(r#"{{"person":{number},"role":"admin"}}"#));
    let listed = ada.get(&members);
    assert!(
        listed
            .as_array()
            .expect("a list")
            .iter()
            .any(|one| one.u64("id") == number && one.str("role") == "admin")
    );
    bob.post(&members, &format!(r#"{{"person":{number},"role":"consumer"}}"#));
    ada.post(&members, &format!(r#"{{"person":{number},"role":null}}"#));
    ada.send("POST", &members, r#"{"person":999999,"role":"admin"}"#).expect_status(400);

    ada.post(&format!("{organisation}/members/{number}"), r#"{"role":"admin"}"#);
    let other = ada.post(
        &format!("/api/app/projects/{}/invitations", project.id),
        r#"{"email":"eve@example.com","role":"consumer"}"#,
    );
    assert_eq!(bob.get(&format!("{organisation}/invitations")).as_array().map(<[Json]>::len), Some(1));
    bob.send("DELETE", &format!("{organisation}/invitations/{}", other.u64("id")), "").expect_status(200);
    ada.post(organisation, r#"{"name":"Renamed"}"#);
    assert_eq!(bob.get("/api/app/organizations").as_array().expect("a list")[0].str("name"), "Renamed");
    // Who has no second factor cannot require one.
    ada.send("POST", organisation, r#"{"requires_two_factor":true}"#).expect_status(403);
    ada.send("DELETE", &format!("{organisation}/members/{number}"), "").expect_status(200);
    bob.send("GET", organisation, "").expect_status(404);
}

#[test]
fn a_project_is_handed_on_deleted_and_taken_back_by_calls() {
    let (forebay, project, mut ada) = with_owner();
    let made = ada.post("/api/app/organizations", r#"{"name":"Elsewhere"}"#).u64("id");
    let grant = format!("{}=analyst", project.id);
    forebay.cli(&[
        "service-account",
        "create",
        "--username",
        "etl",
        "--organisation",
        "1",
        "--project",
        &grant,
    ]);
    let base = format!("/api/app/projects/{}", project.id);
    let losses = ada.get(&format!("{base}/transfer"));
    assert_eq!(losses.get("service_accounts").and_then(Json::as_array).map(<[Json]>::len), Some(1));
    let transfer = format!(r#"{{"organization_id":{made},"password":"{PASSWORD}"}}"#);
    ada.post(&format!("{base}/transfer"), &transfer);
    assert_eq!(ada.get(&base).u64("organisation"), made);
    let there = format!("/api/app/organizations/{made}");
    assert_eq!(ada.get(&format!("{there}/projects")).as_array().map(<[Json]>::len), Some(1));
    let password = format!(r#"{{"password":"{PASSWORD}"}}"#);
    ada.send("POST", &format!("{there}/delete"), &password).expect_status(409);
    ada.post(&format!("{base}/delete"), &password);
    ada.send("GET", &base, "").expect_status(404);
    assert_eq!(ada.get(&format!("{there}/deleted-projects")).as_array().map(<[Json]>::len), Some(1));
    ada.send("POST", &format!("/api/app/organizations/1/deleted-projects/{}/undelete", project.id), "{}")
        .expect_status(404);
    ada.post(&format!("{there}/deleted-projects/{}/undelete", project.id), "{}");
    assert_eq!(ada.get(&base).str("name"), "Shop");
    let empty = ada.post("/api/app/organizations", r#"{"name":"Empty"}"#).u64("id");
    ada.send("POST", &format!("/api/app/organizations/{empty}/delete"), &password).expect_status(200);
}

#[test]
fn what_is_ones_own_is_seen_changed_and_ended_by_calls() {
    let (forebay, _, mut ada) = with_owner();
    let other = Caller::signed_in(&forebay, OWNER);
    assert_eq!(ada.get("/api/app/me/sessions").as_array().map(<[Json]>::len), Some(2));
    assert_eq!(ada.post("/api/app/me/sessions/end", "").u64("ended"), 1);
    drop(other);
    assert_eq!(ada.post("/api/app/me", r#"{"name":"Ada L"}"#).str("name"), "Ada L");
    ada.send("POST", "/api/app/me", r#"{"email":"l@example.com"}"#).expect_status(400);
    let email = format!(r#"{{"email":"l@example.com","password":"{PASSWORD}"}}"#);
    assert_eq!(ada.post("/api/app/me", &email).str("email"), "l@example.com");
    let preferences =
        ada.post("/api/app/me/preferences", r#"{"logs_usage":true,"notice_email":"n@example.com"}"#);
    assert_eq!(preferences.str("notice_email"), "n@example.com");
    assert_eq!(ada.get("/api/app/me/preferences"), preferences);

    let password = format!(r#"{{"password":"{PASSWORD}"}}"#);
    let token = ada.post("/api/app/me/gdpr-token", &format!(r#"{{"days":7,"password":"{PASSWORD}"}}"#));
    assert!(!token.str("token").is_empty());
    assert_eq!(ada.get("/api/app/me/gdpr-token").u64("uses"), 0);
    ada.send("DELETE", "/api/app/me/gdpr-token", "").expect_status(200);
    assert_eq!(ada.get("/api/app/me/gdpr-token"), Json::Null);

    assert_eq!(ada.get("/api/app/me/second-factor").get("since_ms"), Some(&Json::Null));
    assert!(ada.post("/api/app/me/second-factor/begin", &password).str("url").starts_with("otpauth://"));
    ada.send("POST", "/api/app/me/second-factor/confirm", r#"{"code":"000000"}"#).expect_status(400);
    ada.send("POST", "/api/app/me/second-factor/codes", &password).expect_status(409);
    // What was begun and never switched on is taken back, and then there is nothing more.
    ada.send("POST", "/api/app/me/second-factor/end", &password).expect_status(200);
    ada.send("POST", "/api/app/me/second-factor/end", &password).expect_status(409);

    assert_eq!(
        ada.get("/api/app/me/data").get("account").expect("the account").str("email"),
        "l@example.com"
    );
    assert!(ada.get("/api/app/me/data/erasable").u64("sign_ins") > 0);
    ada.post("/api/app/me/data/erase", &password);
    let new = format!(r#"{{"password":"{PASSWORD}","new_password":"another long password"}}"#);
    ada.post("/api/app/me/password", &new);

    let losses = ada.get("/api/app/me/losses");
    let organisation = &losses.get("organisations").and_then(Json::as_array).expect("a list")[0];
    assert_eq!(organisation.str("outcome"), "needs_member");
    let delete = r#"{"password":"another long password"}"#;
    ada.send("POST", "/api/app/me/delete", delete).expect_status(409);
    enter(&forebay, "bob@example.com", "Bob");
    forebay.cli(&["organisation", "set-role", "1", "bob@example.com", "member"]);
    let losses = ada.get("/api/app/me/losses");
    let organisation = &losses.get("organisations").and_then(Json::as_array).expect("a list")[0];
    let bob = organisation.get("others").and_then(Json::as_array).expect("others")[0].u64("id");
    let hand_over = format!(
        r#"{{"password":"another long password","hand_over":[{{"organization_id":1,"person":{bob}}}]}}"#
    );
    ada.send("POST", "/api/app/me/delete", &hand_over).expect_status(200);
    ada.send("GET", "/api/app/me", "").expect_status(401);
    let shown = forebay.cli(&["organisation", "show", "1", "--json"]).json();
    assert_eq!(shown.get("members").and_then(Json::as_array).expect("members")[0].str("role"), "owner");
}

#[test]
fn a_service_account_is_changed_narrowed_and_given_another_secret_by_calls() {
    let (forebay, project, mut ada) = with_owner();
    let base = "/api/app/organizations/1/service-accounts";
    let body = format!(
        r#"{{"username":"etl","projects":[{{"id":{},"role":"admin"}}],"scopes":["export"],"organization_role":"admin"}}"#,
        project.id
    );
    let made = ada.post(base, &body);
    let one = format!("{base}/{}", made.u64("id"));
    assert_eq!(made.str("organization_role"), "admin");
    let changed =
        ada.post(&one, r#"{"scopes":null,"expires":"2040-01-01T00:00:00Z","organization_role":"member"}"#);
    assert_eq!((changed.get("scopes"), changed.str("expires")), (Some(&Json::Null), "2040-01-01T00:00:00Z"));
    let changed = ada.post(&one, r#"{"expires":null}"#);
    assert_eq!((changed.get("expires"), changed.str("organization_role")), (Some(&Json::Null), "member"));
    ada.send("POST", &one, r#"{"scopes":[]}"#).expect_status(400);
    ada.send("POST", &one, r#"{"scopes":["everything"]}"#).expect_status(400);
    let rotated = ada.post(&format!("{one}/rotate"), r#"{"grace":"0"}"#);
    eventually("the new secret counts, the old one no longer", || {
        let status = |secret: &str| forebay.send(&Request::get("/api/app/me").basic("etl", secret)).status;
        (status(rotated.str("token")), status(made.str("token"))) == (200, 401)
    });
    let me = forebay.send(&Request::get("/api/app/me").basic("etl", rotated.str("token")));
    assert_eq!(results(&me, 200).str("user_name"), "etl");
}
