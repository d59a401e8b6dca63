//! Every interleaving of a lane that publishes its watermark and a reader that follows it.

use super::{newest, publish};
use crate::sync::wrong;
use forebay_record::{Lsn, SegmentId, Seq, Watermark};
use loom::{
    cell::Cell,
    model::Builder,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};
use std::sync::Arc;

/// Groups written, one after another; the first is there from the beginning.
const GROUPS: usize = 3;

/// A store as two processes share it: the frames, and two copies of the watermark, of three words each in place of
/// eight: a checksum, the count, and the end.
struct Shared {
    frames: [Cell<usize>; GROUPS + 1],
    copies: [[AtomicU64; 3]; 2],
}

/// Tells mixtures of copies from copies.
fn checksum(count: u64, end: u64) -> u64 {
    count * 1000 + end * 7 + 1
}

impl Shared {
    fn new() -> Shared {
        let word = || AtomicU64::new(0);
        let copy = || [word(), word(), word()];
        Shared { frames: std::array::from_fn(|_| Cell::new(0)), copies: [copy(), copy()] }
    }

    /// As the writer does: the group, then the older copy.
    fn commit(&self, group: usize) {
        let write = || self.frames[group].set(group);
        if !wrong::leaves_out("publishing after writing") {
            write();
        }
        let (count, end) = (group as u64, 10 * group as u64);
        let words = [checksum(count, end), count, end];
        publish(|| {
            for (to, word) in self.copies[group % 2].iter().zip(words) {
                to.store(word, Ordering::Relaxed);
            }
        });
        if wrong::leaves_out("publishing after writing") {
            write();
        }
    }

    fn read(&self, copy: usize) -> Option<Watermark> {
        let [check, count, end] = std::array::from_fn(|i| self.copies[copy][i].load(Ordering::Relaxed));
        let whole = check == checksum(count, end) || wrong::leaves_out("the checksum") && count > 0;
        whole.then_some(Watermark {
            count,
            durable_lsn: Lsn(count),
            next_seq: Seq(count),
            segment: SegmentId(1),
            end,
            chain_crc: 0,
            failed_through: SegmentId(0),
        })
    }
}

fn model() {
    let explored = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&explored);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared::new());
        shared.commit(1);
        let writer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (2..=GROUPS).for_each(|group| shared.commit(group)))
        };
        let known = std::cell::Cell::new(None);
        let look = || {
            let before = known.get().map_or(0, |mark: Watermark| mark.count);
            known.set(newest(known.get(), || [shared.read(0), shared.read(1)]));
            let Some(mark) = known.get() else {
                assert_eq!(before, 0, "the watermark went from {before} back to none");
                return;
            };
            assert!(mark.count >= before, "the watermark went from {before} back to {}", mark.count);
            assert_eq!(mark.end, 10 * mark.count, "parts of two watermarks were taken for one");
            for group in 1..=usize::try_from(mark.count).unwrap() {
                // loom reports it if the writer may be writing this now.
                let frame = shared.frames[group].get();
                assert_eq!(frame, group, "a group that is durable is not there yet");
            }
        };
        look();
        look();
        writer.join().unwrap();
        look();
        assert_eq!(known.get().map(|mark| mark.count), Some(GROUPS as u64));
    });
    println!("{} interleavings", explored.load(Ordering::Relaxed));
}

#[test]
fn a_torn_copy_is_never_believed_and_what_a_copy_speaks_of_is_there() {
    model();
}

#[test]
fn the_model_of_the_watermark_notices_what_is_wrong() {
    for place in [
        "the writer's fence",
        "the reader's fence",
        "the checksum",
        "publishing after writing",
        "never going back",
    ] {
        wrong::is_caught(place, model);
    }
}
