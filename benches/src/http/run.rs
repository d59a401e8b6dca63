//! A whole run: loads one after the other, for each of them all servers in turn.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    Error, Report,
    device::Device,
    fill,
    generator::{self, Traffic},
    latency::Latencies,
    limits,
    load::{Form, Load},
    parse::{self, Parser},
    process::Memory,
    report::{Accounts, Case, Figure, Figures, Idle, LoadReport, Machine, curve},
    request::{Destination, Means, Request, requests, texts},
    rounds::{Round, Setting, wait_until},
    server::{Server, Starter, parse_url},
};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// How servers are started.
    pub starter: Starter,
    /// The loads, one after the other.
    pub loads: Vec<Load>,
    /// Each load in each of these forms; a mix has its own.
    pub forms: Vec<Form>,
    /// Connections, each for itself; none means as many as the load has by itself.
    pub connections: Vec<usize>,
    /// A Forebay with so many projects, each for itself.
    pub projects: Vec<u64>,
    /// A Forebay with so many GiB in its log, each for itself.
    pub store_gib: Vec<u64>,
    /// Other `forebay` binaries, measured in turn with the first.
    pub versus: Vec<PathBuf>,
    /// Servers that already run; where there are any, no Forebay is started unless [`Beside::Forebay`] says so.
    pub running: Vec<External>,
    /// What to measure beside.
    pub beside: Vec<Beside>,
    /// How requests come.
    pub offered: Offered,
    /// Connections opened beforehand and left idle.
    pub idle: usize,
    /// Readers that follow Forebay's log, in rounds of their own.
    pub followers: usize,
    /// Rounds for each server in each setting.
    pub rounds: usize,
    /// Length of a round.
    pub round: Duration,
    /// Length of a round that is not counted, before the others.
    pub warm_up: Duration,
    /// Threads that generate.
    pub threads: usize,
    /// The cores they run on; none means any.
    pub cores: Vec<usize>,
    /// Decides events, projects and arrivals.
    pub seed: u64,
    /// Set from outside: ends the run after the round under way, with everything cleared away.
    pub interrupted: Arc<AtomicBool>,
}

/// What is measured beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Hyper that reads the body and answers.
    Bare,
    /// The same, and it parses with simd-json and finds five fields in each event.
    SimdJson,
    /// Forebay, beside a server that already runs.
    Forebay,
}

/// A server that already runs.
#[derive(Clone, Debug)]
pub struct External {
    /// Where: `http://host:port`, and the path if requests are to go to another than the API's.
    pub url: String,
    /// Its process.
    pub pid: Option<u32>,
    /// The token of a project it knows.
    pub token: Option<String>,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Offered {
    /// On each connection as soon as the last one is answered.
    Closed,
    /// So many a second, whether answered or not.
    PerS(f64),
    /// Both: in a closed loop, and then at this share of what that came to.
    Share(f64),
}

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Rounds run.
    pub done: usize,
    /// Rounds in all.
    pub total: usize,
    /// What is being done.
    pub now: String,
}

/// Thread time that simd-json alone gets beside each round.
const PARSE_CPU_S: f64 = 0.03;
/// How long a server may take to settle what it has received.
const SETTLE_S: u64 = 10;

/// Measures everything, one load after the other.
///
/// # Errors
/// The first thing that does not work, a request that is refused included.
pub fn run(options: &Options, tell: &mut dyn FnMut(&Progress)) -> Result<Report, Error> {
    let connections = options.connections.iter().copied().max();
    let most =
        connections.unwrap_or_else(|| options.loads.iter().map(|l| l.connections()).max().unwrap_or(0));
    limits::descriptors_for(most + options.idle)?;
    let mut packed = Vec::new();
    for &load in &options.loads {
        let forms = if load == Load::Mix { &[Form::Json][..] } else { &options.forms };
        packed.extend(forms.iter().map(|&form| (load, form)));
    }
    let mut progress = Progress { done: 0, total: 0, now: String::new() };
    let mut loads = Vec::with_capacity(packed.len());
    for (nth, &(load, form)) in packed.iter().enumerate() {
        progress.now = format!("{load} {form}: starting servers");
        tell(&progress);
        let mut one = Run::start(options, load, form)?;
        progress.total = progress.done + one.rounds_in_all() * (packed.len() - nth);
        let measured = one.measure(&mut progress, tell);
        // A signal to the whole group has ended the servers too: what they broke off is no defect of theirs.
        let is_interrupted = options.interrupted.load(Ordering::Relaxed);
        loads.push(measured.map_err(|error| if is_interrupted { Error::Interrupted } else { error })?);
    }
    Ok(Report { version: env!("CARGO_PKG_VERSION"), machine: machine(), loads })
}

