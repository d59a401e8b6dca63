//! The tokens that belong to no project and were seen most, in bounded memory.
//!
//! The space-saving algorithm (Metwally, Agrawal, El Abbadi 2005): a new token takes the place of the
//! one counted least and inherits its count as the bound of its error, so that a token seen more often
//! than `seen / capacity` times is always in the list.
//!
//! # Invariants
//! * At most `capacity` tokens, each at most [`TOKEN_BYTES_MAX`] bytes.
//! * `order` holds exactly the pairs (count, place) of `places`.

use std::collections::{BTreeSet, HashMap};

/// Longer tokens are cut: no project can have one.
const TOKEN_BYTES_MAX: usize = 256;

/// A token that belongs to no project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownToken {
    /// The token as sent, cut to 256 bytes.
    pub token: Box<[u8]>,
    /// Events seen under it while it was in the list; since the last drain, where drained.
    pub events: u64,
    /// When it was first seen, in milliseconds since the epoch.
    pub first_seen_ms: u64,
    /// When it was last seen.
    pub last_seen_ms: u64,
}

struct Place {
    token: Box<[u8]>,
    /// Observed plus inherited: what the order goes by.
    count: u64,
    observed: u64,
    drained: u64,
    first_seen_ms: u64,
    last_seen_ms: u64,
}

pub(crate) struct UnknownTokens {
    capacity: usize,
    places: Vec<Place>,
    by_token: HashMap<Box<[u8]>, usize>,
    order: BTreeSet<(u64, usize)>,
}

impl UnknownTokens {
    pub(crate) fn new(capacity: usize) -> UnknownTokens {
        UnknownTokens { capacity, places: Vec::new(), by_token: HashMap::new(), order: BTreeSet::new() }
    }

    pub(crate) fn seen(&mut self, token: &[u8], events: u64, now_ms: u64) {
        let token = &token[..token.len().min(TOKEN_BYTES_MAX)];
        if let Some(&at) = self.by_token.get(token) {
            let place = &mut self.places[at];
            self.order.remove(&(place.count, at));
            place.count += events;
            place.observed += events;
            place.last_seen_ms = place.last_seen_ms.max(now_ms);
            self.order.insert((place.count, at));
            return;
        }
        let mut place = Place {
            token: token.into(),
            count: events,
            observed: events,
            drained: 0,
            first_seen_ms: now_ms,
            last_seen_ms: now_ms,
        };
        let at = if self.places.len() < self.capacity {
            self.order.insert((place.count, self.places.len()));
            self.places.push(place);
            self.places.len() - 1
        } else {
            let Some((least, at)) = self.order.pop_first() else { return };
            place.count += least;
            self.by_token.remove(&self.places[at].token);
            self.order.insert((place.count, at));
            self.places[at] = place;
            at
        };
        self.by_token.insert(token.into(), at);
    }

    /// The `limit` seen most, most first, with what was observed of each.
    pub(crate) fn top(&self, limit: usize) -> Vec<UnknownToken> {
        let most_first = self.order.iter().rev().take(limit);
        most_first.map(|&(_, at)| self.places[at].report(self.places[at].observed)).collect()
    }

    /// What was observed since the last drain.
    pub(crate) fn drain(&mut self) -> Vec<UnknownToken> {
        let mut drained = Vec::new();
        for place in &mut self.places {
            if place.observed > place.drained {
                drained.push(place.report(place.observed - place.drained));
                place.drained = place.observed;
            }
        }
        drained
    }

    /// Takes back what could not be kept elsewhere: the next drain reports it again.
    pub(crate) fn put_back(&mut self, tokens: &[UnknownToken]) {
        for token in tokens {
            if let Some(&at) = self.by_token.get(&token.token) {
                let place = &mut self.places[at];
                place.drained = place.drained.saturating_sub(token.events);
            }
        }
    }

    /// Forgets a token, because a project has it now.
    pub(crate) fn forget(&mut self, token: &[u8]) {
        let Some(at) = self.by_token.remove(token) else { return };
        let last = self.places.len() - 1;
        self.order.remove(&(self.places[at].count, at));
        if at != last {
            self.order.remove(&(self.places[last].count, last));
            self.order.insert((self.places[last].count, at));
            self.by_token.insert(self.places[last].token.clone(), at);
        }
        self.places.swap_remove(at);
    }
}

impl Place {
    fn report(&self, events: u64) -> UnknownToken {
        UnknownToken {
            token: self.token.clone(),
            events,
            first_seen_ms: self.first_seen_ms,
            last_seen_ms: self.last_seen_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn check(unknown: &UnknownTokens) {
        assert!(unknown.places.len() <= unknown.capacity);
        let order: BTreeSet<_> =
            unknown.places.iter().enumerate().map(|(at, place)| (place.count, at)).collect();
        assert_eq!(unknown.order, order);
        let by_token: HashMap<_, _> =
            unknown.places.iter().enumerate().map(|(at, place)| (place.token.clone(), at)).collect();
        assert_eq!(unknown.by_token, by_token);
    }

    proptest! {
        #[test]
        fn a_token_seen_more_than_its_share_is_always_listed(
            seen in prop::collection::vec((0..20_u8, 1..9_u64), 1..200),
            capacity in 1..8_usize,
        ) {
            let mut unknown = UnknownTokens::new(capacity);
            let mut exact: BTreeMap<u8, u64> = BTreeMap::new();
            for (token, events) in seen {
                unknown.seen(&[token], events, 0);
                *exact.entry(token).or_default() += events;
                check(&unknown);
            }
            let total: u64 = exact.values().sum();
            let listed = unknown.top(usize::MAX);
            for (token, events) in exact {
                let found = listed.iter().find(|listed| *listed.token == [token]);
                prop_assert!(found.is_some() || events <= total / capacity as u64);
                prop_assert!(found.is_none_or(|found| found.events <= events), "never more than was seen");
            }
        }

        #[test]
        fn a_forgotten_token_leaves_the_others_as_they_were(
            tokens in prop::collection::btree_set(0..20_u8, 1..10),
            forgotten in 0..20_u8,
        ) {
            let mut unknown = UnknownTokens::new(10);
            for &token in &tokens {
                unknown.seen(&[token], u64::from(token) + 1, 0);
            }
            unknown.forget(&[forgotten]);
            check(&unknown);
            let left: BTreeSet<u8> = unknown.top(usize::MAX).iter().map(|listed| listed.token[0]).collect();
            prop_assert_eq!(left, tokens.into_iter().filter(|&token| token != forgotten).collect());
        }
    }
}
