//! The books: every tally, the rows they add up to by minute, unknown tokens, and the last refusals.
//!
//! The hot path touches tallies alone. A collector (the bookkeeper each second, or whoever asks for
//! totals) reads the tallies that changed, adds what is new to the totals and to the rows of the current
//! minute, and the bookkeeper drains the rows into the control store.
//!
//! # Invariants
//! * What is in the totals is in exactly one of: drained rows, rows kept.
//! * Rows that could not be persisted come back by [`Ledger::put_back`]. When more than a bound are
//!   kept, minutes are merged into the newest: a count is never lost, its minute may be.
//! * Collecting costs by the tallies that changed, not by the projects there are.

use std::{collections::HashMap, sync::Arc};

use forebay_record::{Endpoint, ProjectId};

use crate::{
    Counts, Credential, Owner, Reason, Refusal, Row, Tally, UnknownToken, UsedToken, Uses,
    callers::{Caller, Callers},
    clip_sample,
    refusals::Refusals,
    sync::{Mutex, lock},
    tally::Inbox,
    token_use::{TokenUse, TokenUses},
    unknown::UnknownTokens,
    used::Used,
};

/// How much the ledger remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerLimits {
    /// Refusals kept for one owner.
    pub refusals_per_owner: usize,
    /// Refusals kept in all.
    pub refusals_total: usize,
    /// Unknown tokens kept.
    pub unknown_tokens: usize,
    /// Rows kept while they cannot be persisted, before minutes are merged.
    pub rows: usize,
}

impl Default for LedgerLimits {
    fn default() -> LedgerLimits {
        // At most some 4 MiB of refusals (0.7 KiB each), 0.5 MiB of tokens and 8 MiB of rows.
        LedgerLimits { refusals_per_owner: 64, refusals_total: 4096, unknown_tokens: 1024, rows: 100_000 }
    }
}

/// Every tally, and what is told of unknown tokens and refusals.
pub struct Ledger {
    limits: LedgerLimits,
    inbox: Arc<Inbox>,
    tallies: Mutex<HashMap<Owner, Arc<Tally>>>,
    nobody: Arc<Tally>,
    unclaimed: Arc<Tally>,
    books: Mutex<Books>,
    unknown: Mutex<UnknownTokens>,
    refusals: Mutex<Refusals>,
    used: Used,
    callers: Callers,
    token_uses: TokenUses,
}

#[derive(Default)]
struct Books {
    totals: Counts,
    /// What each owner that ever counted anything had counted when last collected.
    owners: HashMap<Owner, Counts>,
    /// Not yet drained; several of one minute, owner and kind add up.
    rows: Vec<Row>,
}

impl Ledger {
    /// Empty books.
    #[must_use]
    pub fn new(limits: LedgerLimits) -> Arc<Ledger> {
        let inbox = Arc::new(Inbox::default());
        let [nobody, unclaimed] =
            [Owner::Nobody, Owner::Unclaimed].map(|owner| Tally::new(owner, Arc::clone(&inbox)));
        Arc::new(Ledger {
            limits,
            inbox,
            tallies: Mutex::new(HashMap::new()),
            nobody,
            unclaimed,
            books: Mutex::new(Books::default()),
            unknown: Mutex::new(UnknownTokens::new(limits.unknown_tokens)),
            refusals: Mutex::new(Refusals::new(limits.refusals_per_owner, limits.refusals_total)),
            used: Used::default(),
            callers: Callers::default(),
            token_uses: TokenUses::default(),
        })
    }

    /// The tally of `owner`: always the same one. Projects carry theirs, so that a request need not ask.
    #[must_use]
    pub fn tally(&self, owner: Owner) -> Arc<Tally> {
        match owner {
            Owner::Nobody => Arc::clone(&self.nobody),
            Owner::Unclaimed => Arc::clone(&self.unclaimed),
            Owner::Project(_) => {
                let mut tallies = lock(&self.tallies);
                let tally =
                    tallies.entry(owner).or_insert_with(|| Tally::new(owner, Arc::clone(&self.inbox)));
                Arc::clone(tally)
            }
        }
    }

    /// The tally of what belongs to nobody: malformed payloads, records without a token.
    #[must_use]
    pub fn nobody(&self) -> &Arc<Tally> {
        &self.nobody
    }

    /// The tally of events kept under tokens that belong to no project yet.
    #[must_use]
    pub fn unclaimed(&self) -> &Arc<Tally> {
        &self.unclaimed
    }

