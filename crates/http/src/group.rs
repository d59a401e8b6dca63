//! Sorts a request's records by who they are for.
//!
//! A batch is routed record by record: mixing tokens is legitimate. Nearly every request has one token,
//! so the first group is found without a table.
//!
//! # Invariants
//! * Every record that the scanner counted is in exactly one group, once.
//! * Kept records stay in the order sent.

use crate::verdicts;
use bytes::Bytes;
use forebay_record::DirectoryEntry;
use forebay_route::{Project, Reason, Registry};
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
#[derive(Debug)]
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
}

impl Group {
    fn new(owner: Owner, token: Bytes) -> Group {
        let (keep, refused) = (Vec::new(), Vec::new());
        Group { owner, token, keep, keep_bytes: 0, ignored: 0, refused, events: 0, bytes: 0 }
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
pub(crate) fn by_token(scanned: &Scanned<'_>, registry: &Registry, tokens_max: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(1);
    let mut nobody = Group::new(Owner::Nobody, Bytes::new());
    // Only filled when a second token turns up.
    let mut places: HashMap<Bytes, usize> = HashMap::new();
    let mut last = 0;
    let mut routed = 0;
    for record in scanned.records {
        let token = scanned.token(record);
        if token.is_empty() {
            nobody.add(record);
            continue;
        }
        if groups.get(last).is_none_or(|group| group.token != token) {
            last = match places.get(token) {
                Some(&place) => place,
                None if groups.len() >= tokens_max => {
                    nobody.events += 1;
                    nobody.bytes += u64::from(record.entry.len);
                    nobody.refuse(
                        Reason::Other,
                        "token, too many different ones in one request",
                        1,
                        record.range(),
                    );
                    continue;
                }
                None => {
                    let owner = registry.token(token).map_or(Owner::Unknown, Owner::Project);
                    if let (1, Some(first)) = (groups.len(), groups.first()) {
                        places.insert(first.token.clone(), 0);
                    }
                    let token = share(&scanned.text, token);
                    if !groups.is_empty() {
                        places.insert(token.clone(), groups.len());
                    }
                    groups.push(Group::new(owner, token));
                    groups.len() - 1
                }
            };
            if groups[last].keep.capacity() == 0 {
                groups[last].keep.reserve(if last == 0 { scanned.records.len() - routed } else { 8 });
            }
        }
        routed += 1;
        groups[last].add(record);
    }
    add_unlisted(scanned, &mut nobody);
    if nobody.events > 0 {
        groups.push(nobody);
    }
    groups
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
    use forebay_route::{Change, IdMerge, Ledger, LedgerLimits, ProjectSettings};
    use forebay_scan::{Dialect, Limits, Request, Scanner};

    fn registry() -> Registry {
        let registry = Registry::new(Ledger::new(LedgerLimits::default()), |_| LaneId(0));
        registry.apply(Change::Project(ProjectSettings {
            id: ProjectId::new(7).unwrap(),
            name: "known".into(),
            tokens: vec![b"known".as_slice().into()],
            api_key_mac: None,
            api_secret_mac: None,
            accepts_events: true,
            keeps_client_ip: true,
            id_merge: IdMerge::Original,
            retention_days: None,
            created_at_ms: 0,
        }));
        registry
    }

    /// Each record is written `token:name`, and without a name it is not valid. Each group comes back as
    /// `owner token kept/refused`.
    fn check(records: &[&str], tokens_max: usize, want: &[&str]) {
        let json: Vec<String> = records
            .iter()
            .map(|record| {
                let (token, name) = record.split_once(':').unwrap();
                format!(r#"{{"event":"{name}","properties":{{"token":"{token}"}}}}"#)
            })
            .collect();
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
        check(&["a:1", "b:1", "c:1", "b:2", "a:2"], 9, &["? a 2/0", "? b 2/0", "? c 1/0"]);
        check(&["known:a", "known:", ":x"], 9, &["7 known 1/1", "-  0/1"]);
        check(&["kn\\u006fwn:a", "known:b"], 9, &["7 known 2/0"]);
    }

    #[test]
    fn further_tokens_than_the_limit_are_refused() {
        check(&["a:1", "b:1", "c:1", "a:2"], 2, &["? a 2/0", "? b 1/0", "-  0/1"]);
    }

    #[test]
    fn invalid_records_beyond_the_list_are_counted_all_the_same() {
        check(&["known:a", ":", ":", ":", ":", ":", ":", ":", ":"], 9, &["7 known 1/0", "-  0/8"]);
    }
}
