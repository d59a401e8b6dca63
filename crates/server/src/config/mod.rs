//! The configuration: one struct, checked once, before anything is opened.
//!
//! Every setting is one row of the table in [`keys`]: its name, what it accepts, where it goes. Sources are
//! laid over the defaults one after the other: file, environment, flags; the last one to name a key wins. An
//! unknown key or a value that is not accepted is an error that says which, where and what would be.

pub mod key;
pub mod keys;
mod keys_people;
pub mod source;

use forebay_console::ConsoleConfig;
use forebay_control::OutreachLimits;
use forebay_export::QueryLimits;
use forebay_http::{HttpConfig, PathTable};
use forebay_log::LogConfig;
use forebay_notify::{GatewayConfig, MailConfig};
use forebay_route::AdmissionLimits;
use key::{Key, Takes};

use source::{Given, Origin, Raw};
use std::{fmt, path::PathBuf};

/// How the server logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

/// Everything the server can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything lies.
    pub data_dir: PathBuf,
    /// Listeners, limits, paths.
    pub http: HttpConfig,
    /// Bytes in flight.
    pub admission: AdmissionLimits,
    /// Lanes, segments, retention. Its `dir` is `data_dir`.
    pub log: LogConfig,
    /// How much those who read may take.
    pub queries: QueryLimits,
    /// Whether the web console is served.
    pub console_enabled: bool,
    /// What it is told.
    pub console: ConsoleConfig,
    /// Where people reach the console, for links in mails.
    pub console_url: Option<String>,
    /// How many addresses of their own choice people may reach.
    pub outreach: OutreachLimits,
    /// How mail is sent, if it is.
    pub mail: MailConfig,
    /// How text messages are sent, if they are.
    pub gateway: GatewayConfig,
    /// `trace`, `debug`, `info`, `warn`, `error`, or a filter of tracing's.
    pub log_level: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Endpoints that answer on other paths than their standard ones. Used by [`Config::from_given`] only.
    pub(crate) renamed_paths: Vec<(String, Vec<String>)>,
}

/// A configuration that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The defaults, for a data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Config {
        let data_dir = data_dir.into();
        Config {
            http: HttpConfig::default(),
            admission: AdmissionLimits {
                server_bytes: 256 << 20,
                lane_bytes: 128 << 20,
                project_bytes: 96 << 20,
            },
            log: LogConfig::new(&data_dir),
            queries: QueryLimits::default(),
            console_enabled: true,
            console: ConsoleConfig::default(),
            console_url: None,
            outreach: OutreachLimits::default(),
            gateway: GatewayConfig {
                method: "POST".to_owned(),
                headers: vec!["Content-Type: application/json".to_owned()],
                body: r#"{"to":"{number}","text":"Your code to sign in is {code}"}"#.to_owned(),
                ..GatewayConfig::default()
            },
            mail: MailConfig { from: "Forebay <forebay@localhost>".to_owned(), ..MailConfig::default() },
            log_level: "info".to_owned(),
            log_format: LogFormat::Auto,
            renamed_paths: Vec::new(),
            data_dir,
        }
    }

    /// Lays `given` over the defaults, in order, and checks the whole.
    ///
    /// # Errors
    /// The first unknown key, value that is not accepted, or contradiction.
    pub fn from_given(given: &[Given]) -> Result<Config, ConfigError> {
        let mut config = Config::new("forebay-data");
        for one in given {
            let key = keys::all().find(|k| k.name == one.key).ok_or_else(|| unknown(one))?;
            put(&mut config, key, one)?;
        }
        if !given.iter().any(|one| one.key == "export.project_concurrent_max") {
            config.queries.project_concurrent_max = QueryLimits::share(config.queries.concurrent_max);
        }
        config.log.dir.clone_from(&config.data_dir);
        config.http.paths =
            PathTable::new(&config.renamed_paths).map_err(|e| ConfigError(format!("http.{e}")))?;
        config.check()?;
        Ok(config)
    }

    /// What no single key can say.
    fn check(&self) -> Result<(), ConfigError> {
        self.log.check().map_err(|e| ConfigError(e.to_string()))?;
        self.http.check().map_err(|e| ConfigError(e.to_string()))?;
        self.queries.check().map_err(ConfigError)?;
        let body = self.http.limits.body_bytes_max as u64;
        for (key, limit) in [
            ("admission.server_bytes_max", self.admission.server_bytes),
            ("admission.lane_bytes_max", self.admission.lane_bytes),
            ("admission.project_bytes_max", self.admission.project_bytes),
        ] {
            if limit < body {
                return Err(ConfigError(format!(
                    "{key} is {limit}, less than one body may have: set it to at least http.limits.body_bytes_max, {body}"
                )));
            }
        }
        Ok(())
    }
}

