//! A count of bytes in flight that never passes its limit.

use crate::sync::{AtomicU64, Ordering, leaves_out};

/// Bytes reserved and given back.
///
/// All orderings are `Relaxed`: the count guards no other memory, and each update of one atomic is seen
/// in one order by everybody.
#[derive(Debug)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn new() -> Gauge {
        Gauge(AtomicU64::new(0))
    }

    /// Reserves `bytes`, or says how many are in flight. Alone, any request fits: a limit set too low
    /// slows a server down to one request at a time and never wedges it.
    pub(crate) fn reserve(&self, bytes: u64, limit: u64) -> Result<(), u64> {
        if leaves_out("reserving in one step") && self.value() + bytes <= limit {
            self.0.fetch_add(bytes, Ordering::Relaxed);
            return Ok(());
        }
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                let wanted = now.saturating_add(bytes);
                (wanted <= limit || now == 0).then_some(wanted)
            })
            .map(|_| ())
    }

    /// Reserves `bytes` more for a holder of `held`, with the same exception for one that is alone.
    pub(crate) fn reserve_more(&self, held: u64, bytes: u64, limit: u64) -> Result<(), u64> {
        if leaves_out("growing in one step") && self.value() + bytes <= limit {
            self.0.fetch_add(bytes, Ordering::Relaxed);
            return Ok(());
        }
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                let wanted = now.saturating_add(bytes);
                (wanted <= limit || now == held).then_some(wanted)
            })
            .map(|_| ())
    }

    /// Gives back what was reserved.
    pub(crate) fn release(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
