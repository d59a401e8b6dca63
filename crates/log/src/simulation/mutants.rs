//! That the simulation would notice: each mistake of [`Mutant`] is caught by it, by name.
//!
//! A mistake that goes through is a hole in the simulation, and it is the simulation that is to be mended.

use super::{
    invariants,
    sweep::{Broken, Tally, sweep},
};
use crate::{index, lane::writer::ending_tests, mutant::Mutant};
use std::collections::BTreeSet;

/// Seeds that a mistake may survive, at most.
const SEEDS: u64 = 96;

/// What goes straight for a mistake that a run would seldom come upon: bits that flip in an index seldom matter to
/// whoever reads, a frame seldom strays to its own place in another segment, and a header is seldom damaged just behind
/// a failed flush.
fn aimed(mutant: Mutant) -> Option<String> {
    match mutant {
        Mutant::IndexUnchecked => {
            let believed = mutant.during(index::tests::believed_when_flipped);
            believed.first().map(|byte| format!("an index whose byte {byte} is flipped is believed"))
        }
        Mutant::SaltReused => {
            let taken = mutant.during(invariants::frames_of_another_segment_that_are_taken);
            taken.first().map(|at| format!("a frame of another segment is taken at byte {at}"))
        }
        Mutant::FailedEndNotCut => mutant.during(ending_tests::read_behind_the_end),
        _ => None,
    }
}

/// Goes for the mistake, then runs seed after seed with it made, until a promise is broken.
fn hunt(mutant: Mutant, seeds: impl Iterator<Item = u64>) -> (Tally, Option<Broken>) {
    let mut survived = Tally::default();
    if let Some(what) = aimed(mutant) {
        return (survived, Some(Broken { seed: 0, crashes: 0, what }));
    }
    for seed in seeds {
        match mutant.during(|| sweep(seed)) {
            Ok(tally) => survived.merge(&tally),
            Err(broken) => return (survived, Some(broken)),
        }
    }
    (survived, None)
}

/// The suite catches it; `near` is a seed that is known to, to save time while it does.
fn caught(mutant: Mutant, near: u64) {
    let (survived, broken) = hunt(mutant, std::iter::once(near).chain(0..SEEDS));
    assert!(broken.is_some(), "{mutant:?} goes through: a hole in the suite\n{survived}");
}

macro_rules! caught {
    ($($test:ident: $mutant:ident near $near:literal,)+) => {
        $(#[test]
        fn $test() {
            caught(Mutant::$mutant, $near);
        })+

        const CAUGHT: &[Mutant] = &[$(Mutant::$mutant),+];
    };
}

caught! {
    the_suite_catches_flush_dropped: FlushDropped near 0,
    the_suite_catches_ack_before_flush: AckBeforeFlush near 0,
    the_suite_catches_dir_sync_skipped: DirSyncSkipped near 2,
    the_suite_catches_flush_retried: FlushRetried near 0,
    the_suite_catches_cut_at_first_bad_frame: CutAtFirstBadFrame near 10,
    the_suite_catches_published_before_flush: PublishedBeforeFlush near 2,
    the_suite_catches_watermark_ahead: WatermarkAhead near 2,
    the_suite_catches_carried_unflushed: CarriedUnflushed near 2,
    the_suite_catches_tail_not_carried: TailNotCarried near 12,
    the_suite_catches_watermark_believed: WatermarkBelieved near 0,
    the_suite_catches_sequence_reused: SequenceReused near 0,
    the_suite_catches_recovery_trusts_payloads: RecoveryTrustsPayloads near 2,
    the_suite_catches_torn_tail_kept: TornTailKept near 2,
    the_suite_catches_header_unflushed: HeaderUnflushed near 2,
    the_suite_catches_groups_share_a_page: GroupsShareAPage near 2,
    the_suite_catches_failed_group_counted: FailedGroupCounted near 2,
    the_suite_catches_failed_segment_written_on: FailedSegmentWrittenOn near 0,
    the_suite_catches_failed_end_nowhere: FailedEndNowhere near 2,
    the_suite_catches_failed_end_not_cut: FailedEndNotCut near 2,
    the_suite_catches_failure_acknowledged: FailureAcknowledged near 8,
    the_suite_catches_trimmed_short: TrimmedShort near 10,
    the_suite_catches_retention_takes_the_newest: RetentionTakesTheNewest near 48,
    the_suite_catches_one_watermark_copy: OneWatermarkCopy near 3,
    the_suite_catches_salt_reused: SaltReused near 3,
    the_suite_catches_reader_past_the_watermark: ReaderPastTheWatermark near 0,
    the_suite_catches_reader_trusts_payloads: ReaderTrustsPayloads near 0,
    the_suite_catches_gap_kept_silent: GapKeptSilent near 0,
    the_suite_catches_index_unchecked: IndexUnchecked near 0,
    the_suite_catches_reader_stops_at_damage: ReaderStopsAtDamage near 11,
}

#[test]
fn every_mistake_on_the_list_has_its_test() {
    let named: BTreeSet<_> = CAUGHT.iter().map(|mutant| format!("{mutant:?}")).collect();
    let all: BTreeSet<_> = Mutant::ALL.iter().map(|(mutant, _)| format!("{mutant:?}")).collect();
    assert_eq!(named, all);
}

#[test]
#[ignore = "a table, for people: `cargo xtask simulate --mutants`"]
fn table() {
    let only = std::env::var("FOREBAY_SIMULATE_MUTANT").ok();
    let mut missed = Vec::new();
    for (mutant, about) in
        Mutant::ALL.iter().filter(|(m, _)| only.as_ref().is_none_or(|o| *o == format!("{m:?}")))
    {
        match hunt(*mutant, 0..SEEDS) {
            (survived, Some(broken)) => {
                let crashes = survived.crashes + broken.crashes;
                println!("{mutant:?}: caught with seed {}, after {crashes} crashes", broken.seed);
                println!("   {about}\n    {}", broken.what);
            }
            (survived, None) => {
                println!("{mutant:?}: NOT CAUGHT by {} seeds, {} crashes", survived.seeds, survived.crashes);
                println!("   {about}");
                missed.push(mutant);
            }
        }
    }
    assert!(missed.is_empty(), "a hole in the suite: {missed:?}");
}
