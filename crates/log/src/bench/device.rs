//! What the kernel counts of a block device.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The block device under a folder, where the kernel shows its counters.
pub(super) struct Device {
    name: String,
    stat: PathBuf,
}

impl Device {
    pub(super) fn of(dir: &Path) -> Option<Device> {
        let dev = fs::metadata(dir).ok()?.dev();
        let name = format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
        let stat = PathBuf::from(format!("/sys/dev/block/{name}/stat"));
        let device = Device { name, stat };
        device.bytes_written()?;
        Some(device)
    }

    /// `major:minor`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Since the machine started, by anyone.
    pub(super) fn bytes_written(&self) -> Option<u64> {
        // Documentation/block/stat.rst: the seventh field is sectors written, of 512 bytes.
        let stat = fs::read_to_string(&self.stat).ok()?;
        stat.split_ascii_whitespace().nth(6)?.parse::<u64>().ok()?.checked_mul(512)
    }
}
