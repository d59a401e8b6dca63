//! From the log's word on an append to the ledger.
//!
//! The log settles an append whether or not its request still waits: a sender that hangs up loses his
//! answer and nothing else.

use forebay_log::Outcome;
use forebay_route::{HandedOver, Reason, RoutePermit};

/// The events of one append, until the log says what became of them. Holds their share of the lane's and
/// the project's bytes in flight meanwhile.
pub(crate) struct Settling {
    events: HandedOver,
    _room: RoutePermit,
}

impl Settling {
    pub(crate) fn new(events: HandedOver, room: RoutePermit) -> Settling {
        Settling { events, _room: room }
    }

    /// The log did not take them in.
    pub(crate) fn refused(&self, reason: Reason) {
        self.events.reject(reason, self.events.left());
    }
}

impl Outcome for Settling {
    fn stored(&self, events: u32, bytes: u64) {
        self.events.stored(events, bytes);
    }

    fn failed(&self, events: u32) {
        self.events.failed(events);
    }
}
