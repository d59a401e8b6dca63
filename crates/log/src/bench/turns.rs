//! Commits of one size, of every backend and the bare disk in turn.

use super::{BenchOptions, BenchRun, Device};
use crate::{
    Append, Backend,
    commit::{self, Aligned, CommitBackend, SegmentFile},
    disk::RealDisk,
    index::IndexBuilder,
    lane::{
        Job,
        group::{Chain, GroupEncoder, Part, plan},
    },
    watermark::WatermarkFile,
};
use bytes::Bytes;
use forebay_record::{
    DIRECTORY_ENTRY_BYTES, DirectoryEntry, Endpoint, FrameKind, GROUP_ALIGN, LaneId, Lsn, Predecessor,
    ProjectId, SegmentHeader, SegmentId, Seq, StoreId, Watermark, WatermarkSeed, crc32c, frame_bytes,
};
use rustix::{
    fs::OFlags,
    time::{ClockId, clock_gettime},
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Bytes of an event, as many senders have them.
const EVENT_BYTES: usize = 750;
/// Events of an append at most, as SDKs send them.
const APPEND_EVENTS: usize = 50;

/// Who takes turns.
pub(super) struct Turns<'a> {
    options: &'a BenchOptions,
    device: Option<&'a Device>,
    group: Group,
    takers: Vec<Taker>,
    /// Of each file.
    bytes: u64,
    _home: Home,
}

/// One of them.
struct Taker {
    name: String,
    what: What,
    commits: Vec<Duration>,
    cpu: Duration,
    device_bytes: u64,
    prepare: Duration,
    prepare_device_bytes: u64,
}

enum What {
    /// A lane's commits.
    Log {
        backend: Box<dyn CommitBackend>,
        segment: SegmentFile,
        index: Box<IndexBuilder>,
        watermark: Box<WatermarkFile>,
    },
    /// Durable writes.
    Raw(File),
}

/// What one commit holds.
struct Group {
    jobs: Vec<Job>,
    parts: Vec<Part>,
    bytes: usize,
    event_bytes: usize,
    /// As many bytes, for the bare disk.
    content: Aligned,
}

impl Group {
    /// As many appends as fit into so many bytes.
    fn new(bytes: usize) -> io::Result<Group> {
        let mut text = vec![0; APPEND_EVENTS * EVENT_BYTES];
        // Nothing that a disk or a file system could make smaller.
        getrandom::fill(&mut text).map_err(|e| io::Error::other(e.to_string()))?;
        let text = Bytes::from(text);
        let (mut jobs, mut room) = (Vec::new(), bytes);
        loop {
            let fits = |events: &usize| {
                let append = append(&text, *events);
                frame_bytes(append.payload_bytes(*events, *events * EVENT_BYTES)) <= room
            };
            let most = APPEND_EVENTS.min(room / (EVENT_BYTES + DIRECTORY_ENTRY_BYTES));
            let Some(events) = (1..=most).rev().find(fits) else { break };
            let append = append(&text, events);
            room -= frame_bytes(append.payload_bytes(events, events * EVENT_BYTES));
            jobs.push(Job::new(append, 0, 0, 0));
        }
        let event_bytes = jobs.iter().map(|job| job.append().events.len() * EVENT_BYTES).sum();
        let mut parts = Vec::new();
        plan(&jobs, &mut parts);
        let mut content = Aligned::zeroed(bytes)?;
        content.first_mut(bytes).iter_mut().zip(text.iter().cycle()).for_each(|(to, from)| *to = *from);
        Ok(Group { jobs, parts, bytes, event_bytes, content })
    }
}

fn append(text: &Bytes, events: usize) -> Append {
    let len = u32::try_from(EVENT_BYTES).unwrap_or(u32::MAX);
    let entries =
        (0u32..).take(events).map(|n| DirectoryEntry { offset: n * len, len, ..DirectoryEntry::default() });
    Append {
        kind: FrameKind::Records,
        endpoint: Endpoint::Track,
        project: ProjectId::new(1),
        token: Bytes::from_static(b"0123456789abcdef0123456789abcdef"),
        meta: Bytes::new(),
        received_at_ms: 0,
        client_ip: None,
        text: text.clone(),
        events: entries.collect(),
        outcome: None,
    }
}

