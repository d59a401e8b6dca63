//! What is answered, stored and counted, over real sockets.

mod harness;

use forebay_route::{AdmissionLimits, ClientAddress, Reason, Rule};
use forebay_tests::{Json, Request, wire};
use harness::{Harness, OTHER_PROJECT, OTHER_TOKEN, PROJECT, SECRET, TOKEN, event};
use std::{sync::Arc, time::Duration};

const ORIGIN: (&str, &str) = ("Origin", "https://shop.example");

fn list(events: &[String]) -> String {
    format!("[{}]", events.join(","))
}

#[test]
fn a_request_for_several_projects_is_routed_record_by_record() {
    let mut harness = Harness::start(|_| {});
    let body = list(&[event(TOKEN, "a"), event(OTHER_TOKEN, "b"), event("nobody's", "c"), event(TOKEN, "d")]);
    harness.ask(&Request::post("/track", body)).expect(200, "1");
    let stored = harness.stored();
    let mut got: Vec<_> = stored
        .iter()
        .map(|r| (r.get("project_id").and_then(Json::as_u64), r.at("record.event").unwrap().to_string()))
        .collect();
    got.sort();
    let want =
        [(None, "\"c\""), (Some(PROJECT), "\"a\""), (Some(PROJECT), "\"d\""), (Some(OTHER_PROJECT), "\"b\"")];
    assert_eq!(got, want.map(|(p, e)| (p, e.to_owned())));
    let unknown = harness.collector.ledger.unknown_tokens(9);
    assert_eq!((&*unknown[0].token, unknown[0].events), (&b"nobody's"[..], 1));
    assert_eq!(harness.books().stored, 4);
    harness.finish();
}

