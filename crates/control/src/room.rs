//! Room for the books on a full disk.
//!
//! Whatever changes in the store goes through SQLite's write-ahead log first. Blocks for it are taken in advance,
//! behind its end: SQLite grows into them and needs no other. So a disk that fills up does not keep a server from
//! booking what it stored and what it refused, which matters most just then.
//!
//! # Invariants
//! * No byte and no length changes: the blocks lie where the file does not reach yet.
//! * The store's own file is not opened: to close it would let go of the locks that SQLite holds on it (fcntl's
//!   locks are the process's, not the handle's). There are none on its write-ahead log.

use std::{fs::OpenOptions, io};

use rustix::fs::{FallocateFlags, fallocate};

use crate::Control;

/// What SQLite keeps of its log (`journal_size_limit`), and as much again for while the store's own file cannot grow: a
/// booking takes some tens of KiB.
const ROOM_BYTES: u64 = 8 << 20;

impl Control {
    /// Takes room on the disk for bookings to come. To be called again and again: SQLite gives it back when it cuts
    /// its log short.
    ///
    /// # Errors
    /// When there is no room, or the file system takes none in advance.
    pub fn reserve_room(&self) -> io::Result<()> {
        let journal = self.path.with_extension("db-wal");
        match OpenOptions::new().write(true).open(journal) {
            // SQLite makes it with the first change.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            file => Ok(fallocate(file?, FallocateFlags::KEEP_SIZE, 0, ROOM_BYTES)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;
    use crate::NewProject;

    #[test]
    fn room_is_taken_behind_the_end_of_the_journal_and_the_store_goes_on_as_before() {
        let dir = tempfile::tempdir().expect("making a directory");
        let control = Control::open(dir.path()).expect("a store");
        let new = |name: &str| NewProject { name: name.to_owned(), ..NewProject::default() };
        control.host().create_project(&new("before")).expect("a project");
        let journal = || fs::metadata(dir.path().join("control.db-wal")).expect("SQLite has made it");
        let before = journal().len();
        for _ in 0..2 {
            control.reserve_room().expect("room, on a file system that gives it");
            assert_eq!(journal().len(), before, "not one byte longer");
            assert!(journal().blocks() * 512 >= ROOM_BYTES, "{} blocks", journal().blocks());
        }
        control.host().create_project(&new("after")).expect("a project");
        let taken = journal().blocks();
        assert!(
            journal().len() > before && taken * 512 < 2 * ROOM_BYTES,
            "it grows into them: {taken} blocks"
        );
        let other = Control::open(dir.path()).expect("the store");
        assert_eq!(other.snapshot().expect("a snapshot").projects.len(), 2);
        drop((control, other));
        let again = Control::open(dir.path()).expect("the store");
        assert_eq!(again.snapshot().expect("a snapshot").projects.len(), 2);
    }
}
