//! The binary on data directories of other versions: the old one is served as it was, a newer one is refused with
//! one clear line and left alone.
//!
//! The store of format version 1 and its listing are checked in (`crates/log/tests/stores/v1`) and never made again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;

use common::{
    forebay,
    packed::{self, Image},
    stored, v1,
};
use forebay_record::crc32c;
use std::{fs, path::Path};

const SEGMENT: &str = "log/0000/00000000000000000003.seg";

/// The one line that a refusal is.
fn refused(dir: &Path, args: &[&str]) -> String {
    let done = forebay(dir, args);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{args:?}: {said}");
    assert!(done.stdout.is_empty(), "{args:?} prints a result");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{args:?}: {said}");
    errors[0].to_owned()
}

fn segment_version_2(image: &mut Image) {
    let file = image.get_mut(SEGMENT).unwrap();
    file[8] = 2;
    let crc = crc32c(crc32c(crc32c(0, &file[..20]), &[0; 4]), &file[24..4096]);
    file[20..24].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn log_cat_prints_a_store_of_version_1_byte_for_byte_as_it_did() {
    let dir = v1(|_| {});
    let done = forebay(dir.path(), &["log", "cat", "--json", "--kind", "all"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let printed = done.stdout;
    let listing = stored().join("cat.ndjson");
    if std::env::var_os("FOREBAY_WRITE_LISTING").is_some() && !listing.exists() {
        // For a new format's folder only: what is there is never written again.
        fs::write(&listing, &printed).unwrap();
    }
    let expected = fs::read(&listing).unwrap();
    assert!(printed == expected, "{}", String::from_utf8_lossy(&printed));
}

#[test]
fn a_newer_segment_is_refused_by_every_command_with_one_line_and_left_alone() {
    let dir = v1(segment_version_2);
    let before = packed::read(dir.path()).unwrap();
    let commands: [&[&str]; 5] = [
        &["serve", "--listen", "127.0.0.1:0"],
        &["log", "verify"],
        &["log", "repair", "--accept-loss"],
        &["log", "cat", "--json"],
        &["log", "stats"],
    ];
    for command in commands {
        // What could be read before the newer segment may have been printed by `cat`.
        let said = if command[1] == "cat" {
            let done = forebay(dir.path(), command);
            assert_eq!(done.status.code(), Some(1));
            String::from_utf8(done.stderr).unwrap()
        } else {
            refused(dir.path(), command)
        };
        for words in
            [SEGMENT, "segment format 2.0", "reads 1.x", "use the forebay that wrote it, or a newer one"]
        {
            assert!(said.contains(words), "{command:?} does not say {words:?}: {said}");
        }
    }
    assert_eq!(packed::read(dir.path()).unwrap(), before, "nothing is changed");
}

#[test]
fn a_newer_store_file_is_refused_by_serve_and_verify() {
    let dir = v1(|image| image.get_mut("store").unwrap()[8] = b'2');
    let before = packed::read(dir.path()).unwrap();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["log", "verify"]] {
        let said = refused(dir.path(), command);
        for words in ["/store starts with \"forebay 2 ", "reads \"forebay 1 ", "use the newer forebay"] {
            assert!(said.contains(words), "{command:?} does not say {words:?}: {said}");
        }
    }
    assert_eq!(packed::read(dir.path()).unwrap(), before, "nothing is changed");
}

#[test]
fn a_newer_registry_is_refused_by_name_with_both_versions() {
    let dir = v1(|_| {});
    // SQLite keeps the user version at byte 60 of its file, the greater bytes first.
    let path = dir.path().join("control.db");
    let mut database = fs::read(&path).unwrap();
    database[60..64].copy_from_slice(&99u32.to_be_bytes());
    fs::write(&path, database).unwrap();
    // As a kill leaves it, so that a start has something to recover.
    fs::remove_file(dir.path().join("log/0000/watermark")).unwrap();
    let before = packed::read(dir.path()).unwrap();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["project", "list"], &["log", "cat"]] {
        let said = refused(dir.path(), command);
        for words in ["control.db has version 99", "knows versions up to", "use the newer program"] {
            assert!(said.contains(words), "{command:?} does not say {words:?}: {said}");
        }
    }
    assert_eq!(packed::read(dir.path()).unwrap(), before, "nothing is changed, in the log neither");
    // The log alone is of this version.
    assert!(forebay(dir.path(), &["log", "verify"]).status.success());
}
