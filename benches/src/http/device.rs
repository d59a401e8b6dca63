//! The block device under a folder, where the kernel shows its counters.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A block device's counters.
#[derive(Clone, Debug)]
pub struct Device {
    stat: PathBuf,
}

impl Device {
    /// The device that the file system of `path` lies on; `None` where the kernel counts none, as for tmpfs and in some
    /// containers.
    #[must_use]
    pub fn of(path: &Path) -> Option<Device> {
        let dev = fs::metadata(path).ok()?.dev();
        let name = format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
        let device = Device { stat: PathBuf::from(format!("/sys/dev/block/{name}/stat")) };
        device.bytes_written()?;
        Some(device)
    }

    /// Since the machine started, by anyone: other programs that write blur it.
    #[must_use]
    pub fn bytes_written(&self) -> Option<u64> {
        written(&fs::read_to_string(&self.stat).ok()?)
    }
}

/// Documentation/block/stat.rst: the seventh field is sectors written, of 512 bytes whatever the device's own are.
fn written(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().nth(6)?.parse::<u64>().ok()?.checked_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventh_field_counts_sectors() {
        assert_eq!(written("  1 2 3 4 5 6 10 8 9 10 11"), Some(5120));
        assert_eq!(written("1 2 3"), None);
        assert!(Device::of(Path::new("/proc")).is_none());
    }
}
