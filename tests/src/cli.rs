//! The command line of the real binary.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::Json;

/// The binary under test: `FOREBAY_BIN`, else the newest of those that cargo built here.
///
/// # Panics
/// If there is none: says how to build it.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = env::var_os("FOREBAY_BIN") {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "FOREBAY_BIN names {}, which is no file", path.display());
            return path;
        }
        let built = ["release", "fast", "debug"].map(|profile| target_dir().join(profile).join("forebay"));
        let newest = built.into_iter().filter_map(|path| Some((modified(&path)?, path))).max();
        let hint = "no forebay binary: run `cargo build --release -p forebay-server`, or set FOREBAY_BIN";
        newest.expect(hint).1
    })
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// How a command ended and what it wrote.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// Insists that it ended with 0.
    ///
    /// # Panics
    /// With all that it wrote.
    #[track_caller]
    pub fn success(self) -> Output {
        assert!(
            self.status.success(),
            "`{}` ended with {}:\n{}{}",
            self.command,
            self.status,
            self.text(),
            self.stderr
        );
        self
    }

    /// Insists that it failed, and that stderr says each of these.
    ///
    /// # Panics
    /// With all that it wrote.
    #[track_caller]
    pub fn failure(self, says: &[&str]) -> Output {
        assert!(!self.status.success(), "`{}` succeeded:\n{}{}", self.command, self.text(), self.stderr);
        for part in says {
            assert!(self.stderr.contains(part), "`{}` does not say {part:?}:\n{}", self.command, self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "`{}` panicked:\n{}", self.command, self.stderr);
        self
    }

    /// Stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Json {
        Json::read(&self.stdout).unwrap_or_else(|e| panic!("`{}`: {e}: {}", self.command, self.text()))
    }

    /// Stdout as NDJSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Json> {
        Json::lines(&self.stdout)
    }
}

/// Runs the binary with these arguments and `--data-dir`.
#[track_caller]
pub fn run(data_dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(args).arg("--data-dir").arg(data_dir);
    finish(command)
}

/// Runs a prepared command to its end, without standard input.
#[track_caller]
pub fn finish(mut command: Command) -> Output {
    let text = format!("{command:?}");
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("running {text}: {e}"));
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    Output { command: text, status: done.status, stdout: done.stdout, stderr }
}

/// All records in the log of that directory, lane by lane in order, by `log cat --json`.
#[track_caller]
pub fn records(data_dir: &Path) -> Vec<Json> {
    run(data_dir, &["log", "cat", "--json"]).success().lines()
}
