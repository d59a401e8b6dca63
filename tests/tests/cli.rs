//! The command line on a running server: what it changes comes into force there, what it shows is what is there, and
//! what it refuses it explains.

use std::fs;

use forebay_tests::{Forebay, Json, Output, Project, Request, Setup, cli, event, eventually, wire};

fn id(project: &Project) -> String {
    project.id.to_string()
}

/// The status of an export with that secret.
fn export_status(forebay: &Forebay, secret: &str) -> u16 {
    let target = "/api/2.0/export?from_date=2026-01-01&to_date=2026-01-01";
    forebay.send(&Request::get(target).basic(secret, "")).status
}

#[test]
fn a_team_can_bring_an_existing_projects_credentials() {
    let forebay = Forebay::start();
    let (token, key) = ("0123456789abcdef0123456789abcdef", "00000000000000000000000000000001");
    let secret = "00000000000000000000000000000002";
    let given =
        ["--name", "Brought", "--id", "4711", "--token", token, "--api-key", key, "--api-secret", secret];
    let project = forebay.create_project_with(&given);
    assert_eq!((project.id, &*project.name, &*project.token), (4711, "Brought", token));
    assert_eq!((&*project.api_key, &*project.api_secret), (key, secret));
    forebay.track(&event(token, "Hello", "me")).expect(200, "1");
    assert_eq!(forebay.export(&project).len(), 1);
    let imported = event("whatever", "Imported", "me");
    forebay.send(&Request::post(&format!("/import?api_key={key}"), imported)).expect(200, "1");
    assert_eq!(forebay.export(&project).len(), 2);
    let shown = forebay.cli(&["project", "show", "4711"]).text();
    assert!(!shown.contains(secret), "secrets are shown once: {shown}");
}

#[test]
fn changes_to_a_project_are_in_force_in_the_running_server() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let send =
        || forebay.send(&Request::post("/track?verbose=1", event(&project.token, "Hello", "me"))).json();
    assert_eq!(send().u64("status"), 1);

    forebay.cli(&["project", "disable", &id(&project)]);
    eventually("a disabled project refuses", || send().u64("status") == 0);
    assert!(!send().str("error").is_empty());
    forebay.cli(&["project", "enable", &id(&project)]);
    eventually("an enabled project accepts", || send().u64("status") == 1);

    forebay.cli(&["project", "rename", &id(&project), "Store"]);
    assert!(forebay.cli(&["project", "list"]).text().contains("Store"));

    let reset = forebay.cli(&["project", "reset-secret", &id(&project), "--json"]).json();
    eventually("the new secret reads", || export_status(&forebay, reset.str("api_secret")) == 200);
    assert_eq!(export_status(&forebay, &project.api_secret), 401, "the old secret does not");

    forebay.cli(&["project", "add-token", &id(&project), "second-token"]);
    let by_second = || forebay.send(&Request::post("/track", event("second-token", "Hello", "me")));
    eventually("the added token is the project's", || {
        by_second().expect(200, "1");
        let records = forebay.records();
        records.last().is_some_and(|_| {
            records.iter().any(|r| {
                r.str("token") == "second-token"
                    && r.get("project_id").and_then(Json::as_u64) == Some(project.id)
            })
        })
    });
}

#[test]
fn unclaimed_events_become_a_projects_when_it_is_created_with_their_token() {
    let forebay = Forebay::start();
    for i in 0..3 {
        forebay.track(&event("nobodys-token", "Early", &format!("user-{i}"))).expect(200, "1");
    }
    let unclaimed = forebay.cli(&["log", "cat", "--json", "--unclaimed"]).lines();
    assert_eq!(unclaimed.len(), 3);
    assert!(
        unclaimed
            .iter()
            .all(|r| r.get("project_id") == Some(&Json::Null) && r.str("token") == "nobodys-token")
    );
    let project = forebay.create_project_with(&["--name", "Late", "--token", "nobodys-token"]);
    forebay.track(&event("nobodys-token", "Later", "user-9")).expect(200, "1");
    let names: Vec<_> = forebay.export(&project).iter().map(|e| e.str("event").to_owned()).collect();
    assert_eq!(names.iter().filter(|n| *n == "Early").count(), 3, "{names:?}");
    assert_eq!(names.len(), 4);
    assert_eq!(forebay.cli(&["log", "cat", "--json", "--project", &id(&project)]).lines().len(), 4);
}

