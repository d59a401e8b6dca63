//! The image of a disk at the moment its power was cut.
//!
//! What an earlier flush covers is there. Of the rest, each write may be there, be missing, or be torn: the log's own
//! at any 512 bytes, since nothing is assumed of them (docs/format.md, 8); a file system's at 4096, since those it
//! keeps do assume that a block of theirs is whole.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use super::{Kind, Op, Recording};
use crate::Random;

/// Bytes of a block.
const BLOCK: usize = 4096;
/// Bytes of a sector.
const SECTOR: usize = 512;
/// How each thing that the log writes begins: frames, segment headers, watermarks, indexes.
const OURS: [&[u8]; 4] = [b"FbFr", b"FOREBAY\n", b"FbWm", b"FBINDEX\n"];

/// The bytes of a disk, holes left out. Cheap to clone: blocks are shared until written.
#[derive(Clone, Debug)]
pub struct Image {
    len: u64,
    blocks: BTreeMap<u64, Arc<[u8; BLOCK]>>,
}

impl Image {
    /// Reads an image from a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> io::Result<Image> {
        let file = File::open(path)?;
        let mut image = Image { len: file.metadata()?.len(), blocks: BTreeMap::new() };
        let mut chunk = vec![0; 256 * BLOCK];
        let mut offset = 0;
        while offset < image.len {
            let n = file.read_at(&mut chunk, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            image.write(offset, &chunk[..n]);
            offset += n as u64;
        }
        Ok(image)
    }

    /// Writes the image to a new, sparse file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len)?;
        self.blocks
            .iter()
            .try_for_each(|(number, block)| file.write_all_at(&block[..], number * BLOCK as u64))
    }

    /// Writes bytes, at any offset.
    pub fn write(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = usize::try_from(offset % BLOCK as u64).expect("within a block");
            let number = offset / BLOCK as u64;
            let n = bytes.len().min(BLOCK - within);
            let (now, rest) = bytes.split_at(n);
            let zeros = now.iter().all(|byte| *byte == 0);
            if zeros && n == BLOCK {
                self.blocks.remove(&number);
            } else if !zeros || self.blocks.contains_key(&number) {
                let block = self.blocks.entry(number).or_insert_with(|| Arc::new([0; BLOCK]));
                Arc::make_mut(block)[within..within + n].copy_from_slice(now);
            }
            (offset, bytes) = (offset + n as u64, rest);
        }
    }
}

/// Which of the writes that no flush covers did not make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// None: a prefix of what was written.
    Nothing,
    /// All of them.
    Unflushed,
    /// Some, whole or torn, as the number decides.
    Some(u64),
}

/// A moment at which the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How many operations had been answered.
    pub at: usize,
    /// What was lost.
    pub lost: Lost,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lost {
            Lost::Nothing => write!(f, "{}-nothing", self.at),
            Lost::Unflushed => write!(f, "{}-unflushed", self.at),
            Lost::Some(seed) => write!(f, "{}-some-{seed}", self.at),
        }
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(text: &str) -> Result<Cut, String> {
        let wrong = || format!("{text:?} is no cut: they read 217-nothing, 217-unflushed, 217-some-99");
        let (at, lost) = text.trim().split_once('-').ok_or_else(wrong)?;
        let lost = match lost.split_once('-') {
            None if lost == "nothing" => Lost::Nothing,
            None if lost == "unflushed" => Lost::Unflushed,
            Some(("some", seed)) => Lost::Some(seed.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        Ok(Cut { at: at.parse().map_err(|_| wrong())?, lost })
    }
}

/// Goes through a recording and gives the image of each cut. Cuts come in rising order.
pub struct Player<'a> {
    recording: &'a Recording,
    /// Everything that a flush covers.
    flushed: Image,
    /// The first operation that no flush covers.
    open: usize,
}

