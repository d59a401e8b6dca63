//! Fuzzing: a smoke run of each target that is the same walk every time, and longer runs that are not.
//!
//! The smoke run must not fail a change for what another change broke, or by luck: it starts from the seeds alone, in
//! a fixed order, with a fixed seed, and ends after a fixed number of inputs. New inputs are tried by
//! `cargo xtask fuzz --minutes M`, which keeps what it learnt in `fuzz/corpus`.
//!
//! What made a target fail is printed whole, so that the log of a run elsewhere is enough to run it here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use crate::cores;
use crate::install::cargo_tool;
use crate::shell::{capture, command, repository, run_command, target_dir};

/// Inputs that the smoke run makes of the seeds: some ten seconds' worth on two shared cores.
const SMOKE_RUNS: [(&str, u64); 7] = [
    ("base64", 400_000),
    ("basic", 400_000),
    ("proxy_header", 400_000),
    ("query", 50_000),
    ("expression", 400_000),
    ("segment", 30_000),
    ("payload", 15_000),
];
/// For a target that is not in the list.
const SMOKE_RUNS_OTHERS: u64 = 8_000;
/// The walk of every smoke run.
const SMOKE_SEED: u64 = 1;
/// Without what makes a walk depend on more than its seed: addresses that the target compares, the corpus read anew
/// each second, and inputs run twice because a leak was suspected. Longer runs have all three.
const SMOKE_OPTIONS: &str = "-use_cmp=0 -reload=0 -detect_leaks=0";
/// A smoke run that takes longer than this is cut, and says so.
const SMOKE_SECONDS_MAX: u64 = 120;
/// For every run: an input that takes this long, or that much memory, is a finding.
const LIMITS: &str = "-timeout=10 -rss_limit_mb=4096 -print_final_stats=1";
/// Larger artifacts are named, not printed.
const PRINT_BYTES_MAX: usize = 64 << 10;

/// Builds all targets and runs each for a while, always in the same way.
pub(crate) fn smoke() -> Result<Vec<String>, String> {
    let targets = prepare()?;
    let home = target_dir().join("fuzz-smoke");
    let written = fs::remove_dir_all(&home).or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(e),
    });
    written.map_err(|e| format!("cannot empty {}: {e}", home.display()))?;
    write_seeds(&home.join("seeds"))?;
    let outcomes = cores::each(&targets, |target| walk(&home, target));
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for (target, outcome) in targets.into_iter().zip(outcomes) {
        match outcome? {
            Walked::Whole => {}
            Walked::Cut { executed, runs } => {
                notes.push(format!("{target}: {executed} of {runs} inputs in {SMOKE_SECONDS_MAX} s"));
            }
            Walked::Found => found.push(target),
        }
    }
    if found.is_empty() { Ok(notes) } else { Err(format!("findings in {}", found.join(", "))) }
}

/// How the smoke run of a target ended.
enum Walked {
    Whole,
    /// Not in time.
    Cut {
        executed: u64,
        runs: u64,
    },
    /// With something that was printed.
    Found,
}

/// The smoke run of one target: it takes one core.
fn walk(home: &Path, target: &str) -> Result<Walked, String> {
    let runs = SMOKE_RUNS.iter().find(|(name, _)| *name == target).map_or(SMOKE_RUNS_OTHERS, |(_, n)| *n);
    let seeds = Seeds::list(home, target)?;
    let corpus = home.join("corpus").join(target);
    fs::create_dir_all(&corpus).map_err(|e| format!("cannot make {}: {e}", corpus.display()))?;
    let runs = seeds.count + runs;
    let line = format!(
        "run {target} {} -- -seed={SMOKE_SEED} {SMOKE_OPTIONS} -runs={runs} -max_total_time={SMOKE_SECONDS_MAX} \
         -seed_inputs=@{} {LIMITS}",
        corpus.display(),
        seeds.list.display()
    );
    Ok(match fuzz(target, &line, SMOKE_SECONDS_MAX + 120) {
        Some(executed) if executed < runs => Walked::Cut { executed, runs },
        Some(_) => Walked::Whole,
        None => Walked::Found,
    })
}

/// How long to fuzz, what, and on which walk.
pub(crate) struct Longer<'a> {
    /// For each target.
    pub(crate) minutes: u64,
    /// All of them if `None`.
    pub(crate) target: Option<&'a str>,
    /// A new one each time if `None`.
    pub(crate) seed: Option<u64>,
}

/// Fuzzes for longer, and keeps what it learns in `fuzz/corpus`.
pub(crate) fn longer(options: &Longer<'_>) -> Result<(), String> {
    let mut targets = prepare()?;
    if let Some(target) = options.target {
        if !targets.iter().any(|known| known == target) {
            return Err(format!("no fuzz target {target:?}; there are {}", targets.join(", ")));
        }
        targets = vec![target.to_owned()];
    }
    write_seeds(&repository().join("fuzz/corpus"))?;
    // libFuzzer's own choice, which it prints.
    let seed = options.seed.unwrap_or(0);
    let seconds = options.minutes * 60;
    let mut found = Vec::new();
    for target in targets {
        let line = format!("run {target} -- -seed={seed} -max_total_time={seconds} {LIMITS}");
        if fuzz(&target, &line, seconds + 300).is_none() {
            found.push(target);
        }
    }
    if found.is_empty() { Ok(()) } else { Err(format!("findings in {}", found.join(", "))) }
}

