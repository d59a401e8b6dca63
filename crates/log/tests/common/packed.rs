//! Checked-in data directories: files without the zeros at their ends, and a list of how long each really is.
//!
//! A segment that is being written is mostly zeros. `files.txt` holds a line for each file, `<bytes> <path>`;
//! to unpack one, copy it and lengthen it to that many bytes. No file holds anything else than it did.

#![allow(dead_code, unreachable_pub, reason = "each test that includes it uses a part")]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// A data directory in memory: paths below it, and what the files hold.
pub type Image = BTreeMap<String, Vec<u8>>;

const LIST: &str = "files.txt";

/// The checked-in store of format version 1.
#[must_use]
pub fn v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/v1")
}

/// Unpacks the packed directory at `packed`.
///
/// # Panics
/// If a file is missing, longer than the list says, or the list is not one.
#[must_use]
pub fn unpack(packed: &Path) -> Image {
    let list = fs::read_to_string(packed.join(LIST)).expect("the list of files");
    let each = list.lines().map(|line| {
        let (bytes, path) = line.split_once(' ').expect("<bytes> <path>");
        let mut content = fs::read(packed.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let bytes = bytes.parse().expect("a number of bytes");
        assert!(content.len() <= bytes, "{path} is longer than the list says");
        content.resize(bytes, 0);
        (path.to_owned(), content)
    });
    each.collect()
}

/// Packs a data directory.
///
/// # Errors
/// As the file system says.
pub fn pack(image: &Image, packed: &Path) -> io::Result<()> {
    let mut list = String::new();
    for (path, content) in image {
        let used = content.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let to = packed.join(path);
        fs::create_dir_all(to.parent().expect("below the folder"))?;
        fs::write(to, &content[..used])?;
        list += &format!("{} {path}\n", content.len());
    }
    fs::write(packed.join(LIST), list)
}

/// Reads a data directory: all but its lock and what a running server has ready for later.
///
/// # Errors
/// As the file system says.
pub fn read(dir: &Path) -> io::Result<Image> {
    let mut image = Image::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(dir).expect("below it").to_string_lossy().into_owned();
            if name != "lock" && !name.ends_with(".tmp") {
                image.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(image)
}

/// Writes a data directory.
///
/// # Errors
/// As the file system says.
pub fn write(image: &Image, dir: &Path) -> io::Result<()> {
    for (path, content) in image {
        let to = dir.join(path);
        fs::create_dir_all(to.parent().expect("below the folder"))?;
        fs::write(to, content)?;
    }
    Ok(())
}
