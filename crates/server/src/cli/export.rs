//! `forebay export`: a project's events as NDJSON, to stdout or a file.

use super::{Common, Done, Failure};
use flate2::{Compression, write::GzEncoder};
use forebay_export::{AddressHash, Condition, More, Query, Reader, Subject, days};
use forebay_log::system_clock;
use forebay_record::ProjectId;
use forebay_route::ProjectSettings;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use serde_json::json;
use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Write a project's events as NDJSON
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The project; may be left out where there is only one
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// The first day, UTC [default: all there is]
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "0000-01-01", hide_default_value = true)]
    from_date: String,
    /// The last day, UTC [default: all there is]
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "9999-12-31", hide_default_value = true)]
    to_date: String,
    /// Only events of this name; may be repeated
    #[arg(long = "event", value_name = "NAME")]
    events: Vec<String>,
    /// Only events that meet this expression, such as 'properties["plan"] == "pro"'
    #[arg(long = "where", value_name = "EXPRESSION")]
    condition: Option<String>,
    /// At most so many events
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Write `time` in milliseconds rather than seconds
    #[arg(long)]
    time_in_ms: bool,
    /// Write to this file instead of stdout; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compress
    #[arg(long)]
    gzip: bool,
    /// Only say how many there are
    #[arg(long, conflicts_with_all = ["out", "gzip"])]
    count: bool,
}

/// Written at a time.
const CHUNK_BYTES: usize = 256 << 10;

impl Export {
    pub(crate) fn run(&self, common: &Common) -> Done {
        let now_ms = system_clock()();
        let usage = |e: &dyn std::fmt::Display| {
            let text = e.to_string().replace("from_date", "--from-date").replace("to_date", "--to-date");
            Failure::Usage(match text.strip_prefix("where, ") {
                Some(rest) => format!("--where, {rest}"),
                None => text,
            })
        };
        let query = Query {
            // Days to come may be named, other than by HTTP: whoever is here knows what day it is.
            days: days(Some(&self.from_date), Some(&self.to_date), Date::MAX).map_err(|e| usage(&e))?,
            events: (!self.events.is_empty()).then(|| self.events.iter().cloned().collect()),
            condition: self.condition.as_deref().map(Condition::parse).transpose().map_err(|e| usage(&e))?,
            limit: self.limit,
            time_in_ms: self.time_in_ms,
        };
        let control = common.existing_control()?;
        let subject = match self.project {
            None => Subject::of(only(&control.snapshot()?.projects)?, now_ms),
            Some(id) => match control.project_settings(id)? {
                Some(settings) => Subject::of(&settings, now_ms),
                None => return show_missing(&control, id),
            },
        };
        let keyring = control.keyring();
        let hash: AddressHash =
            Arc::new(move |ip| forebay_export::address_hash(|bytes| keyring.mac(bytes), ip));
        let reader = Reader::open(&common.store()?, subject, query, hash)?;
        if self.count {
            let copied = copy(reader, &mut io::sink()).map_err(|e| e.named("nowhere"))?;
            return copied.tell(common);
        }
        let copied = match &self.out {
            None => {
                let stdout = BufWriter::new(io::stdout().lock());
                self.write(reader, stdout).map_err(|e| e.named("stdout"))?.0
            }
            Some(path) => self.write_file(reader, path)?,
        };
        if self.out.is_some() || io::stderr().is_terminal() {
            eprintln!("{} events exported", copied.events);
        }
        copied.warn();
        Ok(())
    }

    /// The file appears under its name when it is complete and durable.
    fn write_file(&self, reader: Reader, path: &Path) -> Result<Copied, Failure> {
        let shown = path.display().to_string();
        let failed = |e: io::Error| Broken::Write(e).named(&shown);
        let name = path.file_name().ok_or_else(|| Failure::Usage(format!("--out {shown} names no file")))?;
        let mut partial = name.to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(partial);
        let written = File::create(&partial).map_err(Broken::Write).and_then(|file| self.write(reader, file));
        let finished = written.map_err(|e| e.named(&shown)).and_then(|(copied, file)| {
            file.sync_all().map_err(failed)?;
            std::fs::rename(&partial, path).map_err(failed)?;
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok(copied)
        });
        if finished.is_err() {
            // The error that counts is the first one; a leftover is only untidy.
            let _ = std::fs::remove_file(&partial);
        }
        finished
    }

    fn write<W: Write>(&self, reader: Reader, to: W) -> Result<(Copied, W), Broken> {
        if self.gzip {
            let mut encoder = GzEncoder::new(to, Compression::fast());
            let copied = copy(reader, &mut encoder)?;
            Ok((copied, encoder.finish().map_err(Broken::Write)?))
        } else {
            let mut to = to;
            let copied = copy(reader, &mut to)?;
            Ok((copied, to))
        }
    }
}

/// The only project there is.
fn only(projects: &[ProjectSettings]) -> Result<&ProjectSettings, Failure> {
    match projects {
        [one] => Ok(one),
        [] => Err(Failure::Failed("there is no project yet: `forebay project create` makes one".to_owned())),
        many => Err(Failure::Usage(format!(
            "which of {} projects? Give --project ID; `forebay project list` shows them",
            many.len()
        ))),
    }
}

/// The registry's own words for a project that is none.
fn show_missing(control: &forebay_control::Control, project: ProjectId) -> Done {
    control.host().project(project.as_u64())?;
    Err(Failure::Failed(format!("project {project} was created this moment; try again")))
}

/// Why an export broke off.
enum Broken {
    Read(forebay_export::ExportError),
    Write(io::Error),
}

impl Broken {
    fn named(self, to: &str) -> Failure {
        match self {
            Broken::Read(e) => Failure::of(&e),
            Broken::Write(e) if e.kind() == io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            Broken::Write(e) => Failure::Failed(format!("cannot write to {to}: {e}")),
        }
    }
}

/// What an export came to.
struct Copied {
    events: u64,
    unreadable: u64,
}

impl Copied {
    /// Says how many there are, on stdout.
    fn tell(&self, common: &Common) -> Done {
        let mut out = common.out();
        if out.json {
            out.value(&json!({ "events": self.events, "unreadable": self.unreadable }))?;
        } else {
            out.line(&self.events.to_string())?;
        }
        self.warn();
        out.done()
    }

    /// Says on stderr what could not be read.
    fn warn(&self) {
        if self.unreadable > 0 {
            eprintln!(
                "warning: missing here: {} of the log's records, damaged or given up, perhaps some of this project; see \
                 `forebay log verify`",
                self.unreadable
            );
        }
    }
}

fn copy(mut reader: Reader, to: &mut impl Write) -> Result<Copied, Broken> {
    let bar = progress_bar();
    let mut chunk = Vec::with_capacity(CHUNK_BYTES * 2);
    loop {
        let more = reader.fill(&mut chunk, CHUNK_BYTES).map_err(Broken::Read)?;
        to.write_all(&chunk).map_err(Broken::Write)?;
        chunk.clear();
        let (behind, total) = reader.progress();
        bar.set_length(total);
        bar.set_position(behind);
        bar.set_message(reader.events().to_string());
        if more == More::No {
            bar.finish_and_clear();
            to.flush().map_err(Broken::Write)?;
            return Ok(Copied { events: reader.events(), unreadable: reader.unreadable() });
        }
    }
}

/// On a terminal only: indicatif draws on stderr and hides otherwise.
fn progress_bar() -> ProgressBar {
    let template = "{bar:40} {percent}% of the log, {msg} events, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}
