//! The recording disk: a FUSE file system of one file, `disk.img`, that writes down every write and every flush.
//!
//! It runs in a process of its own. A process that serves a file system and touches what is mounted on it can wait for
//! itself for ever: for memory that only its own writes would free, or for its own end.
//!
//! It is told what to do by lines on stdin, and answers each with one line: `fail WHAT NTH once|ever`, `slow MICROSECONDS`,
//! `stop`. When stdin ends it exits, whatever is mounted.
//!
//! # Invariants
//! * Requests are served one at a time: an operation's number is its place in time. It has its number, and its bytes
//!   are recorded, before it is answered.
//! * An answered write is gone from the kernel: the file is opened for direct I/O, and nothing caches it in between.
//! * Nothing unbounded: when the recording has grown to its limit, the disk fails, and says why when it is stopped.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};

use super::recorder::{Fault, Target, Times};
use super::recording::{self, Kind};

/// The file's name.
pub const FILE: &str = "disk.img";
const INODE: INodeNo = INodeNo(2);
/// Nothing about the file ever changes.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// The most that is recorded.
const RECORDING_BYTES_MAX: u64 = 768 << 20;

/// Where a disk keeps its things.
pub struct Places {
    /// Its present contents; there at the start.
    pub image: PathBuf,
    /// The recording.
    pub recording: PathBuf,
    /// Twice eight bytes: how many operations there were, and bytes in successful writes.
    pub sequence: PathBuf,
    /// Where it is mounted.
    pub mounted: PathBuf,
}

