//! How much came in under each token, for projects that have several: so that an old one is seen to fall silent before
//! it is retired. With one token the project's own accounting says it.
//!
//! # Invariants
//! * A project of one token has none of these: a request for it pays one comparison.
//! * A token keeps its count through every change of its project, until it is drained.

use std::{collections::BTreeMap, sync::Arc};

use forebay_record::ProjectId;

use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// What one token brought.
#[derive(Debug, Default)]
pub(crate) struct TokenUse {
    events: AtomicU64,
    last_ms: AtomicU64,
}

/// What came in under one of a project's tokens since the last drain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedToken {
    /// The project.
    pub project: ProjectId,
    /// The token.
    pub token: Box<[u8]>,
    /// How many events.
    pub events: u64,
    /// When the last of them came, in milliseconds since the epoch.
    pub last_ms: u64,
}

impl TokenUse {
    pub(crate) fn count(&self, events: u64, now_ms: u64) {
        // Relaxed, both: nothing else is read by them.
        self.last_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.events.fetch_add(events, Ordering::Relaxed);
    }
}

/// Those of all projects that have several tokens. Filled from the control store alone, so as bounded as that.
#[derive(Default)]
pub(crate) struct TokenUses(Mutex<ByToken>);

type ByToken = BTreeMap<(ProjectId, Box<[u8]>), Arc<TokenUse>>;

impl TokenUses {
    /// The one of a token: always the same, as long as somebody holds it or it has not been drained.
    pub(crate) fn of(&self, project: ProjectId, token: &[u8]) -> Arc<TokenUse> {
        Arc::clone(lock(&self.0).entry((project, token.into())).or_default())
    }

    /// Takes what was counted, and forgets those that nobody holds any more.
    pub(crate) fn drain(&self) -> Vec<UsedToken> {
        let mut used = Vec::new();
        lock(&self.0).retain(|(project, token), each| {
            // Asked first: whoever lets go in between has counted by then, and goes with the next drain.
            let held = Arc::strong_count(each) > 1;
            let events = each.events.swap(0, Ordering::Relaxed);
            if events > 0 {
                let last_ms = each.last_ms.load(Ordering::Relaxed);
                used.push(UsedToken { project: *project, token: token.clone(), events, last_ms });
            }
            held
        });
        used
    }
}
