//! The clock of the server under soak: libfaketime in front of the real binary, its offset in a file.
//!
//! Only the wall clock of the server jumps. Its monotonic clock, the file system's times and every other process
//! stay true.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Setup;

/// Where Debian and its kin put it.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];

/// A clock that can be set while the server runs.
pub(crate) struct SkewedClock {
    library: &'static str,
    control: PathBuf,
}

impl SkewedClock {
    /// Finds libfaketime; the control file lies in `dir`.
    ///
    /// # Errors
    /// Says how to install it.
    pub(crate) fn new(dir: &Path) -> Result<SkewedClock, String> {
        let library = LIBRARIES
            .into_iter()
            .find(|path| Path::new(path).is_file())
            .ok_or("no libfaketime, which makes the server's clock jump: `apt-get install faketime`")?;
        let clock = SkewedClock { library, control: dir.join("clock") };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets it that many seconds from the true time. The server sees it within a second.
    ///
    /// # Errors
    /// As writing the control file fails.
    pub(crate) fn set(&self, offset_s: i64) -> Result<(), String> {
        // Beside, then renamed: the server may be reading it.
        let beside = self.control.with_extension("new");
        fs::write(&beside, format!("{offset_s:+}\n"))
            .and_then(|()| fs::rename(&beside, &self.control))
            .map_err(|e| format!("writing {}: {e}", self.control.display()))
    }

    /// Starts servers with this clock.
    pub(crate) fn wind(&self, setup: Setup) -> Setup {
        setup
            .env("LD_PRELOAD", self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.control.display().to_string())
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
    }
}
