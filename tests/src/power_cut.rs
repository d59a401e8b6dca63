//! Power cuts on the real kernel: every block write and every flush recorded, any prefix and any subset replayed.
//!
//! ```text
//!   load (a process)          log on ext4 or xfs, page cache, maps      loop device      disk (a process, FUSE)
//!   appends, acks, reads ───► fdatasync, RWF_DSYNC, rename, … ─────────► direct I/O ────► writes and flushes, numbered
//!        │                                                                                   │
//!        └── ledger: what was sent, acknowledged, shown, and the disk's number at that moment ┘
//! ```
//! Afterwards the power is cut where one likes: [`Cut`] says how many of the disk's operations had come and which of
//! the writes since its last flush are lost. The image of that moment is mounted, the file system replays its
//! journal, the log recovers, and [`reboot`] holds it against the ledger: acked ⊆ readable ⊆ sent, byte for byte,
//! in order, densely numbered, and able to go on.
//!
//! # Invariants
//! * The disk, the load and the ledger live apart: nothing that a test mounts can take them down.
//! * Everything is mounted in a mount namespace of the test's own, so nothing stays behind however it ends.
//! * Nothing is kept outside of memory except the evidence of a broken promise ([`evidence`]).
//!
//! The choice of requests, faults and cuts follows from a printed seed. What the kernel makes of it does not, so
//! the evidence of a failure is the recording itself: `power_cut replay DIR` cuts there again.

pub mod campaign;
pub mod cost;
pub mod disk;
pub mod evidence;
pub mod image;
pub mod ledger;
pub mod load;
pub mod machine;
pub mod reboot;
pub mod recorder;
pub mod recording;
pub mod request;
pub mod scenario;
pub mod sender;
pub mod sweep;

pub use image::{Cut, Image, Lost};
pub use ledger::{Fate, Ledger};
pub use load::{End, Load};
pub use machine::{FileSystem, Machine, Mounted};
pub use recorder::{Fault, Recorder, Target, Times};
pub use recording::{Kind, Op, Recording};
pub use request::Request;
pub use scenario::{Recorded, Scenario, Session};
pub use sweep::{Tally, sweep};
