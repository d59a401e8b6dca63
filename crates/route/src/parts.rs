//! A hash table for many readers, in parts: a change copies one part and swaps it in.
//!
//! # Invariants
//! * A reader sees a part as it was before a change or after it, never in between.
//! * Writers exclude each other by their own means (the registry's mutex).
//! * Entries have their keys in what they point to: a table costs a project no memory beside its place in it.
//! * Keys come from the control store alone. A sender chooses what is looked up, never what is
//!   inserted, so a fast hash (seeded per process) needs no defence against chosen collisions.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::sync::ArcSwap;

/// What stands in a table: something cheap to clone that knows its own key.
pub(crate) trait Entry: Clone {
    /// Calls `on` with the key that it is found by.
    fn key<T>(&self, on: impl FnOnce(&[u8]) -> T) -> T;
}

/// With a million projects a part holds a thousand entries, and copying it takes some 20 microseconds.
const PARTS: usize = if cfg!(loom) { 1 } else { 1024 };

pub(crate) struct Parts<E> {
    hasher: RandomState,
    parts: Box<[ArcSwap<HashTable<E>>]>,
}

impl<E: Entry> Parts<E> {
    pub(crate) fn new() -> Parts<E> {
        // One empty part, shared until something goes in.
        let empty = Arc::new(HashTable::new());
        let parts = (0..PARTS).map(|_| ArcSwap::new(Arc::clone(&empty))).collect();
        Parts { hasher: RandomState::default(), parts }
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<E> {
        let hash = self.hasher.hash_one(key);
        let part = self.parts[part_of(hash)].load();
        part.find(hash, has(key)).cloned()
    }

    /// Inserts or replaces.
    pub(crate) fn insert(&self, entry: E) {
        let hash = self.hash(&entry);
        let slot = &self.parts[part_of(hash)];
        let mut part = HashTable::clone(&slot.load());
        self.put(&mut part, hash, entry);
        slot.store(Arc::new(part));
    }

    /// Removes the entry of `key` if `condition` holds for it.
    pub(crate) fn remove_if(&self, key: &[u8], condition: impl Fn(&E) -> bool) {
        let hash = self.hasher.hash_one(key);
        let slot = &self.parts[part_of(hash)];
        let current = slot.load();
        if !current.find(hash, has(key)).is_some_and(condition) {
            return;
        }
        let mut part = HashTable::clone(&current);
        if let Ok(entry) = part.find_entry(hash, has(key)) {
            entry.remove();
        }
        slot.store(Arc::new(part));
    }

    /// Replaces everything, building each part once; the last of equal keys stays.
    pub(crate) fn replace_all(&self, entries: impl Iterator<Item = E>) {
        let mut parts: Vec<HashTable<E>> = (0..PARTS).map(|_| HashTable::new()).collect();
        for entry in entries {
            let hash = self.hash(&entry);
            self.put(&mut parts[part_of(hash)], hash, entry);
        }
        for (slot, part) in self.parts.iter().zip(parts) {
            slot.store(Arc::new(part));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.load().len()).sum()
    }

    /// Calls `each` for every entry, part by part.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&E)) {
        for part in &self.parts {
            part.load().iter().for_each(&mut each);
        }
    }

    fn hash(&self, entry: &E) -> u64 {
        entry.key(|key| self.hasher.hash_one(key))
    }

    fn put(&self, part: &mut HashTable<E>, hash: u64, entry: E) {
        match entry.key(|key| part.find_mut(hash, has(key))) {
            Some(old) => *old = entry,
            None => {
                part.insert_unique(hash, entry, |entry| self.hash(entry));
            }
        }
    }
}

/// Is this the entry of `key`?
fn has<E: Entry>(key: &[u8]) -> impl Fn(&E) -> bool {
    move |entry| entry.key(|known| *known == *key)
}

/// From the middle of the hash: the table inside a part uses the low bits and the highest seven.
fn part_of(hash: u64) -> usize {
    usize::try_from((hash >> 40) % PARTS as u64).expect("less than PARTS")
}
