//! Loads by name: how many events a request, over how many connections, in which form.

use std::{fmt, str::FromStr};

/// How the events are packed into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON as it is, as mobile SDKs and servers send it.
    Json,
    /// A form whose field `data` is percent-encoded JSON, as React Native sends it.
    Form,
    /// A form whose field `data` is base64, as the browser SDK sends it.
    Base64,
    /// JSON, gzipped, as importers and Android send it.
    Gzip,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Json => "json",
            Form::Form => "form",
            Form::Base64 => "base64",
            Form::Gzip => "gzip",
        })
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Form, String> {
        let forms = [Form::Json, Form::Form, Form::Base64, Form::Gzip];
        let found = forms.into_iter().find(|form| form.to_string() == text);
        found.ok_or_else(|| "it must be json, form, base64 or gzip".to_owned())
    }
}

/// A kind of request, and how often it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Events in it.
    pub events: usize,
    /// How they are packed.
    pub form: Form,
    /// How many of it come, against the other kinds.
    pub weight: usize,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Requests with so many events each.
    Events(usize),
    /// Requests as a day brings them: most with one event, most events in batches.
    Mix,
}

/// The most events in a request: an `/import` takes no more.
pub const EVENTS_MAX: usize = 2000;

impl Load {
    /// The kinds of requests; those of one kind come in `form`, a mix in forms of its own.
    #[must_use]
    pub fn kinds(self, form: Form) -> Vec<Kind> {
        let kind = |events, form, weight| Kind { events, form, weight };
        match self {
            Load::Events(events) => vec![kind(events, form, 1)],
            Load::Mix => vec![
                kind(1, Form::Base64, 30),
                kind(1, Form::Json, 25),
                kind(3, Form::Base64, 15),
                kind(10, Form::Form, 15),
                kind(50, Form::Json, 10),
                kind(50, Form::Gzip, 4),
                kind(1000, Form::Gzip, 1),
            ],
        }
    }

    /// Connections where nothing else is said: enough to keep a server busy, as many as such senders would be.
    #[must_use]
    pub fn connections(self) -> usize {
        match self {
            Load::Events(0..=1) => 256,
            Load::Mix => 64,
            Load::Events(2..=100) => 32,
            Load::Events(_) => 8,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Load::Events(1) => f.write_str("single"),
            Load::Events(events) => write!(f, "batch{events}"),
            Load::Mix => f.write_str("mix"),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Load, String> {
        let wrong =
            || format!("it must be single, mix, or batchN with N up to {EVENTS_MAX}, such as batch50");
        match text {
            "single" => Ok(Load::Events(1)),
            "mix" => Ok(Load::Mix),
            _ => {
                let events = text.strip_prefix("batch").and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
                if (1..=EVENTS_MAX).contains(&events) { Ok(Load::Events(events)) } else { Err(wrong()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_called_as_they_are_read() {
        for name in ["single", "batch2", "batch50", "batch2000", "mix"] {
            let load: Load = name.parse().expect("a load");
            assert_eq!(load.to_string(), name);
            assert!(load.connections() > 0 && !load.kinds(Form::Json).is_empty());
        }
        for wrong in ["", "batch", "batch0", "batch2001", "batch-1", "50", "Single"] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong:?}");
        }
    }
}
