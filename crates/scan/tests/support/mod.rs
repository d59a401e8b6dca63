//! What the tests of this crate share: where the data lies, and when two JSON values are the same.

use forebay_scan::plain::{Node, Tree, parse};
use std::path::PathBuf;

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

/// A JSON value and the text it stands in.
#[derive(Clone)]
pub(crate) struct Json {
    text: Vec<u8>,
    node: Node,
}

impl Json {
    /// Reads what serde_json would not: halves of surrogate pairs, numbers of any size.
    pub(crate) fn parse(text: &[u8]) -> Json {
        let node = parse(text, 0..text.len(), 128);
        let node = node.unwrap_or_else(|| panic!("not JSON: {}", String::from_utf8_lossy(text)));
        Json { text: text.to_vec(), node }
    }

    fn at(&self, node: &Node) -> Json {
        Json { text: self.text.clone(), node: node.clone() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Json> {
        self.node.get(name).map(|node| self.at(node))
    }

    pub(crate) fn items(&self) -> Vec<Json> {
        let Tree::Array(items) = &self.node.tree else { return Vec::new() };
        items.iter().map(|node| self.at(node)).collect()
    }

    pub(crate) fn str(&self) -> Option<String> {
        let Tree::String(text) = &self.node.tree else { return None };
        Some(String::from_utf8_lossy(text).into_owned())
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.get(name)?.str()
    }

    pub(crate) fn raw(&self) -> &str {
        std::str::from_utf8(&self.text[self.node.span.clone()]).unwrap()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.node.members().iter().map(|m| String::from_utf8_lossy(&m.key).into_owned()).collect()
    }

    /// The same value, however it is written?
    #[allow(dead_code, reason = "the vectors compare names only")]
    pub(crate) fn same(&self, other: &Json) -> bool {
        match (&self.node.tree, &other.node.tree) {
            (Tree::Null, Tree::Null) => true,
            (Tree::Bool(a), Tree::Bool(b)) => a == b,
            (Tree::String(a), Tree::String(b)) => a == b,
            (Tree::Number, Tree::Number) => {
                self.raw() == other.raw() || self.raw().parse::<f64>() == other.raw().parse::<f64>()
            }
            (Tree::Array(a), Tree::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.at(a).same(&other.at(b)))
            }
            (Tree::Object(_), Tree::Object(_)) => {
                let names = |json: &Json| json.keys().into_iter().collect::<std::collections::BTreeSet<_>>();
                let both =
                    |name: &String| self.get(name).zip(other.get(name)).is_some_and(|(a, b)| a.same(&b));
                names(self) == names(other) && names(self).iter().all(both)
            }
            _ => false,
        }
    }
}
