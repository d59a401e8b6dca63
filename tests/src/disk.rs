//! A disk of its own for the data directory: ext4 in a file, mounted by a loop device, that can be filled.
//!
//! # Invariants
//! * Unmounted when dropped, on failure too. The image stays if [`LoopDisk::keep`] was called.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// The mounted disk.
pub struct LoopDisk {
    home: tempfile::TempDir,
}

impl LoopDisk {
    /// Makes and mounts one of `mib` MiB.
    ///
    /// # Errors
    /// Without root, or without `mkfs.ext4` and `mount`.
    pub fn new(mib: u64) -> Result<LoopDisk, String> {
        if !rustix::process::geteuid().is_root() {
            return Err(
                "this mounts a file system of its own and must run as root: `sudo -E cargo xtask ...`; \
                        `cargo xtask test --without e2e` leaves it out"
                    .to_owned(),
            );
        }
        let failed = |what: &str, e: std::io::Error| format!("{what}: {e}");
        let home = tempfile::Builder::new().prefix("forebay-disk-").tempdir();
        let home = home.map_err(|e| failed("making a directory", e))?;
        let disk = LoopDisk { home };
        File::create(disk.image())
            .and_then(|f| f.set_len(mib << 20))
            .map_err(|e| failed("making the image", e))?;
        fs::create_dir(disk.path()).map_err(|e| failed("making the mount point", e))?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(disk.image()))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(disk.image()).arg(disk.path()))?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// What is free.
    ///
    /// # Panics
    /// If nobody knows.
    pub fn free_bytes(&self) -> u64 {
        let fs = rustix::fs::statvfs(self.path()).expect("asking for the free space");
        fs.f_bavail * fs.f_frsize
    }

    /// A place beside it, on the disk that it is not.
    pub fn beside(&self) -> &Path {
        self.home.path()
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    /// Unmounts it and leaves the image: gives its path.
    pub fn keep(mut self) -> PathBuf {
        self.home.disable_cleanup(true);
        self.image()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes every free block, again and again if some came free meanwhile. Gives how many bytes it took.
    ///
    /// # Errors
    /// As making the ballast fails otherwise than for want of space.
    pub fn fill(&self) -> Result<u64, String> {
        let failed = |e: Errno| format!("filling {}: {e}", self.ballast().display());
        let file = OpenOptions::new().create(true).append(true).open(self.ballast());
        let file = file.map_err(|e| format!("making {}: {e}", self.ballast().display()))?;
        let begin = file.metadata().map_err(|e| format!("asking for the size of the ballast: {e}"))?.len();
        let (mut end, mut step) = (begin, 16 << 20);
        while step >= 4096 {
            match fallocate(&file, FallocateFlags::empty(), end, step) {
                Ok(()) => end += step,
                Err(Errno::NOSPC) => step /= 4,
                Err(Errno::INTR) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Ok(end - begin)
    }

    /// Gives back what [`LoopDisk::fill`] took.
    ///
    /// # Errors
    /// As removing the ballast fails.
    pub fn free(&self) -> Result<(), String> {
        match fs::remove_file(self.ballast()) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("removing {}: {e}", self.ballast().display()))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Lazily: a server that a failure left behind may still hold files.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let text = format!("{command:?}");
    let output = command.output().map_err(|e| {
        format!("running {text}: {e}; `apt-get install e2fsprogs mount` brings what it needs")
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{text} failed: {}", String::from_utf8_lossy(&output.stderr)))
}