/// Of the segments that are measured.
fn header() -> SegmentHeader {
    SegmentHeader {
        store: StoreId([0; 16]),
        lane: LaneId(0),
        id: SegmentId(1),
        generation: 0,
        base_lsn: Lsn(1),
        base_seq: Seq(0),
        salt: 0,
        created_at_ms: 0,
        predecessor: Predecessor::None,
        prev_crc: 0,
        capacity: 0,
    }
}

impl<'a> Turns<'a> {
    /// Makes everybody's file in `dir`.
    pub(super) fn prepare(
        dir: &Path,
        device: Option<&'a Device>,
        options: &'a BenchOptions,
        group_bytes: usize,
    ) -> io::Result<Turns<'a>> {
        let group_bytes = group_bytes.next_multiple_of(GROUP_ALIGN).max(GROUP_ALIGN);
        let bytes = options.run_bytes_max.max(group_bytes as u64).next_multiple_of(group_bytes as u64);
        let home = Home::new(dir)?;
        let mut turns = Turns {
            options,
            device,
            group: Group::new(group_bytes)?,
            takers: Vec::new(),
            bytes,
            _home: home,
        };
        turns.raw("raw", OFlags::DSYNC)?;
        if turns.knows_direct()? {
            turns.raw("raw direct", OFlags::DSYNC | OFlags::DIRECT)?;
        }
        for &backend in &options.backends {
            turns.log(backend)?;
        }
        Ok(turns)
    }

    /// Can the folder's file system write past the page cache?
    fn knows_direct(&self) -> io::Result<bool> {
        let path = self._home.0.join("probe");
        File::create(&path)?;
        Ok(open(&path, OFlags::DIRECT).is_ok())
    }

    fn raw(&mut self, name: &str, flags: OFlags) -> io::Result<()> {
        let path = self._home.0.join(name);
        let prepare = if flags.contains(OFlags::DIRECT) { Backend::Direct } else { Backend::Pwrite };
        self.add(name.to_owned(), |bytes| {
            drop(commit::prepare(prepare, &RealDisk, &path, bytes)?);
            Ok(What::Raw(open(&path, flags)?))
        })
    }

    fn log(&mut self, backend: Backend) -> io::Result<()> {
        let dir = self._home.0.join(backend.to_string());
        fs::create_dir(&dir)?;
        self.add(backend.to_string(), |bytes| {
            let seed = WatermarkSeed { store: StoreId([0; 16]), lane: LaneId(0) };
            Ok(What::Log {
                segment: commit::prepare(backend, &RealDisk, &dir.join("segment"), bytes)?,
                backend: commit::backend(backend),
                index: Box::new(IndexBuilder::new(&header())),
                watermark: Box::new(WatermarkFile::open(&RealDisk, &dir, seed)?),
            })
        })
    }

    fn add(&mut self, name: String, make: impl FnOnce(u64) -> io::Result<What>) -> io::Result<()> {
        let (started, before) = (Instant::now(), self.written());
        let what = make(self.bytes)?;
        self.takers.push(Taker {
            name,
            what,
            commits: Vec::new(),
            cpu: Duration::ZERO,
            device_bytes: 0,
            prepare: started.elapsed(),
            prepare_device_bytes: self.written().saturating_sub(before),
        });
        Ok(())
    }

    /// Bytes written to the device so far; 0 if nobody counts them.
    fn written(&self) -> u64 {
        self.device.and_then(Device::bytes_written).unwrap_or(0)
    }

    /// One commit after the other, each taker in turn; what came of it, taker by taker.
    pub(super) fn take(mut self) -> io::Result<Vec<BenchRun>> {
        let time_max = self.options.run_time_max * u32::try_from(self.takers.len()).unwrap_or(u32::MAX);
        let mut takers = std::mem::take(&mut self.takers);
        let (started, mut position, mut after) =
            (Instant::now(), 0, Chain { lsn: Lsn(1), ..Chain::default() });
        while position < self.bytes && (position == 0 || started.elapsed() < time_max) {
            let before = after;
            for taker in &mut takers {
                let written = self.written();
                after = taker.commit(&self.group, position, before)?;
                taker.device_bytes += self.written().saturating_sub(written);
            }
            position += self.group.bytes as u64;
        }
        let raw = takers.iter().filter(|taker| matches!(taker.what, What::Raw(_))).map(Taker::elapsed).min();
        let raw = raw.unwrap_or_default();
        Ok(takers.into_iter().map(|taker| self.run_of(taker, raw)).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "rates and ratios for people: 53 bits are plenty")]
    fn run_of(&self, mut taker: Taker, raw: Duration) -> BenchRun {
        let groups = taker.commits.len() as u64;
        let committed = (groups * self.group.bytes as u64) as f64;
        let elapsed = taker.elapsed().as_secs_f64().max(f64::EPSILON);
        taker.commits.sort_unstable();
        let percentile = |of_100: usize| {
            let at = (taker.commits.len() * of_100).div_ceil(100).saturating_sub(1);
            taker.commits.get(at).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
        };
        let per_byte = |written: u64, bytes: f64| self.device.map(|_| written as f64 / bytes.max(1.0));
        let payload = match taker.what {
            What::Raw(_) => committed,
            What::Log { .. } => (groups * self.group.event_bytes as u64) as f64,
        };
        BenchRun {
            group_bytes: self.group.bytes,
            groups,
            mb_per_s: committed / 1e6 / elapsed,
            of_raw: raw.as_secs_f64() / elapsed,
            commit_p50_us: percentile(50),
            commit_p99_us: percentile(99),
            cpu_s_per_gib: taker.cpu.as_secs_f64() * f64::from(1 << 30) / committed.max(1.0),
            device_bytes_per_byte: per_byte(taker.device_bytes, payload),
            prepare_device_bytes_per_byte: per_byte(taker.prepare_device_bytes, self.bytes as f64),
            prepare_us_per_mb: taker.prepare.as_secs_f64() * 1e12 / (self.bytes as f64).max(1.0),
            backend: taker.name,
        }
    }
}