impl<'a> Player<'a> {
    /// From the image that the disk had at the start.
    pub fn new(base: Image, recording: &'a Recording) -> Player<'a> {
        Player { recording, flushed: base, open: 0 }
    }

    /// The image that `cut` leaves.
    ///
    /// # Panics
    /// If the cut is not in the recording, or lies before one that was asked for earlier.
    pub fn cut(&mut self, cut: Cut) -> Image {
        assert!(cut.at <= self.recording.ops().len() && cut.at >= self.open, "no such cut: {cut}");
        let ops = self.recording.ops();
        if let Some(flush) = (self.open..cut.at).rev().find(|&number| ops[number].kind == Kind::Flush) {
            for op in ops[self.open..flush].iter().filter(|op| op.kind == Kind::Write) {
                self.flushed.write(op.offset, self.recording.bytes(op));
            }
            self.open = flush + 1;
        }
        let mut image = self.flushed.clone();
        let open = &ops[self.open..cut.at];
        match cut.lost {
            Lost::Unflushed => {}
            Lost::Nothing => {
                let writes = open.iter().filter(|op| op.kind == Kind::Write);
                writes.for_each(|op| image.write(op.offset, self.recording.bytes(op)));
            }
            Lost::Some(seed) => self.keep_some(&mut image, open, &mut Random::new(seed)),
        }
        image
    }

    fn keep_some(&self, image: &mut Image, open: &[Op], random: &mut Random) {
        let writes: Vec<_> =
            open.iter().filter(|op| matches!(op.kind, Kind::Write | Kind::FailedWrite)).collect();
        if writes.is_empty() {
            return;
        }
        let style = random.below(5);
        let chosen = random.index(writes.len());
        for (i, op) in writes.iter().enumerate() {
            let kept = match style {
                0 => random.chance(1, 2),
                1 => random.chance(9, 10),
                2 => random.chance(1, 10),
                3 => i >= chosen,
                _ => i != chosen,
            };
            let torn = random.chance(1, 3);
            if kept && torn {
                self.tear(image, op, random);
            } else if kept {
                image.write(op.offset, self.recording.bytes(op));
            }
        }
    }

    /// Writes some of the parts.
    fn tear(&self, image: &mut Image, op: &Op, random: &mut Random) {
        let bytes = self.recording.bytes(op);
        let part = if is_ours(bytes) { SECTOR } else { BLOCK };
        for (i, part_bytes) in bytes.chunks(part).enumerate() {
            if random.chance(1, 2) {
                image.write(op.offset + (i * part) as u64, part_bytes);
            }
        }
    }
}

/// Is it something that the log wrote, to judge by how it begins?
pub fn is_ours(bytes: &[u8]) -> bool {
    OURS.iter().any(|magic| bytes.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_reads_back_as_it_was_written() {
        for lost in [Lost::Nothing, Lost::Unflushed, Lost::Some(99)] {
            let cut = Cut { at: 217, lost };
            assert_eq!(cut.to_string().parse(), Ok(cut));
        }
        assert!("217".parse::<Cut>().is_err() && "x-nothing".parse::<Cut>().is_err());
    }

    #[test]
    fn an_image_holds_what_was_written_last_and_zeros_elsewhere() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("image");
        let mut image = Image { len: 5 * BLOCK as u64, blocks: BTreeMap::new() };
        image.write(1000, &[1; 5000]);
        image.write(4096, &[0; BLOCK]);
        image.write(3 * BLOCK as u64 - 1, &[2; 2]);
        image.save(&path).expect("written");
        let mut wanted = vec![0; 5 * BLOCK];
        wanted[1000..4096].fill(1);
        wanted[3 * BLOCK - 1..=3 * BLOCK].fill(2);
        assert!(std::fs::read(&path).expect("read") == wanted);
        assert!(Image::read(&path).expect("read").blocks == image.blocks);
    }
    #[test]
    fn what_a_flush_covers_is_kept_and_the_rest_is_there_or_missing_or_torn() {
        let home = tempfile::tempdir().expect("a directory");
        let block = |mark: &[u8]| mark.repeat(BLOCK / mark.len());
        let ops = [
            (Kind::Write, 0, block(b"a")),
            (Kind::Flush, 0, Vec::new()),
            (Kind::Write, BLOCK, block(b"FbFr")),
            (Kind::Write, 2 * BLOCK, block(b"meta")),
            (Kind::FailedWrite, 3 * BLOCK, block(b"f")),
            (Kind::FailedFlush, 0, Vec::new()),
        ];
        let entry = |(kind, offset, bytes): &(Kind, usize, Vec<u8>)| {
            [&super::super::recording::header(*kind, *offset as u64, bytes.len()), bytes.as_slice()].concat()
        };
        let path = home.path().join("recording");
        std::fs::write(&path, ops.iter().flat_map(entry).collect::<Vec<_>>()).expect("written");
        let recording = Recording::read(&path).expect("a recording");
        let after = |lost| {
            let base = Image { len: 4 * BLOCK as u64, blocks: BTreeMap::new() };
            let image = Player::new(base, &recording).cut(Cut { at: ops.len(), lost });
            image.save(&path.with_extension("image")).expect("written");
            std::fs::read(path.with_extension("image")).expect("read")
        };
        let (zeros, wanted) = (vec![0; BLOCK], |i: usize| ops[i].2.clone());
        assert!(after(Lost::Unflushed) == [wanted(0), zeros.repeat(3)].concat());
        assert!(after(Lost::Nothing) == [wanted(0), wanted(2), wanted(3), zeros.clone()].concat());
        let mut torn = 0;
        for seed in 0..200 {
            let image = after(Lost::Some(seed));
            assert!(image[..BLOCK] == wanted(0), "what is flushed is there");
            let blocks: Vec<_> = image.chunks(BLOCK).collect();
            for (block, wanted) in [(blocks[2], wanted(3)), (blocks[3], wanted(4))] {
                assert!(block == wanted || block == zeros, "a block of the file system's is whole");
            }
            let ours = wanted(2);
            let sectors = blocks[1].chunks(SECTOR).zip(ours.chunks(SECTOR));
            let there: Vec<_> = sectors.map(|(is, new)| (is == new, is == &zeros[..SECTOR])).collect();
            assert!(there.iter().all(|(new, old)| new != old), "a sector is old or new");
            torn += u32::from(there.iter().any(|(new, _)| *new) && there.iter().any(|(_, old)| *old));
        }
        assert!(torn > 0, "some are torn");
    }
}
