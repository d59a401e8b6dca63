//! Reading one project's events out of the log, a buffer at a time.
//!
//! A [`Reader`] stands on the store's own index: frames of other projects and other days are skipped without
//! being looked at. What it reads ends where the store was durable when it was opened, so that an export of a
//! busy store ends too.
//!
//! # Invariants
//! * Memory does not grow with what is read: one frame is held, which is a part of the log's map, and the buffer
//!   grows by one line more than was asked for.
//! * An event is written once, and only whole.
//! * A range that cannot be read is stepped over and logged; an error in what can be is an error of the
//!   export, never a silent end.

use crate::{
    Malformed, Query,
    render::{Event, Renderer, Style, Unwritten},
};
use forebay_expression::Fault;
use forebay_log::{Cursor, Filter, Frame, GapReason, KindSet, ReadError, RouteKey, Step, Store};
use forebay_record::{DirectoryEntry, Endpoint, FrameKind, LaneId, Position, ProjectId, Seq, Span};
use forebay_route::{IdMerge, Mac, ProjectSettings};
use std::{borrow::Cow, collections::VecDeque, fmt, net::IpAddr, ops::RangeInclusive, sync::Arc};

/// Whose events are read.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The project.
    pub project: ProjectId,
    /// Its tokens: unclaimed events that carry one are its own.
    pub tokens: Vec<Box<[u8]>>,
    /// It has simplified id merge.
    pub simplified_ids: bool,
    /// What was received before is hidden by the project's own retention.
    pub received_since_ms: u64,
}

impl Subject {
    /// A project as the registry describes it.
    #[must_use]
    pub fn of(settings: &ProjectSettings, now_ms: u64) -> Subject {
        let kept_ms = settings.retention_days.map(|days| u64::from(days) * 24 * 3600 * 1000);
        Subject {
            project: settings.id,
            tokens: settings.tokens.clone(),
            simplified_ids: settings.id_merge == IdMerge::Simplified,
            received_since_ms: kept_ms.map_or(0, |kept| now_ms.saturating_sub(kept)),
        }
    }
}

/// A day.
pub(crate) const DAY_MS: i64 = 24 * 3_600_000;

impl Subject {
    /// What a cursor over `lane` is to deliver of these times. The filter is the index's: what it lets through is looked at
    /// again, by [`Subject::owns`].
    pub(crate) fn filter(&self, lane: LaneId, event_time_ms: RangeInclusive<i64>) -> Filter {
        let routes = if lane == LaneId::UNCLAIMED {
            self.tokens.iter().map(|t| RouteKey::Token(t.to_vec().into())).collect()
        } else {
            vec![RouteKey::Project(self.project)]
        };
        Filter { kinds: KindSet::RECORDS, routes: Some(routes), event_time_ms: Some(event_time_ms) }
    }

    /// Whether a frame is of events that it sees.
    pub(crate) fn owns(&self, frame: &Frame) -> bool {
        let header = frame.header();
        let owned = match header.project {
            Some(project) => project == self.project,
            None => self.tokens.iter().any(|t| **t == *frame.token()),
        };
        owned
            && header.kind == FrameKind::Records
            && matches!(header.endpoint, Endpoint::Track | Endpoint::Import)
            && header.received_at_ms >= self.received_since_ms
    }
}

/// The name of a stored event, escapes resolved.
pub(crate) fn event_name<'a>(entry: &DirectoryEntry, json: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match entry.name.get(json) {
        Some(raw) if entry.escaped => Some(crate::json::unescape(raw)),
        Some(raw) => Some(Cow::Borrowed(raw)),
        // Too long for a span.
        None => crate::render::name(json),
    }
}

/// Turns a client's address into something that stands for it and does not tell it.
pub type AddressHash = Arc<dyn Fn(IpAddr) -> u64 + Send + Sync>;

