//! Which endpoint a request is for: path and method, as loosely as senders write them.
//!
//! Senders double slashes, end in one or not, write methods in lower case, and percent-encode the
//! documentation's `#fragment` into the path. None of that is ever answered with a redirect: a redirected
//! POST loses its body.
//!
//! # Invariants
//! * A path is compared as sent: nothing but slashes and `%23…` is rewritten.
//! * The table is checked when it is made; two endpoints never share a path.

use hyper::Method;
use std::{borrow::Cow, fmt};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'p> {
    /// `/track`
    Track,
    /// `/engage`
    Engage,
    /// `/groups`
    Groups,
    /// `/import`
    Import,
    /// `/record`
    Record,
    /// `/settings`
    Settings,
    /// `/flags`
    Flags,
    /// `/flags/definitions`
    FlagDefinitions,
    /// `/flags/{id}/first-time-events`
    FirstTimeEvent,
    /// `/lookup-tables`
    LookupTables,
    /// `/lookup-tables/{id}`, with the id as sent
    LookupTable(&'p str),
    /// `/decide`
    Decide,
    /// `/`
    Root,
    /// `/health/live`
    Live,
    /// `/health/ready`
    Ready,
    /// `/metrics`
    Metrics,
}

impl Target<'_> {
    /// The methods it takes, as the `Allow` header of a 405 lists them.
    #[must_use]
    pub fn allow(self) -> &'static str {
        match self {
            Target::Track | Target::Engage | Target::Groups | Target::Import => "GET, POST, OPTIONS",
            Target::Record | Target::FirstTimeEvent => "POST, OPTIONS",
            Target::LookupTable(_) => "PUT, OPTIONS",
            Target::Settings | Target::Flags | Target::FlagDefinitions => "GET, OPTIONS",
            Target::LookupTables | Target::Decide => "GET, OPTIONS",
            Target::Root | Target::Live | Target::Ready | Target::Metrics => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether it takes this method.
    #[must_use]
    pub fn takes(self, verb: Verb) -> bool {
        match verb {
            Verb::Get => self.allow().starts_with("GET"),
            Verb::Head => self.allow().contains("HEAD"),
            Verb::Post => self.allow().contains("POST"),
            Verb::Put => self.allow().contains("PUT"),
            Verb::Options => true,
            Verb::Other => false,
        }
    }
}

/// A request method, whatever its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// OPTIONS
    Options,
    /// Anything else.
    Other,
}

impl Verb {
    /// Reads a method; `post` is POST.
    #[must_use]
    pub fn of(method: &Method) -> Verb {
        match *method {
            Method::POST => return Verb::Post,
            Method::GET => return Verb::Get,
            _ => {}
        }
        let known = [
            ("POST", Verb::Post),
            ("GET", Verb::Get),
            ("OPTIONS", Verb::Options),
            ("HEAD", Verb::Head),
            ("PUT", Verb::Put),
        ];
        known
            .into_iter()
            .find(|(name, _)| method.as_str().eq_ignore_ascii_case(name))
            .map_or(Verb::Other, |(_, v)| v)
    }
}

/// A path without doubled slashes, trailing slash and encoded fragment. `/` stays `/`.
#[must_use]
pub fn normalise(path: &str) -> Cow<'_, str> {
    // Looked for byte by byte: paths are short, and setting up a search for a string takes longer than this.
    let path = if path.contains('%') { path.find("%23").map_or(path, |at| &path[..at]) } else { path };
    if path.as_bytes().windows(2).any(|pair| pair == b"//") {
        let mut out = String::with_capacity(path.len());
        for part in path.split('/').filter(|part| !part.is_empty()) {
            out.push('/');
            out.push_str(part);
        }
        if out.is_empty() {
            out.push('/');
        }
        return Cow::Owned(out);
    }
    match path.strip_suffix('/') {
        Some("") | None => Cow::Borrowed(if path.is_empty() { "/" } else { path }),
        Some(trimmed) => Cow::Borrowed(trimmed),
    }
}

/// The endpoints whose paths can be renamed, with the paths each one answers on.
///
/// A path given here replaces the standard ones of that endpoint, so that a list usually repeats the
/// standard path and adds another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTable {
    exact: Vec<(String, Target<'static>)>,
    flags: Vec<String>,
    lookup_tables: Vec<String>,
}