impl Taker {
    fn elapsed(&self) -> Duration {
        self.commits.iter().sum()
    }

    /// One commit; what the lane's next frame carries behind it.
    fn commit(&mut self, group: &Group, position: u64, before: Chain) -> io::Result<Chain> {
        let (started, cpu) = (Instant::now(), thread_cpu());
        let mut after = before;
        match &mut self.what {
            What::Raw(file) => file.write_all_at(group.content.first(group.bytes), position)?,
            What::Log { backend, segment, index, watermark } => {
                let mut content_crc = 0;
                backend.commit(segment, position, group.bytes, &mut |bytes| {
                    let encoder = GroupEncoder::new(bytes, position, 0, before, Lsn(before.lsn.0 - 1));
                    let mut encoder = encoder.indexed(Some(index));
                    for (n, part) in group.parts.iter().enumerate() {
                        encoder.records(group.jobs[part.job].append(), part, n + 1 == group.parts.len());
                    }
                    after = encoder.finish();
                    content_crc = crc32c(content_crc, bytes);
                })?;
                std::hint::black_box(content_crc);
                watermark.publish(Watermark {
                    count: 0,
                    durable_lsn: Lsn(after.lsn.0 - 1),
                    next_seq: Seq(after.seq.0),
                    segment: SegmentId(1),
                    end: position + group.bytes as u64,
                    chain_crc: after.prev_crc,
                    failed_through: SegmentId(0),
                });
            }
        }
        self.cpu += thread_cpu().saturating_sub(cpu);
        self.commits.push(started.elapsed());
        Ok(after)
    }
}

/// Opens a file for writing with these flags.
fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    OpenOptions::new().write(true).custom_flags(flags).open(path)
}

/// CPU time that this thread has had, the system's on its behalf included.
fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// A folder for the files, removed with them however the measuring ends.
struct Home(PathBuf);

impl Home {
    fn new(dir: &Path) -> io::Result<Home> {
        let home = dir.join(format!("bench-{}.tmp", std::process::id()));
        // Of a process that was killed and had the same number.
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home)?;
        Ok(Home(home))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
