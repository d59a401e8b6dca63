//! The segment log: group commit, recovery, readers, retention.
//!
//! The writing side is [`Log`]: each lane has one writer thread, which takes all that is queued, writes it
//! as one group, flushes, and only then says so. The reading side never looks past what is durable.
//!
//! # Invariants
//! * A [`Committed`] exists only after the flush that covers its append returned `Ok`.
//! * Bytes below a lane's watermark never change.
//! * What was once durable is never cut, only reported if the disk damaged it.
//!
//! Byte layout: `docs/format.md` and the crate `forebay-record`.

mod age;
#[macro_use]
mod mutant;

mod append;
mod bench;
mod commit;
mod config;
mod counters;
mod cursor;
pub mod disk;
mod error;
mod fault;
mod filter;
mod floor;
mod handoff;
mod housekeeping;
mod index;
mod lane;
mod lane_view;
pub mod layout;
mod log;
mod origin;
mod pending;
mod read_error;
mod recovery;
mod repair;
mod retention;
#[cfg(test)]
mod sample;
mod scrub;
mod seat;
mod segment;
#[cfg(test)]
mod simulation;
mod stats;
mod step;
mod store;
mod store_id;
mod supply;
mod survey;
mod survivors;
mod sync;
mod telling;
mod track;
mod verify;
mod watermark;

pub use append::{Append, Outcome, lane_of};
pub use bench::{BenchOptions, BenchReport, BenchRun, bench_disk};
pub use config::{Backend, Clock, ConfigError, LogConfig, Retention, SEGMENT_BYTES_FLOOR, system_clock};
pub use counters::{FLUSH_TIME_BOUNDS_US, GROUP_BYTES_BOUNDS, Health, LaneHealth, LaneStats, LogStats};
pub use cursor::{Cursor, Touched};
pub use error::{OpenError, Refusal, Refused, StoreError};
pub use filter::{Filter, KindSet, RouteKey};
pub use index::IndexError;
pub use lane_view::SegmentFlaw;
pub use log::Log;
pub use pending::{Committed, Pending, Submitter};
pub use read_error::ReadError;
pub use recovery::{Cut, DamagedRange, LaneRecovery, Recovery};
pub use repair::{RepairAction, RepairChoice, RepairError, RepairReport, RepairStep, repair, repair_on};
pub use segment::map::SegmentMapError;
pub use stats::{StoreStats, StoredLane, stats, stats_on};
pub use step::{Frame, Gap, GapReason, Record, Step};
pub use store::Store;
pub use store_id::{DirLock, LockError, StoreIdError, read_store_id};
pub use telling::Hold;
pub use track::Flaw;
pub use verify::{
    DamageReport, IndexProblem, LaneReport, LossReport, Progress, TornTail, VerifyError, VerifyReport,
    verify, verify_on,
};
pub use watermark::{Limit, WatermarkReader};