fn put(config: &mut Config, key: &Key, given: &Given) -> Result<(), ConfigError> {
    let accepted = match &key.takes {
        Takes::Whole { least, most, put } => {
            whole(&given.raw).filter(|n| (least..=most).contains(&n)).map(|n| put(config, n))
        }
        Takes::Flag(put) => flag(&given.raw).map(|on| put(config, on)),
        Takes::Text { put, .. } => text(&given.raw).and_then(|s| put(config, s)),
        Takes::Texts { put, .. } => texts(&given.raw).and_then(|list| put(config, &list)),
    };
    accepted.ok_or_else(|| {
        ConfigError(format!("{} is {} ({}): it must be {}", key.name, given.raw, given.origin, key.takes))
    })
}

fn whole(raw: &Raw) -> Option<u64> {
    match raw {
        Raw::Integer(s) | Raw::Text(s) => s.trim().replace('_', "").parse().ok(),
        _ => None,
    }
}

fn flag(raw: &Raw) -> Option<bool> {
    match raw {
        Raw::Bool(on) => Some(*on),
        Raw::Text(s) => match s.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn text(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::String(s) | Raw::Text(s) => Some(s),
        _ => None,
    }
}

fn texts(raw: &Raw) -> Option<Vec<String>> {
    match raw {
        Raw::List(items) => Some(items.clone()),
        Raw::String(one) => Some(vec![one.clone()]),
        Raw::Text(s) => Some(s.split(',').map(|i| i.trim().to_owned()).filter(|i| !i.is_empty()).collect()),
        _ => None,
    }
}

/// The error for a key that is none: with the nearest one, and all of its section.
fn unknown(given: &Given) -> ConfigError {
    let (written, spell): (&str, fn(&str) -> String) = match &given.origin {
        Origin::Environment(name) => (name, source::variable),
        Origin::File(..) | Origin::Flag(_) => (&given.key, str::to_owned),
    };
    let distance =
        |key: &Key| strsim::osa_distance(&given.key.replace('.', "_"), &key.name.replace('.', "_"));
    let nearest = keys::all().min_by_key(|k| distance(k)).filter(|k| distance(k) <= 1 + k.name.len() / 3);
    let section = |key: &str| key.rsplit_once('.').map_or("", |(section, _)| section).to_owned();
    let wanted = section(nearest.map_or(&given.key, |k| k.name));
    let mut candidates: Vec<_> =
        keys::all().filter(|k| section(k.name) == wanted).map(|k| spell(k.name)).collect();
    if candidates.is_empty() {
        candidates = keys::all().map(|k| spell(k.name)).collect();
    }
    let hint = nearest.map_or(".".to_owned(), |k| format!("; did you mean {}?", spell(k.name)));
    let place = match &given.origin {
        Origin::Environment(_) => String::new(),
        origin => format!(" ({origin})"),
    };
    ConfigError(format!(
        "{written}{place} is not a setting{hint} Known here: {} (`forebay settings` lists all)",
        candidates.join(", ")
    ))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