#[test]
fn strict_tokens_refuse_what_belongs_to_no_project_and_say_so() {
    let forebay = Setup::new().arg("--strict-tokens").start();
    forebay.track(&event("nobodys-token", "Refused", "me")).expect(200, "0");
    let verbose =
        forebay.send(&Request::post("/track?verbose=1", event("nobodys-token", "Refused", "me"))).json();
    assert_eq!(verbose.u64("status"), 0);
    assert!(!verbose.str("error").is_empty());
    assert!(forebay.records().is_empty());
    let accounts = forebay.accounts();
    assert_eq!((accounts.received, accounts.rejected), (2, 2));
}

#[test]
fn a_service_account_reads_and_imports_until_it_is_deleted() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let (name, secret) = ("robot.1a2b3c.mp-service-account", "a-secret-of-its-own");
    let args = [
        "service-account",
        "create",
        "--username",
        name,
        "--secret",
        secret,
        "--project",
        &id(&project),
        "--json",
    ];
    forebay.cli(&args);
    forebay.wait_for_account(name, secret, &id(&project));
    let import = Request::post(&format!("/import?project_id={}", project.id), event("x", "Imported", "me"));
    forebay.send(&import.clone().basic(name, secret)).expect(200, "1");
    assert_eq!(forebay.export(&project).len(), 1);
    forebay.send(&import.clone().basic(name, "wrong")).expect_status(401);
    let list = forebay.cli(&["service-account", "list"]).text();
    assert!(list.contains(name) && !list.contains(secret), "{list}");
    forebay.cli(&["service-account", "delete", name]);
    eventually("the account is gone", || forebay.send(&import.clone().basic(name, secret)).status == 401);
}

#[test]
fn a_lookup_table_is_replaced_whole_and_listed() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let made = forebay
        .cli(&["lookup-table", "create", "--project", &id(&project), "--name", "Plans", "--json"])
        .json();
    let target = format!("/lookup-tables/{}", made.str("id"));
    let put = |csv: &str| {
        let request =
            Request::new("PUT", &target).basic(&project.api_secret, "").header("Content-Type", "text/csv");
        forebay.send(&request.body(csv))
    };
    eventually("the table is known", || put("key,name\n1,Free\n2,Pro\n").status == 200);
    put("key,name\n1,Free\n1,Twice\n").expect_status(400);
    let listed = forebay.cli(&["lookup-table", "list", "--json"]).lines();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].to_string().contains("Plans"));
    let records = forebay.cli(&["log", "cat", "--json", "--kind", "lookup"]).lines();
    assert!(!records.is_empty(), "the log names the file");
}

#[test]
fn refusals_are_kept_with_reason_and_sample_and_the_books_balance() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let good = event(&project.token, "Good", "me");
    let nameless = event(&project.token, "", "the-nameless-one");
    let ignored = good.replace("\"distinct_id\"", "\"$ignore\":true,\"distinct_id\"");
    forebay.track(&format!("[{good},{nameless},{ignored},{good}]")).expect(200, "1");
    forebay.track("{no json").expect(200, "0");
    let accounts = forebay.accounts();
    assert_eq!((accounts.stored, accounts.dropped), (2, 1), "{accounts}");
    eventually("the books are on disk", || {
        let stats = forebay.cli(&["stats", "--json"]).json();
        stats.at("totals.stored").and_then(Json::as_u64) == Some(2)
            && stats.at("totals.received").and_then(Json::as_u64) == Some(accounts.received)
    });
    let stats = forebay.cli(&["stats", "--json"]).json();
    let sum = |key: &str| -> u64 {
        let reasons =
            stats.get("totals").and_then(|t| t.get(key)).and_then(Json::as_object).expect("reasons");
        reasons.values().filter_map(Json::as_u64).sum()
    };
    assert_eq!((sum("rejected"), sum("dropped")), (accounts.rejected, accounts.dropped), "{stats}");
    let rejects = forebay.cli(&["rejects", "--project", &id(&project), "--json"]).lines();
    assert!(
        rejects.iter().any(|r| r.str("sample").contains("the-nameless-one") && !r.str("reason").is_empty()),
        "{rejects:?}"
    );
    let people = forebay.cli(&["rejects"]).text();
    assert!(people.contains("the-nameless-one"), "{people}");
}

