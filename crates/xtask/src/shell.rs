//! Running other programs: shown as they are run, their output passed through.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The top of the repository.
pub(crate) fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).expect("crates/xtask lies two below the top")
}

/// Cargo's target directory.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// A program with its arguments, to be run at the top of the repository.
pub(crate) fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).current_dir(repository()).stdin(Stdio::null());
    if line.starts_with("cargo ") {
        // Set by the cargo that runs this tool; others must find their own.
        for name in ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTUP_TOOLCHAIN"] {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command line that must succeed.
pub(crate) fn run(line: &str) -> Result<(), String> {
    run_command(command(line))
}

/// Runs a command that must succeed.
pub(crate) fn run_command(mut command: Command) -> Result<(), String> {
    let text = show(&command);
    println!("$ {text}");
    let status = command.status().map_err(|e| format!("cannot run `{text}`: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{text}` ended with {status}")) }
}

/// Runs a command quietly; gives what it wrote to stdout and stderr, and whether it succeeded within `limit`.
pub(crate) fn capture(command: Command, limit: Duration) -> (bool, String) {
    println!("$ {}", show(&command));
    capture_unshown(command, limit)
}

/// As [`capture`], for one of many commands that are alike.
pub(crate) fn capture_unshown(mut command: Command, limit: Duration) -> (bool, String) {
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => return (false, format!("cannot run `{}`: {e}", show(&command))),
    };
    let readers = [
        child.stdout.take().map(|pipe| thread::spawn(move || read_all(pipe))),
        child.stderr.take().map(|pipe| thread::spawn(move || read_all(pipe))),
    ];
    let until = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(50)),
            Ok(Some(status)) => break status.success(),
            _ => {
                // Not in time. What it wrote so far still tells why.
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
        }
    };
    let parts = readers.into_iter().flatten().filter_map(|reader| reader.join().ok());
    (status, parts.collect::<Vec<_>>().join("\n"))
}

fn read_all(mut pipe: impl Read) -> String {
    let mut text = Vec::new();
    // A pipe that breaks ends the text; whether that matters, the exit status tells.
    let _ = pipe.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether a program of that name can be run.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
        // Debian keeps servers and mkfs here, which is not on everyone's path.
        || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(program).is_file())
}

fn show(command: &Command) -> String {
    let envs = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}='{}' ", name.to_string_lossy(), value?.to_string_lossy()))
    });
    let words = command.get_args().map(|arg| format!(" {}", arg.to_string_lossy()));
    let program = command.get_program().to_string_lossy().into_owned();
    envs.collect::<String>() + &program + &words.collect::<String>()
}
