//! Sorts a request's records by who they are for.
//!
//! A batch is routed record by record: mixing tokens is legitimate. Nearly every request has one token,
//! so the first group is found without a table.
//!
//! # Invariants
//! * Every record that the scanner counted is in exactly one group, once.
//! * Appended in order, the groups bring each lane its records in the order sent.

use crate::verdicts;
use bytes::Bytes;
use forebay_record::{DirectoryEntry, LaneId};
use forebay_route::{Project, Reason, Registry, RoutePermit};
use forebay_scan::{Invalid, Reason as Fault, Record, Scanned, Verdict};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// Who records are for.
#[derive(Clone, Debug)]
pub(crate) enum Owner {
    /// A project.
    Project(Arc<Project>),
    /// A token that belongs to no project.
    Unknown,
    /// Nobody: they carry no token.
    Nobody,
}

impl Owner {
    /// The project, where it is one.
    pub(crate) fn project(&self) -> Option<&Arc<Project>> {
        match self {
            Owner::Project(project) => Some(project),
            Owner::Unknown | Owner::Nobody => None,
        }
    }

    /// Where records of this owner are appended.
    pub(crate) fn lane(&self) -> LaneId {
        self.project().map_or(LaneId::UNCLAIMED, |project| project.lane)
    }
}

/// Records refused for one reason.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Why.
    pub(crate) reason: Reason,
    /// What exactly.
    pub(crate) detail: &'static str,
    /// How many.
    pub(crate) events: u32,
    /// Where the first of them lies in the text, if it is known.
    pub(crate) sample: Range<usize>,
}

/// The records of one request under one token.
pub(crate) struct Group {
    /// Who they are for.
    pub(crate) owner: Owner,
    /// The token that routes them, escapes resolved.
    pub(crate) token: Bytes,
    /// Those to be stored.
    pub(crate) keep: Vec<DirectoryEntry>,
    /// Bytes of those to be stored.
    pub(crate) keep_bytes: u64,
    /// Those their sender marked to be ignored.
    pub(crate) ignored: u32,
    /// Those that are not valid, by reason.
    pub(crate) refused: Vec<Refused>,
    /// All of them.
    pub(crate) events: u32,
    /// All their bytes.
    pub(crate) bytes: u64,
    /// Those to be stored are admitted to their lane.
    pub(crate) room: Option<RoutePermit>,
}

impl Group {
    fn new(owner: Owner, token: Bytes) -> Group {
        let (keep, refused) = (Vec::new(), Vec::new());
        Group { owner, token, keep, keep_bytes: 0, ignored: 0, refused, events: 0, bytes: 0, room: None }
    }

    /// What is to be stored, as the text that it lies in: the request's own, or a copy of just these records
    /// where that is mostly something else. A request of blanks must not stay in memory for one small event.
    pub(crate) fn take_text(&mut self, text: &Bytes) -> Bytes {
        let bytes = usize::try_from(self.keep_bytes).unwrap_or(usize::MAX);
        if text.len() / 2 <= bytes.saturating_add(SPARE_BYTES) {
            return text.clone();
        }
        let mut copy = Vec::with_capacity(bytes);
        for entry in &mut self.keep {
            let from = entry.offset as usize;
            // A copy of part of a text is no longer than the text, whose offsets are of 32 bits.
            entry.offset = u32::try_from(copy.len()).unwrap_or(u32::MAX);
            copy.extend_from_slice(&text[from..from + entry.len as usize]);
        }
        self.token = Bytes::copy_from_slice(&self.token);
        copy.into()
    }

    fn add(&mut self, record: &Record) {
        let len = u64::from(record.entry.len);
        self.events += 1;
        self.bytes += len;
        match record.verdict {
            Verdict::Keep => {
                self.keep_bytes += len;
                self.keep.push(record.entry);
            }
            Verdict::Ignored => self.ignored += 1,
            Verdict::Invalid(invalid) => {
                self.refuse(verdicts::of_record(invalid.reason), invalid.reason.text(), 1, record.range());
            }
        }
    }

    fn refuse(&mut self, reason: Reason, detail: &'static str, events: u32, sample: Range<usize>) {
        match self.refused.iter_mut().find(|r| r.reason == reason) {
            Some(refused) => refused.events += events,
            None => self.refused.push(Refused { reason, detail, events, sample }),
        }
    }
}

