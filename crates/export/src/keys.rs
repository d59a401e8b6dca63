//! Keys in the order in which they stand in objects: a tree that learns what senders send.
//!
//! Senders build their events by the same code over and over, so an object's keys are nearly always those of one
//! before, in the same order. Each node of the tree is a key in its place behind the keys that lead to it. That none
//! of these is equal to it is found out once, when the node is made; from then on a key costs one comparison.
//!
//! # Invariants
//! * A path from the root has no key twice, and no key with an escape.
//! * There are [`NODES_MAX`] nodes at most, [`MEMBERS_MAX`] on a path, [`SIBLINGS_MAX`] side by side.

use memchr::memchr2;
use std::{iter, ops::Range};
use wide::u8x16;

/// Members that one object may have.
pub(crate) const MEMBERS_MAX: usize = 256;
/// Bytes that a key may have, with its quotes.
const KEY_BYTES_MAX: usize = 64;
/// Some 200 KiB, a hundred kinds of events.
const NODES_MAX: usize = 2048;
/// Keys that may follow the same keys: more of them are names that somebody makes up as they go.
const SIBLINGS_MAX: usize = 16;
/// What is compared at once.
const AT_ONCE: usize = 32;

/// A node, by its place among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u16);

/// In front of the first key; as a child or sibling: there is none.
const ROOT: Place = Place(0);

impl Place {
    /// In front of an object's first key.
    pub(crate) const START: Place = ROOT;
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is copied.
    Stays,
    /// It is copied, and may stand for another, or somebody asks for it.
    Read,
    /// The line says it in its own words, or not at all.
    Goes,
    /// Likewise of what came by `/import`; else it is copied.
    GoesIfImported,
}

impl Role {
    /// Of the member with this key.
    pub(crate) fn of(key: &[u8]) -> Role {
        match key {
            b"token" | b"ip" | b"time" | b"distinct_id" | b"$insert_id" | b"$mp_api_timestamp_ms" => {
                Role::Goes
            }
            b"$import" => Role::GoesIfImported,
            b"$user_id" | b"$device_id" => Role::Read,
            _ => Role::Stays,
        }
    }
}

#[derive(Debug)]
struct Node {
    /// With its quotes, and zeros behind.
    key: [u8; KEY_BYTES_MAX],
    len: usize,
    role: Role,
    asked: Option<usize>,
    depth: u16,
    /// A bit for each of the first bytes of the key.
    mask: u32,
    parent: Place,
    /// The first one that was seen behind this one.
    child: Place,
    /// Another one that was seen behind the same one.
    sibling: Place,
    /// A bit for each key from the root to here, by its hash.
    met: u128,
}

impl Node {
    fn key(&self) -> &[u8] {
        &self.key[..self.len]
    }

    /// Is this the key that begins at `at`?
    #[inline]
    fn stands_at(&self, text: &[u8], at: usize) -> bool {
        let there = text.get(at..).unwrap_or_default();
        let Some(there) = there.first_chunk::<AT_ONCE>() else { return there.starts_with(self.key()) };
        let ([a, b], [c, d]) =
            (halves(there), halves(self.key.first_chunk().expect("a key has room for more")));
        let same = a.simd_eq(c).to_bitmask() | b.simd_eq(d).to_bitmask() << 16;
        same & self.mask == self.mask && (self.len <= AT_ONCE || text[at..].starts_with(self.key()))
    }
}

