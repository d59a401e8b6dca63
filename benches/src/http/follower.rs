//! Readers beside the writers: `forebay log tail --follow`, as many as wanted, each a process of its own.
//!
//! # Invariants
//! * A follower never outlives its [`Followers`].

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use super::{
    Error,
    process::{self, Cpu},
};

/// Processes that read a log as it grows.
#[derive(Debug, Default)]
pub struct Followers(Vec<Child>);

/// How long a follower takes to reach the end of the log, before a round begins.
const SETTLE: Duration = Duration::from_millis(500);

impl Followers {
    /// Starts so many on this data directory; they begin at the end of the log.
    ///
    /// # Errors
    /// When one cannot be started, or ends at once.
    pub fn start(binary: &Path, data_dir: &Path, count: usize) -> Result<Followers, Error> {
        let mut followers = Followers::default();
        for _ in 0..count {
            let mut command = Command::new(binary);
            command.args(["log", "tail", "--follow", "--json", "-n", "0", "--data-dir"]).arg(data_dir);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            followers.0.push(command.spawn().map_err(Error::io("start forebay log tail"))?);
        }
        if count > 0 {
            thread::sleep(SETTLE);
        }
        followers.check()?;
        Ok(followers)
    }

    /// Do all still run?
    ///
    /// # Errors
    /// With the status of the first that does not.
    pub fn check(&mut self) -> Result<(), Error> {
        for child in &mut self.0 {
            if let Some(status) = child.try_wait().map_err(Error::io("ask for a follower"))? {
                let what = format!("it ended while it was to follow: {status}");
                return Err(Error::Server { name: "forebay log tail".to_owned(), what });
            }
        }
        Ok(())
    }

    /// Bytes that all of them have printed.
    #[must_use]
    pub fn bytes_printed(&self) -> u64 {
        self.0.iter().map(|child| process::bytes_written(child.id())).sum()
    }

    /// The CPU of each so far.
    #[must_use]
    pub fn cpu(&self) -> Vec<Cpu> {
        self.0.iter().map(|child| Cpu::of(child.id()).unwrap_or_default()).collect()
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