/// A hash of an address that nobody can reverse by trying all addresses without the server's key: `mac` is a
/// digest under it.
pub fn address_hash(mac: impl FnOnce(&[u8]) -> Mac, ip: IpAddr) -> u64 {
    let text = format!("address {}", ip.to_canonical());
    let [a, b, c, d, e, f, g, h, ..] = mac(text.as_bytes()).0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Why an export broke off.
#[derive(Debug)]
pub enum ExportError {
    /// The log could not be read.
    Read(ReadError),
    /// A stored record is not an event.
    Record {
        /// Which.
        position: Position,
        /// In what way.
        cause: Malformed,
    },
    /// An event holds what the query's condition cannot mean.
    Condition {
        /// Which.
        position: Position,
        /// In what way.
        fault: Fault,
    },
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportError::Read(_) => f.write_str("the log cannot be read further"),
            ExportError::Record { position, .. } => {
                write!(f, "record {position} cannot be exported; `forebay log verify` checks the store")
            }
            ExportError::Condition { position, fault } => write!(f, "where, {fault} (record {position})"),
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExportError::Read(e) => Some(e),
            ExportError::Record { cause, .. } => Some(cause),
            // Its text is a part of this one's.
            ExportError::Condition { .. } => None,
        }
    }
}

impl From<ReadError> for ExportError {
    fn from(e: ReadError) -> ExportError {
        ExportError::Read(e)
    }
}

/// Whether there is more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// There is.
    Yes,
    /// Everything has been written.
    No,
}

/// A lane still to be read, up to `end`.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    lane: LaneId,
    end: Seq,
}

/// So many frames are read before [`Reader::fill`] comes back, even if nothing matched: whoever waits wants
/// to see progress, and may have gone.
const FRAMES_PER_FILL: usize = 256;

/// Reads the events that a query asks for.
pub struct Reader {
    store: Store,
    subject: Subject,
    query: Query,
    time_ms: RangeInclusive<i64>,
    renderer: Renderer,
    address_hash: AddressHash,
    lanes: VecDeque<Stretch>,
    open: Option<(Stretch, Cursor)>,
    /// Of the open lane: what of it is still to be written.
    frame: Option<Frame>,
    events: u64,
    unreadable: u64,
    records_behind: u64,
    records_total: u64,
}

impl Reader {
    /// Prepares to read; nothing is read yet.
    ///
    /// # Errors
    /// If the store cannot be looked at.
    pub fn open(
        store: &Store,
        subject: Subject,
        query: Query,
        address_hash: AddressHash,
    ) -> Result<Reader, ExportError> {
        let mut lanes = VecDeque::new();
        for lane in store.lanes()? {
            lanes.push_back(Stretch { lane, end: store.durable(lane)?.seq });
        }
        Ok(Reader {
            renderer: Renderer::new(Style {
                store: store.id(),
                time_in_ms: query.time_in_ms,
                simplified_ids: subject.simplified_ids,
            })
            .only(query.condition.clone()),
            store: store.clone(),
            time_ms: query.time_ms(),
            subject,
            query,
            address_hash,
            records_total: lanes.iter().map(|s| s.end.0).sum(),
            lanes,
            open: None,
            frame: None,
            events: 0,
            unreadable: 0,
            records_behind: 0,
        })
    }