/// Sorts records that carry their own tokens.
///
/// The log keeps the order of a request within each lane, across its projects: where tokens of one lane take
/// turns, each turn is a group of its own, up to [`TURNS_MAX`].
pub(crate) fn by_token(scanned: &Scanned<'_>, registry: &Registry, tokens_max: usize) -> Vec<Group> {
    let mut sorter = Sorter {
        scanned,
        registry,
        tokens_max,
        groups: Vec::with_capacity(1),
        last: 0,
        places: HashMap::new(),
        turns: Vec::new(),
    };
    let mut nobody = Group::new(Owner::Nobody, Bytes::new());
    for record in scanned.records {
        let token = scanned.token(record);
        if token.is_empty() {
            nobody.add(record);
        } else if let Some(group) = sorter.group_of(record, token) {
            group.add(record);
        } else {
            nobody.events += 1;
            nobody.bytes += u64::from(record.entry.len);
            nobody.refuse(Reason::Other, "token, too many different ones in one request", 1, record.range());
        }
    }
    add_unlisted(scanned, &mut nobody);
    let mut groups = sorter.groups;
    if nobody.events > 0 {
        groups.push(nobody);
    }
    groups
}

/// Beyond so many groups, records join an earlier group of their token: the order within the lane is then only
/// kept for each token, and nobody can turn one request into a frame for every record.
const TURNS_MAX: usize = 256;

/// Not worth copying.
const SPARE_BYTES: usize = 4096;

struct Sorter<'s> {
    scanned: &'s Scanned<'s>,
    registry: &'s Registry,
    tokens_max: usize,
    groups: Vec<Group>,
    /// The group that had the last kept record.
    last: usize,
    /// The newest group of each token. Only filled when a second token turns up.
    places: HashMap<Bytes, usize>,
    /// The group that had the last kept record of each lane.
    turns: Vec<(LaneId, usize)>,
}

impl Sorter<'_> {
    /// The group that a record belongs in, or `None` for one token too many.
    fn group_of(&mut self, record: &Record, token: &[u8]) -> Option<&mut Group> {
        let at = match self.groups.get(self.last) {
            Some(group) if group.token == token => self.last,
            Some(_) => self.other_group_of(record, token)?,
            None => self.open(self.owner_of(token), share(&self.scanned.text, token)),
        };
        if record.verdict == Verdict::Keep {
            self.last = at;
        }
        Some(&mut self.groups[at])
    }

    fn other_group_of(&mut self, record: &Record, token: &[u8]) -> Option<usize> {
        if self.places.is_empty() {
            for (at, group) in self.groups.iter().enumerate() {
                self.places.insert(group.token.clone(), at);
                self.turns.push((group.owner.lane(), at));
            }
        }
        let place = self.places.get(token).copied();
        if place.is_none() && self.places.len() >= self.tokens_max {
            return None;
        }
        let lane = match place {
            Some(at) => self.groups[at].owner.lane(),
            None => self.owner_of(token).lane(),
        };
        let turn = self.turns.iter().position(|(of, _)| *of == lane);
        let is_its_turn = place.is_some() && turn.map(|turn| self.turns[turn].1) == place;
        let at = match place {
            Some(at) if is_its_turn || record.verdict != Verdict::Keep || self.groups.len() >= TURNS_MAX => {
                at
            }
            Some(at) => {
                let Group { owner, token, .. } = &self.groups[at];
                self.open(owner.clone(), token.clone())
            }
            None => self.open(self.owner_of(token), share(&self.scanned.text, token)),
        };
        self.places.insert(self.groups[at].token.clone(), at);
        if record.verdict == Verdict::Keep {
            match turn {
                Some(turn) => self.turns[turn].1 = at,
                None => self.turns.push((lane, at)),
            }
        }
        Some(at)
    }

    fn owner_of(&self, token: &[u8]) -> Owner {
        self.registry.token(token).map_or(Owner::Unknown, Owner::Project)
    }

    fn open(&mut self, owner: Owner, token: Bytes) -> usize {
        let mut group = Group::new(owner, token);
        if self.groups.is_empty() {
            // Nearly always the only one.
            group.keep.reserve(self.scanned.counts.kept as usize);
        }
        self.groups.push(group);
        self.groups.len() - 1
    }
}

