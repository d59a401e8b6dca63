//! The whole server under load, beside a bare HTTP server in the same run.
//!
//! A figure of its own means little on a shared machine; the ratio of two servers that took turns every two
//! seconds does. So both run all the time, one generator loads them in turn (A B A B), and a round's figures
//! are compared with those of the round beside it.
//!
//! * [`bare`]: hyper, which reads the body and answers `1`: the ceiling of any server on hyper.
//! * [`process`]: a server as a child process, and the CPU it spends.
//! * [`generator`]: keep-alive connections in a closed loop, on raw sockets.
//! * [`report`]: medians, ratios, a table.

pub mod bare;
pub mod generator;
pub mod process;
pub mod report;

/// Pins the calling thread, and so the threads and children it makes from now on, to these cores. No cores
/// means all of them.
///
/// # Errors
/// When a core does not exist or may not be used.
pub fn pin(cores: &[usize]) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    let all: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).collect();
    for &core in if cores.is_empty() { &all } else { cores } {
        set.set(core);
    }
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