    /// What all owners counted up to `now_ms`.
    #[must_use]
    pub fn totals(&self, now_ms: u64) -> Counts {
        self.collect(now_ms).totals.clone()
    }

    /// What each owner that ever counted anything counted up to `now_ms`, in the order of owners.
    #[must_use]
    pub fn owners(&self, now_ms: u64) -> Vec<(Owner, Counts)> {
        let mut owners: Vec<_> =
            self.collect(now_ms).owners.iter().map(|(&owner, counts)| (owner, counts.clone())).collect();
        owners.sort_unstable_by_key(|&(owner, _)| owner);
        owners
    }

    /// Events that lost their verdict: always 0.
    #[must_use]
    pub fn unaccounted(&self, now_ms: u64) -> u64 {
        self.collect(now_ms).totals.unaccounted
    }

    /// Takes the rows counted since the last drain, for the accounting table. Rows of one minute come in
    /// several drains and add up. What could not be persisted goes back by [`Ledger::put_back`].
    #[must_use = "rows not persisted must be put back"]
    pub fn drain_minute(&self, now_ms: u64) -> Vec<Row> {
        self.drain_minute_holding(now_ms, || ())
    }

    /// As [`Ledger::drain_minute`], at the moment that `hold` makes: the rows have all that was counted when
    /// it returned, and of what its result keeps from being counted, until it is dropped, nothing more.
    #[must_use = "rows not persisted must be put back"]
    pub fn drain_minute_holding<H>(&self, now_ms: u64, hold: impl FnOnce() -> H) -> Vec<Row> {
        // Most of what changed is entered before anybody is held up.
        let mut books = self.collect(now_ms);
        let held = hold();
        let changed = self.changed();
        drop(held);
        books.enter(now_ms, changed, self.limits.rows);
        let mut rows = std::mem::take(&mut books.rows);
        drop(books);
        add_up(&mut rows);
        rows
    }

    /// Takes back rows that could not be persisted: the next drain returns them again.
    pub fn put_back(&self, rows: Vec<Row>) {
        let mut books = lock(&self.books);
        books.rows.extend(rows);
        books.bound_rows(self.limits.rows);
    }

    /// Counts `events` under a token that belongs to no project.
    pub fn unknown_token(&self, token: &[u8], events: u32, now_ms: u64) {
        lock(&self.unknown).seen(token, u64::from(events), now_ms);
    }

    /// The unknown tokens seen most since the start, most first.
    #[must_use]
    pub fn unknown_tokens(&self, limit: usize) -> Vec<UnknownToken> {
        lock(&self.unknown).top(limit)
    }

    /// What was seen of unknown tokens since the last drain.
    #[must_use = "what is not persisted must be put back"]
    pub fn drain_unknown_tokens(&self) -> Vec<UnknownToken> {
        lock(&self.unknown).drain()
    }

    /// Takes back unknown tokens that could not be persisted.
    pub fn put_back_unknown_tokens(&self, tokens: &[UnknownToken]) {
        lock(&self.unknown).put_back(tokens);
    }

    /// Forgets an unknown token, because a project has it now.
    pub fn token_claimed(&self, token: &[u8]) {
        lock(&self.unknown).forget(token);
    }

