//! What a request pays for being routed, admitted and counted.

use crate::{Benchmark, Counter, events};
use forebay_record::{LaneId, ProjectId};
use forebay_route::{Admission, AdmissionLimits, Ledger, LedgerLimits, ProjectSettings, Registry};
use std::hint::black_box;

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "route/projects/1", unit: "request", run: |c, _| route(c, 1) },
    Benchmark { name: "route/projects/100000", unit: "request", run: |c, _| route(c, 100_000) },
];

const REQUESTS: u64 = 20_000;
const BYTES: u64 = 750;

/// A project's settings. Its tokens look as random as real ones.
pub(crate) fn settings(id: u64) -> ProjectSettings {
    let token = match id {
        1 => events::TOKEN.to_owned(),
        _ => format!("{:032x}", u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
    };
    ProjectSettings {
        name: "a project".into(),
        tokens: vec![token.into_bytes().into()],
        ..ProjectSettings::new(ProjectId::new(id).expect("ids start at 1"))
    }
}

/// Each request finds its project, is admitted with its bytes, and is written in the books as received and stored.
fn route(counter: &Counter, projects: u64) {
    let registry = Registry::new(Ledger::new(LedgerLimits::default()), |_| LaneId(0));
    registry.replace_all((1..=projects).map(settings), []);
    let limits = AdmissionLimits { server_bytes: 1 << 30, lane_bytes: 1 << 30, project_bytes: 1 << 30 };
    let admission = Admission::new(limits, 1);
    // Far apart, and the same in every run.
    let tokens: Vec<_> = (0..4096).map(|n| settings(1 + n * 7919 % projects).tokens.remove(0)).collect();
    let mut tokens = tokens.iter().cycle();
    counter.count(REQUESTS, 1, || {
        let body = admission.admit(BYTES).expect("room");
        let project = registry.token(tokens.next().expect("it cycles")).expect("a project's token");
        let room = admission.admit_route(Some(&project), BYTES).expect("room");
        let mut received = project.tally.receive(1, BYTES);
        received.hand_over(1).stored(1, BYTES);
        drop(black_box((body, room, project)));
    });
}
