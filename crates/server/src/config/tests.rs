//! Precedence and error texts.

use super::*;
use source::{Origin, Raw};
use std::path::Path;

fn from(key: &str, raw: &str, origin: Origin) -> Given {
    Given { key: key.to_owned(), raw: Raw::Text(raw.to_owned()), origin }
}

fn file(line: usize) -> Origin {
    Origin::File("f.toml".into(), line)
}

#[test]
fn no_setting_at_all_is_a_working_configuration() {
    let config = Config::from_given(&[]).unwrap();
    assert_eq!(
        (config.data_dir.as_path(), config.log.dir.as_path()),
        (Path::new("forebay-data"), Path::new("forebay-data"))
    );
    assert_eq!(config.http.listen, ["127.0.0.1:8080".parse().unwrap()]);
}

#[test]
fn a_later_source_wins() {
    let environment = || Origin::Environment("FOREBAY_LISTEN".into());
    let given = [
        from("listen", "127.0.0.1:1", file(1)),
        from("log.lanes", "3", file(2)),
        from("listen", "127.0.0.1:2", environment()),
        from("listen", "127.0.0.1:3", Origin::Flag("--listen")),
    ];
    for (sources, port) in [(2, 1), (3, 2), (4, 3)] {
        let config = Config::from_given(&given[..sources]).unwrap();
        assert_eq!((config.http.listen[0].port(), config.log.lanes), (port, 3));
    }
}