    /// Events written so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Records stepped over so far because they are damaged, or were given up in a repair. Nobody can say
    /// whose they were.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// How far it is: records behind it, of all there are. Not all of them are looked at.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let here = self.open.as_ref().map_or(0, |(stretch, cursor)| cursor.position().seq.min(stretch.end).0);
        (self.records_behind + here, self.records_total)
    }

    /// Appends lines to `out` until it holds `enough` bytes, or a number of frames has been read, or all is
    /// written.
    ///
    /// # Errors
    /// What kept it from going on. Lines already appended are whole and right.
    pub fn fill(&mut self, out: &mut Vec<u8>, enough: usize) -> Result<More, ExportError> {
        for _ in 0..FRAMES_PER_FILL {
            if self.query.limit.is_some_and(|limit| self.events >= limit) {
                return Ok(More::No);
            }
            if out.len() >= enough {
                return Ok(More::Yes);
            }
            if let Some(frame) = self.frame.take() {
                self.write_frame(frame, out, enough)?;
                continue;
            }
            if self.open.is_none() {
                let Some(stretch) = self.lanes.pop_front() else { return Ok(More::No) };
                self.open = Some((
                    stretch,
                    self.store.cursor(
                        stretch.lane,
                        Seq(0),
                        self.subject.filter(stretch.lane, self.time_ms.clone()),
                    )?,
                ));
            }
            // Where it stands: a cursor is large, and frames of one event are many.
            let Some((stretch, cursor)) = &mut self.open else { return Ok(More::No) };
            match cursor.next()? {
                Some(Step::Frame(frame)) if frame.header().first_seq < stretch.end => {
                    if self.subject.owns(&frame) {
                        self.write_frame(frame, out, enough)?;
                    }
                }
                Some(Step::Gap(gap)) => {
                    if !matches!(gap.reason, GapReason::Retention) {
                        // One line an export, however much is damaged.
                        if self.unreadable == 0 {
                            tracing::warn!(
                                lane = %gap.lane, from = gap.from.0, to = gap.to.0, reason = ?gap.reason,
                                "an export steps over records that cannot be read, here first; `forebay log verify` \
                                 names all"
                            );
                        }
                        self.unreadable += gap.to.0.saturating_sub(gap.from.0);
                    }
                }
                // Caught up, or past where the store was durable at the start.
                Some(Step::Frame(_)) | None => {
                    self.records_behind += stretch.end.0;
                    self.open = None;
                }
            }
        }
        Ok(More::Yes)
    }

    /// Writes a frame's records until there is enough, and keeps the rest of it.
    fn write_frame(&mut self, mut frame: Frame, out: &mut Vec<u8>, enough: usize) -> Result<(), ExportError> {
        let Some(lane) = self.open.as_ref().map(|(stretch, _)| stretch.lane) else { return Ok(()) };
        let header = *frame.header();
        let received_ms = i64::try_from(header.received_at_ms).unwrap_or(i64::MAX);
        let (mut done, mut enough_for_now) = (0, false);
        for record in frame.records() {
            if out.len() >= enough {
                enough_for_now = true;
                break;
            }
            done += 1;
            let time_ms = record.entry.time_ms.unwrap_or(received_ms);
            if !self.time_ms.contains(&time_ms) || !self.is_named(&record.entry, record.json) {
                continue;
            }
            if self.query.limit.is_some_and(|limit| self.events >= limit) {
                break;
            }
            let position = Position { lane, seq: record.seq };
            let event = Event {
                json: record.json,
                time_ms,
                received_at_ms: header.received_at_ms,
                position,
                imported: header.endpoint == Endpoint::Import,
                // Only asked for in the place of an id that is not there: it takes longer than the rest of the line.
                address_hash: header
                    .client_ip
                    .filter(|_| record.entry.use_ip && record.entry.distinct_id == Span::NONE)
                    .map(|ip| (self.address_hash)(ip)),
            };
            let written = self.renderer.line(&event, out).map_err(|unwritten| match unwritten {
                Unwritten::Malformed(cause) => ExportError::Record { position, cause },
                Unwritten::Fault(fault) => ExportError::Condition { position, fault },
            })?;
            self.events += u64::from(written);
        }
        if enough_for_now {
            frame.advance(done);
            self.frame = Some(frame);
        }
        Ok(())
    }

    fn is_named(&self, entry: &DirectoryEntry, json: &[u8]) -> bool {
        let Some(names) = &self.query.events else { return true };
        let Some(name) = event_name(entry, json) else { return false };
        std::str::from_utf8(&name).is_ok_and(|name| names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{numbers, stored};

    #[test]
    fn a_buffer_grows_by_one_line_more_than_was_asked_for_also_within_a_request_of_many_events() {
        const ENOUGH: usize = 4096;
        const TEXT: usize = 500;
        let (requests, events) = (3, 2000);
        let sample = stored(requests, events, TEXT);
        let mut reader = sample.reader(None);
        let (mut lines, mut all) = (Vec::new(), Vec::new());
        loop {
            let more = reader.fill(&mut lines, ENOUGH).unwrap();
            assert!(lines.len() < ENOUGH + TEXT + 300, "{} bytes at once", lines.len());
            all.append(&mut lines);
            if more == More::No {
                break;
            }
        }
        let count = (requests * events) as u64;
        assert_eq!(numbers(&all), (0..count).collect::<Vec<_>>());
        assert_eq!(reader.events(), count);
    }

    #[test]
    fn a_limit_within_a_request_is_kept_also_where_the_buffer_ends_there() {
        let sample = stored(2, 10, 10);
        for limit in 1..=20 {
            for enough in [1, 100, 10_000] {
                let mut reader = sample.reader(Some(limit));
                let mut lines = Vec::new();
                loop {
                    let upto = lines.len() + enough;
                    if reader.fill(&mut lines, upto).unwrap() == More::No {
                        break;
                    }
                }
                assert_eq!(numbers(&lines), (0..limit).collect::<Vec<_>>(), "{enough} bytes at a time");
            }
        }
    }
}
