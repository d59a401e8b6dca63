//! Which stored records `log cat` and `log tail` show, and how one record looks.
//!
//! The JSON line is a contract that tools rely on; a record is the sender's bytes, and the line is one line.

use super::{Failure, out};
use clap::ValueEnum;
use forebay_control::{Control, Poll};
use forebay_export::one_line;
use forebay_log::{Filter, Frame, KindSet, Record, RouteKey};
use forebay_record::{FrameHeader, FrameKind, LaneId, ProjectId};
use forebay_route::{Change, ProjectSettings};
use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    io::Write as _,
};

/// Which records.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Select {
    /// Only this project's records; may be repeated
    #[arg(long = "project", value_name = "ID")]
    projects: Vec<ProjectId>,
    /// Only records whose token belongs to no project (with --project: these as well)
    #[arg(long)]
    unclaimed: bool,
    /// What kind of records
    #[arg(long, value_enum, default_value_t = Kind::Events)]
    kind: Kind,
}

/// Kinds of records, as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Events and profile updates
    Events,
    /// Session replay bodies, with their query
    Record,
    /// Lookup tables, by the file that holds each
    Lookup,
    /// Everything
    All,
}

/// Which project a token belongs to now.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_token: HashMap<Box<[u8]>, ProjectId>,
    projects: HashSet<ProjectId>,
}

impl Owners {
    /// As the registry says now.
    pub(crate) fn load(control: &Control) -> Result<Owners, Failure> {
        Ok(Owners::of_all(control.snapshot()?.projects))
    }

    /// These projects' tokens.
    pub(crate) fn of_all(projects: Vec<ProjectSettings>) -> Owners {
        let mut owners = Owners::default();
        projects.into_iter().for_each(|project| owners.add(project));
        owners
    }

    fn add(&mut self, project: ProjectSettings) {
        self.projects.insert(project.id);
        self.by_token.extend(project.tokens.into_iter().map(|token| (token, project.id)));
    }

    /// Takes in what the registry says is new.
    pub(crate) fn apply(&mut self, poll: Poll) {
        let changes = match poll {
            Poll::Nothing => return,
            Poll::Everything(snapshot) => return *self = Owners::of_all(snapshot.projects),
            Poll::Changes(changes) => changes,
        };
        let touched = |change: &Change| match change {
            Change::Project(project) => Some(project.id),
            Change::ProjectRemoved(id) => Some(*id),
            _ => None,
        };
        let touched: HashSet<ProjectId> = changes.iter().filter_map(touched).collect();
        if touched.is_empty() {
            return;
        }
        self.projects.retain(|id| !touched.contains(id));
        self.by_token.retain(|_, id| !touched.contains(id));
        for change in changes {
            if let Change::Project(project) = change {
                self.add(project);
            }
        }
    }

    /// Whose frame this is: an unclaimed one is its token's owner's, if there is one by now.
    fn of(&self, header: &FrameHeader, token: &[u8]) -> Option<ProjectId> {
        header.project.or_else(|| self.by_token.get(token).copied())
    }
}

impl Select {
    /// Says which projects nobody knows. Not an error: the log may hold events of a project that the registry
    /// has lost.
    pub(crate) fn warn_of_unknown(&self, owners: &Owners) {
        for project in self.projects.iter().filter(|&project| !owners.projects.contains(project)) {
            eprintln!(
                "warning: there is no project {project} now; `forebay project list` shows those there are"
            );
        }
    }

    /// Can this lane hold any of them?
    pub(crate) fn reads(&self, lane: LaneId) -> bool {
        lane == LaneId::UNCLAIMED || !self.unclaimed || !self.projects.is_empty()
    }

    /// The part of it that the index can decide.
    pub(crate) fn filter(&self, owners: &Owners) -> Filter {
        let kinds = match self.kind {
            Kind::Events => KindSet::RECORDS,
            Kind::Record => KindSet::REPLAYS,
            Kind::Lookup => KindSet::LOOKUPS,
            Kind::All => KindSet::ALL,
        };
        let narrow = !self.projects.is_empty() && !self.unclaimed;
        let routes = narrow.then(|| {
            let claimed = owners.by_token.iter().filter(|(_, project)| self.projects.contains(project));
            let tokens = claimed.map(|(token, _)| RouteKey::Token(token.to_vec().into()));
            self.projects.iter().copied().map(RouteKey::Project).chain(tokens).collect()
        });
        Filter { kinds, routes, event_time_ms: None }
    }

