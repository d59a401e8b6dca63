//! Senders at a bounded rate, in mixed shapes, who never send an event twice.
//!
//! # Invariants
//! * Only a 200 whose body says so, read to its end, acknowledges.
//! * A 503 says when to come again, and outside of a full disk and the moments after it there is none.
//! * Every other answer is a failure of the soak.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::World;
use super::ledger::{Fate, NOBODY};
use super::line;
use crate::wire::{base64, gzip, percent};
use crate::{Answer, Connection, Random, Request};

/// A request and the ids in it.
struct Sending {
    request: Request,
    first: u64,
    count: usize,
    /// What a success looks like.
    success: String,
}

/// Sends until the world ends. `rate` requests a second.
pub(crate) fn send(world: &World, nth: usize, rate: f64) {
    let mut random = Random::named(world.seed, &format!("sender {nth}"));
    let mut open: Option<(SocketAddr, Connection)> = None;
    let mut due = Instant::now();
    while !world.over() {
        // Evenly on average, never in step with the other senders; what was missed is not made up for.
        let mean_ms = 1000.0 / rate;
        due += Duration::from_secs_f64(mean_ms / 1000.0).mul_f64(random.within(50, 150) as f64 / 100.0);
        match due.checked_duration_since(Instant::now()) {
            Some(wait) => thread::sleep(wait.min(Duration::from_secs(1))),
            None => due = Instant::now(),
        }
        let Some(addr) = world.addr() else {
            open = None;
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let mut connection = match open.take() {
            Some((at, connection)) if at == addr && !random.chance(1, 100) => connection,
            _ => match Connection::try_open(addr) {
                Ok(connection) => connection,
                Err(_) => {
                    world.tally.unconnected.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
            },
        };
        let sending = make(world, &mut random);
        world.tally.requests.fetch_add(1, Ordering::Relaxed);
        let calm_before = world.is_calm();
        match connection.ask(&sending.request) {
            Ok(answer) => {
                enter(world, &sending, &answer, calm_before);
                if answer.header("connection").is_none_or(|v| !v.eq_ignore_ascii_case("close")) {
                    open = Some((addr, connection));
                }
            }
            Err(_) => {
                world.tally.broken.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn enter(world: &World, sending: &Sending, answer: &Answer, calm_before: bool) {
    let (first, count) = (sending.first, sending.count);
    match answer.status {
        200 if answer.text() == sending.success => {
            world.tally.successes.fetch_add(1, Ordering::Relaxed);
            world.ledger.settle(first, count, Fate::Acknowledged);
        }
        503 => {
            world.ledger.settle(first, count, Fate::Refused);
            world.tally.unavailable.fetch_add(1, Ordering::Relaxed);
            if answer.header("retry-after").is_none_or(|v| v.parse::<u32>().is_err()) {
                world.fail(format!("a 503 without Retry-After: {answer:?}"));
            }
            if calm_before && world.is_calm() {
                world.fail(format!("a 503, and the disk was not full: {answer:?}"));
            }
        }
        _ => world.fail(format!("an odd answer to events {first}..{}: {answer:?}", first + count as u64)),
    }
}

fn make(world: &World, random: &mut Random) -> Sending {
    let bursting = world.bursting.load(Ordering::Relaxed);
    let shape = random.within(0, 99);
    let count = match shape {
        0..40 => 1,
        40..90 => random.within(2, 12),
        _ => random.within(13, 50),
    };
    let count = usize::try_from(count).expect("a small number");
    let owners: Vec<usize> = match shape {
        // A batch of several projects.
        70..80 => (0..count).map(|_| owner(world, random)).collect(),
        _ => vec![owner(world, random); count],
    };
    let import = (80..90).contains(&shape) && owners[0] != NOBODY;
    let first = world.ledger.take(&owners);
    let pad = |random: &mut Random| {
        let most = if bursting {
            16_384
        } else if random.chance(2, 100) {
            4_000
        } else {
            160
        };
        usize::try_from(random.within(0, most)).expect("a small number")
    };
    let events: Vec<String> = owners
        .iter()
        .zip(first..)
        .map(|(&owner, id)| {
            let pad = pad(random);
            line::event(id, &world.token(owner, random), pad)
        })
        .collect();
    let json = if count == 1 && random.chance(50, 100) {
        events[0].clone()
    } else {
        format!("[{}]", events.join(","))
    };
    let mut success = "1".to_owned();
    let request = if import {
        success = format!(r#"{{"code":200,"num_records_imported":{count},"status":"OK"}}"#);
        let json = format!("[{}]", events.join(","));
        Request::post("/import?strict=1", json)
            .basic(&world.projects()[owners[0]].api_secret, "")
            .header("Content-Type", "application/json")
    } else {
        match shape {
            0..5 if json.len() < 4000 => Request::get(&format!("/track?data={}", percent(base64(&json)))),
            5..15 => Request::post("/track", format!("data={}", percent(base64(&json))))
                .header("Content-Type", "application/x-www-form-urlencoded"),
            15..25 | 40..55 => Request::post("/track", gzip(json.as_bytes()))
                .header("Content-Encoding", "gzip")
                .header("Content-Type", "application/json"),
            _ => Request::post("/track", json).header("Content-Type", "application/json"),
        }
    };
    Sending { request, first, count, success }
}

fn owner(world: &World, random: &mut Random) -> usize {
    if random.chance(4, 100) {
        return NOBODY;
    }
    let projects = world.projects().len() as u64;
    // The first project gets half of it: lanes are never evenly loaded.
    let nth = if random.chance(50, 100) { 0 } else { random.within(0, projects - 1) };
    usize::try_from(nth).expect("a small number")
}