#[test]
fn an_export_to_a_file_is_what_the_api_gives() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let events: Vec<_> =
        (0..500).map(|i| event(&project.token, ["A", "B"][i % 2], &format!("user-{i}"))).collect();
    forebay.track(&format!("[{}]", events.join(","))).expect(200, "1");
    let mut by_api = forebay.export(&project);
    by_api.sort();
    let today = forebay_tests::day(0);
    let dir = tempfile::tempdir().expect("making a directory");
    let file = dir.path().join("events.ndjson.gz");
    let (project_id, path) = (id(&project), file.display().to_string());
    let export = [
        "export",
        "--project",
        &project_id,
        "--from-date",
        "2026-01-01",
        "--to-date",
        &today,
        "--time-in-ms",
    ];
    forebay.cli(&[&export[..], &["--out", &path, "--gzip"]].concat());
    let text = wire::gunzip(&fs::read(&file).expect("reading the export")).expect("it is gzip");
    let mut by_cli = Json::lines(text);
    by_cli.sort();
    assert_eq!(by_cli, by_api);
    assert_eq!(forebay.cli(&[&export[..], &["--event", "B"]].concat()).lines().len(), 250);
    assert_eq!(forebay.cli(&[&export[..], &["--limit", "7"]].concat()).lines().len(), 7);
}

#[test]
fn a_registry_goes_to_another_node_and_works_there() {
    let first = Forebay::start();
    let project = first.create_project("Shop");
    first.cli(&[
        "service-account",
        "create",
        "--username",
        "robot",
        "--secret",
        "s3cret-s3cret",
        "--project",
        &id(&project),
    ]);
    let dir = tempfile::tempdir().expect("making a directory");
    let file = dir.path().join("registry.json").display().to_string();
    first.cli(&["project", "export", "--out", &file]);
    let second = Forebay::start();
    second.cli(&["project", "import", &file]);
    second.wait_until_known(&project);
    second.wait_for_account("robot", "s3cret-s3cret", &id(&project));
    second.track(&event(&project.token, "Hello", "me")).expect(200, "1");
    assert_eq!(second.export(&project).len(), 1);
    let again = second.cli(&["project", "import", &file, "--json"]).json().to_string();
    assert!(again.contains("\"projects_created\":0"), "importing twice changes nothing: {again}");
}

#[test]
fn the_log_is_read_from_a_position_by_project_and_checked_while_the_server_runs() {
    let forebay = Forebay::start();
    let (shop, blog) = (forebay.create_project("Shop"), forebay.create_project("Blog"));
    for i in 0..10 {
        forebay.track(&event(&shop.token, "S", &i.to_string())).expect(200, "1");
        forebay.track(&event(&blog.token, "B", &i.to_string())).expect(200, "1");
    }
    let all = forebay.records();
    assert_eq!(all.len(), 20);
    for project in [&shop, &blog] {
        let ours = forebay.cli(&["log", "cat", "--json", "--project", &id(project)]).lines();
        assert_eq!(ours.len(), 10);
        let from = format!("{}:{}", ours[6].u64("lane"), ours[6].u64("seq"));
        let rest = forebay.cli(&["log", "cat", "--json", "--project", &id(project), "--from", &from]).lines();
        let wanted: Vec<_> = ours.iter().filter(|r| r.u64("lane") == ours[6].u64("lane")).cloned().collect();
        assert_eq!(rest[..], wanted[6..]);
    }
    forebay.cli(&["log", "verify"]);
    forebay.cli(&["log", "stats", "--json"]).json();
    let health = format!("{}/health/ready", forebay.url());
    forebay.cli(&["health", "--url", &health]);
}