    /// This frame as it is shown, if it is one of them.
    pub(crate) fn keeps<'a>(&self, frame: &'a Frame, lane: LaneId, owners: &Owners) -> Option<Shown<'a>> {
        let (header, token) = (frame.header(), frame.token());
        let owner = owners.of(header, token);
        let any = self.projects.is_empty() && !self.unclaimed;
        let kept = any || owner.map_or(self.unclaimed, |project| self.projects.contains(&project));
        kept.then(|| Shown { header, lane, token, meta: frame.meta(), owner, shared: OnceCell::new() })
    }
}

/// What the records of a frame have in common; found out once for all of them.
pub(crate) struct Shown<'a> {
    header: &'a FrameHeader,
    lane: LaneId,
    token: &'a [u8],
    meta: &'a [u8],
    owner: Option<ProjectId>,
    /// What the JSON lines say of the frame, once it is asked for.
    shared: OnceCell<Vec<u8>>,
}

impl Shown<'_> {
    /// When they were received.
    pub(crate) fn received_at_ms(&self) -> u64 {
        self.header.received_at_ms
    }

    /// Appends `record` as one line, for programs or for people.
    pub(crate) fn write(&self, record: &Record<'_>, json: bool, line: &mut Vec<u8>) -> Result<(), Failure> {
        if json { self.json_line(record, line) } else { self.text_line(record, line) }
    }

    fn json_line(&self, record: &Record<'_>, line: &mut Vec<u8>) -> Result<(), Failure> {
        let (header, mut digits) = (self.header, itoa::Buffer::new());
        // The lane as a number, the unclaimed one too: programs sort by it.
        line.extend_from_slice(b"{\"lane\":");
        line.extend_from_slice(digits.format(self.lane.0).as_bytes());
        line.extend_from_slice(b",\"seq\":");
        line.extend_from_slice(digits.format(record.seq.0).as_bytes());
        line.extend_from_slice(self.shared.get_or_init(|| self.json_of_frame()));
        if record.entry.repaired {
            line.extend_from_slice(b",\"repaired\":true");
        }
        if header.kind == FrameKind::Replay {
            line.extend_from_slice(b",\"query\":");
            serde_json::to_writer(&mut *line, &String::from_utf8_lossy(self.meta))?;
            line.extend_from_slice(b",\"body_b64\":\"");
            line.extend_from_slice(base64_simd::STANDARD.encode_to_string(record.json).as_bytes());
            line.extend_from_slice(b"\"}\n");
        } else {
            line.extend_from_slice(b",\"record\":");
            one_line(record.json, line);
            line.extend_from_slice(b"}\n");
        }
        Ok(())
    }

    /// What lies between a line's sequence and its record.
    fn json_of_frame(&self) -> Vec<u8> {
        let header = self.header;
        let project = self.owner.map_or_else(|| "null".to_owned(), |project| project.to_string());
        let token = serde_json::Value::from(String::from_utf8_lossy(self.token));
        let (endpoint, received) = (header.endpoint.as_str(), header.received_at_ms);
        let ip =
            header.client_ip.map_or_else(|| "null".to_owned(), |ip| format!("\"{}\"", ip.to_canonical()));
        format!(
            ",\"project_id\":{project},\"token\":{token},\"endpoint\":\"{endpoint}\",\"received_at_ms\":{received},\
             \"client_ip\":{ip}"
        )
        .into_bytes()
    }

    fn text_line(&self, record: &Record<'_>, line: &mut Vec<u8>) -> Result<(), Failure> {
        let owner = self.owner.map_or_else(|| "unclaimed".to_owned(), |p| p.to_string());
        let what = match self.header.kind {
            FrameKind::Replay => format!("({} of session replay)", out::bytes(record.json.len() as u64)),
            _ => out::clipped(&String::from_utf8_lossy(record.json), 160),
        };
        let (time, endpoint) = (out::time(self.header.received_at_ms), self.header.endpoint.as_str());
        writeln!(line, "{}:{:<8} {time}  {owner:<10} {endpoint:<7} {what}", self.lane, record.seq.0)?;
        Ok(())
    }
}
