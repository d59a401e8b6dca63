//! A store in a directory of its own, with a clock that stands still.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_control::{Control, NewProject, Options};
use tempfile::TempDir;

/// 2025-10-09T08:53:20Z
pub(crate) const NOW_MS: u64 = 1_760_000_000_000;

pub(crate) fn options(now_ms: u64) -> Options {
    Options {
        actor: "a test".to_owned(),
        clock: Arc::new(move || now_ms),
        busy_timeout: Duration::from_secs(20),
    }
}

pub(crate) fn open(dir: &Path) -> Control {
    Control::open_with(dir, options(NOW_MS)).unwrap()
}

pub(crate) fn store() -> (TempDir, Control) {
    let dir = tempfile::tempdir().unwrap();
    let control = open(dir.path());
    (dir, control)
}

/// A store whose clock the test moves.
pub(crate) fn clocked_store() -> (TempDir, Control, Arc<AtomicU64>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let ticking = Arc::clone(&clock);
    let options = Options { clock: Arc::new(move || ticking.load(Ordering::Relaxed)), ..options(NOW_MS) };
    let control = Control::open_with(dir.path(), options).unwrap();
    (dir, control, clock)
}

pub(crate) fn named(name: &str) -> NewProject {
    NewProject { name: name.to_owned(), ..NewProject::default() }
}

pub(crate) fn brought(id: u64, token: &str) -> NewProject {
    NewProject {
        name: format!("project {id}"),
        id: Some(id),
        token: Some(token.to_owned()),
        api_key: Some(format!("key-of-{id}")),
        api_secret: Some(format!("secret-of-{id}")),
        ..NewProject::default()
    }
}
