//! One round: a server under one load for a few seconds, and what it spent meanwhile.

use std::{io, path::Path, time::Instant};

use serde::Serialize;

use super::{
    Error,
    device::Device,
    follower::Followers,
    generator::{self, Outcome, Traffic, When},
    latency::Quantiles,
    metrics::Metrics,
    process::{Cpu, Memory},
    server::Server,
};

/// A server's figures in one round. What the server does not tell, or the system does not know, is not there.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Round {
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests answered as they must be.
    pub requests: u64,
    /// Events in them.
    pub events: u64,
    /// Bytes of these events as JSON.
    pub json_bytes: u64,
    /// Requests that were due and not sent until the end: the server was too slow for the schedule.
    pub left_over: u64,
    /// CPU of the server's process.
    pub cpu_s: Option<f64>,
    /// CPU of the generator: near to its threads in number, it is the limit and not the server.
    pub generator_cpu_s: f64,
    /// CPU of simd-json alone for an event of this load, measured beside this round.
    pub simd_json_cpu_s_per_event: f64,
    /// How long answers took.
    pub latency: Quantiles,
    /// Flushes of the server's log.
    pub flushes: Option<f64>,
    /// Time it spent in them.
    pub flush_s: Option<f64>,
    /// Bytes it committed, with headers and padding.
    pub committed_bytes: Option<f64>,
    /// Bytes it wrote to prepare segments.
    pub prepared_bytes: Option<f64>,
    /// Bytes that the block device wrote, for whoever it was.
    pub device_bytes: Option<f64>,
    /// The server's own memory at the end of the round.
    pub anonymous_bytes: Option<f64>,
    /// The same, with pages of files mapped into it.
    pub resident_bytes: Option<f64>,
    /// Bytes that the followers printed.
    pub followed_bytes: Option<f64>,
    /// CPU of all followers.
    pub followers_cpu_s: Option<f64>,
}

/// What is read before and after a round.
struct Meter {
    metrics: Metrics,
    cpu: Option<Cpu>,
    generator_cpu: Cpu,
    device: Option<u64>,
    followed: u64,
    followers_cpu: Vec<Cpu>,
}

/// A server, the load it gets, and what is beside it.
pub(crate) struct Setting<'a> {
    pub(crate) server: &'a Server,
    pub(crate) traffic: Traffic,
    pub(crate) device: Option<&'a Device>,
    pub(crate) followers: usize,
    pub(crate) binary: &'a Path,
}

impl Setting<'_> {
    /// Runs one round.
    pub(crate) fn round(&self) -> Result<(Round, Outcome), Error> {
        let mut followers = match (self.followers, self.server.data_dir()) {
            (0, _) | (_, None) => Followers::default(),
            (count, Some(data_dir)) => Followers::start(self.binary, &data_dir, count)?,
        };
        let name = &self.server.name;
        let run = generator::run(&self.traffic, |when| self.meter(when, &followers));
        let (outcome, before, after) = run.map_err(Error::io(format!("measure {name}")))?;
        followers.check()?;
        if outcome.refused + outcome.broken > 0 {
            let first = outcome.first_wrong.unwrap_or_default();
            let (refused, broken) = (outcome.refused, outcome.broken);
            return Err(Error::Failed { name: name.clone(), refused, broken, first });
        }
        if outcome.answered == 0 {
            let what = format!("it answered nothing in {:?}", outcome.elapsed);
            return Err(Error::Server { name: name.clone(), what });
        }
        Ok((self.figures(&outcome, &before, &after), outcome))
    }

    fn meter(&self, when: When, followers: &Followers) -> io::Result<Meter> {
        let cpu = || self.server.pid.map(Cpu::of).transpose();
        // Being asked for metrics costs the server something: outside of what is counted.
        let early = if when == When::After { cpu()? } else { None };
        let meter = Meter {
            generator_cpu: Cpu::of_myself()?,
            device: self.device.and_then(Device::bytes_written),
            followed: followers.bytes_printed(),
            followers_cpu: followers.cpu(),
            metrics: self.server.metrics(),
            cpu: None,
        };
        let cpu = if when == When::After { early } else { cpu()? };
        Ok(Meter { cpu, ..meter })
    }

    fn figures(&self, outcome: &Outcome, before: &Meter, after: &Meter) -> Round {
        let grown = |name| Some((after.metrics.sum(name)? - before.metrics.count(name)).max(0.0));
        let memory = self.server.pid.and_then(|pid| Memory::of(pid).ok());
        let device = after.device.zip(before.device).map(|(after, before)| after.saturating_sub(before));
        let follows = self.followers > 0;
        let followers_cpu = after.followers_cpu.iter().zip(&before.followers_cpu);
        let followers_cpu_s = followers_cpu.map(|(after, before)| after.since(before).as_secs_f64()).sum();
        Round {
            seconds: outcome.elapsed.as_secs_f64(),
            requests: outcome.answered,
            events: outcome.events,
            json_bytes: outcome.json_bytes,
            left_over: outcome.left_over,
            cpu_s: after.cpu.as_ref().zip(before.cpu.as_ref()).map(|(a, b)| a.since(b).as_secs_f64()),
            generator_cpu_s: after.generator_cpu.since(&before.generator_cpu).as_secs_f64(),
            simd_json_cpu_s_per_event: 0.0,
            latency: outcome.latencies.quantiles(),
            flushes: grown("forebay_log_flushes_total"),
            flush_s: grown("forebay_log_flush_seconds_sum"),
            committed_bytes: grown("forebay_log_device_bytes_total"),
            prepared_bytes: grown("forebay_log_prepared_bytes_total"),
            device_bytes: device.map(|bytes| bytes as f64),
            anonymous_bytes: memory.map(|memory| memory.anonymous as f64),
            resident_bytes: memory.map(|memory| memory.resident as f64),
            followed_bytes: follows.then(|| after.followed.saturating_sub(before.followed) as f64),
            followers_cpu_s: follows.then_some(followers_cpu_s),
        }
    }
}

/// Waits until `so`, at most so many seconds, looking a hundred times a second.
pub(crate) fn wait_until(seconds: u64, mut so: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if so() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
