//! The command line as tools and people write it.

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("forebay").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_contract_is_understood() {
    for line in [
        "serve --json --listen 127.0.0.1:0 --data-dir D",
        "--data-dir D serve --admin-listen 127.0.0.1:1 --strict-tokens --set log.lanes=2 --config f.toml",
        "project create --json --id 1 --name n --token t --api-key k --api-secret s --data-dir D",
        "project list --json",
        "project show 1",
        "project rename 1 n",
        "project set 1 --id-merge simplified --client-address mask --retention-days 0 --timezone UTC --any-origin",
        "project add-token 1 t",
        "project remove-token 1 t",
        "project reset-secret 1",
        "project reset-secret 1 --grace 7d",
        "project retire-token 1 t --at 2027-01-31",
        "project delete 1",
        "project disable 1",
        "project enable 1",
        "project export 1 2 --out f",
        "project import -",
        "service-account create --json --username u --secret s --project 1 --project 2 --data-dir D",
        "service-account list --project 1",
        "service-account delete u",
        "lookup-table create --project 1 --name n --id 55b4fb2b-e8de-466c-930f-8b36640b9b5e",
        "lookup-table list",
        "log verify",
        "log repair --accept-loss",
        "log --json cat --project 1 --project 2 --unclaimed --from 0:5 --from unclaimed:0 --kind record",
        "log cat --json --data-dir D",
        "log tail -f -n 5",
        "log stats",
        "export --project 1 --from-date 2026-01-01 --to-date 2026-01-02 --event a --event b --out f --gzip --limit 5",
        "export",
        "stats --project 1 --from 2026-01-01T00:00:00Z --minutes 5",
        "rejects --project 1 -n 3",
        "bench disk --group-bytes 4096 --backend mapped",
        "bench http --json --load single,batch50 --form json,gzip --connections 100,10000 --rate 500 --plots D",
        "bench http --mix --open 0.7 --followers 2 --idle 100 --beside none --set log.lanes=2 --pin",
        "bench http --url http://127.0.0.1:80/x --pid 1 --beside bare,forebay",
        "bench bare --parse",
        "settings --json",
        "health --url http://127.0.0.1:8080/health/ready",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_place() {
    for (line, part) in [
        ("", "Usage: forebay"),
        ("served", "unrecognized subcommand 'served'"),
        ("bench http --load batch0", "batchN with N up to 2000"),
        ("bench http --open 0", "above 0"),
        ("bench http --seconds 0.01", "from 0.05 to 600"),
        ("bench http --pid 1", "--url"),
        ("log cat --from 5", "position \"5\" is not LANE:SEQ"),
        ("log cat --project x", "invalid value 'x' for '--project <ID>'"),
        ("log cat --project 0", "invalid value '0'"),
        ("service-account create --username u", "--project <ID[=ROLE]>"),
        ("serve --set log.lanes", "it must be KEY=VALUE"),
        ("stats --from yesterday", "or a day such as 2026-11-01"),
        ("project show x", "project \"x\" is not a number from 1"),
        ("project set 1 --retention-days 36501", "36501 is not in"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.to_string().contains(part), "{part} in {error}");
        assert!(line.is_empty() || error.use_stderr());
    }
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.toml");
    std::fs::write(&file, "data_dir = \"from-file\"\n[log]\nlanes = 3\n").unwrap();
    let file = file.to_str().unwrap().to_owned();
    let lanes_and_dir = |line: &str, variables: &[(&str, &str)]| {
        let variables = variables.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        let config =
            Config::from_given(&parse(line).unwrap().common.given_with(variables, Vec::new()).unwrap())
                .unwrap();
        (config.log.lanes, config.data_dir.display().to_string())
    };
    let named = format!("log stats --config {file}");
    assert_eq!(lanes_and_dir(&named, &[]), (3, "from-file".to_owned()));
    assert_eq!(lanes_and_dir("log stats", &[("FOREBAY_CONFIG", &file)]), (3, "from-file".to_owned()));
    let variables = [("FOREBAY_DATA_DIR", "from-env"), ("FOREBAY_LOG_LANES", "4")];
    assert_eq!(lanes_and_dir(&named, &variables), (4, "from-env".to_owned()));
    let flagged = format!("{named} --data-dir from-flag");
    assert_eq!(lanes_and_dir(&flagged, &variables), (4, "from-flag".to_owned()));
}