/// The names under which a configuration renames paths, with the standard path of each.
pub const RENAMEABLE: [(&str, &str); 10] = [
    ("track", "/track"),
    ("engage", "/engage"),
    ("groups", "/groups"),
    ("import", "/import"),
    ("record", "/record"),
    ("settings", "/settings"),
    ("flags", "/flags"),
    ("lookup_tables", "/lookup-tables"),
    ("decide", "/decide"),
    ("root", "/"),
];

const RESERVED: [(&str, Target<'static>); 3] =
    [("/health/live", Target::Live), ("/health/ready", Target::Ready), ("/metrics", Target::Metrics)];

/// Why a path table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathError {
    /// No endpoint has that name.
    Unknown(String),
    /// An endpoint would have no path at all.
    Empty(String),
    /// The path can never match.
    Form {
        /// The endpoint's name.
        endpoint: String,
        /// The path as given.
        path: String,
    },
    /// Two endpoints would share a path.
    Taken {
        /// The endpoint's name.
        endpoint: String,
        /// The path as given.
        path: String,
    },
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathError::Unknown(name) => {
                let names: Vec<&str> = RENAMEABLE.iter().map(|(name, _)| *name).collect();
                write!(f, "paths.{name}: no such endpoint; there are {}", names.join(", "))
            }
            PathError::Empty(name) => write!(f, "paths.{name}: give at least one path"),
            PathError::Form { endpoint, path } => write!(
                f,
                "paths.{endpoint}: {path:?} is not a path such as \"/track\": it starts with one slash, does \
                 not end in one, and holds no query, fragment, percent sign or white space"
            ),
            PathError::Taken { endpoint, path } => {
                write!(f, "paths.{endpoint}: {path:?} already belongs to another endpoint")
            }
        }
    }
}

impl std::error::Error for PathError {}

impl Default for PathTable {
    fn default() -> PathTable {
        PathTable::new(&[]).expect("the standard paths are well formed and distinct: a test makes this table")
    }
}

impl PathTable {
    /// A table in which the named endpoints answer on the given paths, all others on their standard one.
    ///
    /// # Errors
    /// Which endpoint and path cannot be used, and why.
    pub fn new(renamed: &[(String, Vec<String>)]) -> Result<PathTable, PathError> {
        if let Some((name, _)) = renamed.iter().find(|(n, _)| !RENAMEABLE.iter().any(|(k, _)| k == n)) {
            return Err(PathError::Unknown(name.clone()));
        }
        let mut table = PathTable { exact: Vec::new(), flags: Vec::new(), lookup_tables: Vec::new() };
        for (path, target) in RESERVED {
            table.exact.push((path.into(), target));
        }
        for (name, standard) in RENAMEABLE {
            let standard = [standard.to_owned()];
            let paths =
                renamed.iter().rev().find(|(n, _)| n == name).map_or(&standard[..], |(_, paths)| paths);
            if paths.is_empty() {
                return Err(PathError::Empty(name.into()));
            }
            for path in paths {
                table.add(name, path)?;
            }
        }
        // Collection first: it is what nearly every request asks for, and the table is read in order.
        table.exact.rotate_left(RESERVED.len());
        Ok(table)
    }

