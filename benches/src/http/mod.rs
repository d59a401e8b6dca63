//! Servers under load, beside a bare HTTP server in the same run: what `forebay bench http` runs.
//!
//! A figure of its own means little on a shared machine; the ratio of two servers that took turns every two seconds
//! does. So all servers run all the time, one generator loads them in turn (A B A B), and a round's figures are compared
//! with those of the round beside it. Cost is the CPU that the server's process used: the generator's does not blur it.
//!
//! * [`run`] is the whole: servers, rounds, accounts; [`Options`] says what, [`Report`] what came of it.
//! * [`request`] builds what is sent, [`token`] for which project; [`generator`] sends it over keep-alive connections,
//!   in a closed loop or by the clock of [`schedule`], and [`latency`] says how long it took.
//! * [`bare`] is hyper that reads the body and answers; [`parse`] is simd-json by itself on the same bytes.
//! * [`server`] starts and asks servers, [`process`] and [`device`] what they spent; [`follower`] reads along.
//! * [`report`] makes figures of rounds, [`table`] and [`plots`] make something to look at of figures.
//!
//! # Invariants
//! * A server that refused a request, or stored other than it acknowledged, makes the run an error.
//! * No child outlives the run, and nothing of it stays on the disk.

pub mod answer;
pub mod bare;
pub mod device;
mod error;
mod fill;
pub mod follower;
pub mod generator;
pub mod latency;
pub mod limits;
pub mod load;
pub mod metrics;
pub mod parse;
pub mod plots;
pub mod process;
pub mod report;
pub mod request;
mod rounds;
mod run;
pub mod schedule;
pub mod server;
mod svg;
pub mod table;
mod timer;
pub mod token;

pub use error::Error;
pub use report::Report;
pub use run::{Beside, External, Offered, Options, Progress, run};

/// Pins the calling thread, and so the threads and children it makes from now on, to these cores. No cores means all
/// that this process may use.
///
/// # Errors
/// When a core does not exist or may not be used.
pub fn pin(cores: &[usize]) -> std::io::Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