/// Commands on an empty or used directory that must fail, with what they must say.
#[test]
fn what_is_refused_is_explained() {
    let forebay = Forebay::start();
    let project = forebay.create_project_with(&["--name", "Shop", "--id", "77", "--token", "taken-token"]);
    let taken = ["--token", "taken-token"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["project", "create", taken[0], taken[1]], &["taken-token", "77"]),
        (&["project", "create", "--id", "77"], &["77"]),
        (&["project", "create", "--id", "0"], &["0"]),
        (&["project", "create", "--token", ""], &["token"]),
        (&["project", "show", "78"], &["78"]),
        (&["project", "disable", "many"], &["many"]),
        (&["project", "import", "/nowhere/registry.json"], &["/nowhere/registry.json"]),
        (
            &[
                "service-account",
                "create",
                "--username",
                "a",
                "--secret",
                "secret-secret",
                "--project",
                "999",
            ],
            &["999"],
        ),
        (&["service-account", "delete", "nobody"], &["nobody"]),
        (&["lookup-table", "create", "--project", "999", "--name", "x"], &["999"]),
        (
            &["export", "--project", "77", "--from-date", "soon", "--to-date", "2026-01-01"],
            &["soon", "YYYY-MM-DD"],
        ),
        (&["export", "--project", "999", "--from-date", "2026-01-01", "--to-date", "2026-01-01"], &["999"]),
        (&["export"], &["which of 2 projects", "--project ID"]),
        (&["export", "--project", "77", "--out", "/nowhere/out.json"], &["/nowhere/out.json"]),
        (&["stats", "--project", "999"], &["999", "project list"]),
        (&["stats", "--from", "nonsense"], &["nonsense", "2026-11-01"]),
        (&["stats", "--from", "2026-11-02", "--to", "2026-11-01"], &["--from 2026-11-02", "--to 2026-11-01"]),
        (&["rejects", "--project", "999"], &["999", "project list"]),
        (&["bench", "disk", "--dir", "/proc", "--run-ms", "1"], &["/proc"]),
        (&["health", "--url", "http://127.0.0.1:1/"], &["127.0.0.1:1", "--url"]),
        (&["log", "cat", "--from", "nonsense"], &["nonsense"]),
        (&["log", "repair"], &["another process", "stop it"]),
        (&["serve", "--listen", "127.0.0.1:0"], &["another process", "lock"]),
        (&["nonsense"], &["nonsense"]),
    ];
    for (args, says) in cases {
        forebay.try_cli(args).failure(says);
    }
    assert_eq!(forebay.export(&project).len(), 0, "the server runs on");
}

#[test]
fn a_bad_configuration_is_named_with_value_and_remedy() {
    let cases = [
        ("nonsense = 1", vec!["nonsense"]),
        ("[http.limits]\nbody_bytes_max = 3", vec!["http.limits.body_bytes_max", "3", "1024"]),
        ("[http]\ntrusted_proxies = [\"10.0.0.0/99\"]", vec!["http.trusted_proxies", "10.0.0.0/99"]),
        ("listen = \"nowhere\"", vec!["listen", "nowhere", "127.0.0.1:8080"]),
        ("[http", vec!["forebay.toml", "1"]),
    ];
    for (toml, says) in cases {
        let failed = match Setup::new().config(toml).try_start() {
            Ok(_) => panic!("it started with {toml:?}"),
            Err(failed) => failed,
        };
        for part in says {
            assert!(failed.stderr.contains(part), "{toml:?}: no {part:?} in {}", failed.stderr);
        }
        assert!(!failed.stderr.contains("panicked"), "{}", failed.stderr);
    }
}

#[test]
fn a_directory_that_is_none_is_named() {
    let empty = tempfile::tempdir().expect("making a directory");
    let nowhere = empty.path().join("missing");
    let check = |args: &[&str]| -> Output { cli::run(&nowhere, args).failure(&["missing"]) };
    check(&["project", "list"]);
    check(&["log", "cat"]);
    check(&["log", "verify"]);
    check(&["stats"]);
    assert!(!nowhere.exists(), "asking makes nothing");
}

#[test]
fn a_wrong_document_is_named_and_leaves_no_directory_behind() {
    let folder = tempfile::tempdir().expect("making a directory");
    let (document, nowhere) = (folder.path().join("wrong.json"), folder.path().join("missing"));
    for wrong in ["", "nonsense", "{}", "[]", r#"{"forebay_registry":1,"projects":[{"id":"x"}]}"#] {
        fs::write(&document, wrong).expect("writing a document");
        let path = document.display().to_string();
        cli::run(&nowhere, &["project", "import", &path]).failure(&["wrong.json", "forebay project export"]);
        assert!(!nowhere.exists(), "made for {wrong:?}");
    }
}

#[test]
fn a_data_directory_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("making a directory");
    let mode = |of: &std::path::Path| fs::metadata(of).expect("it was made").permissions().mode() & 0o777;
    let by_command = folder.path().join("command");
    cli::run(&by_command, &["project", "create"]).success();
    let by_server = folder.path().join("server");
    let _server = Setup::new().data_dir(&by_server).start();
    assert_eq!((mode(&by_command), mode(&by_server)), (0o700, 0o700));
}
