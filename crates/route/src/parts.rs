//! A hash table for many readers, in parts: a change copies one part and swaps it in.
//!
//! # Invariants
//! * A reader sees a part as it was before a change or after it, never in between.
//! * Writers exclude each other by their own means (the registry's mutex).
//! * Keys come from the control store alone. A sender chooses what is looked up, never what is
//!   inserted, so a fast hash (seeded per process) needs no defence against chosen collisions.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::sync::ArcSwap;

type Part<V> = HashTable<(Arc<[u8]>, Arc<V>)>;

/// With a million projects a part holds a thousand entries, and copying it takes some 20 microseconds.
const PARTS: usize = if cfg!(loom) { 1 } else { 1024 };

pub(crate) struct Parts<V> {
    hasher: RandomState,
    parts: Box<[ArcSwap<Part<V>>]>,
}

impl<V> Parts<V> {
    pub(crate) fn new() -> Parts<V> {
        // One empty part, shared until something goes in.
        let empty = Arc::new(HashTable::new());
        let parts = (0..PARTS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect();
        Parts { hasher: RandomState::default(), parts }
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<Arc<V>> {
        let hash = self.hasher.hash_one(key);
        let part = self.parts[part_of(hash)].load();
        part.find(hash, |(known, _)| **known == *key).map(|(_, value)| Arc::clone(value))
    }

    /// Inserts or replaces.
    pub(crate) fn insert(&self, key: &[u8], value: Arc<V>) {
        let hash = self.hasher.hash_one(key);
        let slot = &self.parts[part_of(hash)];
        let mut part = Part::clone(&slot.load());
        match part.find_mut(hash, |(known, _)| **known == *key) {
            Some(entry) => entry.1 = value,
            None => {
                part.insert_unique(hash, (Arc::from(key), value), |entry| self.hasher.hash_one(&*entry.0));
            }
        }
        slot.store(Arc::new(part));
    }

    /// Removes the entry of `key` if `condition` holds for it.
    pub(crate) fn remove_if(&self, key: &[u8], condition: impl Fn(&V) -> bool) {
        let hash = self.hasher.hash_one(key);
        let slot = &self.parts[part_of(hash)];
        let current = slot.load();
        if !current.find(hash, |(known, _)| **known == *key).is_some_and(|(_, value)| condition(value)) {
            return;
        }
        let mut part = Part::clone(&current);
        if let Ok(entry) = part.find_entry(hash, |(known, _)| **known == *key) {
            entry.remove();
        }
        slot.store(Arc::new(part));
    }

    /// Replaces everything, building each part once; the last of equal keys stays.
    pub(crate) fn replace_all(&self, entries: impl Iterator<Item = (Box<[u8]>, Arc<V>)>) {
        let mut parts: Vec<Part<V>> = (0..PARTS).map(|_| HashTable::new()).collect();
        for (key, value) in entries {
            let hash = self.hasher.hash_one(&*key);
            let part = &mut parts[part_of(hash)];
            match part.find_mut(hash, |(known, _)| **known == *key) {
                Some(entry) => entry.1 = value,
                None => {
                    part.insert_unique(hash, (Arc::from(key), value), |entry| {
                        self.hasher.hash_one(&*entry.0)
                    });
                }
            }
        }
        for (slot, part) in self.parts.iter().zip(parts) {
            slot.store(Arc::new(part));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.load().len()).sum()
    }

    /// Calls `each` for every value, part by part.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Arc<V>)) {
        for part in &self.parts {
            part.load().iter().for_each(|(_, value)| each(value));
        }
    }
}

/// From the middle of the hash: the table inside a part uses the low bits and the highest seven.
fn part_of(hash: u64) -> usize {
    usize::try_from((hash >> 40) % PARTS as u64).expect("less than PARTS")
}
