//! What a log can be told, checked once when it opens.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the epoch. Passed in, so that tests own the time.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// How a commit group gets to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Copied into the segment's map, then one fdatasync.
    Mapped,
    /// Gathered in a buffer, then one durable write through the system's cache.
    Pwrite,
    /// Gathered in a buffer, then one durable write past the system's cache, where the file system knows that.
    #[default]
    Direct,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Mapped => "mapped",
            Backend::Pwrite => "pwrite",
            Backend::Direct => "direct",
        })
    }
}

impl std::str::FromStr for Backend {
    type Err = String;

    fn from_str(s: &str) -> Result<Backend, String> {
        match s {
            "mapped" => Ok(Backend::Mapped),
            "pwrite" => Ok(Backend::Pwrite),
            "direct" => Ok(Backend::Direct),
            _ => Err(format!("commit backend {s:?} is not one of: direct, pwrite, mapped")),
        }
    }
}

/// How long segments are kept. A segment goes, whole, when either limit says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Segments whose newest record was received longer ago than this.
    pub age: Option<Duration>,
    /// The oldest segments while all of them together are larger than this.
    pub bytes: Option<u64>,
}

/// A log's configuration.
#[derive(Clone)]
pub struct LogConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// Lanes for claimed events: projects are sharded over them.
    pub lanes: u16,
    /// How groups are committed.
    pub backend: Backend,
    /// Size of a lane's first segments; sizes double from here as they are filled.
    pub segment_bytes_min: u64,
    /// Size of the largest segment.
    pub segment_bytes_max: u64,
    /// The most bytes in one commit group.
    pub group_bytes_max: usize,
    /// The most bytes waiting in one lane; more are refused.
    pub queue_bytes_max: usize,
    /// The most appends waiting in one lane; more are refused.
    pub queue_len_max: usize,
    /// While requests wait several at a time, commits of a lane begin at least so far apart: on a disk that flushes
    /// faster, more of them would only cost CPU.
    pub linger: Duration,
    /// How long a lane is idle before it writes a heartbeat that proves its newest group.
    pub heartbeat: Duration,
    /// For the projects' lanes, all together.
    pub retention: Retention,
    /// For the unclaimed lane.
    pub unclaimed: Retention,
    /// Every flush takes at least so long: for tests, and benchmarks of slower disks.
    pub flush_delay: Duration,
    /// The time.
    pub clock: Clock,
}

/// Segments are not prepared smaller than this, however full the disk, unless configured smaller.
pub const SEGMENT_BYTES_FLOOR: u64 = 1 << 20;

impl LogConfig {
    /// The defaults, for a data directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> LogConfig {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        LogConfig {
            dir: dir.into(),
            lanes: u16::try_from(cores / 2).unwrap_or(u16::MAX).clamp(1, 64),
            backend: Backend::default(),
            segment_bytes_min: 8 << 20,
            segment_bytes_max: 128 << 20,
            group_bytes_max: 16 << 20,
            queue_bytes_max: 64 << 20,
            queue_len_max: 8 << 10,
            linger: Duration::from_micros(200),
            heartbeat: Duration::from_secs(1),
            retention: Retention::default(),
            unclaimed: Retention { age: Some(Duration::from_secs(7 * 24 * 3600)), bytes: Some(64 << 20) },
            flush_delay: Duration::ZERO,
            clock: system_clock(),
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// The first value that cannot be, with what is accepted.
    pub fn check(&self) -> Result<(), ConfigError> {
        let range = |key, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError { key, value, least, most })
            }
        };
        range("lanes", self.lanes.into(), 1, 1024)?;
        range("segment_bytes_min", self.segment_bytes_min, 64 << 10, 1 << 30)?;
        range("segment_bytes_max", self.segment_bytes_max, self.segment_bytes_min, 1 << 30)?;
        range("group_bytes_max", self.group_bytes_max as u64, 64 << 10, 256 << 20)?;
        range("queue_bytes_max", self.queue_bytes_max as u64, 64 << 10, 1 << 36)?;
        range("queue_len_max", self.queue_len_max as u64, 1, 1 << 20)?;
        range("linger_us", micros(self.linger), 0, 5000)?;
        range("heartbeat_us", micros(self.heartbeat), 1000, 3_600_000_000)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConfig")
            .field("dir", &self.dir)
            .field("lanes", &self.lanes)
            .field("backend", &self.backend)
            .field("segment_bytes_min", &self.segment_bytes_min)
            .field("segment_bytes_max", &self.segment_bytes_max)
            .field("group_bytes_max", &self.group_bytes_max)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .field("queue_len_max", &self.queue_len_max)
            .field("linger", &self.linger)
            .field("heartbeat", &self.heartbeat)
            .field("retention", &self.retention)
            .field("unclaimed", &self.unclaimed)
            .field("flush_delay", &self.flush_delay)
            .finish_non_exhaustive()
    }
}

/// A configured value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Which.
    pub key: &'static str,
    /// What it was set to.
    pub value: u64,
    /// The least that is accepted.
    pub least: u64,
    /// The most that is accepted.
    pub most: u64,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { key, value, least, most } = self;
        write!(f, "log.{key} is {value}: it must be {least} to {most}")
    }
}

impl std::error::Error for ConfigError {}
