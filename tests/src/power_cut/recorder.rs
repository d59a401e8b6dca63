//! The near side of a recording disk: starts it, puts a loop device and a file system on it, tells it what to fail.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use super::machine::{FileSystem, Machine, Mounted, run};
use super::{Image, Recording, disk};

/// Which operations a fault means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any write.
    Write,
    /// A write that begins with a frame of the log: a commit.
    Frame,
    /// A flush.
    Flush,
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Once, and then the disk is as good as new.
    Once,
    /// From then on all writes and flushes fail.
    Ever,
}

/// An operation to be answered with EIO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Among which.
    pub target: Target,
    /// The how-manieth from now, from 1.
    pub nth: u64,
    /// How often.
    pub times: Times,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = match self.target {
            Target::Write => "write",
            Target::Frame => "frame",
            Target::Flush => "flush",
        };
        let times = match self.times {
            Times::Once => "once",
            Times::Ever => "ever",
        };
        write!(f, "fail {target} {} {times}", self.nth)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let wrong = || format!("{text:?} is no fault: they read `fail write|frame|flush NTH once|ever`");
        let words: Vec<_> = text.split_whitespace().collect();
        let &["fail", target, nth, times] = words.as_slice() else { return Err(wrong()) };
        let target = match target {
            "write" => Target::Write,
            "frame" => Target::Frame,
            "flush" => Target::Flush,
            _ => return Err(wrong()),
        };
        let times = match times {
            "once" => Times::Once,
            "ever" => Times::Ever,
            _ => return Err(wrong()),
        };
        let nth = nth.parse().ok().filter(|&nth| nth > 0).ok_or_else(wrong)?;
        Ok(Fault { target, nth, times })
    }
}

/// A recording disk with a mounted file system on it.
pub struct Recorder {
    // In the order in which they go: the file system first, or it would wait for a disk that is gone.
    mounted: Option<Mounted>,
    process: Process,
    places: disk::Places,
}

impl Recorder {
    /// Starts a disk that holds `base`, a file system of that kind, and mounts it. `program` is the binary `power_cut`.
    ///
    /// # Panics
    /// If something of that fails.
    pub fn start(machine: &Machine, program: &Path, base: &Image, kind: FileSystem) -> Recorder {
        let places = disk::Places {
            image: machine.path("disk.image"),
            recording: machine.path("disk.recording"),
            sequence: machine.path("disk.sequence"),
            mounted: machine.folder("disk"),
        };
        base.save(&places.image).expect("writing the disk's first image");
        let process = Process::start(program, &places);
        let file = places.mounted.join(disk::FILE);
        let mut recorder = Recorder { mounted: None, process, places };
        // With direct I/O, so that nothing is held between the file system and the disk.
        let device = run(Command::new("losetup").args(["--find", "--show", "--direct-io=on"]).arg(&file));
        let device = PathBuf::from(device.trim());
        recorder.mounted = Some(Mounted::device(machine, &device, kind));
        // In use, it is detached when it is unmounted.
        run(Command::new("losetup").arg("--detach").arg(&device));
        recorder
    }

    /// Where its file system is mounted.
    ///
    /// # Panics
    /// Never, until it was stopped.
    pub fn dir(&self) -> &Path {
        self.mounted.as_ref().expect("mounted until stopped").path()
    }

    /// The file with the number of the next operation.
    pub fn sequence(&self) -> &Path {
        &self.places.sequence
    }

    /// Has an operation fail.
    pub fn fail(&mut self, fault: Fault) {
        self.process.tell(&fault.to_string(), "done");
    }

    /// Makes every flush take that long.
    pub fn slow(&mut self, flush_takes: Duration) {
        self.process.tell(&format!("slow {}", flush_takes.as_micros()), "done");
    }

    /// What was recorded so far.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn so_far(&self) -> Recording {
        Recording::read(&self.places.recording).expect("reading the recording")
    }

    /// Unmounts the file system, stops the disk and gives its recording.
    ///
    /// # Panics
    /// If one of that fails, or the disk had trouble of its own.
    pub fn stop(mut self) -> Recording {
        if let Some(mounted) = self.mounted.take() {
            mounted.unmount();
        }
        self.process.tell("stop", "stopped");
        let recording = self.so_far();
        for path in [&self.places.image, &self.places.recording] {
            fs::remove_file(path).expect("removing what the disk kept");
        }
        recording
    }
}

/// The disk's process. Dropped, it is killed: whoever wants its recording stops it.
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    fn start(program: &Path, places: &disk::Places) -> Process {
        let mut command = Command::new(program);
        command.arg("disk").args([&places.image, &places.recording, &places.sequence, &places.mounted]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("starting {}: {e}", program.display()));
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut process = Process { child, stdin, stdout };
        process.expect("ready");
        process
    }

    #[track_caller]
    fn tell(&mut self, line: &str, answer: &str) {
        writeln!(self.stdin, "{line}").expect("telling the recording disk");
        self.expect(answer);
    }

    #[track_caller]
    fn expect(&mut self, answer: &str) {
        let mut said = String::new();
        self.stdout.read_line(&mut said).expect("hearing from the recording disk");
        let hint = "FUSE is needed, and root: /dev/fuse, and `apt-get install fuse3`";
        assert_eq!(said.trim_end(), answer, "the recording disk says otherwise; {hint}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already, or holds nothing that anyone will ask for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_back_as_it_was_written() {
        for text in ["fail write 1 once", "fail frame 20 ever", "fail flush 3 once"] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()).as_deref(), Ok(text));
        }
        for text in ["fail write 0 once", "fail all 1 once", "fail write 1", ""] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }
}
