//! The real server, driven from outside: over sockets, by its command line, by real SDKs and load balancers.
//!
//! ```no_run
//! use forebay_tests::{Forebay, Request, event};
//!
//! let forebay = Forebay::start(); // the real binary, an empty directory, a free port
//! let project = forebay.create_project("Shop");
//! forebay.track(&event(&project.token, "Signed up", "user-1")).expect(200, "1");
//! assert_eq!(forebay.export(&project).len(), 1);
//! forebay.stop(); // balanced books, SIGTERM, exit 0; dropping does the same
//! ```
//!
//! * [`Setup`] says how to start (`arg`, `env`, `config`, `data_dir`); [`Forebay`] is the running server:
//!   `addr`, `send`, `track`, `cli`, `records` (from `log cat`), `export`, `metrics`, `accounts`, `memory`, `stop`;
//!   `kill` is SIGKILL and gives the `Setup` back, to start again on the same directory.
//! * [`wire`] has requests as bytes and connections; [`cli`] runs commands without a server; [`Json`] compares
//!   values; [`sdk`] runs scripts in Python, Node and Chromium.
//! * [`power_cut`] goes without the server: the log on disks that record every write, and whose power is cut.
//!
//! The binary under test is `FOREBAY_BIN`, else the newest that cargo built. What the SDK tests need is installed by
//! `cargo xtask test`.

pub mod balancer;
pub mod cli;
pub mod console;
pub mod contract;
pub mod delivered;
pub mod disk;
pub mod forebay;
pub mod gateway;
pub mod harm;
pub mod json;
pub mod metrics;
pub mod power_cut;
pub mod random;
pub mod replay;
pub mod sdk;
pub mod senders;
pub mod smtp;
pub mod soak;
pub mod told;
pub mod unconnected;
pub mod vectors;
pub mod wire;

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use cli::Output;
pub use forebay::{FailedStart, Forebay, Project, Setup, Stopped};
pub use json::Json;
pub use metrics::{Accounts, Metrics};
pub use random::Random;
pub use wire::{Answer, Connection, Request};

/// How long a test waits for what must come. It finds what never comes; how fast things are is for benchmarks to say, on
/// a machine that does nothing else.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until it is so.
///
/// # Panics
/// If it is not so within [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The JSON of a small event.
pub fn event(token: &str, name: &str, distinct_id: &str) -> String {
    let [token, name, distinct_id] = [token, name, distinct_id].map(json::quoted);
    format!(r#"{{"event":{name},"properties":{{"token":{token},"distinct_id":{distinct_id}}}}}"#)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    u64::try_from(since.as_millis()).expect("milliseconds fit")
}

/// The UTC date that many days from today, as `YYYY-MM-DD`.
pub fn day(offset: i64) -> String {
    let days = i64::try_from(now_ms() / 86_400_000).expect("days fit") + offset;
    // Civil from days, counting from 1 March of year 0 in eras of 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
