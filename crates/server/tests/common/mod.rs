//! The checked-in store of format version 1 with a registry beside it, and the binary on it.

#![allow(dead_code, unreachable_pub, reason = "each test that includes it uses a part")]

#[path = "../../../log/tests/common/packed.rs"]
pub mod packed;

use forebay_control::{Control, NewProject};
use packed::Image;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// Where the store of version 1 and its listing are checked in.
#[must_use]
pub fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../log/tests/stores/v1")
}

/// The store of version 1, changed, with a registry that knows its projects.
///
/// # Panics
/// If it cannot be written.
pub fn v1(change: impl FnOnce(&mut Image)) -> TempDir {
    let dir = tempfile::tempdir().expect("making a directory");
    let mut image = packed::unpack(&stored());
    change(&mut image);
    packed::write(&image, dir.path()).expect("writing the store");
    let control = Control::open(dir.path()).expect("a registry");
    for id in [7, 8, 9] {
        let new = NewProject {
            name: format!("p{id}"),
            id: Some(id),
            token: Some(format!("tok-{id}")),
            ..NewProject::default()
        };
        control.host().create_project(&new).expect("a project");
    }
    dir
}

/// Runs the binary on a data directory, without the environment.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn forebay(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(args).arg("--data-dir").arg(dir).env_clear().stdin(Stdio::null());
    command.output().expect("running the binary")
}