#[inline]
fn halves(bytes: &[u8; AT_ONCE]) -> [u8x16; 2] {
    let (halves, _) = bytes.as_chunks::<16>();
    [u8x16::from(halves[0]), u8x16::from(halves[1])]
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Keys {
    nodes: Vec<Node>,
    full: bool,
    /// Keys that somebody wants to hear of.
    asked: Vec<Option<Box<[u8]>>>,
}

impl Keys {
    /// That tells of these keys by their place among them; of `None` it never does.
    pub(crate) fn asking(asked: Vec<Option<Box<[u8]>>>) -> Keys {
        let root = Node {
            key: [0; _],
            len: 0,
            role: Role::Stays,
            asked: None,
            depth: 0,
            mask: 0,
            parent: ROOT,
            child: ROOT,
            sibling: ROOT,
            met: 0,
        };
        Keys { nodes: vec![root], full: false, asked }
    }

    /// Which of the keys asked for this is, if it is one: never one whose role is to stay.
    #[inline]
    pub(crate) fn asked(&self, place: Place) -> Option<usize> {
        self.nodes.get(usize::from(place.0))?.asked
    }

    /// The key that begins at `at`, where `before` leads to it: where it stands in the tree, its length with its
    /// quotes, and its member's role. `None` if there is no key, one with escapes or an overlong one, if it is on the way
    /// from the root, or if there is no room.
    #[inline]
    pub(crate) fn follow(&mut self, before: Place, text: &[u8], at: usize) -> Option<(Place, usize, Role)> {
        let mut place = self.nodes.get(usize::from(before.0))?.child;
        let mut siblings = 0;
        while place != ROOT {
            let node = self.nodes.get(usize::from(place.0))?;
            if node.stands_at(text, at) {
                return Some((place, node.len, node.role));
            }
            place = node.sibling;
            siblings += 1;
        }
        self.learn(before, siblings, text, at)
    }

    /// Is there no more room? Then it forgets everything.
    pub(crate) fn forget_if_full(&mut self) -> bool {
        if self.full {
            self.nodes.truncate(1);
            self.nodes[0].child = ROOT;
        }
        std::mem::take(&mut self.full)
    }

    #[cold]
    fn learn(
        &mut self,
        before: Place,
        siblings: usize,
        text: &[u8],
        at: usize,
    ) -> Option<(Place, usize, Role)> {
        let key = plain_key(text, at)?;
        let quoted = &text[at..key.end + 1];
        let parent = &self.nodes[usize::from(before.0)];
        if quoted.len() > KEY_BYTES_MAX || usize::from(parent.depth) == MEMBERS_MAX {
            return None;
        }
        let hash = quoted.iter().fold(0_u32, |hash, &b| hash.wrapping_mul(31).wrapping_add(b.into()));
        let bit = 1 << (hash.wrapping_mul(0x9e37_79b9) >> 25);
        if parent.met & bit != 0 && self.path(before).any(|node| node.key() == quoted) {
            return None;
        }
        if self.nodes.len() == NODES_MAX || siblings == SIBLINGS_MAX {
            self.full = true;
            return None;
        }
        let asked = self.asked.iter().position(|asked| asked.as_deref() == Some(&text[key.clone()]));
        let role = match Role::of(&text[key]) {
            Role::Stays if asked.is_some() => Role::Read,
            role => role,
        };
        let mut node = Node {
            key: [0; _],
            len: quoted.len(),
            role,
            asked,
            depth: parent.depth + 1,
            mask: u32::MAX >> (AT_ONCE - quoted.len().min(AT_ONCE)),
            parent: before,
            child: ROOT,
            sibling: parent.child,
            met: parent.met | bit,
        };
        node.key[..quoted.len()].copy_from_slice(quoted);
        let place = Place(u16::try_from(self.nodes.len()).ok()?);
        self.nodes.push(node);
        self.nodes[usize::from(before.0)].child = place;
        Some((place, quoted.len(), role))
    }

    /// From here to the root, without it.
    fn path(&self, from: Place) -> impl Iterator<Item = &Node> {
        let there = |place: Place| (place != ROOT).then(|| &self.nodes[usize::from(place.0)]);
        iter::successors(there(from), move |node| there(node.parent))
    }
}

/// The inside of the key that begins at `at`, if it has no escapes.
pub(crate) fn plain_key(text: &[u8], at: usize) -> Option<Range<usize>> {
    let inside = text.get(at..)?.strip_prefix(b"\"")?;
    let len = memchr2(b'"', b'\\', inside)?;
    (inside[len] == b'"').then_some(at + 1..at + 1 + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Follows these keys from the start; the roles, or `None` if one of them was refused.
    fn walk(keys: &mut Keys, names: &[String], behind: &str) -> Option<Vec<Role>> {
        let mut place = Place::START;
        let one = |name: &String| {
            let text = format!("{{\"{name}\"{behind}");
            let (next, len, role) = keys.follow(place, text.as_bytes(), 1)?;
            assert_eq!(len, name.len() + 2);
            place = next;
            Some(role)
        };
        names.iter().map(one).collect()
    }

    fn names(names: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
        names.into_iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn members_that_a_line_does_not_simply_copy_are_known_by_their_keys() {
        let mut keys = Keys::asking(Vec::new());
        let sent = names(["a", "token", "$import", "$user_id", "tokens", "time"]);
        use Role::*;
        let roles = vec![Stays, Goes, GoesIfImported, Read, Stays, Goes];
        for _ in 0..2 {
            assert_eq!(walk(&mut keys, &sent, ":1"), Some(roles.clone()));
        }
    }

    #[test]
    fn escapes_and_what_is_no_key_or_too_long_or_has_too_many_before_it_are_refused() {
        let long = |len| names(["k".repeat(len)]);
        let wide = |count| names(0..count);
        for (sent, taken) in [
            (names([r"a\u0062"]), false),
            (names(["a\\"]), false),
            (names([""]), true),
            (long(KEY_BYTES_MAX - 2), true),
            (long(KEY_BYTES_MAX - 1), false),
            (wide(MEMBERS_MAX), true),
            (wide(MEMBERS_MAX + 1), false),
        ] {
            let mut keys = Keys::asking(Vec::new());
            assert_eq!(walk(&mut keys, &sent, ":1").is_some(), taken, "{sent:?}");
            assert!(!keys.forget_if_full());
        }
        for text in ["", "1", "{", "\"", "\"a", "a\""] {
            assert_eq!(Keys::asking(Vec::new()).follow(Place::START, text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn a_tree_that_is_full_says_so_and_begins_anew() {
        let mut keys = Keys::asking(Vec::new());
        for i in 0..SIBLINGS_MAX {
            assert!(walk(&mut keys, &names([i]), "").is_some());
        }
        assert!(walk(&mut keys, &names(["one more"]), "").is_none());
        assert!(keys.forget_if_full() && !keys.forget_if_full());
        let kinds = NODES_MAX / 200 + 1;
        let refused = (0..kinds).find(|kind| {
            let sent = names((0..200).map(|i| format!("{kind} {i}")));
            walk(&mut keys, &sent, "").is_none()
        });
        assert_eq!(refused, Some(kinds - 1));
        assert!(keys.forget_if_full());
    }

    proptest! {
        #[test]
        fn keys_are_taken_unless_one_is_there_twice_whatever_came_before(
            objects in prop::collection::vec(prop::collection::vec("[ab]{0,2}|[a]{28,36}", 0..6), 0..9),
            behind in "[a\": ]{0,40}",
        ) {
            let mut keys = Keys::asking(Vec::new());
            for sent in objects {
                let mut distinct = sent.clone();
                distinct.sort_unstable();
                distinct.dedup();
                let taken = distinct.len() == sent.len();
                let mut got = walk(&mut keys, &sent, &behind);
                if keys.forget_if_full() {
                    got = walk(&mut keys, &sent, &behind);
                }
                prop_assert_eq!(got.is_some(), taken, "{:?}", sent);
            }
        }
    }
}
