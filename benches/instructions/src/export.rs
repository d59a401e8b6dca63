//! What reading an event back costs, once it has been found.

use crate::{Benchmark, Counter, events};
use forebay_export::{Event, Renderer, Style};
use forebay_record::{LaneId, Position, Seq, StoreId};

pub(crate) const BENCHMARKS: &[Benchmark] =
    &[Benchmark { name: "export/render", unit: "event", run: |c, _| rendered(c) }];

const EVENTS: u64 = 4000;

fn rendered(counter: &Counter) {
    let style = Style { store: StoreId([7; 16]), time_in_ms: false, simplified_ids: false };
    let mut renderer = Renderer::new(style);
    let mut events = events::all();
    let mut seq = 0;
    let mut out = Vec::new();
    counter.count(EVENTS, 1, || {
        let json = events.next().expect("it cycles").as_bytes();
        seq += 1;
        let event = Event {
            json,
            time_ms: 1_760_000_000_000,
            received_at_ms: events::NOW_MS,
            position: Position { lane: LaneId(0), seq: Seq(seq) },
            imported: false,
            address_hash: None,
        };
        out.clear();
        renderer.line(&event, &mut out).expect("an event");
        assert!(out.len() > json.len() / 2, "a line");
    });
}