    fn add(&mut self, name: &str, path: &str) -> Result<(), PathError> {
        let wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '%' | '?' | '#');
        let form = || PathError::Form { endpoint: name.into(), path: path.into() };
        if !path.starts_with('/') || path.contains(wrong) || normalise(path) != path {
            return Err(form());
        }
        if path == "/" && name != "root" {
            return Err(form());
        }
        let taken = || PathError::Taken { endpoint: name.into(), path: path.into() };
        let definitions = (name == "flags").then(|| format!("{path}/definitions"));
        if self.find(path).is_some() || definitions.as_ref().is_some_and(|path| self.find(path).is_some()) {
            return Err(taken());
        }
        let target = match name {
            "track" => Target::Track,
            "engage" => Target::Engage,
            "groups" => Target::Groups,
            "import" => Target::Import,
            "record" => Target::Record,
            "settings" => Target::Settings,
            "decide" => Target::Decide,
            "root" => Target::Root,
            "flags" => {
                self.flags.push(path.into());
                Target::Flags
            }
            _ => {
                self.lookup_tables.push(path.into());
                Target::LookupTables
            }
        };
        self.exact.push((path.into(), target));
        if let Some(definitions) = definitions {
            self.exact.push((definitions, Target::FlagDefinitions));
        }
        Ok(())
    }

    /// The endpoint of a normalised path.
    #[must_use]
    pub fn find<'p>(&self, path: &'p str) -> Option<Target<'p>> {
        if let Some((_, target)) = self.exact.iter().find(|(p, _)| p == path) {
            return Some(*target);
        }
        let below = |bases: &[String]| {
            bases.iter().find_map(|base| path.strip_prefix(base.as_str())?.strip_prefix('/'))
        };
        if let Some(rest) = below(&self.flags) {
            let id = rest.strip_suffix("/first-time-events")?;
            return (!id.is_empty() && !id.contains('/')).then_some(Target::FirstTimeEvent);
        }
        below(&self.lookup_tables).filter(|id| !id.contains('/')).map(Target::LookupTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_senders_write_them() {
        let table = PathTable::default();
        for (path, want) in [
            ("/track", Some(Target::Track)),
            ("/track/", Some(Target::Track)),
            ("//track", Some(Target::Track)),
            ("//track//", Some(Target::Track)),
            ("/engage%23profile-set", Some(Target::Engage)),
            ("/engage/%23profile-set", Some(Target::Engage)),
            ("/groups#x", None),
            ("/tracks", None),
            ("/track/x", None),
            ("/TRACK", None),
            ("/", Some(Target::Root)),
            ("", Some(Target::Root)),
            ("//", Some(Target::Root)),
            ("/flags/", Some(Target::Flags)),
            ("/flags/definitions", Some(Target::FlagDefinitions)),
            ("/flags/f-1/first-time-events", Some(Target::FirstTimeEvent)),
            ("/flags/first-time-events", None),
            ("/flags/a/b/first-time-events", None),
            ("/lookup-tables", Some(Target::LookupTables)),
            ("/lookup-tables/55b4", Some(Target::LookupTable("55b4"))),
            ("/lookup-tables/a/b", None),
            ("/health/ready", Some(Target::Ready)),
        ] {
            let normal = normalise(path);
            assert_eq!(table.find(&normal), want, "{path}");
        }
    }

    #[test]
    fn methods_are_taken_in_any_case() {
        for (name, want) in
            [("post", Verb::Post), ("Get", Verb::Get), ("options", Verb::Options), ("DELETE", Verb::Other)]
        {
            assert_eq!(Verb::of(&Method::from_bytes(name.as_bytes()).unwrap()), want);
        }
    }

    #[test]
    fn a_renamed_path_replaces_the_standard_one() {
        let renamed = [
            ("track".to_owned(), vec!["/t".to_owned(), "/track".to_owned()]),
            ("flags".to_owned(), vec!["/f".to_owned()]),
        ];
        let table = PathTable::new(&renamed).unwrap();
        assert_eq!(table.find("/t"), Some(Target::Track));
        assert_eq!(table.find("/track"), Some(Target::Track));
        assert_eq!(table.find("/f/definitions"), Some(Target::FlagDefinitions));
        assert_eq!(table.find("/f/x/first-time-events"), Some(Target::FirstTimeEvent));
        assert_eq!(table.find("/flags"), None);
    }

    #[test]
    fn a_bad_table_is_refused_with_what_is_wrong() {
        for (name, path, part) in [
            ("trak", "/t", "no such endpoint"),
            ("track", "t", "is not a path"),
            ("track", "/t/", "is not a path"),
            ("track", "/a b", "is not a path"),
            ("track", "/", "is not a path"),
            ("track", "/engage", "already belongs"),
            ("record", "/metrics", "already belongs"),
            ("record", "/flags/definitions", "already belongs"),
        ] {
            let table = PathTable::new(&[(name.to_owned(), vec![path.to_owned()])]);
            let text = table.unwrap_err().to_string();
            assert!(text.contains(part), "{name} {path}: {text}");
        }
        let none = PathTable::new(&[("track".to_owned(), Vec::new())]);
        assert_eq!(none.unwrap_err().to_string(), "paths.track: give at least one path");
    }
}
