//! Where settings come from: the file, the environment, flags.
//!
//! Each source yields the same thing, a list of [`Given`]: key, raw value, origin. What a key accepts is not
//! known here.

use super::ConfigError;
use std::{
    fmt,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// Where a value stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a configuration file, at this line (from 1).
    File(PathBuf, usize),
    /// In this environment variable.
    Environment(String),
    /// In this command line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// A value as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// From the environment or a flag: any type, as text; lists separated by commas.
    Text(String),
    /// TOML text.
    String(String),
    /// TOML integer, as written, underscores removed.
    Integer(String),
    /// TOML boolean.
    Bool(bool),
    /// TOML array of strings.
    List(Vec<String>),
    /// Anything else TOML has: its type and text.
    Other(&'static str),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Text(s) | Raw::Integer(s) => f.write_str(s),
            Raw::String(s) => write!(f, "{s:?}"),
            Raw::Bool(b) => write!(f, "{b}"),
            Raw::List(items) => write!(f, "{items:?}"),
            Raw::Other(kind) => write!(f, "({kind})"),
        }
    }
}

/// One value for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Dotted, as in the file.
    pub key: String,
    /// As written.
    pub raw: Raw,
    /// Where.
    pub origin: Origin,
}

/// Every setting of a file.
///
/// # Errors
/// The file cannot be read or is not TOML; the line is named.
pub fn file(path: &Path) -> Result<Vec<Given>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError(format!("cannot read the configuration file {}: {e}", path.display())))?;
    file_text(path, &text)
}

fn file_text(path: &Path, text: &str) -> Result<Vec<Given>, ConfigError> {
    let line_of = |at: usize| 1 + text.bytes().take(at).filter(|&b| b == b'\n').count();
    let table = DeTable::parse(text).map_err(|e| {
        let line = line_of(e.span().map_or(0, |s| s.start));
        ConfigError(format!("{}:{line}: not valid TOML: {}", path.display(), e.message().replace('\n', ", ")))
    })?;
    let mut given = Vec::new();
    let mut open = vec![(String::new(), table.into_inner())];
    while let Some((prefix, table)) = open.pop() {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            let origin = Origin::File(path.to_owned(), line_of(name.span().start));
            let raw = match value.into_inner() {
                DeValue::Table(inner) => {
                    open.push((key, inner));
                    continue;
                }
                DeValue::String(s) => Raw::String(s.into_owned()),
                DeValue::Integer(i) if i.radix() == 10 => Raw::Integer(i.as_str().to_owned()),
                DeValue::Boolean(b) => Raw::Bool(b),
                DeValue::Array(items) => {
                    let texts = items.iter().map(|v| v.get_ref().as_str().map(str::to_owned));
                    texts
                        .collect::<Option<_>>()
                        .map_or(Raw::Other("array of something else than strings"), Raw::List)
                }
                DeValue::Integer(_) => Raw::Other("integer not in decimal"),
                DeValue::Float(_) => Raw::Other("float"),
                DeValue::Datetime(_) => Raw::Other("date"),
            };
            given.push(Given { key, raw, origin });
        }
    }
    // By line, so that the first mistake of the file is the one named.
    given.sort_by_key(|g| if let Origin::File(_, line) = g.origin { line } else { 0 });
    Ok(given)
}

/// What starts the name of every environment variable that sets something.
pub const ENVIRONMENT_PREFIX: &str = "FOREBAY_";

/// The variable that sets `key`.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// Every setting among `variables` (name and value). `keys` are all known ones: a dot and an underscore look
/// alike in a variable's name.
pub fn environment(variables: impl IntoIterator<Item = (String, String)>, keys: &[&str]) -> Vec<Given> {
    let mut given: Vec<Given> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX) && !is_not_ours(name))
        .map(|(name, value)| {
            let known = keys.iter().find(|key| variable(key) == name);
            let key = known
                .map_or_else(|| name[ENVIRONMENT_PREFIX.len()..].to_ascii_lowercase(), |k| (*k).to_owned());
            Given { key, raw: Raw::Text(value), origin: Origin::Environment(name) }
        })
        .collect();
    given.sort_by(|a, b| a.key.cmp(&b.key));
    given
}

/// `FOREBAY_CONFIG` names the file and `FOREBAY_BIN` the program, for scripts; the others are what Kubernetes
/// sets in every pod beside a service that is called `forebay`.
fn is_not_ours(name: &str) -> bool {
    let rest = &name[ENVIRONMENT_PREFIX.len()..];
    matches!(rest, "CONFIG" | "BIN" | "PORT" | "SERVICE_HOST" | "SERVICE_PORT")
        || rest.starts_with("SERVICE_PORT_")
        || rest.strip_prefix("PORT_").is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_yields_its_keys_with_their_lines() {
        let text =
            "listen = \"a\"\n\n[log]\nlanes = 1_0\n[http.paths]\ntrack = [\"/t\", '/u']\nx = 1.5\ny = true\n";
        let given = file_text(Path::new("f.toml"), text).unwrap();
        let shown: Vec<_> = given.iter().map(|g| format!("{} = {} at {}", g.key, g.raw, g.origin)).collect();
        assert_eq!(
            shown,
            [
                "listen = \"a\" at f.toml:1",
                "log.lanes = 10 at f.toml:4",
                "http.paths.track = [\"/t\", \"/u\"] at f.toml:6",
                "http.paths.x = (float) at f.toml:7",
                "http.paths.y = true at f.toml:8",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_line() {
        let error = file_text(Path::new("f.toml"), "a = 1\nb = \n").unwrap_err().0;
        assert!(error.starts_with("f.toml:2: not valid TOML: "), "{error}");
        let error = file(Path::new("/nonexistent/f.toml")).unwrap_err().0;
        assert!(error.starts_with("cannot read the configuration file /nonexistent/f.toml: "), "{error}");
    }

    #[test]
    fn the_environment_speaks_of_the_same_keys_and_kubernetes_is_not_listened_to() {
        let variables = [
            ("FOREBAY_LOG_SEGMENT_BYTES_MAX", "1"),
            ("FOREBAY_LISTEN", "b"),
            ("FOREBAY_LOGS_LANES", "2"),
            ("FOREBAY_CONFIG", "f"),
            ("FOREBAY_SERVICE_HOST", "10.0.0.1"),
            ("FOREBAY_SERVICE_PORT_HTTP", "80"),
            ("FOREBAY_PORT", "tcp://10.0.0.1:80"),
            ("FOREBAY_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let given = environment(variables, &["listen", "log.segment_bytes_max"]);
        let keys: Vec<_> = given.iter().map(|g| g.key.as_str()).collect();
        assert_eq!(keys, ["listen", "log.segment_bytes_max", "logs_lanes"]);
    }
}
