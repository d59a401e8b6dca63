//! The reckoning: with nobody else there, all that is readable against all that was acknowledged, and the books.
//!
//! # Invariants
//! * Acknowledged events are readable, or lie before a lane's beginning, where retention took them after the follower
//!   saw them. What is readable was sent. The only gap is at the front of a lane.
//! * The books say what the log took, to the event.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::ledger::{NOBODY, Reader};
use super::readers::{Follower, Track, bounds, read_on};
use super::{World, lock};
use crate::{Json, cli};

/// Reckons, once the last server has stopped in order.
///
/// # Errors
/// The first thing that does not fit.
pub(crate) fn reckon(world: &Arc<World>, follower: Follower) -> Result<(), String> {
    let verified = cli::run(&world.data_dir, &["log", "verify", "--json"]);
    if !verified.status.success() {
        return Err(format!("verify after the last stop:\n{}{}", verified.text(), verified.stderr));
    }
    let (floors, ends) = bounds(world)?;
    follower.finish(&ends)?;
    read_on(world, Reader::Resumer, &world.resumed)?;
    let last = Mutex::new(Track::default());
    let readable = read_on(world, Reader::Last, &last)?;
    world.tally.readable_at_end.store(readable, Ordering::Relaxed);
    world.tally.expired_events.store(floors.values().sum(), Ordering::Relaxed);
    let (last, resumed, followed) = (lock(&last), lock(&world.resumed), lock(&world.followed));
    let mut held = 0;
    for (lane, end) in &ends {
        let floor = floors.get(lane).copied().unwrap_or(0);
        held += end - floor;
        for (name, track) in [("the last", &last), ("the resumer", &resumed), ("the follower", &followed)] {
            let next = track.next().get(lane).copied().unwrap_or(0);
            if next != *end {
                return Err(format!("{name} reader ends lane {lane} at {next}, the log at {end}"));
            }
        }
    }
    // The only gap is at the front of each lane, as wide as retention says.
    let expired: u64 = floors.values().sum();
    if readable != held || last.missed() != expired {
        return Err(format!(
            "read are {readable} of {held} events, with {} in gaps where retention took {expired}",
            last.missed()
        ));
    }
    let closing = world.ledger.close(&floors, followed.missed(), |reader, place| match reader {
        Reader::Resumer => resumed.excuses(place),
        _ => followed.excuses(place),
    })?;
    if closing.readable != readable {
        return Err(format!("{readable} events are readable, of the ledger {}", closing.readable));
    }
    let stored: u64 = ends.values().sum();
    if world.ledger.sums().followed.iter().sum::<u64>() + followed.missed() != stored {
        return Err(format!("the follower saw {:?} of {stored} stored", world.ledger.sums().followed));
    }
    check_books(world, stored, followed.missed() == 0)
}

/// The books say what the log took, to the event, but for those that a server said they miss; by project, if there
/// are none of those and the follower saw every one.
fn check_books(world: &World, stored: u64, by_owner: bool) -> Result<(), String> {
    let stats = cli::run(&world.data_dir, &["stats", "--json"]).success().json();
    let totals = stats.get("totals").ok_or("stats without totals")?;
    let rejected: u64 = totals
        .get("rejected")
        .and_then(Json::as_object)
        .map_or(0, |r| r.values().filter_map(Json::as_u64).sum());
    let dropped: u64 = totals
        .get("dropped")
        .and_then(Json::as_object)
        .map_or(0, |r| r.values().filter_map(Json::as_u64).sum());
    let booked = totals.u64("stored");
    let unbooked = world.tally.unbooked.load(Ordering::Relaxed);
    if booked + unbooked != stored
        || totals.u64("received") != booked + rejected + dropped
        || totals.u64("unaccounted") != 0
    {
        return Err(format!(
            "the log took {stored} events, known to be missing are {unbooked}; the books say {totals}"
        ));
    }
    let owners = stats.get("owners").and_then(Json::as_array).unwrap_or_default();
    let mut by_project: BTreeMap<Option<u64>, u64> = BTreeMap::new();
    for owner in owners {
        *by_project.entry(owner.get("project_id").and_then(Json::as_u64)).or_default() += owner.u64("stored");
    }
    let followed = world.ledger.sums().followed;
    let ids = world.projects().iter().map(|p| Some(p.id)).enumerate();
    for (owner, id) in ids.chain([(NOBODY, None)]) {
        let booked = by_project.get(&id).copied().unwrap_or(0);
        if by_owner && unbooked == 0 && booked != followed[owner] {
            let name = id.map_or("unclaimed".to_owned(), |id| id.to_string());
            return Err(format!("owner {name}: {} events stored, {booked} booked", followed[owner]));
        }
    }
    Ok(())
}
