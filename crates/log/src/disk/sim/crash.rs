//! Going down and coming up again: what a kill and what a power cut leave.

use super::{
    faults::Fault,
    inode::Inode,
    world::{Change, InFlight, World},
};
use crate::disk::Crash;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

impl World {
    /// Ends the run, and starts the machine again: earlier handles are dead.
    pub(super) fn reboot(&mut self, crash: Crash) {
        self.life += 1;
        self.crashed = false;
        self.crash_at = None;
        self.failing_flushes.clear();
        self.stop_in_flight();
        self.struck.count(match crash {
            Crash::Kill => Fault::Kill,
            Crash::LoseAll => Fault::PowerCutAllLost,
            Crash::LoseSome => Fault::PowerCutSomeLost,
        });
        if crash == Crash::Kill {
            return;
        }
        self.cut_names(crash);
        let linked: BTreeSet<_> = self.names.values().copied().collect();
        self.inodes.retain(|id, _| linked.contains(id));
        let garbled = self.faults.garbled_pages;
        let (mut lost, mut spoilt) = (0, 0);
        for node in self.inodes.values_mut() {
            let node: &mut Inode = match crash {
                // Nothing to change, nothing to copy.
                _ if node.dirty(None).is_empty() && node.bytes == node.durable => continue,
                _ => Arc::make_mut(node),
            };
            let (sectors, pages) = node.power_cut(crash, garbled, &mut self.random);
            lost += sectors;
            spoilt += pages;
        }
        self.struck.add(Fault::LostSector, lost);
        self.struck.add(Fault::GarbledPage, spoilt);
    }

    /// What had begun is there in part: a first part, or any sectors of it.
    fn stop_in_flight(&mut self) {
        match self.in_flight.take() {
            Some(InFlight::Write { inode, bytes, at }) if self.inodes.contains_key(&inode) => {
                self.struck.count(Fault::TornWrite);
                let grows = at + bytes.len() > self.inodes[&inode].bytes.len();
                if grows || self.random.coin() {
                    let part = self.random.below(bytes.len() + 1);
                    self.node(inode).write(&bytes[..part], at);
                    return;
                }
                let mut start = at;
                while start < at + bytes.len() {
                    let end = (start / 512 * 512 + 512).min(at + bytes.len());
                    if self.random.coin() {
                        self.node(inode).write(&bytes[start - at..end - at], start);
                    }
                    start = end;
                }
            }
            Some(InFlight::SetLen { inode, len }) if self.inodes.contains_key(&inode) => {
                if self.random.coin() {
                    self.node(inode).set_len(len);
                }
            }
            Some(InFlight::Name(change)) => {
                if self.random.coin() {
                    self.change(change);
                }
            }
            Some(InFlight::Write { .. } | InFlight::SetLen { .. } | InFlight::Flush) | None => {}
        }
    }

    /// Of the changes to names that were not synced any part is there: most often a first part, as file systems
    /// with a journal leave it.
    fn cut_names(&mut self, crash: Crash) {
        let changes = std::mem::take(&mut self.changes);
        if crash == Crash::LoseSome && !changes.is_empty() {
            let mut dirs: BTreeMap<PathBuf, Vec<&Change>> = BTreeMap::new();
            for change in &changes {
                dirs.entry(change.dir().unwrap_or("".as_ref()).to_owned()).or_default().push(change);
            }
            for changes in dirs.values() {
                let in_order = self.random.coin();
                for change in changes {
                    let kept = self.random.coin();
                    if kept {
                        change.apply(Arc::make_mut(&mut self.durable_names));
                    } else if in_order {
                        break;
                    }
                }
            }
        }
        // A rename whose old name was never durable left one name; one that was undone left the old one.
        self.names = Arc::clone(&self.durable_names);
    }
}