/// Serves the disk until it is told to stop.
///
/// # Errors
/// When a file cannot be used, or the file system cannot be mounted or unmounted.
pub fn serve(places: &Places) -> io::Result<()> {
    let image = OpenOptions::new().read(true).write(true).open(&places.image)?;
    let bytes = image.metadata()?.len();
    let sequence = File::create(&places.sequence)?;
    sequence.write_all_at(&[0; 16], 0)?;
    let state = State {
        image,
        recording: File::create(&places.recording)?,
        sequence,
        ops: 0,
        written: 0,
        recorded: 0,
        faults: Vec::new(),
        dead: false,
        flush_takes: Duration::ZERO,
        trouble: None,
    };
    let state = Arc::new(Mutex::new(state));
    let mut config = fuser::Config::default();
    config.mount_options = vec![MountOption::FSName("recording".to_owned()), MountOption::NoAtime];
    let disk = RecordingDisk { state: Arc::clone(&state), bytes };
    let session = fuser::Session::new(disk, &places.mounted, &config)?.spawn()?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "stop" {
            let mut session = Some(session);
            // The loop device lets go of the file a moment after its file system was unmounted.
            for _ in 0..200 {
                if !is_busy(&places.mounted) {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
            if let Some(session) = session.take() {
                session.umount_and_join()?;
            }
            let trouble = lock(&state).trouble.take();
            return say(&trouble.unwrap_or_else(|| "stopped".to_owned()));
        }
        let told = obey(&mut lock(&state), &line);
        say(told.as_ref().map_or_else(|wrong| wrong.as_str(), |()| "done"))?;
    }
    // Whoever started this is gone. The kernel fails what is still asked of the disk, and unmounts it.
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn obey(state: &mut State, line: &str) -> Result<(), String> {
    if let Some(us) = line.strip_prefix("slow ") {
        state.flush_takes = Duration::from_micros(us.parse().map_err(|e| format!("{line}: {e}"))?);
        return Ok(());
    }
    state.faults.push(line.parse()?);
    Ok(())
}

/// Is the file in use? Asked of the loop devices, which are all that ever open it.
fn is_busy(mounted: &Path) -> bool {
    let Ok(blocks) = std::fs::read_dir("/sys/block") else { return false };
    let file = mounted.join(FILE);
    blocks.flatten().any(|block| {
        let backing = std::fs::read_to_string(block.path().join("loop/backing_file")).unwrap_or_default();
        Path::new(backing.trim_end()) == file
    })
}

struct State {
    image: File,
    recording: File,
    sequence: File,
    ops: u64,
    written: u64,
    recorded: u64,
    faults: Vec<Fault>,
    /// Everything fails from now on.
    dead: bool,
    flush_takes: Duration,
    /// Why the recording is not to be used.
    trouble: Option<String>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let failed = self.fails(|target| match target {
            Target::Write => true,
            Target::Frame => bytes.starts_with(b"FbFr"),
            Target::Flush => false,
        });
        let kind = if failed { Kind::FailedWrite } else { Kind::Write };
        if !failed {
            self.image.write_all_at(bytes, offset).map_err(|e| self.broken("write the image", &e))?;
            self.written += bytes.len() as u64;
        }
        self.record(kind, offset, bytes)?;
        if failed { Err(Errno::EIO) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Errno> {
        thread::sleep(self.flush_takes);
        let failed = self.fails(|target| target == Target::Flush);
        self.record(if failed { Kind::FailedFlush } else { Kind::Flush }, 0, &[])?;
        if failed { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Counts an operation down for all faults that mean it; does one of them strike?
    fn fails(&mut self, means: impl Fn(Target) -> bool) -> bool {
        let mut strikes = self.dead;
        let dead = &mut self.dead;
        self.faults.retain_mut(|fault| {
            if !means(fault.target) {
                return true;
            }
            fault.nth -= 1;
            if fault.nth > 0 {
                return true;
            }
            strikes = true;
            *dead |= fault.times == Times::Ever;
            false
        });
        strikes
    }

    fn record(&mut self, kind: Kind, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.recorded += (recording::HEADER_BYTES + bytes.len()) as u64;
        if self.recorded > RECORDING_BYTES_MAX {
            let full = io::Error::other(format!("{RECORDING_BYTES_MAX} bytes were recorded: it is full"));
            return Err(self.broken("record more", &full));
        }
        let mut entry = recording::header(kind, offset, bytes.len()).to_vec();
        entry.extend_from_slice(bytes);
        self.recording.write_all(&entry).map_err(|e| self.broken("write the recording", &e))?;
        self.ops += 1;
        let mut counts = [0; 16];
        counts[..8].copy_from_slice(&self.ops.to_le_bytes());
        counts[8..].copy_from_slice(&self.written.to_le_bytes());
        self.sequence.write_all_at(&counts, 0).map_err(|e| self.broken("write the sequence", &e))
    }

    /// The disk itself cannot go on: this is no fault that was asked for.
    fn broken(&mut self, what: &str, error: &io::Error) -> Errno {
        self.dead = true;
        self.trouble.get_or_insert_with(|| format!("the recording disk could not {what}: {error}"));
        Errno::EIO
    }
}

struct RecordingDisk {
    state: Arc<Mutex<State>>,
    bytes: u64,
}

impl RecordingDisk {
    fn attributes(&self, ino: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match ino {
            INodeNo::ROOT => (FileType::Directory, 0o755, 0),
            INODE => (FileType::RegularFile, 0o600, self.bytes),
            _ => return None,
        };
        Some(FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for RecordingDisk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(INODE) {
            Some(attributes) if parent == INodeNo::ROOT && name == FILE => {
                reply.entry(&FOR_EVER, &attributes, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Some(attributes) => reply.attr(&FOR_EVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(size as usize)];
        match lock(&self.state).image.read_exact_at(&mut bytes, offset) {
            Ok(()) => reply.data(&bytes),
            Err(_) => reply.error(Errno::EIO),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let len = u32::try_from(data.len()).expect("the kernel sends at most 16 MiB");
        match lock(&self.state).write(offset, data) {
            Ok(()) => reply.written(len),
            Err(errno) => reply.error(errno),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        match lock(&self.state).flush() {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }
}
