//! What `/metrics` says, and whether the books balance.
//!
//! # Invariants
//! * received = stored + rejected + dropped + in flight, and nothing is unaccounted: [`Accounts::check`].

use std::fmt;

/// One reading of `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Reads the Prometheus text format.
    ///
    /// # Panics
    /// With the line that is not of the format.
    #[track_caller]
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        Metrics {
            samples: lines.map(|l| Sample::parse(l).unwrap_or_else(|| panic!("no metric: {l:?}"))).collect(),
        }
    }

    /// The sum of all samples of that name whose labels include those given; `None` if there is none.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has =
            |sample: &Sample| labels.iter().all(|(k, v)| sample.labels.iter().any(|(a, b)| a == k && b == v));
        let mut matching = self.samples.iter().filter(|s| s.name == name && has(s)).peekable();
        matching.peek()?;
        Some(matching.map(|s| s.value).sum())
    }

    /// The sum of all samples of that name.
    ///
    /// # Panics
    /// If there is none: with the names that are there.
    #[track_caller]
    pub fn sum(&self, name: &str) -> f64 {
        self.find(name, &[]).unwrap_or_else(|| {
            let mut names: Vec<_> = self.samples.iter().map(|s| s.name.as_str()).collect();
            names.dedup();
            panic!("no metric {name}; there are {names:?}")
        })
    }

    /// The sum of all samples of that name as a count, 0 if there is none (a counter nobody raised yet).
    pub fn count(&self, name: &str) -> u64 {
        let value = self.find(name, &[]).unwrap_or(0.0);
        assert!(value >= 0.0 && value.fract() == 0.0, "{name} is no count: {value}");
        format!("{value:.0}").parse().expect("a whole number prints as one")
    }

    /// All label sets of that name with their values.
    pub fn by_label(&self, name: &str, label: &str) -> Vec<(String, f64)> {
        let of = |s: &Sample| s.labels.iter().find(|(k, _)| k == label).map(|(_, v)| (v.clone(), s.value));
        self.samples.iter().filter(|s| s.name == name).filter_map(of).collect()
    }

    /// The accounts of events.
    pub fn accounts(&self) -> Accounts {
        Accounts {
            received: self.count("forebay_events_received_total"),
            stored: self.count("forebay_events_stored_total"),
            rejected: self.count("forebay_events_rejected_total"),
            dropped: self.count("forebay_events_dropped_total"),
            in_flight: self.count("forebay_events_in_flight"),
            unaccounted: self.count("forebay_unaccounted_events"),
        }
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Sample> {
        let (id, value) = line.rsplit_once(' ')?;
        let (name, labels) = match id.split_once('{') {
            None => (id, Vec::new()),
            Some((name, labels)) => (name, parse_labels(labels.strip_suffix('}')?)?),
        };
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().ok()? };
        Some(Sample { name: name.to_owned(), labels, value })
    }
}

fn parse_labels(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let (mut value, mut end, mut chars) = (String::new(), None, rest.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = Some(at);
                    break;
                }
                '\\' => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        labels.push((name.trim_start_matches(',').to_owned(), value));
        text = &rest[end? + 1..];
    }
    Some(labels)
}

/// The events since the server started, by what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// All that arrived.
    pub received: u64,
    /// On disk.
    pub stored: u64,
    /// Refused with a reason.
    pub rejected: u64,
    /// Left out by a rule, such as `$ignore`.
    pub dropped: u64,
    /// Not yet any of those.
    pub in_flight: u64,
    /// What left without a verdict: always 0.
    pub unaccounted: u64,
}

impl Accounts {
    /// What is wrong with the accounts of a server that has nothing to do, if anything is.
    pub fn check(&self) -> Option<String> {
        let balanced = self.received == self.stored + self.rejected + self.dropped && self.in_flight == 0;
        (self.unaccounted != 0 || !balanced).then(|| format!("the accounts do not balance: {self}"))
    }
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Accounts { received, stored, rejected, dropped, in_flight, unaccounted } = self;
        write!(f, "received {received} = stored {stored} + rejected {rejected} + dropped {dropped}")?;
        write!(f, " + in flight {in_flight}; unaccounted {unaccounted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_name_and_labels() {
        let text = "# HELP a b\na{x=\"1\",y=\"q\\\"}\"} 2\na{x=\"2\"} 3\nb 0.5\nc{le=\"+Inf\"} 7\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.find("a", &[("x", "2")]), Some(3.0));
        assert_eq!(metrics.find("a", &[("y", "q\"}")]), Some(2.0));
        assert_eq!((metrics.count("a"), metrics.count("none"), metrics.find("none", &[])), (5, 0, None));
        assert_eq!(metrics.by_label("a", "x"), [("1".to_owned(), 2.0), ("2".to_owned(), 3.0)]);
    }
}