#[test]
fn values_reach_their_places() {
    let config = Config::from_given(&[
        from("data_dir", "/d", file(1)),
        from("log.flush_linger_us", "2_50", file(1)),
        from("retention.age_days", "2", file(1)),
        from("retention.bytes_max", "0", file(1)),
        from("http.trusted_proxies", "10.0.0.0/8, ::1", file(1)),
        from("http.paths.track", "/track,/t", file(1)),
        from("strict_tokens", "yes", file(1)),
        from("admin_listen", "[::1]:9", file(1)),
        Given { key: "listen".into(), raw: Raw::String("127.0.0.1:5".into()), origin: file(1) },
    ])
    .unwrap();
    assert_eq!(config.http.listen[0].port(), 5, "one text is a list of one");
    assert_eq!(config.log.dir, Path::new("/d"));
    assert_eq!(config.log.linger.as_micros(), 250);
    assert_eq!(config.log.retention.age.unwrap().as_secs(), 2 * 86_400);
    assert_eq!(config.log.retention.bytes, None);
    assert!(config.http.trusted_proxies.contains("10.9.9.9".parse().unwrap()));
    assert!(config.http.paths.find("/t").is_some());
    assert!(config.http.strict_tokens && config.http.admin_listen.is_some());
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_what_is_accepted() {
    let given = |key: &str, raw: Raw| Given { key: key.to_owned(), raw, origin: file(7) };
    for (wrong, text) in [
        (
            given("log.lanes", Raw::Integer("0".into())),
            "log.lanes is 0 (f.toml:7): it must be a whole number from 1 to 1024",
        ),
        (
            given("log.lanes", Raw::Integer("-1".into())),
            "log.lanes is -1 (f.toml:7): it must be a whole number from 1 to 1024",
        ),
        (
            given("log.lanes", Raw::String("4".into())),
            "log.lanes is \"4\" (f.toml:7): it must be a whole number from 1 to 1024",
        ),
        (
            given("strict_tokens", Raw::Integer("1".into())),
            "strict_tokens is 1 (f.toml:7): it must be true or false",
        ),
        (
            given("log.backend", Raw::String("fast".into())),
            "log.backend is \"fast\" (f.toml:7): it must be \"direct\", \"pwrite\" or \"mapped\"",
        ),
        (
            given("http.trusted_proxies", Raw::List(vec!["10/8".into()])),
            "http.trusted_proxies is [\"10/8\"] (f.toml:7): it must be a list of networks such as 10.0.0.0/8 or addresses",
        ),
        (
            from("listen", "8080", Origin::Flag("--listen")),
            "listen is 8080 (--listen): it must be a list of addresses with ports, such as 127.0.0.1:8080 or [::]:8080",
        ),
        (
            from("logging.format", "xml", Origin::Environment("FOREBAY_LOGGING_FORMAT".into())),
            "logging.format is xml (environment variable FOREBAY_LOGGING_FORMAT): it must be \"auto\" (text on a terminal, \
             JSON otherwise), \"text\" or \"json\"",
        ),
        (
            given("retention.bytes_max", Raw::Other("float")),
            "retention.bytes_max is (float) (f.toml:7): it must be a whole number from 0",
        ),
    ] {
        assert_eq!(Config::from_given(&[wrong]).unwrap_err().0, text);
    }
}

#[test]
fn a_project_has_its_share_of_however_many_turns_there_are() {
    for (all, share) in [("2", 1), ("4", 3), ("8", 6), ("1024", 768)] {
        let config = Config::from_given(&[from("export.concurrent_max", all, file(1))]).unwrap();
        assert_eq!(config.queries.project_concurrent_max, share, "of {all}");
    }
}

#[test]
fn contradictions_are_named() {
    for (given, part) in [
        (vec![from("log.segment_bytes_max", "1048576", file(1))], "segment_bytes_max"),
        (
            vec![from("admission.project_bytes_max", "2000000", file(1))],
            "admission.project_bytes_max is 2000000",
        ),
        (vec![from("http.paths.track", "/engage", file(1))], "http.paths."),
        (
            vec![from("export.project_concurrent_max", "8", file(1))],
            "export.project_concurrent_max is 8 and export.concurrent_max 8: one project could take every turn",
        ),
    ] {
        let text = Config::from_given(&given).unwrap_err().0;
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_and_its_section() {
    for (given, parts) in [
        (
            from("log.flush_lingr_us", "1", file(3)),
            &[
                "log.flush_lingr_us (f.toml:3) is not a setting; did you mean log.flush_linger_us?",
                "log.lanes",
                "log.backend",
            ][..],
        ),
        (from("linger", "1", file(3)), &["linger (f.toml:3) is not a setting", "listen"]),
        (
            from("log_lane", "1", Origin::Environment("FOREBAY_LOG_LANE".into())),
            &["FOREBAY_LOG_LANE is not a setting; did you mean FOREBAY_LOG_LANES?", "FOREBAY_LOG_BACKEND"],
        ),
    ] {
        let text = Config::from_given(&[given]).unwrap_err().0;
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

#[test]
fn names_are_distinct_in_the_file_and_in_the_environment() {
    let mut names: Vec<_> = keys::names().into_iter().map(source::variable).collect();
    names.sort();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(keys::all().all(|k| !k.help.is_empty()));
}

#[test]
fn the_operators_manual_has_every_setting_and_its_default() {
    let manual = include_str!("../../../../docs/operating.md");
    let table = manual.split("## Every setting").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let rows: Vec<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(key, rest)| Some((key, rest.split_once(" |")?.0)))
        .collect();
    assert_eq!(rows.iter().map(|(key, _)| *key).collect::<Vec<_>>(), keys::names());
    let unset = format!("{:?}", Config::from_given(&[]).unwrap());
    for (key, default) in rows {
        // What depends on the machine, or is nothing at all, is said in words.
        if default == "none" || default.starts_with("a message") || default.starts_with("one per") {
            continue;
        }
        let value = match default.strip_prefix('`') {
            Some(quoted) => quoted.trim_end_matches('`').trim_matches(['"', '[', ']']),
            None => default.split(' ').next().unwrap(),
        };
        let set = Config::from_given(&[from(key, value, file(1))]).unwrap_or_else(|e| panic!("{e}"));
        let set = format!("{:?}", Config { renamed_paths: Vec::new(), ..set });
        assert_eq!(set, unset, "{key}: the manual says {default}");
    }
}
