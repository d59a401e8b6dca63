//! JSON as a tree.

use serde_json::value::RawValue;
use std::ops::Range;

/// A value and where it stands in the text.
#[derive(Clone, Debug)]
pub struct Node {
    /// From its first byte to its last.
    pub span: Range<usize>,
    /// What it is.
    pub tree: Tree,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// Any number; its text is at the node's span.
    Number,
    /// A string, escapes resolved.
    String(Vec<u8>),
    /// An array.
    Array(Vec<Node>),
    /// An object, with all of its keys in order.
    Object(Vec<Member>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Member {
    /// The key, escapes resolved.
    pub key: Vec<u8>,
    /// Where it stands, without its quotes.
    pub key_span: Range<usize>,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The value of the last member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().iter().rev().find(|m| m.key == name.as_bytes()).map(|m| &m.value)
    }

    /// The members of an object; none of anything else.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        if let Tree::Object(members) = &self.tree { members } else { &[] }
    }
}

/// The one JSON value in `text[range]`, if that is what it holds.
#[must_use]
pub fn parse(text: &[u8], range: Range<usize>, depth_max: usize) -> Option<Node> {
    let piece = &text[range.clone()];
    // Whatever is not ASCII can only stand in a string, and is none of the names looked for.
    let is_utf8 = std::str::from_utf8(piece).is_ok();
    let masked: Vec<u8> = piece.iter().map(|b| if is_utf8 || b.is_ascii() { *b } else { b'?' }).collect();
    let json = std::str::from_utf8(&masked).ok()?;
    if depth(&masked) > depth_max || serde_json::from_str::<&RawValue>(json).is_err() {
        return None;
    }
    // From here on it is known to be JSON, and not deep.
    Some(Parser { text: &masked, at: 0, base: range.start }.value())
}

fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Reads text that is known to be JSON.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    /// Where it stands in the whole text.
    base: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> u8 {
        while self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        self.text[self.at]
    }

    fn value(&mut self) -> Node {
        let first = self.peek();
        let start = self.at;
        let tree = match first {
            b'{' => Tree::Object(self.list(|parser| {
                let key_start = parser.at + 1;
                let key = parser.string();
                let key_span = parser.base + key_start..parser.base + parser.at - 1;
                parser.peek();
                parser.at += 1; // the colon
                Member { key, key_span, value: parser.value() }
            })),
            b'[' => Tree::Array(self.list(Parser::value)),
            b'"' => Tree::String(self.string()),
            _ => {
                let word = |b: &&u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
                self.at += self.text[start..].iter().take_while(word).count();
                match &self.text[start..self.at] {
                    b"null" => Tree::Null,
                    b"true" => Tree::Bool(true),
                    b"false" => Tree::Bool(false),
                    _ => Tree::Number,
                }
            }
        };
        Node { span: self.base + start..self.base + self.at, tree }
    }

    /// What stands between the brackets under the cursor.
    fn list<Item>(&mut self, mut item: impl FnMut(&mut Self) -> Item) -> Vec<Item> {
        self.at += 1;
        let mut items = Vec::new();
        while !matches!(self.peek(), b'}' | b']') {
            if self.text[self.at] == b',' {
                self.at += 1;
                self.peek();
            }
            items.push(item(self));
        }
        self.at += 1;
        items
    }

    /// The string under the cursor. UTF-16 knows what half a pair is, so it is read as that.
    fn string(&mut self) -> Vec<u8> {
        let start = self.at + 1;
        let mut end = start;
        while self.text[end] != b'"' {
            end += if self.text[end] == b'\\' { 2 } else { 1 };
        }
        self.at = end + 1;
        let raw = String::from_utf8_lossy(&self.text[start..end]).into_owned();
        let mut units: Vec<u16> = Vec::new();
        let mut rest = raw.as_str();
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '\\' {
                units.extend(c.encode_utf16(&mut [0; 2]).iter());
                continue;
            }
            let (escape, after) = rest.split_at(1);
            rest = after;
            units.push(match escape {
                "b" => 8,
                "f" => 12,
                "n" => 10,
                "r" => 13,
                "t" => 9,
                "u" => {
                    let (digits, after) = rest.split_at(4);
                    rest = after;
                    u16::from_str_radix(digits, 16).unwrap_or_default()
                }
                itself => u16::from(itself.as_bytes()[0]),
            });
        }
        String::from_utf16_lossy(&units).into_bytes()
    }
}
