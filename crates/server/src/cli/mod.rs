//! The command line: what can be said, and what saying it comes back with.
//!
//! One file for each group of commands. Results go to stdout, everything else to stderr; exit status 0 is
//! success, 1 a failure, 2 a command that was not understood. A failure is one line that says what, where,
//! with which value, and what to do.

mod accounting;
mod audit;
mod bench;
mod bench_http;
mod cat;
mod dry_run;
mod export;
mod gdpr_token;
mod health;
mod log;
mod log_stats;
mod lookup_table;
mod mail;
mod organisation;
mod out;
mod person;
mod project;
mod select;
mod serve;
mod service_account;
mod settings;
mod tail;
mod time;

use crate::config::{Config, ConfigError, source};
use clap::{Parser, Subcommand};
use forebay_control::{Acting, Control, PasswordProof, PeopleError};
use forebay_log::Store;
use out::Out;
use source::{Given, Origin, Raw};
use std::{fmt, path::PathBuf, process::ExitCode};

/// An event collector that speaks Mixpanel's protocol and answers only when the event is on disk.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes, anywhere on the line.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Where everything lies [default: ./forebay-data; environment: FOREBAY_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file, TOML [environment: FOREBAY_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print for programs: JSON, one value a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the collector
    Serve(serve::Serve),
    /// Create, show and change projects
    #[command(subcommand)]
    Project(project::Project),
    /// Create, list and delete the machine accounts that may read and import
    #[command(subcommand)]
    ServiceAccount(service_account::ServiceAccount),
    /// Enter, list, change and delete the people who may sign in
    #[command(subcommand)]
    Person(person::Person),
    /// Create, show and change organisations, and say who belongs to them
    #[command(subcommand)]
    Organisation(organisation::Organisation),
    /// Give a locked-out organisation an owner, or the first person a link to set up by
    #[command(subcommand)]
    Owner(organisation::Owner),
    /// Show, make and end people's tokens for retrieving and erasing end users' data: calls that are still to come
    #[command(subcommand)]
    GdprToken(gdpr_token::GdprToken),
    /// Read the record of who did what, and check that nobody tampered with it
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Try out mail, and see what was sent to people and what was not
    #[command(subcommand)]
    Mail(mail::Mail),
    /// Create and list lookup tables
    #[command(subcommand)]
    LookupTable(lookup_table::LookupTable),
    /// Check, repair and read the log
    #[command(subcommand)]
    Log(log::Log),
    /// Write a project's events as NDJSON
    Export(export::Export),
    /// What became of the events: received, stored, rejected, dropped
    Stats(accounting::Stats),
    /// The last refusals, with reason and sample
    Rejects(accounting::Rejects),
    /// Measure this machine
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Ask a running server whether it can store; exit status 0 if so
    Health(health::Health),
    /// List every setting, and check those given
    Settings(settings::Settings),
}

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command cannot be meant: exit status 2.
    Usage(String),
    /// It was tried and failed: exit status 1.
    Failed(String),
    /// It was done, and what it found is bad and already printed: exit status 1.
    Found,
    /// Whoever reads stdout has gone, as `head` does: not a failure.
    ReaderGone,
}

impl Failure {
    /// A failure with its causes.
    pub(crate) fn of(error: &dyn std::error::Error) -> Failure {
        Failure::Failed(forebay_control::chain(error))
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::of(&error)
    }
}

/// The result of a command.
pub(crate) type Done = Result<(), Failure>;

/// Runs the command line given to this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are asked for; anything else is not understood. clap writes both itself.
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match cli.run() {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Found) => ExitCode::FAILURE,
        Err(Failure::Failed(text)) => fail(&text, ExitCode::FAILURE),
        Err(Failure::Usage(text)) => fail(&text, ExitCode::from(2)),
    }
}

fn fail(text: &dyn fmt::Display, code: ExitCode) -> ExitCode {
    eprintln!("error: {text}");
    code
}

impl Cli {
    fn run(self) -> Done {
        let common = &self.common;
        match self.command {
            Command::Serve(serve) => serve.run(common),
            Command::Project(project) => project.run(common),
            Command::ServiceAccount(account) => account.run(common),
            Command::Person(person) => person.run(common),
            Command::Organisation(organisation) => organisation.run(common),
            Command::Owner(owner) => owner.run(common),
            Command::GdprToken(token) => token.run(common),
            Command::Audit(audit) => audit.run(common),
            Command::Mail(mail) => mail.run(common),
            Command::LookupTable(table) => table.run(common),
            Command::Log(log) => log.run(common),
            Command::Export(export) => export.run(common),
            Command::Stats(stats) => stats.run(common),
            Command::Rejects(rejects) => rejects.run(common),
            Command::Bench(bench) => bench.run(common),
            Command::Health(health) => health.run(common),
            Command::Settings(settings) => settings.run(common),
        }
    }
}

impl Common {
    /// The configuration: file, environment, then these and `flags`.
    pub(crate) fn config(&self, flags: Vec<Given>) -> Result<Config, Failure> {
        let mut config = Config::from_given(&self.given(flags)?).map_err(|e| Failure::Usage(e.0))?;
        // Not as text: a path need not be UTF-8.
        if let Some(dir) = &self.data_dir {
            config.data_dir.clone_from(dir);
            config.log.dir.clone_from(dir);
        }
        Ok(config)
    }

    /// Every setting given, the one that counts last.
    pub(crate) fn given(&self, flags: Vec<Given>) -> Result<Vec<Given>, Failure> {
        let variables = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.to_string_lossy().into_owned())));
        self.given_with(variables, flags).map_err(|e| Failure::Usage(e.0))
    }

    fn given_with(
        &self,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: Vec<Given>,
    ) -> Result<Vec<Given>, ConfigError> {
        let variables: Vec<_> = variables.into_iter().collect();
        let named =
            variables.iter().find(|(k, _)| k == "FOREBAY_CONFIG").map(|(_, path)| PathBuf::from(path));
        let path = self.config.clone().or(named.filter(|p| !p.as_os_str().is_empty()));
        let mut given = path.as_deref().map(source::file).transpose()?.unwrap_or_default();
        given.extend(source::environment(variables, &crate::config::keys::names()));
        given.extend(self.data_dir.iter().map(|dir| flag("data_dir", "--data-dir", dir.to_string_lossy())));
        given.extend(flags);
        Ok(given)
    }

    /// The data directory alone, for commands that need nothing else.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        Ok(self.config(Vec::new())?.data_dir)
    }

    /// The registry of a data directory, created with it if need be.
    pub(crate) fn control(&self) -> Result<Control, Failure> {
        Ok(Control::open(&self.data_dir()?)?)
    }

    /// The registry of a data directory that must exist.
    pub(crate) fn existing_control(&self) -> Result<Control, Failure> {
        Ok(Control::open_existing(&self.data_dir()?)?)
    }

    /// The log of a data directory, for reading.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        Ok(Store::open(&self.data_dir()?)?)
    }

    /// Stdout.
    pub(crate) fn out(&self) -> Out {
        Out::new(self.json)
    }
}

/// What sensitive acts ask people to prove; the host has no password to give.
pub(crate) fn proof(host: &Acting<'_>) -> Result<PasswordProof, PeopleError> {
    host.prove_password("")
}

/// A setting given as a flag.
pub(crate) fn flag(key: &str, flag: &'static str, value: impl Into<String>) -> Given {
    Given { key: key.to_owned(), raw: Raw::Text(value.into()), origin: Origin::Flag(flag) }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
