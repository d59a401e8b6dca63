//! Admission against plain sums.

use std::sync::Arc;

use forebay_record::{LaneId, ProjectId};
use forebay_route::{
    Admission, AdmissionLimits, Change, Ledger, LedgerLimits, Permit, Project, ProjectSettings, Registry,
    RoutePermit, ShedScope,
};
use proptest::prelude::*;

const LIMITS: AdmissionLimits = AdmissionLimits { server_bytes: 1000, lane_bytes: 300, project_bytes: 200 };

/// Projects 1 and 3 share lane 1, project 2 has lane 0.
fn projects() -> Vec<Arc<Project>> {
    let registry = Registry::new(Ledger::new(LedgerLimits::default()), |id| {
        LaneId(u16::try_from(id.as_u64() % 2).unwrap())
    });
    (1..=3)
        .map(|number| {
            let id = ProjectId::new(number).unwrap();
            registry.apply(Change::Project(ProjectSettings {
                name: "p".into(),
                tokens: vec![],
                ..ProjectSettings::new(id)
            }));
            registry.project(id).unwrap()
        })
        .collect()
}

#[test]
fn what_does_not_fit_is_shed_with_the_limit_that_was_in_the_way() {
    let admission = Admission::new(LIMITS, 2);
    let projects = projects();
    let scope =
        |project: usize, bytes| admission.admit_route(Some(&projects[project]), bytes).err().map(|s| s.scope);

    let first = admission.admit_route(Some(&projects[0]), 150).unwrap();
    assert_eq!(scope(0, 51), Some(ShedScope::Project(projects[0].id)));
    assert_eq!(scope(2, 151), Some(ShedScope::Lane(LaneId(1))), "both projects share the lane");
    assert_eq!(scope(1, 200), None, "another lane, another project");
    assert_eq!(admission.lane_bytes_in_flight(LaneId(1)), 150, "what was shed holds nothing");
    assert_eq!(projects[0].bytes_in_flight(), 150);
    drop(first);
    assert_eq!(admission.lane_bytes_in_flight(LaneId(1)), 0);
    assert_eq!(projects[0].bytes_in_flight(), 0);

    let mut server = admission.admit(850).unwrap();
    let other = admission.admit(50).unwrap();
    let shed = server.grow(101).unwrap_err();
    drop(other);
    assert_eq!((shed.scope, shed.in_flight, shed.wanted, shed.limit), (ShedScope::Server, 900, 101, 1000));
    assert_eq!(
        shed.to_string(),
        "the server has 900 bytes in flight, 101 more would pass its limit of 1000; try again"
    );
    server.shrink_to(100);
    assert_eq!(admission.bytes_in_flight(), 100);
    let sheds = admission.sheds();
    assert_eq!((sheds.server, sheds.lane, sheds.project), (1, 1, 1));
}

#[test]
fn a_request_that_is_alone_fits_whatever_its_size() {
    let admission = Admission::new(LIMITS, 1);
    let mut permit = admission.admit(5000).unwrap();
    permit.grow(5000).unwrap();
    assert!(admission.admit(1).is_err(), "the next waits until it is done");
    drop(permit);
    assert!(admission.admit(1).is_ok());
    let unclaimed = admission.admit_route(None, 5000).unwrap();
    assert!(admission.admit_route(None, 1).is_err());
    drop(unclaimed);
}

#[derive(Clone, Debug)]
enum Operation {
    Admit(u64),
    Grow(usize, u64),
    Shrink(usize, u64),
    Route(Option<usize>, u64),
    Drop(usize),
    DropRoute(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let bytes = 0..400_u64;
    prop_oneof![
        bytes.clone().prop_map(Operation::Admit),
        (0..8_usize, bytes.clone()).prop_map(|(at, bytes)| Operation::Grow(at, bytes)),
        (0..8_usize, bytes.clone()).prop_map(|(at, bytes)| Operation::Shrink(at, bytes)),
        (prop::option::of(0..3_usize), bytes).prop_map(|(project, bytes)| Operation::Route(project, bytes)),
        (0..8_usize).prop_map(Operation::Drop),
        (0..8_usize).prop_map(Operation::DropRoute),
    ]
}

proptest! {
    #[test]
    fn bytes_in_flight_are_what_permits_hold_and_pass_no_limit(operations in prop::collection::vec(operation(), 1..80)) {
        let admission = Admission::new(LIMITS, 2);
        let projects = projects();
        let mut permits: Vec<Permit> = Vec::new();
        let mut routes: Vec<(RoutePermit, Option<usize>, u64)> = Vec::new();
        for operation in operations {
            match operation {
                Operation::Admit(bytes) => permits.extend(admission.admit(bytes).ok()),
                Operation::Grow(at, bytes) => {
                    if let Some(permit) = permits.get_mut(at) {
                        let _ = permit.grow(bytes);
                    }
                }
                Operation::Shrink(at, bytes) => {
                    if let Some(permit) = permits.get_mut(at) {
                        permit.shrink_to(bytes);
                    }
                }
                Operation::Route(project, bytes) => {
                    let permit = admission.admit_route(project.map(|at| &projects[at]), bytes);
                    routes.extend(permit.ok().map(|permit| (permit, project, bytes)));
                }
                Operation::Drop(at) => drop((at < permits.len()).then(|| permits.swap_remove(at))),
                Operation::DropRoute(at) => drop((at < routes.len()).then(|| routes.swap_remove(at))),
            }
            let held: u64 = permits.iter().map(Permit::bytes).sum();
            prop_assert_eq!(admission.bytes_in_flight(), held);
            let holding = permits.iter().filter(|permit| permit.bytes() > 0).count();
            prop_assert!(held <= LIMITS.server_bytes || holding == 1);
            for (at, project) in projects.iter().enumerate() {
                let held: u64 = routes.iter().filter(|route| route.1 == Some(at)).map(|route| route.2).sum();
                prop_assert_eq!(project.bytes_in_flight(), held);
                let holding = routes.iter().filter(|route| route.1 == Some(at) && route.2 > 0).count();
                prop_assert!(held <= LIMITS.project_bytes || holding == 1);
            }
            let of_lane = |lane| move |route: &&(RoutePermit, Option<usize>, u64)| match route.1 {
                None => lane == LaneId::UNCLAIMED,
                Some(at) => lane == LaneId(if at == 1 { 0 } else { 1 }),
            };
            for lane in [LaneId(0), LaneId(1), LaneId::UNCLAIMED] {
                let held: u64 = routes.iter().filter(of_lane(lane)).map(|route| route.2).sum();
                prop_assert_eq!(admission.lane_bytes_in_flight(lane), held);
            }
        }
        permits.clear();
        routes.clear();
        prop_assert_eq!(admission.bytes_in_flight(), 0);
        prop_assert_eq!(admission.lane_bytes_in_flight(LaneId(1)), 0);
    }
}