    /// Keeps a refusal for the operator. `sample` is clipped, and secrets in it are starred out; it does
    /// not count anything: that is [`Received::reject`](crate::Received::reject)'s.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one field of the refusal, and a builder would hide that"
    )]
    pub fn refused(
        &self,
        owner: Owner,
        endpoint: Endpoint,
        reason: Reason,
        detail: &str,
        events: u32,
        sample: &[u8],
        now_ms: u64,
    ) {
        let refusal = Refusal {
            number: 0,
            at_ms: now_ms,
            owner,
            endpoint,
            reason,
            detail: clip_sample(detail.as_bytes()),
            events,
            sample: clip_sample(sample),
        };
        lock(&self.refusals).push(refusal);
    }

    /// The refusals kept that are numbered `number` or later, oldest first: start at 0, then continue
    /// at the last number + 1.
    #[must_use]
    pub fn refusals_since(&self, number: u64) -> Vec<Refusal> {
        lock(&self.refusals).since(number)
    }

    /// The last refusals of `owner`, newest first.
    #[must_use]
    pub fn refusals_of(&self, owner: Owner) -> Vec<Refusal> {
        lock(&self.refusals).of(owner)
    }

    /// Notes that a credential was recognised.
    pub fn used(&self, credential: Credential, now_ms: u64) {
        self.used.note(credential, Uses { count: 1, last_ms: now_ms });
    }

    /// Takes how credentials were used since the last drain. What could not be persisted goes back by
    /// [`Ledger::put_back_used`].
    #[must_use = "what is not persisted must be put back"]
    pub fn drain_used(&self) -> Vec<(Credential, Uses)> {
        self.used.drain()
    }

    /// Puts back what was drained and not persisted.
    pub fn put_back_used(&self, used: Vec<(Credential, Uses)>) {
        used.into_iter().for_each(|(credential, uses)| self.used.note(credential, uses));
    }

    /// Notes who used a project's key or secret.
    pub fn called(&self, caller: Caller, now_ms: u64) {
        self.callers.note(caller, Uses { count: 1, last_ms: now_ms });
    }

    /// Takes who used projects' keys and secrets since the last drain. What could not be persisted goes back by
    /// [`Ledger::put_back_callers`].
    #[must_use = "what is not persisted must be put back"]
    pub fn drain_callers(&self) -> Vec<(Caller, Uses)> {
        self.callers.drain()
    }

    /// Puts back what was drained and not persisted.
    pub fn put_back_callers(&self, callers: Vec<(Caller, Uses)>) {
        callers.into_iter().for_each(|(caller, uses)| self.callers.note(caller, uses));
    }

    /// Takes what came in under each token of projects that have several, since the last drain. What could not be
    /// persisted goes back by [`Ledger::put_back_token_uses`].
    #[must_use = "what is not persisted must be put back"]
    pub fn drain_token_uses(&self) -> Vec<UsedToken> {
        self.token_uses.drain()
    }

    /// Puts back what was drained and not persisted.
    pub fn put_back_token_uses(&self, used: &[UsedToken]) {
        for UsedToken { project, token, events, last_ms } in used {
            self.token_uses.of(*project, token).count(*events, *last_ms);
        }
    }

    pub(crate) fn token_use(&self, project: ProjectId, token: &[u8]) -> Arc<TokenUse> {
        self.token_uses.of(project, token)
    }

    fn collect(&self, now_ms: u64) -> crate::sync::MutexGuard<'_, Books> {
        let mut books = lock(&self.books);
        let changed = self.changed();
        books.enter(now_ms, changed, self.limits.rows);
        books
    }

    /// What the tallies count now that changed since they were last asked. Only who has the books locked may
    /// ask: what it returns is to be entered there.
    fn changed(&self) -> Vec<(Owner, Counts)> {
        let tallies = self.inbox.take().into_iter();
        let read = |tally: Arc<Tally>| {
            tally.unmark();
            (tally.owner(), tally.counts())
        };
        tallies.map(read).collect()
    }
}

impl Books {
    /// Adds what is new in these counts to the totals and to the rows of the minute.
    fn enter(&mut self, now_ms: u64, changed: Vec<(Owner, Counts)>, rows_max: usize) {
        let minute_ms = now_ms - now_ms % 60_000;
        for (owner, counts) in changed {
            let earlier = self.owners.entry(owner).or_default();
            for (kind, events, bytes) in counts.since(earlier) {
                self.totals.add(kind, events, bytes);
                self.rows.push(Row { minute_ms, owner, kind, events, bytes });
            }
            *earlier = counts;
        }
        self.bound_rows(rows_max);
    }

    /// Adds up rows of the same, when there are more than `limit`; merges all minutes into the newest, when there still are.
    fn bound_rows(&mut self, limit: usize) {
        if self.rows.len() <= limit {
            return;
        }
        add_up(&mut self.rows);
        let newest = self.rows.last().map_or(0, |row| row.minute_ms);
        // Of one minute there are no more rows than owners and kinds.
        if self.rows.len() > limit && self.rows[0].minute_ms < newest {
            self.rows.iter_mut().for_each(|row| row.minute_ms = newest);
            add_up(&mut self.rows);
        }
    }
}

/// Brings rows into the order of minutes, owners and kinds, one of each.
fn add_up(rows: &mut Vec<Row>) {
    let key = |row: &Row| (row.minute_ms, row.owner, row.kind);
    rows.sort_unstable_by_key(key);
    rows.dedup_by(|next, row| {
        let is_same = key(next) == key(row);
        if is_same {
            row.events += next.events;
            row.bytes += next.bytes;
        }
        is_same
    });
}
