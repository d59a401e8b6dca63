//! Random appends, rolls, failed flushes and crashes against a plain list: acked ⊆ readable ⊆ sent.

use super::rig::{Rig, append, readable};
use crate::{
    Backend,
    disk::{Crash, SimDisk},
};
use proptest::prelude::*;
use std::path::Path;
use tempfile::TempDir;

#[derive(Clone, Debug)]
enum Op {
    /// One batch: of each append, how many events, and how long they are.
    Append(Vec<(usize, usize)>),
    Heartbeat,
    Roll,
    /// A reader reads all there is.
    Read,
    /// The disk is full, or no longer.
    Full(bool),
    /// The flush so many from now fails.
    FailFlush(u64),
    /// Closed in order, and opened again.
    Reopen,
    /// Down at the change so many from now, or at once when nothing changes any more.
    CrashIn(u64),
    /// Down, and up again; the recovery may itself go down after so many changes.
    Crash(Crash, Option<u64>),
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![Just(Crash::Kill), Just(Crash::LoseAll), Just(Crash::LoseSome)]
}

fn op() -> impl Strategy<Value = Op> {
    let one = (1..4usize, prop_oneof![1..100usize, 1..9000usize]);
    prop_oneof![
        8 => prop::collection::vec(one, 1..5).prop_map(Op::Append),
        1 => Just(Op::Heartbeat),
        1 => Just(Op::Roll),
        1 => Just(Op::Read),
        1 => any::<bool>().prop_map(Op::Full),
        1 => (1..4u64).prop_map(Op::FailFlush),
        1 => Just(Op::Reopen),
        1 => (1..12u64).prop_map(Op::CrashIn),
        2 => (crash(), prop::option::of(1..8u64)).prop_map(|(crash, again)| Op::Crash(crash, again)),
    ]
}

/// The plain list: every event sent, in order, of those acknowledged the sequence, and what readers saw.
#[derive(Default)]
struct Model {
    sent: Vec<String>,
    acked: Vec<(u64, String)>,
    shown: Vec<Option<String>>,
}

impl Model {
    fn check(&mut self, disk: &SimDisk, dir: &Path) {
        let read = readable(disk, dir);
        assert!(read.starts_with(&self.shown), "what a reader has seen is gone, or changed");
        self.shown.clone_from(&read);
        for (seq, event) in &self.acked {
            let there = usize::try_from(*seq).ok().and_then(|at| read.get(at)).and_then(Option::as_ref);
            assert!(there == Some(event), "acknowledged as {seq} and not there: {:.20}", event);
        }
        let mut sent = self.sent.iter();
        for event in read {
            let event = event.expect("a gap without damage");
            assert!(sent.any(|s| *s == event), "never sent, or out of order: {event:.20}");
        }
    }
}

fn run(backend: Backend, seed: u64, ops: Vec<Op>) {
    let dir = TempDir::new().unwrap();
    let disk = SimDisk::new(seed);
    let mut rig = Rig::open(&disk, dir.path(), backend).unwrap();
    let mut model = Model::default();
    let last = [Op::Crash(Crash::LoseSome, None), Op::Append(vec![(1, 1)])];
    for op in ops.into_iter().chain(last) {
        match op {
            Op::Append(appends) => {
                let mut batch = Vec::new();
                let mut events = Vec::new();
                for (count, len) in appends {
                    let first = model.sent.len();
                    let own: Vec<_> =
                        (first..first + count).map(|i| format!("{i}:{}", "x".repeat(len))).collect();
                    model.sent.extend(own.iter().cloned());
                    batch.push(append(Some(7), &own));
                    events.push(own);
                }
                for ((stored, seq, _), own) in rig.commit(batch).into_iter().zip(events) {
                    model.acked.extend((seq.0..).zip(own.into_iter().take(stored)));
                }
            }
            Op::Heartbeat => rig.writer.heartbeat(),
            Op::Roll => drop(rig.writer.roll()),
            Op::Full(full) => disk.set_capacity(if full { 0 } else { 1 << 30 }),
            // Nobody reads on a machine that is down.
            Op::Read if disk.is_down() => {}
            Op::Read => model.check(&disk, dir.path()),
            Op::FailFlush(ahead) => disk.fail_flush(disk.flushes() + ahead),
            Op::CrashIn(steps) => disk.crash_at(disk.steps() + steps),
            Op::Reopen => {
                let _ = rig.writer.close();
                rig = reopen(&disk, dir.path(), backend, Crash::Kill, None);
                model.check(&disk, dir.path());
            }
            Op::Crash(crash, again) => {
                rig = reopen(&disk, dir.path(), backend, crash, again);
                model.check(&disk, dir.path());
            }
        }
    }
    if !disk.is_down() {
        model.check(&disk, dir.path());
    }
}

fn reopen(disk: &SimDisk, dir: &Path, backend: Backend, crash: Crash, again: Option<u64>) -> Rig {
    disk.reboot(crash);
    if let Some(steps) = again {
        disk.crash_at(disk.steps() + steps);
        if let Ok(rig) = Rig::open(disk, dir, backend) {
            return rig;
        }
        disk.reboot(crash);
    }
    let rig = Rig::open(disk, dir, backend).unwrap_or_else(|_| {
        // What nothing proves needs room of its own: once there is some, it opens.
        disk.set_capacity(1 << 30);
        Rig::open(disk, dir, backend).expect("a healthy disk")
    });
    assert_eq!(rig.recovered.damage, [], "no disk damaged anything");
    rig
}

proptest! {
    #[test]
    fn what_was_acknowledged_is_readable_and_what_is_readable_was_sent(
        mapped: bool,
        seed: u64,
        ops in prop::collection::vec(op(), 1..40),
    ) {
        run(if mapped { Backend::Mapped } else { Backend::Pwrite }, seed, ops);
    }
}
