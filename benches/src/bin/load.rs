//! Measures the server under load, interleaved with a bare hyper server in the same run.
//!
//! ```text
//! cargo build --release -p forebay-server -p forebay-benches --bin forebay --bin load
//! target/release/load run                         # 1, 50 and 2000 events a request, under a minute
//! target/release/load run --pin --rounds 9        # server on core 0, generator on core 1
//! FOREBAY_LOG_FLUSH_DELAY_US=5000 target/release/load run --events 1     # as on a slower disk
//! ```

use std::{
    fs, io,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use forebay_benches::{
    events,
    load::{
        bare,
        generator::{self, Load},
        process::{self, Server},
        report::{self, Case, Round},
    },
};

/// Forebay under load, beside a bare hyper server.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Serves as the bare server: reads the body, answers `1`, keeps nothing
    Bare {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Measures
    Run(Run),
}

#[derive(Args)]
struct Run {
    /// The binary to measure [default: the `forebay` beside this one]
    #[arg(long)]
    forebay: Option<PathBuf>,
    /// Where data directories are made, each removed at the end: the disk to measure [default: beside this
    /// binary]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Events in a request; one load for each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 2000])]
    events: Vec<usize>,
    /// Connections [default: 256, 32 and 8 for 1, up to 100, and more events a request]
    #[arg(long)]
    connections: Option<usize>,
    /// Rounds for each server and load
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Servers on core 0, the generator on all others
    #[arg(long)]
    pin: bool,
    /// One more argument for `forebay serve`, as often as given
    #[arg(long, allow_hyphen_values = true)]
    server_arg: Vec<String>,
    /// Writes all figures of all rounds there, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        What::Bare { listen } => bare::serve(listen, |addr| {
            let _ = writeln!(io::stdout(), r#"{{"listening":"http://{addr}"}}"#);
        }),
        What::Run(run) => run.measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "load: {e}");
            ExitCode::FAILURE
        }
    }
}

impl Run {
    fn measure(&self) -> io::Result<()> {
        let mut loads = Vec::new();
        for &events in &self.events {
            let _ = writeln!(io::stderr(), "load: {events} events a request, {} rounds", self.rounds);
            loads.push(self.one_load(events)?);
        }
        let _ = write!(io::stdout(), "{}", report::table(&loads));
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&loads)?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// Both servers, in turn, under one load.
    fn one_load(&self, events: usize) -> io::Result<Vec<Case>> {
        let here = std::env::current_exe()?;
        let binary = self.forebay.clone().unwrap_or_else(|| here.with_file_name("forebay"));
        if !binary.is_file() {
            return Err(io::Error::other(format!(
                "there is no {}: build it with `cargo build --release -p forebay-server`, or give --forebay",
                binary.display()
            )));
        }
        let beside = self.dir.clone().unwrap_or_else(|| here.with_file_name(""));
        let dir = tempfile::Builder::new().prefix("forebay-load-").tempdir_in(beside)?;
        let token = process::create_project(&binary, dir.path())?;
        let server_cores: &[usize] = if self.pin { &[0] } else { &[] };
        let mut bare = Command::new(&here);
        bare.arg("bare");
        let forebay = process::forebay(&binary, dir.path(), &self.server_arg);
        let servers = [
            Server::start("bare hyper", bare, server_cores)?,
            Server::start("forebay", forebay, server_cores)?,
        ];
        let load = self.load(events, &token)?;
        let mut cases: Vec<_> = servers.iter().map(|server| self.case(server, events, &load)).collect();
        // One short round each that is not counted: connections, caches, first segments.
        for round in 0..=self.rounds {
            for (server, case) in servers.iter().zip(&mut cases) {
                let duration = if round == 0 { 0.5 } else { self.seconds };
                let load =
                    Load { addr: server.addr, duration: Duration::from_secs_f64(duration), ..load.clone() };
                let measured = one_round(server, &load)?;
                if round > 0 {
                    case.rounds.push(measured);
                }
            }
        }
        for (server, case) in servers.into_iter().zip(&mut cases) {
            case.anonymous_kib = server.status_kib("RssAnon");
            server.stop()?;
        }
        Ok(cases)
    }

    fn case(&self, server: &Server, events: usize, load: &Load) -> Case {
        Case {
            server: server.name.clone(),
            events,
            request_bytes: load.requests.iter().map(Vec::len).sum::<usize>() / load.requests.len(),
            connections: load.connections,
            rounds: Vec::with_capacity(self.rounds),
            anonymous_kib: 0,
        }
    }

    fn load(&self, events: usize, token: &str) -> io::Result<Load> {
        let connections = self.connections.unwrap_or(match events {
            0..=1 => 256,
            2..=100 => 32,
            _ => 8,
        });
        // Some 8 MB of different requests: more than the caches keep, as real senders are.
        let distinct = (10_000 / events.max(1)).clamp(4, 2048);
        let requests = (0..distinct).map(|i| request(token, events, i)).collect();
        let cores = std::thread::available_parallelism()?.get();
        let cores = if self.pin && cores > 1 { (1..cores).collect() } else { Vec::new() };
        let addr = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Load { addr, requests, connections, cores, duration: Duration::ZERO })
    }
}

/// One whole request with `events` events: `/track` as Swift sends it, `/import` for what only importers send.
fn request(token: &str, events: usize, nth: usize) -> Vec<u8> {
    let seed = u64::try_from(nth).unwrap_or(0);
    let body = events::batch(token, events, seed);
    let target = if events > 100 { "/import?strict=0" } else { "/track/?ip=1" };
    let authorization =
        if events > 100 { format!("Authorization: Basic {token}\r\n") } else { String::new() };
    let mut request = format!(
        "POST {target} HTTP/1.1\r\nHost: events.shop.example\r\nContent-Type: application/json\r\n\
         User-Agent: Mixpanel/4.3.0 CFNetwork/1490.0.4 Darwin/23.2.0\r\nAccept: */*\r\n\
         Accept-Language: en-GB,en;q=0.9\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\
         {authorization}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body.as_ref());
    request
}

fn one_round(server: &Server, load: &Load) -> io::Result<Round> {
    let counts = || {
        let flushes = server.metric("forebay_log_flushes_total").unwrap_or(0.0);
        (flushes, server.metric("forebay_log_device_bytes_total").unwrap_or(0.0))
    };
    let (flushes_before, bytes_before) = counts();
    let cpu_before = server.cpu()?;
    let outcome = generator::run(load)?;
    let cpu = server.cpu()?.saturating_sub(cpu_before).as_secs_f64();
    let (flushes, bytes) = counts();
    let (flushes, bytes) = (flushes - flushes_before, bytes - bytes_before);
    let seconds = outcome.elapsed.as_secs_f64();
    if outcome.answered == 0 {
        return Err(io::Error::other(format!(
            "{} answered none of its requests with 200: {} refused, {} connections broke",
            server.name, outcome.refused, outcome.broken
        )));
    }
    let answered = outcome.answered as f64;
    Ok(Round {
        requests_per_s: answered / seconds,
        cpu_us: cpu * 1e6 / answered,
        cores: cpu / seconds,
        p50_us: outcome.latency.quantile(0.5),
        p99_us: outcome.latency.quantile(0.99),
        flushes_per_s: flushes / seconds,
        bytes_per_flush: if flushes > 0.0 { bytes / flushes } else { 0.0 },
        failed: outcome.refused + outcome.broken,
    })
}
