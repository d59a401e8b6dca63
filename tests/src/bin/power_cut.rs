//! The processes of the power cut tests, and those tests by hand and for as long as one likes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::path::Path;
use std::process::ExitCode;

use forebay_tests::now_ms;
use forebay_tests::power_cut::{self, Load, Machine, disk, evidence};

const USAGE: &str = "\
usage: power_cut run --minutes M [--seed S]   cuts the power on every file system and backend; as root
       power_cut replay DIR                   cuts it once more where evidence was kept
       power_cut cost                         device bytes per byte stored
`disk`, `load` and `store` are what these start.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["disk", image, recording, sequence, mounted] => {
            let [image, recording, sequence, mounted] =
                [image, recording, sequence, mounted].map(|path| Path::new(path).to_owned());
            disk::serve(&disk::Places { image, recording, sequence, mounted })
                .map_err(|e| format!("the disk: {e}"))
        }
        ["load", ..] => Load::parse(&arguments[1..]).and_then(|load| load.run()),
        ["run", "--minutes", minutes] => run(minutes, None),
        ["run", "--minutes", minutes, "--seed", seed] | ["run", "--seed", seed, "--minutes", minutes] => {
            run(minutes, Some(seed))
        }
        ["replay", dir] => {
            evidence::replay(&Machine::new(), Path::new(dir)).map(|survey| println!("{survey:?}"))
        }
        ["cost"] => {
            power_cut::cost::print_all(&this());
            Ok(())
        }
        ["store", dir, sequence, backend, group_bytes] => {
            power_cut::cost::store(Path::new(dir), Path::new(sequence), backend, group_bytes)
        }
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

fn run(minutes: &str, seed: Option<&str>) -> Result<(), String> {
    let wrong = |e| format!("{e}\n{USAGE}");
    let minutes: u64 = minutes.parse().map_err(wrong)?;
    let seed = seed.map_or(Ok(now_ms()), str::parse).map_err(wrong)?;
    power_cut::campaign::run(&this(), minutes, seed);
    Ok(())
}

fn this() -> std::path::PathBuf {
    std::env::current_exe().expect("a program knows where it is")
}