/// Puts all records with the project that the request's credential names.
pub(crate) fn by_credential(scanned: &Scanned<'_>, project: &Arc<Project>) -> Vec<Group> {
    let token = Bytes::copy_from_slice(project.token());
    let mut group = Group::new(Owner::Project(Arc::clone(project)), token);
    group.keep.reserve(scanned.counts.kept as usize);
    scanned.records.iter().for_each(|record| group.add(record));
    add_unlisted(scanned, &mut group);
    vec![group]
}

/// Adds the invalid records that the scanner counted without listing them.
fn add_unlisted(scanned: &Scanned<'_>, group: &mut Group) {
    if scanned.records.len() == scanned.counts.total() as usize {
        return;
    }
    let listed = |fault: Fault| {
        let is =
            |r: &&Record| matches!(r.verdict, Verdict::Invalid(Invalid { reason, .. }) if reason == fault);
        u32::try_from(scanned.records.iter().filter(is).count()).unwrap_or(u32::MAX)
    };
    for (fault, counted) in scanned.counts.rejected() {
        let unlisted = counted.saturating_sub(listed(fault));
        if unlisted > 0 {
            group.events += unlisted;
            group.refuse(verdicts::of_record(fault), fault.text(), unlisted, 0..0);
        }
    }
}

/// `part` as a share of `text` where it lies in it, else as a copy.
fn share(text: &Bytes, part: &[u8]) -> Bytes {
    let (whole, piece) = (text.as_ptr_range(), part.as_ptr_range());
    if whole.start <= piece.start && piece.end <= whole.end {
        text.slice_ref(part)
    } else {
        Bytes::copy_from_slice(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_record::{LaneId, ProjectId};
    use forebay_route::{Change, Ledger, LedgerLimits, ProjectSettings};
    use forebay_scan::{Dialect, Limits, Request, Scanner};

    fn registry() -> Registry {
        let lane_of = |id: ProjectId| LaneId((id.as_u64() % 2) as u16);
        let registry = Registry::new(Ledger::new(LedgerLimits::default()), lane_of);
        for (id, token) in [(7, "known"), (9, "same lane"), (8, "other lane")] {
            registry.apply(Change::Project(ProjectSettings {
                name: token.into(),
                tokens: vec![token.as_bytes().into()],
                ..ProjectSettings::new(ProjectId::new(id).unwrap())
            }));
        }
        registry
    }

    fn record(text: &str) -> String {
        let (token, name) = text.split_once(':').unwrap();
        format!(r#"{{"event":"{name}","properties":{{"token":"{token}"}}}}"#)
    }

    /// Each record is written `token:name`, and without a name it is not valid. Each group comes back as
    /// `owner token kept/refused`.
    fn check(records: &[&str], tokens_max: usize, want: &[&str]) {
        let json: Vec<String> = records.iter().map(|text| record(text)).collect();
        let body = Bytes::from(format!("[{}]", json.join(",")));
        let mut scanner = Scanner::new(Limits { events_max: 6, ..Limits::default() });
        let scanned = scanner.scan(Request { body, ..Request::new(Dialect::Track) }).unwrap();
        let groups = by_token(&scanned, &registry(), tokens_max);
        assert_eq!(groups.iter().map(|g| g.events).sum::<u32>(), scanned.counts.total());
        let got: Vec<String> = groups
            .iter()
            .map(|g| {
                let owner = match &g.owner {
                    Owner::Project(project) => project.id.to_string(),
                    Owner::Unknown => "?".into(),
                    Owner::Nobody => "-".into(),
                };
                let refused: u32 = g.refused.iter().map(|r| r.events).sum();
                assert_eq!(g.events as usize, g.keep.len() + refused as usize);
                format!("{owner} {} {}/{refused}", String::from_utf8_lossy(&g.token), g.keep.len())
            })
            .collect();
        assert_eq!(got, want, "{records:?}");
    }

    #[test]
    fn records_go_to_the_owner_of_their_own_token() {
        check(&["known:a", "known:b"], 9, &["7 known 2/0"]);
        check(&["known:a", "new:b", "known:c", "new:d"], 9, &["7 known 2/0", "? new 2/0"]);
        check(&["known:a", "other lane:b", "known:"], 9, &["7 known 1/1", "8 other lane 1/0"]);
        check(&["known:a", "known:", ":x"], 9, &["7 known 1/1", "-  0/1"]);
        check(&["kn\\u006fwn:a", "known:b"], 9, &["7 known 2/0"]);
    }

    #[test]
    fn a_text_of_mostly_something_else_is_not_kept() {
        for (blanks, copied) in [(100, false), (100_000, true)] {
            let (one, two) = (record("known:a"), record("known:b"));
            let body = Bytes::from(format!("[{one},{}{two}]", " ".repeat(blanks)));
            let mut scanner = Scanner::new(Limits::default());
            let scanned = scanner.scan(Request { body, ..Request::new(Dialect::Track) }).unwrap();
            let mut group = by_token(&scanned, &registry(), 9).remove(0);
            let text = group.take_text(&scanned.text);
            assert_eq!(text.len() < blanks, copied);
            let kept: Vec<_> =
                group.keep.iter().map(|e| &text[e.offset as usize..][..e.len as usize]).collect();
            assert_eq!(kept, [one.as_bytes(), two.as_bytes()]);
            assert_eq!(group.token, "known");
        }
    }

    #[test]
    fn further_tokens_than_the_limit_are_refused() {
        check(&["a:1", "b:1", "c:1", "b:2"], 2, &["? a 1/0", "? b 2/0", "-  0/1"]);
    }

    #[test]
    fn within_a_lane_the_order_sent_is_kept() {
        check(
            &["known:1", "same lane:2", "known:3", "known:4"],
            9,
            &["7 known 1/0", "9 same lane 1/0", "7 known 2/0"],
        );
        check(
            &["known:1", "other lane:2", "known:3", "same lane:4", "other lane:5", "known:6"],
            9,
            &["7 known 2/0", "8 other lane 2/0", "9 same lane 1/0", "7 known 1/0"],
        );
        // What is not stored takes no turn.
        check(&["a:1", "b:", "a:2", "b:", "a:3"], 9, &["? a 3/0", "? b 0/2"]);
    }

    proptest::proptest! {
        #[test]
        fn any_mix_of_tokens_is_sorted_whole_and_in_order(picks in proptest::collection::vec(0..6usize, 1..60)) {
            let kinds = ["known:x", "same lane:x", "other lane:x", "new:x", "known:", "newer:x"];
            let json: Vec<String> = picks.iter().map(|&pick| record(kinds[pick])).collect();
            let body = Bytes::from(format!("[{}]", json.join(",")));
            let mut scanner = Scanner::new(Limits::default());
            let scanned = scanner.scan(Request { body, ..Request::new(Dialect::Track) }).unwrap();
            let groups = by_token(&scanned, &registry(), 9);
            proptest::prop_assert_eq!(groups.iter().map(|g| g.events).sum::<u32>(), scanned.counts.total());
            let mut kept = 0;
            for lane in [LaneId(0), LaneId(1), LaneId::UNCLAIMED] {
                let of_lane = groups.iter().filter(|g| g.owner.lane() == lane);
                let offsets: Vec<u32> = of_lane.flat_map(|g| g.keep.iter().map(|e| e.offset)).collect();
                proptest::prop_assert!(offsets.is_sorted(), "{offsets:?}");
                kept += offsets.len();
            }
            proptest::prop_assert_eq!(kept, scanned.counts.kept as usize);
            for group in &groups {
                for entry in &group.keep {
                    let text = &scanned.text[entry.offset as usize..][..entry.len as usize];
                    let token = format!(r#""token":"{}""#, String::from_utf8_lossy(&group.token));
                    proptest::prop_assert!(String::from_utf8_lossy(text).contains(&token));
                }
            }
        }
    }

    #[test]
    fn a_request_never_becomes_a_group_for_every_record() {
        let turns: Vec<&str> = (0..2000).map(|i| if i % 2 == 0 { "a:x" } else { "b:x" }).collect();
        let json: Vec<String> = turns.iter().map(|t| record(t)).collect();
        let body = Bytes::from(format!("[{}]", json.join(",")));
        let mut scanner = Scanner::new(Limits::default());
        let scanned = scanner.scan(Request { body, ..Request::new(Dialect::Track) }).unwrap();
        let groups = by_token(&scanned, &registry(), 9);
        assert_eq!(groups.len(), TURNS_MAX);
        assert_eq!(groups.iter().map(|g| g.keep.len()).sum::<usize>(), 2000);
    }

    #[test]
    fn invalid_records_beyond_the_list_are_counted_all_the_same() {
        check(&["known:a", ":", ":", ":", ":", ":", ":", ":", ":"], 9, &["7 known 1/0", "-  0/8"]);
    }
}
