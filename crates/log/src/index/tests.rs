//! What an index promises, each by name.

use super::{Index, IndexError, build, write};
use crate::{
    Filter, RouteKey,
    disk::RealDisk,
    sample::{LaneWriter, flip},
};
use bytes::Bytes;
use forebay_record::{LaneId, ProjectId, SegmentHeader, Seq};
use std::fs;
use tempfile::TempDir;

fn project(id: u64) -> Filter {
    let project = ProjectId::new(id).expect("not zero");
    Filter { routes: Some(vec![RouteKey::Project(project)]), ..Filter::all() }
}

/// One sealed segment: projects 1 to 3 and the unclaimed token `lost`.
fn sealed() -> (TempDir, LaneWriter, SegmentHeader) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut lane = LaneWriter::new(dir.path(), LaneId(0));
    let header = lane.header;
    for n in 0..30u64 {
        let token = if n % 4 == 0 { "lost" } else { "token" };
        lane.frame(n % 4, token, &[(&n.to_string(), Some(i64::try_from(n).expect("small") * 10_500))]);
    }
    lane.roll();
    (dir, lane, header)
}

#[test]
fn a_route_names_its_frames_and_no_others() {
    let (_dir, lane, header) = sealed();
    let index = Index::open(&RealDisk, &lane.index_path(1), &header).expect("an index");
    let token = RouteKey::Token(Bytes::from_static(b"lost"));
    for (filter, wanted) in
        [(project(2), 2), (project(3), 3), (Filter { routes: Some(vec![token]), ..Filter::all() }, 0)]
    {
        let got: Vec<_> = index.postings(&filter).expect("postings").iter().map(|p| p.seq.0).collect();
        let expected = lane.written.iter().filter(|w| w.project == wanted);
        assert_eq!(got, expected.map(|w| w.seq).collect::<Vec<_>>(), "{filter:?}");
    }
    assert_eq!(index.postings(&project(4)).expect("postings"), []);
    let both =
        Filter { routes: [1, 2].map(|id| project(id).routes.expect("one")).concat().into(), ..Filter::all() };
    assert_eq!(index.postings(&both).expect("postings").len(), 15);
}

#[test]
fn times_are_rounded_outward_and_never_leave_a_frame_out() {
    let (_dir, lane, header) = sealed();
    let index = Index::open(&RealDisk, &lane.index_path(1), &header).expect("an index");
    for n in 0..30i64 {
        let filter = Filter { event_time_ms: Some(n * 10_500..=n * 10_500), ..Filter::all() };
        let got = index.postings(&filter).expect("postings");
        assert_eq!(got.iter().map(|p| p.seq.0).collect::<Vec<_>>(), [n.cast_unsigned()]);
    }

    let dir = tempfile::tempdir().expect("a folder");
    let mut lane = LaneWriter::new(dir.path(), LaneId(0));
    let header = lane.header;
    let times = [i64::MIN, -1, 0, 1, 1_700_000_000_123, i64::MAX];
    for time in times {
        lane.frame(1, "t", &[("x", Some(time))]);
    }
    lane.roll();
    let index = Index::open(&RealDisk, &lane.index_path(1), &header).expect("an index");
    for (seq, time) in (0..).zip(times) {
        let filter = Filter { event_time_ms: Some(time..=time), ..Filter::all() };
        let got = index.postings(&filter).expect("postings");
        assert!(got.iter().any(|p| p.seq == Seq(seq)), "{time}: {got:?}");
    }
}

/// Bytes of an index that can be flipped, and it is believed all the same.
pub(crate) fn believed_when_flipped() -> Vec<usize> {
    let (_dir, lane, header) = sealed();
    let path = lane.index_path(1);
    let len = usize::try_from(fs::metadata(&path).expect("a file").len()).expect("small");
    let believed = |at: &usize| {
        flip(&path, *at);
        let read = Index::open(&RealDisk, &path, &header).and_then(|index| index.postings(&Filter::all()));
        flip(&path, *at);
        read.is_ok()
    };
    (0..len).filter(believed).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_never_believed() {
    assert_eq!(believed_when_flipped(), Vec::<usize>::new());
    let (_dir, lane, header) = sealed();
    let path = lane.index_path(1);
    let len = usize::try_from(fs::metadata(&path).expect("a file").len()).expect("small");
    for cut in [0, 1, 100, 143, 144, len - 1] {
        fs::write(&path, vec![0xff; cut]).expect("written");
        assert!(
            matches!(Index::open(&RealDisk, &path, &header), Err(IndexError::Damaged(_))),
            "cut at {cut}"
        );
    }
}

#[test]
fn an_index_of_another_segment_generation_or_use_is_refused() {
    let (_dir, lane, header) = sealed();
    let path = lane.index_path(1);
    for (other, what) in [
        (SegmentHeader { generation: 1, ..header }, "generation"),
        (SegmentHeader { salt: 1, ..header }, "salt"),
        (SegmentHeader { id: forebay_record::SegmentId(2), ..header }, "segment id"),
        (SegmentHeader { base_seq: Seq(1), ..header }, "base"),
    ] {
        let refused = Index::open(&RealDisk, &path, &other).map(|_| ());
        assert!(matches!(refused, Err(IndexError::Other(w)) if w == what), "{what}: {refused:?}");
    }
}

#[test]
fn an_index_made_from_the_file_equals_the_one_made_while_writing() {
    let (_dir, lane, header) = sealed();
    let path = lane.index_path(1);
    let written = fs::read(&path).expect("an index");
    let segment = fs::read(lane.segment_path(1)).expect("a segment");
    let built = build(&segment, &header, None).and_then(|built| built.encode()).expect("whole");
    assert_eq!(built, written);
    write(&RealDisk, &path, &built).expect("written");
    assert!(!path.with_extension("idx.tmp").exists());
    let damaged = {
        flip(&lane.segment_path(1), 5000);
        fs::read(lane.segment_path(1)).expect("a segment")
    };
    assert!(build(&damaged, &header, None).is_none(), "a damaged segment gets no index");
}
