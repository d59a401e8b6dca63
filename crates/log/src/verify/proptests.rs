//! Random lanes and random damage against a plain list of what was written.

use super::verify;
use crate::{
    Filter, GapReason, RepairChoice, RouteKey, Store, repair,
    sample::{Got, LaneWriter, Written, drain, flip},
};
use forebay_record::{LaneId, ProjectId, SEGMENT_HEADER_BYTES, Seq};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{collections::BTreeSet, fs, path::Path};

const LANE: LaneId = LaneId(3);

#[derive(Clone, Debug)]
enum Op {
    Frame { project: u64, events: Vec<(String, Option<i64>)> },
    Commit,
    Roll,
}

#[derive(Clone, Debug)]
enum Harm {
    /// A bit of a segment.
    Segment { segment: Index, at: Index },
    /// A bit of an index, or all of it.
    Index { segment: Index, at: Index, gone: bool },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let event = ("[a-z]{0,40}", prop::option::of(-1000i64..2_000_000_000_000));
    let op = prop_oneof![
        6 => (0..4u64, vec(event, 1..4)).prop_map(|(project, events)| Op::Frame { project, events }),
        2 => Just(Op::Commit),
        1 => Just(Op::Roll),
    ];
    vec(op, 1..40)
}

fn harms() -> impl Strategy<Value = Vec<Harm>> {
    let harm = prop_oneof![
        4 => any::<(Index, Index)>().prop_map(|(segment, at)| Harm::Segment { segment, at }),
        1 => any::<(Index, Index, bool)>().prop_map(|(segment, at, gone)| Harm::Index { segment, at, gone }),
    ];
    vec(harm, 0..4)
}

fn write(dir: &Path, ops: &[Op]) -> LaneWriter {
    let mut lane = LaneWriter::new(dir, LANE);
    for op in ops {
        match op {
            Op::Frame { project, events } => {
                let events: Vec<_> = events.iter().map(|(json, time)| (json.as_str(), *time)).collect();
                lane.frame(*project, "token", &events);
            }
            Op::Commit => lane.commit(),
            Op::Roll => lane.roll(),
        }
    }
    lane.commit();
    lane
}

/// Does the harm; the sequences it may cost.
fn harm(lane: &LaneWriter, harms: &[Harm]) -> BTreeSet<u64> {
    let mut hit = BTreeSet::new();
    let segments = usize::try_from(lane.header.id.0).expect("few");
    for harm in harms {
        match harm {
            Harm::Segment { segment, at } => {
                let segment = segment.index(segments) as u64 + 1;
                let end = lane.written.iter().filter(|w| w.segment == segment).map(|w| w.frame.end).max();
                let at = at.index(end.unwrap_or(SEGMENT_HEADER_BYTES));
                flip(&lane.segment_path(segment), at);
                let struck = |w: &&Written| {
                    w.segment == segment && (w.frame.contains(&at) || at < SEGMENT_HEADER_BYTES)
                };
                hit.extend(lane.written.iter().filter(struck).map(|w| w.seq));
            }
            Harm::Index { segment, at, gone } => {
                let path = lane.index_path(segment.index(segments) as u64 + 1);
                let Ok(metadata) = fs::metadata(&path) else { continue };
                if *gone {
                    fs::remove_file(&path).expect("removed");
                } else {
                    flip(&path, at.index(usize::try_from(metadata.len()).expect("small")));
                }
            }
        }
    }
    hit
}

fn read(dir: &Path, from: u64, filter: Filter) -> Vec<Got> {
    drain(&mut Store::open(dir).expect("a store").cursor(LANE, Seq(from), filter).expect("a cursor"))
}

/// Every sequence from `from` stands in exactly one record or gap, in order, and records are as written.
fn check_exactly_once(got: &[Got], from: u64, written: &[Written]) -> BTreeSet<u64> {
    let (mut next, mut missing) = (from, BTreeSet::new());
    for got in got {
        match got {
            Got::Record(seq, json) => {
                assert_eq!((*seq, json), (next, &written[usize::try_from(next).expect("few")].json));
                next += 1;
            }
            Got::Gap(first, end, _) => {
                assert!(*first == next && end > first, "{got:?} where {next} comes next");
                missing.extend(*first..*end);
                next = *end;
            }
        }
    }
    assert_eq!(next, from.max(written.len() as u64));
    missing
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn damage_costs_what_it_hit_and_is_said_and_repaired(ops in ops(), harms in harms(), from: Index) {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path();
        let lane = write(dir, &ops);
        let hit = harm(&lane, &harms);
        let written = &lane.written;

        let missing = check_exactly_once(&read(dir, 0, Filter::all()), 0, written);
        prop_assert!(missing.is_subset(&hit), "lost {missing:?}, hit {hit:?}");
        let from = from.index(written.len() + 1) as u64;
        let later = check_exactly_once(&read(dir, from, Filter::all()), from, written);
        prop_assert_eq!(&later, &missing.range(from..).copied().collect());

        for project in 1..4 {
            let routes = Some(vec![RouteKey::Project(ProjectId::new(project).expect("not zero"))]);
            let got = read(dir, from, Filter { routes, ..Filter::all() });
            let records: Vec<u64> = got.iter().filter_map(|g| match g {
                Got::Record(seq, _) => Some(*seq),
                Got::Gap(..) => None,
            }).collect();
            let expected = written.iter().filter(|w| w.project == project && w.seq >= from);
            let expected: Vec<u64> = expected.map(|w| w.seq).filter(|seq| !missing.contains(seq)).collect();
            prop_assert_eq!(records, expected, "project {}", project);
            let mut gaps = got.iter().filter_map(|g| match g {
                Got::Gap(first, end, _) => Some(*first..*end),
                Got::Record(..) => None,
            }).flatten();
            let lost = written.iter().filter(|w| w.project == project && missing.range(from..).any(|s| *s == w.seq));
            let told: BTreeSet<u64> = gaps.by_ref().collect();
            prop_assert!(lost.into_iter().all(|w| told.contains(&w.seq)), "project {}", project);
        }

        let report = verify(dir, &mut |_| {}).expect("a report");
        let first_gone = report.damage().any(|(_, d)| d.what.contains("not known"));
        if !first_gone {
            prop_assert_eq!(report.records_lost(), missing.len() as u64, "{:?}", report);
        }
        prop_assert_eq!(report.lanes[0].records, (written.len() - missing.len()) as u64);

        repair(dir, RepairChoice::AcceptLoss).expect("repaired");
        let after = verify(dir, &mut |_| {}).expect("a report");
        prop_assert!(after.is_clean(), "{:?}", after);
        let got = read(dir, 0, Filter::all());
        prop_assert_eq!(check_exactly_once(&got, 0, written), missing);
        let damaged = got.iter().any(|g| matches!(g, Got::Gap(_, _, GapReason::Damage)));
        prop_assert!(!damaged, "{:?}", got);
    }
}
