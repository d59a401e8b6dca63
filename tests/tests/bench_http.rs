//! `forebay bench http` as a user runs it: servers of its own, and one that already runs. What it measures is not judged;
//! that it measures what it says is.

use std::fs;
use std::path::Path;

use forebay_tests::{Forebay, Json, Output, cli};

/// As small a run as there can be.
const SHORT: [&str; 8] = ["--rounds", "2", "--seconds", "0.2", "--warm-up", "0.05", "--connections", "4"];

fn bench(data_dir: &Path, args: &[&str]) -> Output {
    cli::run(data_dir, &[&["bench", "http"], &SHORT[..], args].concat())
}

fn list<'j>(of: &'j Json, name: &str) -> Vec<&'j Json> {
    let items = of.get(name).and_then(Json::as_array);
    items.unwrap_or_else(|| panic!("no list {name} in {of:?}")).iter().collect()
}

/// The median of a figure of a case.
fn figure(case: &Json, name: &str) -> f64 {
    let median = case.at(&format!("figures.{name}.median")).and_then(Json::as_f64);
    median.unwrap_or_else(|| panic!("no figure {name} in {case:?}"))
}

#[test]
fn a_run_measures_both_servers_balances_its_books_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a folder");
    let (data_dir, plots) = (dir.path().join("data"), dir.path().join("plots"));
    let plots_dir = plots.to_str().expect("a path of UTF-8");
    let args = [
        "--load",
        "single,batch2000",
        "--beside",
        "bare,simd-json",
        "--idle",
        "3",
        "--json",
        "--plots",
        plots_dir,
    ];
    let report = bench(&data_dir, &args).success().json();
    let loads = list(&report, "loads");
    assert_eq!(loads.iter().map(|load| load.str("load")).collect::<Vec<_>>(), ["single", "batch2000"]);
    for load in loads {
        let cases = list(load, "cases");
        let servers: Vec<_> = cases.iter().map(|case| case.str("server")).collect();
        assert_eq!(servers, ["forebay", "bare + simd-json", "bare hyper"]);
        for case in &cases {
            assert_eq!(list(case, "rounds").len(), 2);
            for name in ["requests_per_s", "events_per_s", "cpu_s_per_million_events", "of_bare", "p99_us"] {
                assert!(figure(case, name) > 0.0, "{name} of {case:?}");
            }
        }
        for name in ["flushes_per_s", "kib_per_flush", "committed_bytes_per_byte", "anonymous_mib"] {
            assert!(figure(cases[0], name) > 0.0, "{name} of {:?}", cases[0]);
        }
        let accounts = list(load, "accounts");
        assert_eq!(accounts.len(), 1);
        let acknowledged = accounts[0].u64("acknowledged");
        let counted: u64 = list(cases[0], "rounds").iter().map(|round| round.u64("events")).sum();
        assert!(acknowledged >= counted + 3, "{acknowledged} acknowledged, {counted} of them in rounds");
        assert_eq!((accounts[0].u64("stored"), accounts[0].u64("on_disk")), (acknowledged, acknowledged));
        assert_eq!(list(load, "idle").len(), 3);
    }
    let drawn = fs::read_dir(&plots).expect("plots").count();
    assert_eq!(drawn, 3, "one of costs, one of latency for each load");
    assert!(!data_dir.exists(), "the scratch folder is gone");
}

#[test]
fn the_open_loop_the_forms_many_projects_and_followers_work_together() {
    let dir = tempfile::tempdir().expect("a folder");
    let args = ["--load", "batch3", "--form", "base64,gzip", "--projects", "1,50", "--followers", "1"];
    let args = [&args[..], &["--rate", "50", "--beside", "none", "--json"]].concat();
    let report = bench(dir.path(), &args).success().json();
    let loads = list(&report, "loads");
    assert_eq!(loads.iter().map(|load| load.str("form")).collect::<Vec<_>>(), ["base64", "gzip"]);
    for load in loads {
        let cases = list(load, "cases");
        let told: Vec<_> = cases.iter().map(|case| (case.u64("projects"), case.u64("followers"))).collect();
        assert_eq!(told, [(1, 0), (1, 1), (50, 0), (50, 1)]);
        for case in cases {
            assert!(case.get("offered_per_s").and_then(Json::as_f64).is_some_and(|rate| rate > 49.0));
            assert!(figure(case, "requests_per_s") > 0.0);
        }
    }
}

#[test]
fn a_server_that_already_runs_is_measured_and_left_running() {
    let forebay = Forebay::start();
    let project = forebay.create_project("Shop");
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("http://{}", forebay.addr());
    let args = ["--load", "single", "--url", &url, "--token", &project.token, "--json"];
    let report = bench(dir.path(), &args).success().json();
    let cases = list(list(&report, "loads")[0], "cases");
    assert_eq!(cases.len(), 2);
    assert!(figure(cases[0], "requests_per_s") > 0.0 && figure(cases[0], "flushes_per_s") > 0.0);
    assert!(cases[0].at("figures.cpu_us_per_request") == Some(&Json::Null));
    let records = forebay.records();
    assert!(records.len() > 10 && records.iter().all(|r| r.str("token") == project.token));
}

#[test]
fn a_server_that_refuses_makes_the_run_an_error() {
    let forebay = Forebay::start();
    let dir = tempfile::tempdir().expect("a folder");
    let url = format!("http://{}/nowhere", forebay.addr());
    bench(dir.path(), &["--load", "single", "--url", &url]).failure(&["refused", "404"]);
    bench(dir.path(), &["--load", "single", "--url", "https://x"]).failure(&["http://"]);
    bench(dir.path(), &["--load", "batch9999"]).failure(&["batch9999", "up to 2000"]);
}
