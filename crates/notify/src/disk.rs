//! How much room is left where the events lie.

use std::path::Path;

/// Below this much of the disk, in percent, those who look after the server are told.
pub(crate) const LOW_PERCENT: u64 = 5;

/// The room left at `path`: in percent of the disk, and in bytes. `None` where it cannot be told.
pub(crate) fn free(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    share(stat.f_bavail, stat.f_blocks, stat.f_frsize)
}

fn share(free_blocks: u64, blocks: u64, block_bytes: u64) -> Option<(u64, u64)> {
    let percent = free_blocks.checked_mul(100)?.checked_div(blocks)?;
    Some((percent, free_blocks.saturating_mul(block_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_a_share_of_the_disk() {
        assert_eq!(share(5, 100, 4096), Some((5, 5 * 4096)));
        assert_eq!(share(99, 2000, 1), Some((4, 99)));
        assert_eq!(share(0, 0, 4096), None, "a file system that says nothing of its size");
        assert!(free(Path::new("/")).is_some_and(|(percent, _)| percent <= 100));
        assert_eq!(free(Path::new("/does/not/exist")), None);
    }
}
