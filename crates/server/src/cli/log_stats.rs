//! `forebay log stats`: what the log holds.

use super::{Common, Done, out};
use forebay_log::stats;

pub(crate) fn run(common: &Common) -> Done {
    let stats = stats(&common.data_dir()?)?;
    let mut out = common.out();
    if out.json {
        out.value(&stats)?;
        return out.done();
    }
    let time = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), out::time);
    let rows: Vec<_> = stats
        .lanes
        .iter()
        .map(|lane| {
            [
                lane.lane.to_string(),
                lane.records.to_string(),
                format!("{}..{}", lane.first_seq, lane.next_seq),
                lane.frames.to_string(),
                lane.segments.to_string(),
                out::bytes(lane.bytes),
                time(lane.oldest_received_ms),
                time(lane.newest_received_ms),
            ]
        })
        .collect();
    out.table(
        ["LANE", "RECORDS", "SEQUENCE", "FRAMES", "SEGMENTS", "ON DISK", "OLDEST (UTC)", "NEWEST (UTC)"],
        &rows,
    )?;
    for lane in stats.lanes.iter().filter(|lane| lane.quarantined > 0) {
        let (files, size) = (lane.quarantined, out::bytes(lane.quarantined_bytes));
        out.line(&format!(
            "lane {}: {files} files ({size}) in quarantine, kept for you to look at and remove",
            lane.lane
        ))?;
    }
    out.line(&format!("store {}", stats.store))?;
    out.done()
}
