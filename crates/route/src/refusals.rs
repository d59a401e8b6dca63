//! The last refusals of each owner, with the reason and a clipped sample: what the operator looks at
//! when a sender says "but I did send it".
//!
//! # Invariants
//! * At most so many per owner and so many in all; the oldest go first.
//! * A sample is at most [`SAMPLE_BYTES_MAX`] bytes of text and holds no value of a parameter that
//!   carries a secret.

use std::collections::{BTreeMap, HashMap, VecDeque};

use forebay_record::Endpoint;

use crate::{Owner, Reason};

/// The longest sample kept.
pub const SAMPLE_BYTES_MAX: usize = 512;

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number: later ones have higher numbers.
    pub number: u64,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Whose events.
    pub owner: Owner,
    /// The endpoint they came in on.
    pub endpoint: Endpoint,
    /// Why.
    pub reason: Reason,
    /// What exactly, in words: the field, the limit.
    pub detail: Box<str>,
    /// How many events were refused together.
    pub events: u32,
    /// The beginning of what was refused.
    pub sample: Box<str>,
}

pub(crate) struct Refusals {
    per_owner_max: usize,
    total_max: usize,
    next: u64,
    kept: BTreeMap<u64, Refusal>,
    by_owner: HashMap<Owner, VecDeque<u64>>,
}

impl Refusals {
    pub(crate) fn new(per_owner_max: usize, total_max: usize) -> Refusals {
        Refusals { per_owner_max, total_max, next: 1, kept: BTreeMap::new(), by_owner: HashMap::new() }
    }

    /// Keeps `refusal` under the next number.
    pub(crate) fn push(&mut self, refusal: Refusal) {
        if self.per_owner_max == 0 || self.total_max == 0 {
            return;
        }
        let number = self.next;
        self.next += 1;
        let of_owner = self.by_owner.entry(refusal.owner).or_default();
        if of_owner.len() == self.per_owner_max
            && let Some(oldest) = of_owner.pop_front()
        {
            self.kept.remove(&oldest);
        }
        of_owner.push_back(number);
        self.kept.insert(number, Refusal { number, ..refusal });
        if self.kept.len() > self.total_max
            && let Some((_, oldest)) = self.kept.pop_first()
            && let Some(of_owner) = self.by_owner.get_mut(&oldest.owner)
        {
            // The oldest of all is the oldest of its owner.
            of_owner.pop_front();
            if of_owner.is_empty() {
                self.by_owner.remove(&oldest.owner);
            }
        }
    }

    /// The kept ones numbered `number` and later, oldest first.
    pub(crate) fn since(&self, number: u64) -> Vec<Refusal> {
        self.kept.range(number..).map(|(_, refusal)| refusal.clone()).collect()
    }

    /// The kept ones of `owner`, newest first.
    pub(crate) fn of(&self, owner: Owner) -> Vec<Refusal> {
        let numbers = self.by_owner.get(&owner).into_iter().flatten().rev();
        numbers.filter_map(|number| self.kept.get(number)).cloned().collect()
    }
}

/// Names whose values never get into a sample.
const SECRET_NAMES: [&str; 5] = ["api_key", "api_secret", "secret", "password", "authorization"];

/// The beginning of `bytes` as text of at most [`SAMPLE_BYTES_MAX`] bytes: wrong UTF-8 replaced, and the
/// values of `api_key`, `api_secret`, `secret`, `password` and `authorization` starred out.
#[must_use]
pub fn clip_sample(bytes: &[u8]) -> Box<str> {
    // A margin, so that a replacement that shortens the text does not shorten the sample too.
    let head = &bytes[..bytes.len().min(2 * SAMPLE_BYTES_MAX)];
    let mut text = redact(&String::from_utf8_lossy(head));
    let mut end = text.len().min(SAMPLE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.into_boxed_str()
}

/// Stars out what follows a secret's name and `=`, `":` or `%22:`, up to the next delimiter.
fn redact(text: &str) -> String {
    let lower = text.to_ascii_lowercase(); // same length: only ASCII letters change
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let found = SECRET_NAMES
            .iter()
            .filter_map(|name| lower[at..].find(name).map(|start| (at + start, at + start + name.len())))
            .min_by_key(|&(start, end)| (start, std::cmp::Reverse(end)));
        let Some((_, name_end)) = found else { break };
        let value = value_start(text, name_end);
        out.push_str(&text[at..value.unwrap_or(name_end)]);
        at = name_end;
        if let Some(value) = value {
            out.push_str("***");
            let stop = |c: char| matches!(c, '&' | '"' | ',' | '}' | ';' | '\n' | '\r');
            at = text[value..].find(stop).map_or(text.len(), |length| value + length);
        }
    }
    out.push_str(&text[at..]);
    out
}

/// Where the value after a name begins, or `None` when no separator follows.
fn value_start(text: &str, name_end: usize) -> Option<usize> {
    let rest = &text[name_end..];
    let closed = rest.trim_start_matches(['"', '\\']).trim_start();
    let after = closed.strip_prefix(['=', ':']).or_else(|| closed.strip_prefix("%3D"))?;
    let value = after.trim_start().trim_start_matches(['"', '\\']);
    Some(text.len() - value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_holds_no_secret() {
        let cases = [
            ("data=abc&api_key=0123&verbose=1", "data=abc&api_key=***&verbose=1"),
            ("API_KEY=0123", "API_KEY=***"),
            (r#"{"api_secret": "0123", "event": "x"}"#, r#"{"api_secret": "***", "event": "x"}"#),
            (r#"{"password":"p q","a":1}"#, r#"{"password":"***","a":1}"#),
            (r#"{\"secret\":\"0123\"}"#, r#"{\"secret\":\"***"}"#),
            ("Authorization: Basic c2VjcmV0Og==", "Authorization: ***"),
            ("api_key%3D0123&a=1", "api_key%3D***&a=1"),
            (r#"{"event":"secret","properties":{}}"#, r#"{"event":"secret","properties":{}}"#),
            ("secretary=1", "secretary=1"),
            ("no such thing", "no such thing"),
            ("", ""),
        ];
        for (given, expected) in cases {
            assert_eq!(&*clip_sample(given.as_bytes()), expected, "{given}");
        }
    }

    #[test]
    fn a_sample_is_short_text_whatever_came() {
        for bytes in
            [vec![0xff; 5000], "é".repeat(400).into_bytes(), vec![b'a'; 512], b"\xed\xa0\xbd".repeat(300)]
        {
            let sample = clip_sample(&bytes);
            assert!(sample.len() <= SAMPLE_BYTES_MAX);
            assert!(sample.len() >= SAMPLE_BYTES_MAX - 3, "{}", sample.len());
        }
    }
}