#[test]
fn what_is_refused_is_counted_with_its_reason_and_kept_as_a_sample() {
    let harness = Harness::start(|_| {});
    let body = list(&[
        event(TOKEN, "good"),
        event(TOKEN, ""),
        event("", "no token"),
        format!(r#"{{"event":"i","properties":{{"token":"{TOKEN}","$ignore":true}}}}"#),
    ]);
    harness.ask(&Request::post("/track", body)).expect(200, "1");
    harness.ask(&Request::post("/track?verbose=1", "not json at all")).expect_status(200);
    harness.ask(&Request::post("/import?strict=1", list(&[event(TOKEN, "x")]))).expect_status(401);
    let books = harness.books();
    assert_eq!((books.received, books.stored), (6, 1));
    assert_eq!(books.dropped[&Rule::Ignored], 1);
    let rejected = |reason| books.rejected.get(&reason).copied().unwrap_or(0);
    assert_eq!(rejected(Reason::EventMissing), 1);
    assert_eq!(rejected(Reason::TokenMissing), 1);
    assert_eq!(rejected(Reason::Unauthorized), 1);
    assert_eq!(books.rejected_total(), 4);
    let refusals = harness.collector.ledger.refusals_since(0);
    assert_eq!(refusals.len(), 4);
    let first = &refusals[0];
    assert_eq!(
        (first.reason, first.owner.project().map(|p| p.as_u64())),
        (Reason::EventMissing, Some(PROJECT))
    );
    assert!(first.sample.contains(r#""event":"""#), "{first:?}");
    harness.finish();
}

#[test]
fn strict_tokens_and_disabled_projects_answer_0_with_the_reason() {
    let mut harness = Harness::start(|setup| setup.http.strict_tokens = true);
    harness.ask(&Request::post("/track", event("unknown", "a"))).expect(200, "0");
    let answer = harness.ask(&Request::post("/track?verbose=1", event("unknown", "a")));
    answer.expect(200, r#"{"error":"token, it belongs to no project","status":0}"#);
    harness.change_project(PROJECT, |settings| settings.accepts_events = false);
    let answer = harness.ask(&Request::post("/track?verbose=1", event(TOKEN, "a")));
    answer.expect(200, r#"{"error":"the project does not accept events","status":0}"#);
    let import = Request::post("/import?strict=1", list(&[import_event()])).basic(SECRET, "");
    harness.ask(&import).expect_status(403);
    let both = list(&[event(TOKEN, "refused"), event(OTHER_TOKEN, "kept")]);
    harness.ask(&Request::post("/track", both)).expect(200, "1");
    assert_eq!(harness.stored().len(), 1);
    let books = harness.books();
    assert_eq!(books.rejected[&Reason::UnknownToken], 2);
    assert_eq!(books.rejected[&Reason::ProjectDisabled], 3);
    assert_eq!(harness.collector.ledger.unknown_tokens(9)[0].events, 2);
    harness.finish();
}

fn import_event() -> String {
    let time = 1_700_000_000;
    format!(r#"{{"event":"i","properties":{{"time":{time},"distinct_id":"u","$insert_id":"abc-1"}}}}"#)
}

#[test]
fn the_clients_address_is_kept_where_asked_and_allowed() {
    let trusted = forebay_http::TrustedProxies::parse(&["127.0.0.1"]).unwrap();
    let mut harness = Harness::start(|setup| setup.http.trusted_proxies = trusted);
    harness.change_project(OTHER_PROJECT, |settings| settings.client_address = ClientAddress::Drop);
    for (token, query, kept) in [
        (TOKEN, "?ip=1", Some("8.8.8.8")),
        (TOKEN, "?ip=0", None),
        (TOKEN, "", None),
        (OTHER_TOKEN, "?ip=1", None),
        ("unclaimed", "?ip=1", None),
    ] {
        let request = Request::post(&format!("/track{query}"), event(token, "a"));
        harness.ask(&request.header("X-Forwarded-For", "10.0.0.7, 8.8.8.8, 9.9.9.9")).expect(200, "1");
        let stored = harness.stored();
        assert_eq!(stored[0].get("client_ip").and_then(Json::as_str), kept, "{token} {query}");
    }
    harness.change_project(PROJECT, |settings| settings.client_address = ClientAddress::Mask);
    let masked = Request::post("/track?ip=1", event(TOKEN, "a")).header("X-Forwarded-For", "8.8.8.8");
    harness.ask(&masked).expect(200, "1");
    assert_eq!(harness.stored()[0].get("client_ip").and_then(Json::as_str), Some("8.8.8.0"));
    harness.finish();
}

#[test]
fn a_project_that_names_origins_answers_0_to_pages_of_others_and_counts_them() {
    let mut harness = Harness::start(|_| {});
    harness.change_project(PROJECT, |settings| {
        settings.allowed_origins = ["https://shop.example".into()].into();
    });
    let from = |origin: &str| Request::post("/track?verbose=1", event(TOKEN, "a")).header("Origin", origin);
    harness.ask(&from("https://shop.example")).expect(200, r#"{"error":null,"status":1}"#);
    let refused = r#"{"error":"the project does not accept events from that origin","status":0}"#;
    harness.ask(&from("https://elsewhere.example")).expect(200, refused);
    harness.ask(&Request::post("/track", event(TOKEN, "a"))).expect(200, "1");
    let other =
        Request::post("/track", event(OTHER_TOKEN, "a")).header("Origin", "https://elsewhere.example");
    harness.ask(&other).expect(200, "1");
    assert_eq!(harness.stored().len(), 3);
    assert_eq!(harness.books().rejected[&Reason::OriginNotAllowed], 1);
    harness.finish();
}

#[test]
fn every_answer_to_an_origin_can_be_read_by_its_scripts() {
    let harness = Harness::start(|setup| setup.http.limits.body_bytes_max = 2000);
    let ok = event(TOKEN, "a");
    for (request, status) in [
        (Request::post("/track", ok.as_str()), 200),
        (Request::post("/track", "rubbish"), 200),
        (Request::post("/track", "x".repeat(3000)), 413),
        (Request::post("/track", ok.as_str()).header("Content-Encoding", "br"), 415),
        (Request::post("/import", ok.as_str()), 401),
        (Request::post("/record", "x"), 401),
        (Request::post("/nowhere", ok.as_str()), 404),
        (Request::new("DELETE", "/track"), 405),
        (Request::get("/lookup-tables"), 401),
        (Request::get("/settings"), 200),
        (Request::get("/flags"), 200),
        (Request::new("OPTIONS", "/nowhere"), 204),
    ] {
        let answer = harness.ask(&request.header(ORIGIN.0, ORIGIN.1));
        answer.expect_status(status);
        assert_eq!(answer.header_all("access-control-allow-origin"), [ORIGIN.1], "{answer:?}");
        assert_eq!(answer.header_all("access-control-allow-credentials"), ["true"]);
        assert_eq!(answer.header_all("access-control-expose-headers"), ["Retry-After"]);
        assert_eq!(answer.header_all("vary"), ["Origin"]);
    }
    let plain = harness.ask(&Request::post("/track", ok));
    assert_eq!(plain.header("access-control-allow-origin"), None);
    harness.finish();
}

#[test]
fn without_room_the_answer_is_503_and_the_connection_goes_on() {
    let limits = AdmissionLimits { server_bytes: 1 << 20, lane_bytes: 1 << 20, project_bytes: 600 };
    let slow = Duration::from_millis(300);
    let harness = Harness::start(|setup| {
        setup.admission = limits;
        setup.log.flush_delay = slow;
    });
    let large = |name: &str| event(TOKEN, &format!("{name}{}", "x".repeat(400)));
    let mut first = harness.connect();
    first.send(&Request::post("/track", large("a")).bytes()).unwrap();
    std::thread::sleep(slow / 3);
    let mut second = harness.connect();
    let request = Request::post("/track", large("b")).header(ORIGIN.0, ORIGIN.1);
    let answer = second.ask(&request).unwrap();
    answer.expect_status(503);
    assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some(ORIGIN.1));
    first.read().unwrap().unwrap().expect(200, "1");
    second.ask(&request).unwrap().expect(200, "1");
    let books = harness.books();
    assert_eq!((books.stored, books.rejected[&Reason::Overloaded]), (2, 1));
    drop((first, second));
    harness.finish();
}

#[test]
fn a_batch_without_room_for_one_of_its_projects_is_not_stored_at_all() {
    let limits = AdmissionLimits { server_bytes: 1 << 20, lane_bytes: 1 << 20, project_bytes: 600 };
    let slow = Duration::from_millis(300);
    let mut harness = Harness::start(|setup| {
        setup.admission = limits;
        setup.log.flush_delay = slow;
    });
    let large = event(TOKEN, &"x".repeat(400));
    let mut first = harness.connect();
    first.send(&Request::post("/track", large.as_str()).bytes()).unwrap();
    std::thread::sleep(slow / 3);
    let both = list(&[event(OTHER_TOKEN, "fits"), large]);
    harness.ask(&Request::post("/track", both)).expect_status(503);
    first.read().unwrap().unwrap().expect(200, "1");
    assert_eq!(harness.stored().len(), 1);
    drop(first);
    harness.finish();
}

#[test]
fn a_body_over_the_limit_is_read_away_and_the_connection_goes_on() {
    let harness = Harness::start(|setup| setup.http.limits.body_bytes_max = 10_000);
    let mut connection = harness.connect();
    connection.ask(&Request::post("/track", "x".repeat(200_000))).unwrap().expect_status(413);
    let chunk = format!("{:x}\r\n{}\r\n", 20_000, "y".repeat(20_000));
    let chunked =
        format!("POST /import HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    connection.send(chunked.as_bytes()).unwrap();
    let answer = connection.read().unwrap().unwrap();
    answer.expect(
        413,
        r#"{"code":413,"error":"request exceeds max limit of 10000 bytes","status":"Request Entity Too Large"}"#,
    );
    connection.ask(&Request::post("/track", event(TOKEN, "a"))).unwrap().expect(200, "1");
    assert_eq!(harness.books().rejected[&Reason::BodyTooLarge], 2);
    drop(connection);
    harness.finish();
}

#[test]
fn a_replay_is_stored_as_it_is_with_its_query() {
    let mut harness = Harness::start(|_| {});
    let query = "replay_id=r1&seq=0&format=body";
    let request = Request::post(&format!("/record/?{query}"), "[{\"type\":4}]").basic(TOKEN, "");
    harness.ask(&request).expect(200, r#"{"code":200,"status":"OK"}"#);
    let stored = harness.stored();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].str("record"), "[{\"type\":4}]");
    assert_eq!(stored[0].str("meta"), query);
    assert_eq!(stored[0].u64("project_id"), PROJECT);
    assert_eq!(harness.books().stored, 1);
    harness.finish();
}

#[test]
fn a_lookup_table_is_replaced_whole_and_the_log_names_its_file() {
    let mut harness = Harness::start(|_| {});
    let id = "55b4fb2b-e8de-466c-930f-8b36640b9b5e";
    let project = forebay_record::ProjectId::new(PROJECT).unwrap();
    harness.control.create_lookup_table(project, "Accounts", Some(id)).unwrap();
    let put = |csv: &str, user: &str| {
        let request = Request::new("PUT", &format!("/lookup-tables/{id}")).basic(user, "");
        harness.ask(&request.body(csv))
    };
    put("id,name\nk1,v1\n", TOKEN).expect_status(401);
    let refused = put("id,name\nk1,v1\nk1,v2\n", SECRET);
    refused.expect_status(400);
    assert_eq!(refused.json().get("failed_records").and_then(Json::as_array).unwrap().len(), 1);
    put("id,name\nk1,v1\nk2,v2\n", SECRET).expect(200, r#"{"code":200,"status":"OK"}"#);
    let gzipped = Request::new("PUT", &format!("/lookup-tables/{id}")).basic(SECRET, "");
    harness.ask(&gzipped.body(wire::gzip(b"id,name\nk1,v1\n"))).expect_status(200);
    let stored = harness.stored();
    assert_eq!(stored.len(), 2);
    let named = harness.dir().join(stored[1].at("record.path").unwrap().as_str().unwrap());
    assert_eq!(std::fs::read(named).unwrap(), b"id,name\nk1,v1\n");
    let listed = harness.ask(&Request::get("/lookup-tables").basic(SECRET, ""));
    listed.expect(
        200,
        &format!(r#"{{"code":200,"status":"OK","results":[{{"id":"{id}","name":"Accounts"}}]}}"#),
    );
    harness.finish();
}

#[test]
fn health_and_metrics_are_for_this_machine_or_for_the_admin_listener() {
    let harness = Harness::start(|_| {});
    harness.ask(&Request::get("/health/live")).expect(200, "live\n");
    harness.ask(&Request::get("/health/ready")).expect(200, "ready\n");
    harness.ask(&Request::post("/track", event(TOKEN, "a"))).expect(200, "1");
    let forwarded = Request::get("/metrics").header("X-Forwarded-For", "8.8.8.8");
    harness.ask(&forwarded).expect_status(404);
    let metrics = forebay_tests::Metrics::parse(&harness.ask(&Request::get("/metrics")).text());
    let accounts = metrics.accounts();
    assert_eq!((accounts.received, accounts.stored, accounts.unaccounted), (1, 1, 0));
    assert_eq!(
        metrics.find("forebay_http_answers_total", &[("endpoint", "track"), ("status", "200")]),
        Some(1.0)
    );
    let all = metrics.find("forebay_log_flush_seconds_bucket", &[("le", "+Inf")]);
    assert_eq!(all, Some(metrics.sum("forebay_log_flush_seconds_count")), "the last bucket holds all");
    harness.finish();

    let admin = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let harness = Harness::start(|setup| setup.http.admin_listen = admin);
    harness.ask(&Request::get("/metrics")).expect_status(404);
    harness.ask(&Request::get("/health/ready")).expect_status(404);
    let on_admin = |path: &str| wire::exchange(harness.admin_addr(), &Request::get(path).bytes()).unwrap();
    on_admin("/health/ready").expect(200, "ready\n");
    on_admin("/metrics").expect_status(200);
    on_admin("/track").expect_status(404);
    harness.finish();
}

#[test]
fn no_answer_leaves_before_the_flush() {
    let flush = Duration::from_millis(250);
    let harness = Harness::start(|setup| setup.log.flush_delay = flush);
    let lookup = "55b4fb2b-e8de-466c-930f-8b36640b9b5e";
    let project = forebay_record::ProjectId::new(PROJECT).unwrap();
    harness.control.create_lookup_table(project, "Accounts", Some(lookup)).unwrap();
    for request in [
        Request::post("/track", event(TOKEN, "a")),
        Request::post("/track?img=1", event("unclaimed", "a")),
        Request::post("/track", list(&[event(TOKEN, "a"), event(OTHER_TOKEN, "b")])),
        Request::post("/engage", format!(r#"{{"$token":"{TOKEN}","$distinct_id":"u","$set":{{}}}}"#)),
        Request::post("/import?strict=1", list(&[import_event()])).basic(SECRET, ""),
        Request::post("/record?replay_id=r", "[]").basic(TOKEN, ""),
        Request::new("PUT", &format!("/lookup-tables/{lookup}")).basic(SECRET, "").body("id,name\nk,v\n"),
    ] {
        let asked = std::time::Instant::now();
        harness.ask(&request).expect_status(200);
        assert!(asked.elapsed() >= flush, "answered within {:?}", asked.elapsed());
    }
    // Nothing to store: nothing to wait for, as one of several shows also where the machine pauses.
    let soon = (0..20).any(|_| {
        let asked = std::time::Instant::now();
        harness.ask(&Request::post("/track", "rubbish")).expect(200, "0");
        asked.elapsed() < flush
    });
    assert!(soon, "what is not stored waits for a flush");
    harness.finish();
}

#[test]
fn receive_times_are_the_clocks() {
    let mut harness = Harness::start(|setup| setup.clock = Arc::new(|| 1_760_000_000_123));
    harness.ask(&Request::post("/track", event(TOKEN, "a"))).expect(200, "1");
    assert_eq!(harness.stored()[0].u64("received_at_ms"), 1_760_000_000_123);
    harness.finish();
}

#[test]
fn a_log_that_cannot_store_answers_503_turns_readiness_red_and_heals() {
    let mut harness = Harness::start(|setup| {
        setup.log.lanes = 1;
        (setup.log.segment_bytes_min, setup.log.segment_bytes_max) = (64 << 10, 64 << 10);
    });
    // The lane's folder goes away: what is open can still be used up, and then nothing can be stored.
    let lane = harness.dir().join("log/0000");
    let away = harness.dir().join("log/away");
    let request = Request::post("/track", event(TOKEN, &"x".repeat(8000))).header(ORIGIN.0, ORIGIN.1);
    let (mut accepted, mut refused) = (0, 0);
    harness.ask(&request).expect(200, "1");
    std::fs::rename(&lane, &away).unwrap();
    forebay_tests::eventually("readiness is red, and says why", || {
        let answer = harness.ask(&request);
        if answer.status == 200 {
            accepted += 1;
        } else {
            refused += 1;
            answer.expect_status(503);
            assert_eq!(answer.header("retry-after").as_deref(), Some("2"));
            assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some(ORIGIN.1));
        }
        let ready = harness.ask(&Request::get("/health/ready"));
        ready.status == 503 && ready.text().contains("lane 0 cannot store")
    });
    harness.ask(&Request::get("/settings")).expect_status(200);
    std::fs::rename(&away, &lane).unwrap();
    forebay_tests::eventually("it stores again", || {
        let answer = harness.ask(&request);
        refused += u64::from(answer.status != 200);
        answer.status == 200
    });
    harness.ask(&Request::get("/health/ready")).expect(200, "ready\n");
    assert_eq!(harness.stored().len(), accepted + 2);
    let books = harness.books();
    assert_eq!((books.stored, books.rejected_total()), (accepted as u64 + 2, refused));
    harness.finish();
}
