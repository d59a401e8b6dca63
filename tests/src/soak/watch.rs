//! Looks at the running server each second: its books, its counters, its memory, its open files.
//!
//! # Invariants
//! * Nothing is ever unaccounted for; counters only rise within a life; no damage, no failed flush.
//! * Retention by bytes keeps its limit, but for the segments that are never removed: the newest of each lane.
//! * Memory and open files stay below bounds that do not depend on how long the soak runs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::World;
use crate::wire::exchange;
use crate::{Metrics, Request};

/// The most anonymous memory of the server: what it allocates, at this load.
pub(crate) const ANON_BYTES_MAX: u64 = 96 << 20;
/// The most resident memory, with maps of segments and of the binary.
pub(crate) const RESIDENT_BYTES_MAX: u64 = 256 << 20;
/// The most open files, sockets and maps' files.
pub(crate) const FILES_MAX: u64 = 200;
/// How much anonymous memory may grow within a life, after its first minute.
pub(crate) const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// More than `retention.bytes_max`: the newest segment of each lane, and what came since the last look.
pub(crate) const KEPT_BESIDE_MAX: u64 = 64 << 20;
/// After a start or a full disk, retention has that long.
const KEPT_WITHIN: Duration = Duration::from_secs(20);

/// What one life's counters said last.
#[derive(Default)]
struct Life {
    pid: u32,
    began: Option<Instant>,
    counters: BTreeMap<String, f64>,
    anon_after_a_minute: Option<u64>,
}

/// Watches until the world ends.
pub(crate) fn watch(world: &World) {
    let mut life = Life::default();
    while !world.over() {
        world.nap(Duration::from_secs(1));
        if let Some((addr, pid)) = world.running() {
            if pid != life.pid {
                life = Life { pid, began: Some(Instant::now()), ..Life::default() };
            }
            let text = exchange(addr, &Request::get("/metrics").close().bytes());
            // Judged only if the server was there before and after: it may be killed at any moment.
            let found = text.map_err(|e| format!("no metrics: {e}")).and_then(|answer| {
                if answer.status == 200 {
                    look(world, &mut life, &answer.text())
                } else {
                    Err(format!("{answer:?}"))
                }
            });
            if let Err(what) = found
                && world.running() == Some((addr, pid))
                && !world.ending.load(Ordering::Relaxed)
            {
                world.fail(format!("watching process {pid}: {what}"));
            }
        }
    }
}

fn look(world: &World, life: &mut Life, text: &str) -> Result<(), String> {
    let metrics = Metrics::parse(text);
    let accounts = metrics.accounts();
    if accounts.unaccounted != 0 {
        return Err(format!("events without a verdict: {accounts}"));
    }
    for (name, most) in [
        ("forebay_log_damaged_ranges", 0),
        ("forebay_log_damaged_events", 0),
        ("forebay_log_failed_flushes_total", 0),
    ] {
        if metrics.count(name) > most {
            return Err(format!("{name} is {}", metrics.count(name)));
        }
    }
    for line in text.lines().filter(|l| l.contains("_total")) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let value: f64 = value.parse().map_err(|_| format!("no number in {line:?}"))?;
        match life.counters.insert(name.to_owned(), value) {
            Some(before) if value < before => return Err(format!("{name} fell from {before} to {value}")),
            _ => {}
        }
    }
    let keep = world.keep_bytes.load(Ordering::Relaxed);
    if keep > 0 && life.began.is_some_and(|began| began.elapsed() > KEPT_WITHIN) && world.is_calm() {
        let lanes = metrics.by_label("forebay_log_disk_bytes", "lane");
        let kept: f64 = lanes.iter().filter(|(lane, _)| lane != "unclaimed").map(|(_, bytes)| bytes).sum();
        if kept > (keep + KEPT_BESIDE_MAX) as f64 {
            return Err(format!("the log holds {kept} bytes, where retention.bytes_max is {keep}"));
        }
    }
    world.tally.metrics.fetch_add(1, Ordering::Relaxed);
    let memory = memory(life.pid).map_err(|e| format!("reading /proc: {e}"))?;
    let files = fs::read_dir(format!("/proc/{}/fd", life.pid))
        .map_err(|e| format!("reading /proc: {e}"))?
        .count() as u64;
    world.tally.resident_max.fetch_max(memory.resident, Ordering::Relaxed);
    world.tally.resident_now.store(memory.resident, Ordering::Relaxed);
    world.tally.anon_max.fetch_max(memory.anon, Ordering::Relaxed);
    world.tally.files_max.fetch_max(files, Ordering::Relaxed);
    for (what, is, most) in [
        ("anonymous bytes", memory.anon, ANON_BYTES_MAX),
        ("resident bytes", memory.resident, RESIDENT_BYTES_MAX),
        ("open files", files, FILES_MAX),
    ] {
        if is > most {
            return Err(format!("{what}: {is}, at most {most} are allowed"));
        }
    }
    if life.began.is_some_and(|began| began.elapsed() > Duration::from_secs(60)) {
        let base = *life.anon_after_a_minute.get_or_insert(memory.anon);
        let growth = memory.anon.saturating_sub(base);
        world.tally.growth_max.fetch_max(growth, Ordering::Relaxed);
        if growth > GROWTH_BYTES_MAX {
            return Err(format!("anonymous memory grew from {base} to {} in one life", memory.anon));
        }
    }
    Ok(())
}

struct Memory {
    resident: u64,
    anon: u64,
}

fn memory(pid: u32) -> io::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |what: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(what)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    // A process that is ending has no memory any more.
    let of = |what| kib(what).map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("no {what}")));
    Ok(Memory { resident: of("VmRSS")?, anon: of("RssAnon")? })
}