/// Builds the targets and names them.
fn prepare() -> Result<Vec<String>, String> {
    cargo_tool("cargo-fuzz")?;
    let (listed, targets) = capture(cargo_fuzz("list"), Duration::from_secs(60));
    let targets: Vec<_> =
        targets.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    if !listed || targets.is_empty() {
        return Err(format!("no fuzz targets: {targets:?}"));
    }
    run_command(cargo_fuzz("build"))?;
    Ok(targets)
}

fn write_seeds(folder: &Path) -> Result<(), String> {
    let mut seeds = command("python3 fuzz/seeds.py");
    seeds.arg(folder);
    run_command(seeds)
}

/// A target's seeds, in an order that does not depend on the file system.
struct Seeds {
    list: PathBuf,
    count: u64,
}

impl Seeds {
    fn list(home: &Path, target: &str) -> Result<Seeds, String> {
        let folder = home.join("seeds").join(target);
        let failed = |e: io::Error| format!("cannot list the seeds of {target} in {}: {e}", folder.display());
        let entries = fs::read_dir(&folder).map_err(failed)?;
        let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut paths = paths.map_err(failed)?;
        paths.sort_unstable();
        let names: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
        let list = home.join(format!("{target}.seeds"));
        fs::write(&list, names.join(",")).map_err(|e| format!("cannot write {}: {e}", list.display()))?;
        Ok(Seeds { list, count: paths.len() as u64 })
    }
}

/// Runs one target and says how many inputs it took; `None` if it found something, which is printed.
fn fuzz(target: &str, line: &str, seconds_max: u64) -> Option<u64> {
    let (good, output) = capture(cargo_fuzz(line), Duration::from_secs(seconds_max));
    let executed = output.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executed = executed.and_then(|n| n.trim().parse().ok());
    let seed = output.lines().find_map(|line| line.strip_prefix("INFO: Seed: ")).unwrap_or("unknown");
    let inputs = executed.map_or("no".to_owned(), |n: u64| n.to_string());
    let mut told = format!("{target}: {inputs} inputs, seed {seed}");
    if !good {
        told = [told, without_progress(&output)].join("\n");
        for artifact in artifacts(&output) {
            told = [told, shown(target, artifact)].join("\n");
        }
    }
    // In one piece: others run beside it.
    println!("{told}");
    good.then(|| executed.unwrap_or(0))
}

/// What a run says, without libFuzzer's account of its walk.
fn without_progress(output: &str) -> String {
    let is_progress = |line: &&str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            || line.starts_with("NEW_FUNC")
            || line.starts_with("\tNEW_FUNC")
    };
    output.lines().filter(|line| !is_progress(line)).collect::<Vec<_>>().join("\n")
}

/// The files that a run says it wrote.
fn artifacts(output: &str) -> impl Iterator<Item = &Path> {
    output
        .lines()
        .filter_map(|line| line.split_once("Test unit written to "))
        .map(|(_, path)| Path::new(path))
}

/// An artifact as text that alone gives it back.
fn shown(target: &str, path: &Path) -> String {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) => return format!("cannot read the artifact {}: {e}", path.display()),
    };
    if bytes.len() > PRINT_BYTES_MAX {
        return format!("the artifact {} of {target}: {} bytes, not printed", path.display(), bytes.len());
    }
    let hex = |line: &[u8]| line.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let lines: Vec<_> = bytes.chunks(60).map(hex).collect();
    format!(
        "what failed {target}, {} bytes, in hex; to run it again:\n  \
         xxd -r -p <<'END' > artifact && cargo +nightly fuzz run {target} artifact\n{}\nEND",
        bytes.len(),
        lines.join("\n")
    )
}

/// `cargo fuzz` needs a nightly compiler, or one that is told to act like it.
fn cargo_fuzz(arguments: &str) -> Command {
    let (listed, toolchains) = capture(command("rustup toolchain list"), Duration::from_secs(10));
    if listed && toolchains.contains("nightly") {
        return command(&format!("cargo +nightly fuzz {arguments}"));
    }
    let mut stable = command(&format!("cargo fuzz {arguments}"));
    stable.env("RUSTC_BOOTSTRAP", "1");
    stable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_found_in_what_a_run_says() {
        let output = "INFO: Seed: 1\n#2\tINITED cov: 3\n\tNEW_FUNC[1/2]: 0x1\nthread panicked: at x\n\
                      artifact_prefix='/a/'; Test unit written to /a/crash-01\nError: exit\n#";
        assert_eq!(artifacts(output).collect::<Vec<_>>(), [Path::new("/a/crash-01")]);
        let said = without_progress(output);
        assert!(said.starts_with("INFO: Seed: 1\nthread panicked: at x\n"), "{said}");
        assert!(said.ends_with("Error: exit\n#"), "{said}");
    }

    #[test]
    fn an_artifact_is_shown_as_hex() {
        let path = std::env::temp_dir().join(format!("forebay-artifact-{}", std::process::id()));
        fs::write(&path, [0xab; 61]).expect("written");
        let text = shown("payload", &path);
        fs::remove_file(&path).expect("removed");
        assert!(text.ends_with(&format!("\n{}\nab\nEND", "ab".repeat(60))), "{text}");
    }
}
