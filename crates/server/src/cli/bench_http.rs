//! `forebay bench http`: servers under load, and the bare server to compare with.

use super::{Common, Done, Failure};
use clap::ArgAction;
use forebay_benches::http::{
    self, Beside, External, Offered, Options, Progress,
    load::{Form, Load},
    server::Starter,
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Put Forebay under load, in turn with a bare HTTP server
///
/// Servers of its own run on free ports of 127.0.0.1, Forebay on a scratch data directory that is removed at the end; a
/// server that already runs can be measured beside. Every request must be answered with success, and what Forebay stored
/// must be what it acknowledged, or the run is an error.
#[derive(Debug, clap::Args)]
pub(crate) struct Http {
    /// What is sent: single, batchN (N events a request, such as batch50), or mix
    #[arg(
        long = "load",
        value_name = "LOAD",
        value_delimiter = ',',
        default_value = "single,batch50,batch2000"
    )]
    loads: Vec<Load>,
    /// The same as --load mix
    #[arg(long, conflicts_with = "loads")]
    mix: bool,
    /// How events are packed: json, form, base64 or gzip
    #[arg(long = "form", value_name = "FORM", value_delimiter = ',', default_value = "json")]
    forms: Vec<Form>,
    /// Connections, each number for itself [default: 256 for single, 64 for mix, 32 up to batch100, then 8]
    #[arg(long, value_name = "COUNT", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: Vec<u32>,
    /// Projects that events are for, drawn at random; a Forebay for each number
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_value = "1",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    projects: Vec<u64>,
    /// GiB that a Forebay has in its log before it is measured, sent to it and stored; a Forebay for each number
    #[arg(long, value_name = "GIB", value_delimiter = ',', default_value = "0",
        value_parser = clap::value_parser!(u64).range(..=1024))]
    store_gib: Vec<u64>,
    /// Open loop: so many requests a second, answered or not; latency counts from when a request was due
    #[arg(long, value_name = "PER_SECOND", value_parser = positive)]
    rate: Option<f64>,
    /// After the closed loop, an open one at this share of what each server came to, such as 0.7
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "rate")]
    open: Option<f64>,
    /// Connections opened beforehand and left idle, to see what they cost
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    idle: u32,
    /// Readers (`forebay log tail --follow`) beside, in rounds of their own, to see what they cost the writers
    #[arg(long, value_name = "COUNT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=64))]
    followers: u32,
    /// Rounds for each server
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of a round, up to 600
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of the first round of each server, which is not counted
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = seconds)]
    warm_up: f64,
    /// What to measure beside: bare, simd-json (bare, and parses with simd-json), forebay (beside --url), none
    #[arg(long, value_name = "SERVER", value_delimiter = ',', default_value = "bare", value_parser = beside)]
    beside: Vec<Option<Beside>>,
    /// A server that already runs, instead of a Forebay of its own; with a path if it wants another; may be repeated
    #[arg(long = "url", value_name = "http://HOST:PORT[/PATH]")]
    urls: Vec<String>,
    /// The process of the server at --url, for its CPU and memory; as many and in the order of those
    #[arg(long = "pid", value_name = "PID", requires = "urls")]
    pids: Vec<u32>,
    /// The token of a project that the servers at --url know
    #[arg(long, value_name = "TOKEN", requires = "urls")]
    token: Option<String>,
    /// Where scratch data directories are made: the disk to measure [default: the data directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A setting of the Forebay to measure, for example log.lanes=2; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The binary to measure [default: this one]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Another forebay binary, measured in turn with the first, such as one built before a change; may be repeated
    #[arg(long, value_name = "FILE")]
    versus: Vec<PathBuf>,
    /// Threads that generate the load [default: one for each two cores]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// Servers on the first half of the cores, the generator on the others
    #[arg(long, action = ArgAction::SetTrue)]
    pin: bool,
    /// Write plots (SVG) to this folder
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Decides events, projects and arrivals
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

/// Serve as the bare HTTP server that `bench http` compares with, until killed
#[derive(Debug, clap::Args)]
pub(crate) struct Bare {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Parse every event with simd-json, and find its five fields
    #[arg(long)]
    parse: bool,
}

