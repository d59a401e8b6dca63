//! simd-json by itself: the tape of a request's JSON, and the five fields of each event that routing and reading need.
//!
//! What any server pays that validates with simd-json and does nothing else; Forebay's own scan is measured against it.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use simd_json::{Buffers, INPUT_PADDING, Node, Tape};

/// The fields of an event that a collector looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fields<'a> {
    /// `event`.
    pub event: Option<&'a str>,
    /// `token` of the properties.
    pub token: Option<&'a str>,
    /// `distinct_id` of the properties.
    pub distinct_id: Option<&'a str>,
    /// `$insert_id` of the properties.
    pub insert_id: Option<&'a str>,
    /// Is there a `time` among the properties?
    pub has_time: bool,
}

/// Parses one text after the other, with the same buffers.
pub struct Parser {
    copy: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser { copy: Vec::new(), buffers: Buffers::with_max_depth(0, 128), tape: Tape(Vec::new()) }
    }
}

impl Parser {
    /// Parses one event or an array of events, and hands each one's fields to `each`; says how many there were, or
    /// `None` where the text is no such JSON.
    pub fn events(&mut self, json: &[u8], mut each: impl FnMut(Fields<'_>)) -> Option<usize> {
        self.copy.clear();
        self.copy.extend_from_slice(json);
        self.copy.extend_from_slice(&[b' '; INPUT_PADDING]);
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let parsed = simd_json::fill_tape_padded(&mut self.copy, json.len(), &mut self.buffers, &mut tape);
        let events = match (parsed, tape.0.first()) {
            (Ok(()), Some(Node::Object { .. })) => {
                each(fields(&tape.0));
                Some(1)
            }
            (Ok(()), Some(&Node::Array { len, .. })) => {
                let mut at = 1;
                for _ in 0..len {
                    each(fields(&tape.0[at..]));
                    at += width(&tape.0[at]);
                }
                Some(len)
            }
            _ => None,
        };
        self.tape = tape.reset();
        events
    }
}

/// How many nodes a value takes up, itself included.
fn width(node: &Node<'_>) -> usize {
    match node {
        Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
        Node::String(_) | Node::Static(_) => 1,
    }
}

/// The fields of the event that `nodes` begins with.
fn fields<'a>(nodes: &[Node<'a>]) -> Fields<'a> {
    let mut found = Fields::default();
    members(nodes, |key, value| match (key, value.first()) {
        ("event", Some(Node::String(text))) => found.event = Some(text),
        ("properties", Some(Node::Object { .. })) => {
            members(value, |key, value| match (key, value.first()) {
                ("token", Some(Node::String(text))) => found.token = Some(text),
                ("distinct_id", Some(Node::String(text))) => found.distinct_id = Some(text),
                ("$insert_id", Some(Node::String(text))) => found.insert_id = Some(text),
                ("time", Some(_)) => found.has_time = true,
                _ => {}
            })
        }
        _ => {}
    });
    found
}

fn members<'n, 'a>(nodes: &'n [Node<'a>], mut each: impl FnMut(&'a str, &'n [Node<'a>])) {
    let Some(&Node::Object { len, .. }) = nodes.first() else { return };
    let mut at = 1;
    for _ in 0..len {
        if let Node::String(key) = nodes[at] {
            each(key, &nodes[at + 1..]);
        }
        at += 1 + width(&nodes[at + 1]);
    }
}

/// The CPU time that this thread has used, in seconds.
#[must_use]
pub fn thread_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Parses `texts` in turn until at least `cpu_s` of this thread's time is used, and gives back the CPU-seconds per
/// event; 0 where there is nothing to parse.
#[must_use]
pub fn cpu_s_per_event(parser: &mut Parser, texts: &[impl AsRef<[u8]>], cpu_s: f64) -> f64 {
    let (started, mut events) = (thread_cpu_s(), 0);
    let mut used = 0.0;
    while used < cpu_s && !texts.is_empty() {
        let before = events;
        for text in texts {
            let each = |fields: Fields<'_>| {
                black_box(fields);
            };
            events += parser.events(text.as_ref(), each).unwrap_or(0);
        }
        if events == before {
            return 0.0;
        }
        used = thread_cpu_s() - started;
    }
    if events == 0 { 0.0 } else { used / events as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::batch;

    #[test]
    fn the_fields_are_those_of_the_event_and_not_of_what_lies_within() {
        let text = br#"[{"properties":{"a":{"token":"x"},"token":"t","b":[1,{"time":2}],"distinct_id":"d"},"event":"e"},{}]"#;
        let mut all = Vec::new();
        let count = Parser::default().events(text, |fields| {
            all.push((fields.event.map(str::to_owned), fields.token.map(str::to_owned), fields.has_time));
        });
        assert_eq!(count, Some(2));
        assert_eq!(all, [(Some("e".to_owned()), Some("t".to_owned()), false), (None, None, false)]);
    }

    #[test]
    fn every_generated_event_is_found_whole() {
        let mut parser = Parser::default();
        for count in [1, 50] {
            let text = batch("0123456789abcdef0123456789abcdef", count, 3);
            let found = parser.events(text.as_bytes(), |fields| {
                assert_eq!(fields.token, Some("0123456789abcdef0123456789abcdef"));
                assert!(fields.event.is_some() && fields.distinct_id.is_some() && fields.insert_id.is_some());
                assert!(fields.has_time);
            });
            assert_eq!(found, Some(count));
        }
        for wrong in ["", "1", "[1", "\"x\""] {
            assert_eq!(parser.events(wrong.as_bytes(), |_| {}), None, "{wrong:?}");
        }
        let texts = [batch("t", 5, 1)];
        assert!(cpu_s_per_event(&mut parser, &texts, 0.001) > 0.0);
        assert!(cpu_s_per_event(&mut parser, &["nonsense"], 0.001).abs() < f64::EPSILON);
    }
}