fn machine() -> Machine {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        cpu: model.map_or("unknown", |(_, name)| name).to_owned(),
        kernel: kernel.trim().to_owned(),
    }
}

/// A server, and what is sent to it.
struct Subject {
    server: Server,
    requests: Arc<[Request]>,
    idle: Vec<TcpStream>,
    acknowledged: u64,
}

/// A subject in one setting, its rounds so far.
struct Rows {
    subject: usize,
    server: String,
    projects: u64,
    connections: usize,
    rate_per_s: Option<f64>,
    followers: usize,
    rounds: Vec<Round>,
    latencies: Latencies,
}

/// One load under way.
struct Run<'a> {
    options: &'a Options,
    load: Load,
    form: Form,
    subjects: Vec<Subject>,
    device: Option<Device>,
    texts: Vec<String>,
    parser: Parser,
    idle: Vec<Idle>,
    means: Means,
}

/// What the bare server is called in reports, by which others are compared with it.
const BARE: &str = "bare hyper";

impl<'a> Run<'a> {
    fn start(options: &'a Options, load: Load, form: Form) -> Result<Run<'a>, Error> {
        let starter = &options.starter;
        let mut run = Run {
            options,
            load,
            form,
            subjects: Vec::new(),
            device: Device::of(&starter.scratch),
            texts: texts(load, options.seed),
            parser: Parser::default(),
            idle: Vec::new(),
            means: Means::default(),
        };
        let own = Destination::projects;
        for external in &options.running {
            let wrong = |what| Error::Options(format!("the URL {:?}: {what}", external.url));
            let (addr, path) = parse_url(&external.url).map_err(wrong)?;
            let name = external.url.trim_start_matches("http://").to_owned();
            let token = external.token.clone();
            run.add(Server::running(&name, addr, external.pid), &Destination { path, token, ..own(1) })?;
        }
        if options.running.is_empty() || options.beside.contains(&Beside::Forebay) {
            for &projects in &options.projects {
                for &gib in &options.store_gib {
                    let mut name = "forebay".to_owned();
                    if options.projects.len() > 1 {
                        name.push_str(&format!(", {projects} projects"));
                    }
                    if options.store_gib.len() > 1 {
                        name.push_str(&format!(", {gib} GiB stored"));
                    }
                    run.add(starter.forebay(&name, projects)?, &own(projects))?;
                    run.fill(gib << 30)?;
                }
            }
            for binary in &options.versus {
                let other = Starter { binary: binary.clone(), ..starter.clone() };
                let name = format!("forebay at {}", binary.display());
                let projects = options.projects.first().copied().unwrap_or(1);
                run.add(other.forebay(&name, projects)?, &own(projects))?;
            }
        }
        if options.beside.contains(&Beside::SimdJson) {
            run.add(starter.bare("bare + simd-json", true)?, &own(1))?;
        }
        if options.beside.contains(&Beside::Bare) {
            run.add(starter.bare(BARE, false)?, &own(1))?;
        }
        Ok(run)
    }

    /// Takes a server in, and opens its idle connections.
    fn add(&mut self, server: Server, to: &Destination) -> Result<(), Error> {
        let requests = requests(self.load, self.form, to, self.options.seed);
        self.means = Means::of(&requests);
        let mut subject = Subject { server, requests: requests.into(), idle: Vec::new(), acknowledged: 0 };
        let count = self.options.idle;
        if count > 0 {
            let name = subject.server.name.clone();
            let memory = |subject: &Subject| {
                let memory = subject.server.pid.map(Memory::of).transpose();
                memory.map_err(Error::io(format!("read the memory of {name}")))
            };
            let before = memory(&subject)?;
            let traffic = self.traffic(&subject, self.connections()[0], None);
            subject.idle = generator::idle(&traffic, count)
                .map_err(Error::io(format!("open {count} idle connections to {name}")))?;
            let smallest = subject.requests.iter().min_by_key(|request| request.bytes.len());
            subject.acknowledged += smallest.map_or(0, |request| request.events) * count as u64;
            if let Some((before, after)) = before.zip(memory(&subject)?) {
                self.idle.push(Idle {
                    server: name,
                    connections: count,
                    anonymous_mib_at_start: before.anonymous as f64 / f64::from(1 << 20),
                    bytes_per_connection: (after.anonymous as f64 - before.anonymous as f64) / count as f64,
                });
            }
        }
        self.subjects.push(subject);
        Ok(())
    }

    /// Fills the log of the server that was added last.
    fn fill(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(subject) = self.subjects.last() else { return Ok(()) };
        let traffic = self.traffic(subject, 1, None);
        let binary = &self.options.starter.binary;
        let acknowledged = fill::fill(&subject.server, bytes, traffic, binary, || self.may_go_on())?;
        self.subjects.last_mut().into_iter().for_each(|subject| subject.acknowledged += acknowledged);
        Ok(())
    }

    fn may_go_on(&self) -> Result<(), Error> {
        // Relaxed: nothing else is handed over with it.
        if self.options.interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        limits::space_in(&self.options.starter.scratch)
    }

    fn connections(&self) -> Vec<usize> {
        match self.options.connections.as_slice() {
            [] => vec![self.load.connections()],
            given => given.to_vec(),
        }
    }

    fn traffic(&self, subject: &Subject, connections: usize, rate_per_s: Option<f64>) -> Traffic {
        Traffic {
            addr: subject.server.addr,
            requests: Arc::clone(&subject.requests),
            wanted: subject.server.wanted,
            projects: subject.server.projects,
            connections,
            rate_per_s,
            duration: self.options.round,
            threads: self.options.threads,
            cores: self.options.cores.clone(),
            seed: self.options.seed,
        }
    }

    /// Every server in every setting, in the order of a round.
    fn rows(&self) -> Vec<Rows> {
        let rate_per_s = match self.options.offered {
            Offered::PerS(rate) => Some(rate),
            Offered::Closed | Offered::Share(_) => None,
        };
        let mut all = Vec::new();
        for connections in self.connections() {
            for (nth, subject) in self.subjects.iter().enumerate() {
                let row = |followers| Rows {
                    subject: nth,
                    server: subject.server.name.clone(),
                    projects: subject.server.projects,
                    connections,
                    rate_per_s,
                    followers,
                    rounds: Vec::new(),
                    latencies: Latencies::default(),
                };
                all.push(row(0));
                if subject.server.is_ours && self.options.followers > 0 {
                    all.push(row(self.options.followers));
                }
            }
        }
        all
    }

    fn rounds_in_all(&self) -> usize {
        let phases = if matches!(self.options.offered, Offered::Share(_)) { 2 } else { 1 };
        self.rows().len() * self.options.rounds * phases
    }

    fn measure(
        &mut self,
        progress: &mut Progress,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<LoadReport, Error> {
        let mut rows = self.rows();
        self.turns(&mut rows, progress, tell)?;
        if let Offered::Share(share) = self.options.offered {
            let rate = |row: &Rows| {
                let rates: Vec<f64> = row.rounds.iter().map(|r| r.requests as f64 / r.seconds).collect();
                Figure::of(&rates).map(|rate| rate.median * share)
            };
            let mut open: Vec<Rows> = self.rows();
            open.iter_mut().zip(&rows).for_each(|(open, closed)| open.rate_per_s = rate(closed));
            self.turns(&mut open, progress, tell)?;
            rows.append(&mut open);
        }
        let accounts = self.stop()?;
        Ok(self.report(&rows, accounts))
    }

    /// All rounds of these rows, in turn.
    fn turns(
        &mut self,
        rows: &mut [Rows],
        progress: &mut Progress,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<(), Error> {
        for round in 0..=self.options.rounds {
            let parse_s = parse::cpu_s_per_event(&mut self.parser, &self.texts, PARSE_CPU_S);
            for row in &mut *rows {
                let name = &self.subjects[row.subject].server.name;
                progress.now =
                    format!("{} {}, {} connections: {name}", self.load, self.form, row.connections);
                tell(progress);
                self.may_go_on()?;
                let subject = &self.subjects[row.subject];
                let mut traffic = self.traffic(subject, row.connections, row.rate_per_s);
                traffic.seed = traffic.seed.wrapping_add(round as u64);
                if round == 0 {
                    traffic.duration = self.options.warm_up;
                }
                let setting = Setting {
                    server: &subject.server,
                    traffic,
                    device: self.device.as_ref(),
                    followers: row.followers,
                    binary: &self.options.starter.binary,
                };
                let (measured, outcome) = setting.round()?;
                self.subjects[row.subject].acknowledged += outcome.events;
                // The first round is for connections, caches and first segments.
                if round > 0 {
                    row.rounds.push(Round { simd_json_cpu_s_per_event: parse_s, ..measured });
                    row.latencies.merge(&outcome.latencies);
                    progress.done += 1;
                }
            }
        }
        Ok(())
    }

    /// Ends all servers, and sees that what Forebay acknowledged is what it stored.
    fn stop(&mut self) -> Result<Vec<Accounts>, Error> {
        let mut accounts = Vec::new();
        for subject in self.subjects.drain(..) {
            let Subject { server, idle, acknowledged, .. } = subject;
            drop(idle);
            let (name, is_ours) = (server.name.clone(), server.is_ours);
            let stored = if is_ours { Some(settled(&server, acknowledged)?) } else { None };
            let stopped = server.stop()?;
            let Some(stored) = stored else { continue };
            let on_disk = stopped.records(&self.options.starter.binary)?.unwrap_or(0);
            if on_disk != acknowledged {
                let what = format!("{acknowledged} events acknowledged, {on_disk} in the log");
                return Err(Error::Accounts { name, what });
            }
            accounts.push(Accounts { server: name, acknowledged, stored, on_disk });
        }
        Ok(accounts)
    }

    fn report(&mut self, rows: &[Rows], accounts: Vec<Accounts>) -> LoadReport {
        let parses = rows.iter().flat_map(|row| &row.rounds).map(|r| r.simd_json_cpu_s_per_event * 1e6);
        LoadReport {
            load: self.load.to_string(),
            form: if self.load == Load::Mix { "mixed".to_owned() } else { self.form.to_string() },
            events_per_request: self.means.events,
            event_bytes: self.means.event_bytes,
            request_bytes: self.means.request_bytes,
            simd_json_cpu_s_per_million_events: Figure::of(&parses.collect::<Vec<_>>()).unwrap_or_default(),
            cases: rows.iter().map(|row| self.case(row, rows)).collect(),
            idle: std::mem::take(&mut self.idle),
            accounts,
        }
    }

    fn case(&self, row: &Rows, rows: &[Rows]) -> Case {
        // What it is compared with: the same connections, in the same kind of loop.
        let like = |other: &&Rows| {
            other.connections == row.connections && other.rate_per_s.is_some() == row.rate_per_s.is_some()
        };
        let bare = rows.iter().filter(like).find(|other| other.server == BARE);
        let unfollowed =
            rows.iter().filter(like).find(|other| other.server == row.server && other.followers == 0);
        let unfollowed = unfollowed.filter(|_| row.followers > 0);
        let of = |rows: &'_ Rows| rows.rounds.clone();
        let (bare, unfollowed) = (bare.map(of), unfollowed.map(of));
        Case {
            server: row.server.clone(),
            connections: row.connections,
            projects: row.projects,
            offered_per_s: row.rate_per_s,
            followers: row.followers,
            idle_connections: self.options.idle,
            figures: Figures::of(&row.rounds, bare.as_deref(), unfollowed.as_deref()),
            latency: row.latencies.quantiles(),
            latency_curve: curve(&row.latencies),
            rounds: row.rounds.clone(),
        }
    }
}

/// The events that Forebay counts as stored, once all that it received has its verdict.
fn settled(server: &Server, acknowledged: u64) -> Result<u64, Error> {
    let mut metrics = server.metrics();
    wait_until(SETTLE_S, || {
        metrics = server.metrics();
        metrics.count("forebay_events_in_flight") < 0.5
    });
    let unwanted =
        ["forebay_events_rejected_total", "forebay_events_dropped_total", "forebay_unaccounted_events"];
    for name in unwanted.into_iter().chain(["forebay_events_in_flight"]) {
        let count = metrics.count(name);
        if count > 0.5 {
            return Err(Error::Accounts { name: server.name.clone(), what: format!("{name} is {count}") });
        }
    }
    let stored = metrics.count("forebay_events_stored_total");
    // Counts of a benchmark are far below 2^53: the comparison is exact.
    if (stored - acknowledged as f64).abs() > 0.5 {
        let what = format!("{acknowledged} events acknowledged, {stored} counted as stored");
        return Err(Error::Accounts { name: server.name.clone(), what });
    }
    Ok(acknowledged)
}