impl Bare {
    pub(crate) fn run(self) -> Done {
        http::bare::serve(self.listen, self.parse, |addr| {
            let mut stdout = std::io::stdout().lock();
            // Whoever started it has gone: it ends with the next signal.
            let _ = writeln!(stdout, r#"{{"listening":"http://{addr}"}}"#).and_then(|()| stdout.flush());
        })?;
        Ok(())
    }
}

impl Http {
    pub(crate) fn run(self, common: &Common) -> Done {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => common.data_dir()?,
        };
        let plots = self.plots.clone();
        let options = self.options(dir.clone())?;
        let made = !dir.exists();
        fs::create_dir_all(&dir)
            .map_err(|e| Failure::Failed(format!("cannot make the folder {}: {e}", dir.display())))?;
        let measured = measure(&options);
        if made {
            // Only if nothing else has come into it.
            let _ = fs::remove_dir(&dir);
        }
        let report = measured?;
        if let Some(plots) = plots {
            http::plots::write(&report, &plots)
                .map_err(|e| Failure::Failed(format!("cannot write plots to {}: {e}", plots.display())))?;
        }
        let mut out = common.out();
        if out.json {
            out.value(&report)?;
        } else {
            out.bytes(http::table::table(&report).as_bytes())?;
        }
        out.done()
    }

    fn options(self, scratch: PathBuf) -> Result<Options, Failure> {
        if self.pids.len() > self.urls.len() {
            return Err(Failure::Usage("there are more --pid than --url".to_owned()));
        }
        let binary = match self.binary {
            Some(binary) => binary,
            None => std::env::current_exe().map_err(|e| {
                Failure::Failed(format!("cannot find this binary; name it with --binary: {e}"))
            })?,
        };
        let cores = thread::available_parallelism()?.get();
        if self.pin && cores < 2 {
            return Err(Failure::Usage("--pin needs two cores, and there is one".to_owned()));
        }
        let (server_cores, cores): (Vec<_>, Vec<_>) = if self.pin {
            ((0..cores / 2).collect(), (cores / 2..cores).collect())
        } else {
            (vec![], vec![])
        };
        let pids = self.pids.into_iter().map(Some).chain(std::iter::repeat(None));
        let running = self.urls.into_iter().zip(pids);
        let running = running.map(|(url, pid)| External { url, pid, token: self.token.clone() });
        let default_threads =
            if cores.is_empty() { thread::available_parallelism()?.get() / 2 } else { cores.len() };
        Ok(Options {
            starter: Starter {
                binary,
                scratch,
                cores: server_cores,
                serve_args: self.set.into_iter().map(|setting| format!("--set={setting}")).collect(),
            },
            loads: if self.mix { vec![Load::Mix] } else { self.loads },
            forms: self.forms,
            connections: self.connections.into_iter().map(|count| count as usize).collect(),
            projects: self.projects,
            store_gib: self.store_gib,
            versus: self.versus,
            running: running.collect(),
            beside: self.beside.into_iter().flatten().collect(),
            offered: match (self.rate, self.open) {
                (Some(rate), _) => Offered::PerS(rate),
                (None, Some(share)) => Offered::Share(share),
                (None, None) => Offered::Closed,
            },
            idle: self.idle as usize,
            followers: self.followers as usize,
            rounds: self.rounds as usize,
            round: Duration::from_secs_f64(self.seconds),
            warm_up: Duration::from_secs_f64(self.warm_up),
            threads: self.threads.map_or(default_threads.max(1), |count| count as usize),
            cores,
            seed: self.seed,
            interrupted: Arc::default(),
        })
    }
}

/// Sees to it that the first signal ends the run in order, and the second one at once.
fn watch_signals(interrupted: Arc<AtomicBool>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _context = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let watch = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                // Relaxed: nothing else is handed over with it.
                if interrupted.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    Ok(())
}

fn measure(options: &Options) -> Result<http::Report, Failure> {
    watch_signals(Arc::clone(&options.interrupted))?;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}");
    let bar = ProgressBar::new(1).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let report = http::run(options, &mut |progress: &Progress| {
        bar.set_length(progress.total.max(1) as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.now.clone());
    });
    bar.finish_and_clear();
    Ok(report?)
}

fn positive(text: &str) -> Result<f64, String> {
    let wrong = || "it must be a number above 0 and up to 10000000".to_owned();
    text.parse().ok().filter(|rate| (1e-3..=1e7).contains(rate)).ok_or_else(wrong)
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || "it must be a number above 0 and up to 2, such as 0.7".to_owned();
    text.parse().ok().filter(|share| *share > 0.0 && *share <= 2.0).ok_or_else(wrong)
}

fn seconds(text: &str) -> Result<f64, String> {
    let wrong = || "it must be a number of seconds from 0.05 to 600".to_owned();
    text.parse().ok().filter(|seconds| (0.05..=600.0).contains(seconds)).ok_or_else(wrong)
}

fn beside(text: &str) -> Result<Option<Beside>, String> {
    match text {
        "bare" => Ok(Some(Beside::Bare)),
        "simd-json" => Ok(Some(Beside::SimdJson)),
        "forebay" => Ok(Some(Beside::Forebay)),
        "none" => Ok(None),
        _ => Err("it must be bare, simd-json, forebay or none".to_owned()),
    }
}
