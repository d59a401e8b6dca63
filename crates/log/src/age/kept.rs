//! What time was believed, written down for the next process: one line of text in the log's folder.
//!
//! Only a help: a file that is missing or cannot be read is as good as none, and then the newest stamp in the log
//! says how late it was.

use super::clock::Believed;
use crate::{disk::Disk, layout};
use std::{
    io,
    path::{Path, PathBuf},
};

const NAME: &str = "retention-clock";
const BYTES_MAX: usize = 256;

fn path(dir: &Path) -> PathBuf {
    layout::log_dir(dir).join(NAME)
}

pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Option<Believed> {
    let mut bytes = [0; BYTES_MAX];
    let read = disk.open(&path(dir)).ok()?.read_at(&mut bytes, 0).ok()?;
    parse(str::from_utf8(&bytes[..read]).ok()?)
}

/// Written beside, then renamed: the name only ever leads to a whole line.
pub(super) fn write(disk: &dyn Disk, dir: &Path, believed: &Believed) -> io::Result<()> {
    let (path, beside) = (path(dir), layout::log_dir(dir).join(format!("{NAME}.tmp")));
    let file = disk.create(&beside)?;
    file.write_at(text(believed).as_bytes(), 0)?;
    file.flush()?;
    disk.rename(&beside, &path)
}

fn text(believed: &Believed) -> String {
    let Believed { now_ms, suspect } = believed;
    let suspect = suspect.map(|(wall, stood)| format!(" suspect_ms {wall} stood_ms {stood}"));
    format!("forebay-clock 1 believed_ms {now_ms}{}\n", suspect.unwrap_or_default())
}

fn parse(text: &str) -> Option<Believed> {
    let words: Vec<&str> = text.strip_suffix('\n')?.split(' ').collect();
    let number = |word: &str| word.parse::<u64>().ok();
    match words[..] {
        ["forebay-clock", "1", "believed_ms", now] => Some(Believed { now_ms: number(now)?, suspect: None }),
        ["forebay-clock", "1", "believed_ms", now, "suspect_ms", wall, "stood_ms", stood] => {
            Some(Believed { now_ms: number(now)?, suspect: Some((number(wall)?, number(stood)?)) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    #[test]
    fn what_was_believed_is_read_back_and_anything_else_is_nothing() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/store");
        disk.create_dir(&layout::log_dir(dir)).expect("a folder");
        assert_eq!(read(&disk, dir), None);
        for suspect in [None, Some((5, 6)), Some((u64::MAX, 0))] {
            let believed = Believed { now_ms: 1_700_000_000_123, suspect };
            write(&disk, dir, &believed).expect("written");
            assert_eq!(read(&disk, dir), Some(believed));
        }
        for torn in
            ["", "forebay-clock 1", "forebay-clock 1 believed_ms 17", "forebay-clock 2 believed_ms 1\n"]
        {
            assert_eq!(parse(torn), None, "{torn:?}");
        }
    }
}
