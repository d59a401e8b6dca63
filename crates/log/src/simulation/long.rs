//! As many seeds as there is time for, on all cores: what `cargo xtask simulate` runs.
//!
//! What to do is said by the environment: `FOREBAY_SIMULATE_SEED` replays one seed, `FOREBAY_SIMULATE_SECONDS` goes
//! on for so long with seeds from `FOREBAY_SIMULATE_FROM` on, or from anywhere.

use super::{
    plan::Plan,
    sweep::{Broken, Tally, sweep},
};
use std::{
    env,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

fn from_env<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    let parsed = value.parse().ok();
    assert!(parsed.is_some(), "{name} is {value:?}: it must be a whole number");
    parsed
}

#[test]
#[ignore = "as long as it is told to: `cargo xtask simulate`"]
fn simulate() {
    if let Some(seed) = from_env("FOREBAY_SIMULATE_SEED") {
        println!("seed {seed}: {:#?}", Plan::new(seed));
        match sweep(seed) {
            Ok(tally) => println!("no promise was broken\n{tally}"),
            Err(broken) => panic!("{broken}"),
        }
        return;
    }
    let time = Duration::from_secs(from_env("FOREBAY_SIMULATE_SECONDS").unwrap_or(60));
    let from = from_env("FOREBAY_SIMULATE_FROM").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(now.as_micros()).unwrap_or(0) % 1_000_000_000_000
    });
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    println!("seeds from {from} on, for {} s on {threads} threads", time.as_secs());
    let started = Instant::now();
    let (next, over) = (AtomicU64::new(from), AtomicBool::new(false));
    let all: Mutex<(Tally, Option<Broken>)> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < time && !over.load(Ordering::Relaxed) {
                    let swept = sweep(next.fetch_add(1, Ordering::Relaxed));
                    let mut all = all.lock().expect("a sweep does not panic");
                    match swept {
                        Ok(tally) => all.0.merge(&tally),
                        Err(broken) => {
                            over.store(true, Ordering::Relaxed);
                            all.1.get_or_insert(broken);
                        }
                    }
                }
            });
        }
    });
    let took = started.elapsed();
    let (tally, broken) = all.into_inner().expect("a sweep does not panic");
    let a_minute = tally.crashes * 60_000 / u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    println!("{tally}\n{a_minute} crashes a minute on {threads} threads, {} s", took.as_secs());
    if let Some(broken) = broken {
        panic!("{broken}");
    }
}
