//! What the stamps of a lane's segments say, those that cannot be right put right by their neighbours.
//!
//! A lane is in order: no record in a segment was received before those of the segments in front of it, or
//! after those behind it. A stamp of the future, or from before clocks were set, says nothing; one that is
//! earlier than what stands in front of it is at least as late as that.

use crate::segment::SegmentInfo;

/// 2020-01-01: no clock that has been set says less.
const SET_SINCE_MS: u64 = 1_577_836_800_000;
/// So much later than now a stamp may be that a clock has left which was a little ahead.
const SLACK_MS: u64 = 3_600_000;

/// Can a stamp be right, when it is `now_ms`?
pub(crate) fn is_plausible(stamp_ms: u64, now_ms: u64) -> bool {
    // Where the clock itself has never been set, it is all that there is.
    let least = if now_ms < SET_SINCE_MS { 0 } else { SET_SINCE_MS };
    (least..=now_ms.saturating_add(SLACK_MS)).contains(&stamp_ms)
}

/// No record in the segment was received later than this, segment by segment, oldest first; never falls. Ends
/// in front of the first segment that is being written.
pub(crate) fn last_received(segments: &[SegmentInfo], now_ms: u64) -> Vec<u64> {
    let mut at_least = 0;
    let mut judged = Vec::with_capacity(segments.len());
    for (i, info) in segments.iter().enumerate() {
        let Some(last_ms) = info.last_ms else { break };
        if is_plausible(info.created_at_ms, now_ms) {
            at_least = at_least.max(info.created_at_ms);
        }
        if is_plausible(last_ms, now_ms) {
            at_least = at_least.max(last_ms);
            judged.push(at_least);
            continue;
        }
        // It had ended when the next one began.
        let ended = segments[i + 1..].iter().map(|next| next.created_at_ms);
        let ended = ended.into_iter().find(|&ms| is_plausible(ms, now_ms)).unwrap_or(now_ms);
        judged.push(at_least.max(ended));
    }
    // Where a later one is known better, those in front of it are no younger.
    let mut most = u64::MAX;
    for at in judged.iter_mut().rev() {
        most = most.min(*at);
        *at = most;
    }
    judged
}

/// The newest stamp in `segments` that is not from before clocks were set.
pub(crate) fn newest(segments: &[SegmentInfo]) -> Option<u64> {
    let stamps = segments.iter().map(|info| info.created_at_ms.max(info.last_ms.unwrap_or(0)));
    stamps.filter(|&ms| ms >= SET_SINCE_MS).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_record::{Lsn, SegmentId, Seq};

    const DAY: i64 = 86_400_000;
    const NOW: u64 = 1_800_000_000_000;

    /// Segments `(created, newest record)` in days before now, and what they are judged as.
    fn check(name: &str, segments: &[(i64, i64)], judged: &[i64]) {
        let at = |days: i64| NOW.wrapping_add_signed(-days * DAY);
        let infos: Vec<_> = (1..)
            .zip(segments)
            .map(|(id, &(created, last))| SegmentInfo {
                id: SegmentId(id),
                base_lsn: Lsn(1),
                base_seq: Seq(0),
                created_at_ms: at(created),
                last_ms: Some(at(last)),
                bytes: 4096,
            })
            .collect();
        let expected: Vec<_> = judged.iter().map(|&days| at(days)).collect();
        assert_eq!(last_received(&infos, NOW), expected, "{name}");
    }

    #[test]
    fn stamps_that_cannot_be_right_are_put_right_by_their_neighbours() {
        let never_set = 20_000; // 1972
        check("clocks went right", &[(9, 7), (7, 3), (3, 1)], &[7, 3, 1]);
        check("one of the future", &[(9, 7), (-400, -390), (3, 1)], &[7, 3, 1]);
        check("several of the future", &[(-400, -399), (-399, -390), (3, 1)], &[3, 3, 1]);
        check("the last ones of the future: until a right one follows", &[(9, 7), (-400, -390)], &[7, 0]);
        check(
            "it ended at the latest when the next right one began",
            &[(9, -400), (-400, -390), (3, 1)],
            &[3, 3, 1],
        );
        check("never set, then set", &[(never_set, never_set), (9, 7), (7, 3)], &[9, 7, 3]);
        check("set, then not", &[(9, 7), (never_set, never_set), (5, 3)], &[7, 5, 3]);
        check("set back by a month for a while", &[(9, 7), (37, 36), (5, 3)], &[7, 7, 3]);
        check("a future that has come meanwhile", &[(9, 2), (8, 7), (6, 5)], &[2, 2, 2]);
        check("nothing", &[], &[]);
    }

    #[test]
    fn without_a_set_clock_stamps_are_compared_with_what_there_is() {
        assert!(is_plausible(5, 10) && is_plausible(11, 10) && !is_plausible(NOW, 10));
        assert!(is_plausible(NOW, NOW) && !is_plausible(5, NOW) && !is_plausible(NOW + 2 * SLACK_MS, NOW));
    }
}
