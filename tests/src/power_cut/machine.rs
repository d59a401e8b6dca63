//! The place where disks are mounted: a mount namespace of the caller's own, with memory for a disk.
//!
//! # Invariants
//! * Whatever is mounted goes with the last process in the namespace, also if the test is killed; loop devices are
//!   detached with their file system.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::Image;

/// What images and recordings may take together. Only what is written is used.
const MEMORY: &str = "size=3g";

/// A file system that the log is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4 as `mkfs.ext4` makes it.
    Ext4,
    /// XFS as `mkfs.xfs` makes it.
    Xfs,
}

impl FileSystem {
    /// Its name for `mount`.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }

    /// The one of that name.
    ///
    /// # Errors
    /// Which there are.
    pub fn named(name: &str) -> Result<FileSystem, String> {
        let all = [FileSystem::Ext4, FileSystem::Xfs];
        all.into_iter()
            .find(|fs| fs.name() == name)
            .ok_or_else(|| format!("{name:?} is neither ext4 nor xfs"))
    }

    /// Makes an empty one of `mib` MiB; at least 300, which is what XFS wants.
    ///
    /// # Panics
    /// If that fails.
    pub fn make(self, machine: &Machine, mib: u64) -> Image {
        let path = machine.path("new.image");
        File::create(&path).and_then(|f| f.set_len(mib.max(300) << 20)).expect("making an image");
        let mut make = match self {
            // Nothing is left to be initialised behind the back of the recording.
            FileSystem::Ext4 => {
                let mut make = Command::new("mkfs.ext4");
                make.args(["-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"]);
                make
            }
            FileSystem::Xfs => {
                let mut make = Command::new("mkfs.xfs");
                make.args(["-q", "-f"]);
                make
            }
        };
        run(make.arg(&path));
        let image = Image::read(&path).expect("reading the new image");
        fs::remove_file(&path).expect("removing a file");
        image
    }

    fn options(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "noatime",
            // Two images of one origin may be mounted at once, by tests that run beside each other.
            FileSystem::Xfs => "noatime,nouuid",
        }
    }
}

/// A mount namespace and a folder in memory. There is one at a time in a process: what another thread starts would
/// hold files and mounts of this one until it runs.
pub struct Machine {
    home: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Machine {
    /// Takes the calling thread, and all that it will start, into a mount namespace of its own.
    ///
    /// # Panics
    /// If this process is not root's, or may not mount.
    pub fn new() -> Machine {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests mount file systems of their own and must run as root: `sudo -E cargo xtask test`, or leave \
             them out with `--without e2e`"
        );
        // A test that failed left nothing half done here.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let home =
            tempfile::Builder::new().prefix("forebay-power-cut-").tempdir().expect("making a directory");
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace: needs CAP_SYS_ADMIN");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .expect("keeping mounts to ourselves");
        mount(Some("tmpfs"), home.path(), Some("tmpfs"), MsFlags::empty(), Some(MEMORY))
            .expect("mounting memory");
        Machine { home, _alone: alone }
    }

    /// A path of that name in memory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A folder of that name in memory.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("making a folder");
        path
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // If it fails, it goes with the namespace.
        let _ = umount2(self.home.path(), MntFlags::MNT_DETACH);
    }
}

/// A mounted file system; unmounted when dropped.
pub struct Mounted {
    dir: PathBuf,
    there: bool,
}

impl Mounted {
    /// Mounts an image, written to a file first.
    ///
    /// # Errors
    /// What `mount` says: then the file system did not survive.
    pub fn image(machine: &Machine, image: &Image, kind: FileSystem) -> Result<Mounted, String> {
        let path = machine.path("cut.image");
        image.save(&path).map_err(|e| format!("writing an image: {e}"))?;
        let options = format!("loop,{}", kind.options());
        let mounted = Mounted::mount(machine.folder("cut"), &path, kind, &options);
        // The loop device holds it; its memory is free again as soon as that is detached.
        fs::remove_file(&path).map_err(|e| format!("removing an image: {e}"))?;
        mounted
    }

    /// Mounts a device.
    ///
    /// # Panics
    /// If that fails.
    pub fn device(machine: &Machine, device: &Path, kind: FileSystem) -> Mounted {
        let dir = machine.folder("recorded");
        Mounted::mount(dir, device, kind, kind.options()).unwrap_or_else(|e| panic!("{e}"))
    }

    fn mount(dir: PathBuf, what: &Path, kind: FileSystem, options: &str) -> Result<Mounted, String> {
        let mut command = Command::new("mount");
        command.args(["-t", kind.name(), "-o", options]).arg(what).arg(&dir);
        let output = command.output().map_err(|e| format!("running mount: {e}"))?;
        if output.status.success() {
            return Ok(Mounted { dir, there: true });
        }
        Err(format!("mounting {} failed: {}", kind.name(), String::from_utf8_lossy(&output.stderr).trim()))
    }

    /// Where.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Unmounts it.
    ///
    /// # Panics
    /// If something is still using it.
    pub fn unmount(mut self) {
        self.there = false;
        umount2(&self.dir, MntFlags::empty()).unwrap_or_else(|e| {
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
            panic!("unmounting {}: {e}: something still uses it", self.dir.display());
        });
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.there {
            // Lazily: whatever went wrong may still hold files.
            let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        }
    }
}

/// Runs a program that must succeed and gives what it wrote.
///
/// # Panics
/// If it does not.
pub fn run(command: &mut Command) -> String {
    let text = format!("{command:?}");
    let output = command.output().unwrap_or_else(|e| {
        panic!("running {text}: {e}; `apt-get install e2fsprogs xfsprogs fuse3 mount` brings what is needed")
    });
    assert!(output.status.success(), "{text} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
