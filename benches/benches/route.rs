//! What a request pays for routing: 1 to 1,000,000 projects, still or while snapshots are being swapped.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use forebay_benches::events::Numbers;
use forebay_record::{LaneId, ProjectId};
use forebay_route::{Change, Ledger, LedgerLimits, ProjectSettings, Registry};

/// How many projects there are; only a few where nothing is measured and everything runs once, as a test.
fn sizes() -> &'static [u64] {
    let measuring = std::env::args().any(|argument| argument == "--bench");
    if measuring { &[1, 1_000, 100_000, 1_000_000] } else { &[1, 1_000] }
}

fn token(id: u64) -> Box<[u8]> {
    format!("{:032x}", u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
        .into_bytes()
        .into()
}

fn settings(id: u64) -> ProjectSettings {
    ProjectSettings {
        name: "bench".into(),
        tokens: vec![token(id)],
        ..ProjectSettings::new(ProjectId::new(id).expect("ids start at 1"))
    }
}

fn registry(projects: u64) -> Registry {
    let registry = Registry::new(Ledger::new(LedgerLimits::default()), |_| LaneId(0));
    registry.replace_all((1..=projects).map(settings), []);
    registry
}

/// Tokens in an order that no cache foresees.
fn tokens(projects: u64) -> Vec<Box<[u8]>> {
    let mut numbers = Numbers::new(projects);
    (0..4096).map(|_| token(1 + numbers.next_u64() % projects)).collect()
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("route/lookup");
    group.throughput(Throughput::Elements(1));
    for &projects in sizes() {
        let registry = Arc::new(registry(projects));
        let tokens = tokens(projects);
        let mut at = tokens.iter().cycle();
        group.bench_function(BenchmarkId::new("still", projects), |b| {
            b.iter(|| black_box(registry.token(at.next().expect("it cycles"))).is_some());
        });
        let stop = Arc::new(AtomicBool::new(false));
        let changer = {
            let (registry, stop) = (registry.clone(), stop.clone());
            thread::spawn(move || {
                let mut numbers = Numbers::new(1);
                // As fast as changes can be applied: far more than any team makes.
                while !stop.load(Ordering::Relaxed) {
                    registry.apply(Change::Project(settings(1 + numbers.next_u64() % projects)));
                }
            })
        };
        group.bench_function(BenchmarkId::new("while swapping", projects), |b| {
            b.iter(|| black_box(registry.token(at.next().expect("it cycles"))).is_some());
        });
        stop.store(true, Ordering::Relaxed);
        changer.join().expect("the changer ends");
        group.bench_function(BenchmarkId::new("unknown token", projects), |b| {
            b.iter(|| black_box(registry.token(b"00000000000000000000000000000000")).is_none());
        });
    }
    group.finish();
}

fn change(c: &mut Criterion) {
    let mut group = c.benchmark_group("route/change");
    group.throughput(Throughput::Elements(1));
    for &projects in sizes() {
        let registry = registry(projects);
        let mut numbers = Numbers::new(2);
        group.bench_function(BenchmarkId::from_parameter(projects), |b| {
            b.iter(|| registry.apply(Change::Project(settings(1 + numbers.next_u64() % projects))));
        });
    }
    group.finish();
}

fn count(c: &mut Criterion) {
    let mut group = c.benchmark_group("route/count");
    for events in [1, 50] {
        group.throughput(Throughput::Elements(1));
        let registry = registry(1);
        let project = registry.token(&token(1)).expect("it is there");
        group.bench_function(BenchmarkId::new("receive, hand over, stored", events), |b| {
            b.iter(|| {
                let mut received = project.tally.receive(events, 750);
                received.hand_over(events).stored(events, 750);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookup, change, count);
criterion_main!(benches);
