//! How the tests open the checked-in stores for writing: with the lanes and sizes that those were made with, at a time
//! of their own, and nothing done by the clock.

use forebay_log::{LogConfig, Retention};
use std::{path::Path, sync::Arc, time::Duration};

/// For the store in `dir`.
pub(crate) fn config(dir: &Path) -> LogConfig {
    LogConfig {
        lanes: 2,
        segment_bytes_min: 64 << 10,
        segment_bytes_max: 64 << 10,
        heartbeat: Duration::from_secs(3600),
        retention: Retention::default(),
        unclaimed: Retention::default(),
        clock: Arc::new(|| 1_700_000_100_000),
        ..LogConfig::new(dir)
    }
}
