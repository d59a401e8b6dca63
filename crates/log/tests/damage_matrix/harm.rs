//! What is done to a store: every kind of damage, at every block.

use crate::{
    dice::Random,
    packed::Image,
    truth::{Truth, lane_file, segment_id},
};
use std::fmt;

pub(crate) const SECTOR: usize = 512;
pub(crate) const PAGE: usize = 4096;

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) file: String,
    pub(crate) at: usize,
    pub(crate) len: usize,
}

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    Flip {
        file: String,
        at: usize,
        bit: u32,
    },
    Zero(Block),
    /// The second block's bytes stand in the first one's place too.
    Duplicate(Block, Block),
    Swap(Block, Block),
    /// Cut off from here on.
    Truncate {
        file: String,
        at: usize,
    },
    Delete(String),
    Append {
        file: String,
        garbage: Vec<u8>,
    },
    /// What stood there in another store, or before a repair.
    Stale {
        block: Block,
        bytes: Vec<u8>,
        of: &'static str,
    },
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Harm::Flip { file, at, bit } => write!(f, "flip bit {bit} of byte {at} of {file}"),
            Harm::Zero(block) => write!(f, "zero {block}"),
            Harm::Duplicate(to, from) => write!(f, "write {from} over {to} too"),
            Harm::Swap(a, b) => write!(f, "swap {a} and {b}"),
            Harm::Truncate { file, at } => write!(f, "cut {file} at {at}"),
            Harm::Delete(file) => write!(f, "delete {file}"),
            Harm::Append { file, garbage } => write!(f, "append {} bytes to {file}", garbage.len()),
            Harm::Stale { block, of, .. } => write!(f, "write {block} of {of} over it"),
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} of {}", self.len, self.at, self.file)
    }
}

impl Block {
    fn of<'i>(&self, image: &'i Image) -> &'i [u8] {
        let Some(file) = image.get(&self.file) else { return &[] };
        &file[self.at.min(file.len())..(self.at + self.len).min(file.len())]
    }

    /// Writes over what there is of the block; the file does not grow.
    fn put(&self, image: &mut Image, bytes: &[u8]) {
        let Some(file) = image.get_mut(&self.file) else { return };
        let end = (self.at + bytes.len()).min(file.len());
        if let Some(place) = file.get_mut(self.at..end) {
            place.copy_from_slice(&bytes[..place.len()]);
        }
    }
}

impl Harm {
    /// Does it. Says whether anything is different now.
    pub(crate) fn apply(&self, image: &mut Image) -> bool {
        let before = image.clone();
        match self {
            Harm::Flip { file, at, bit } => {
                if let Some(byte) = image.get_mut(file).and_then(|file| file.get_mut(*at)) {
                    *byte ^= 1 << bit;
                }
            }
            Harm::Zero(block) => block.put(image, &vec![0; block.len]),
            Harm::Duplicate(to, from) => {
                let bytes = from.of(image).to_vec();
                to.put(image, &bytes);
            }
            Harm::Swap(a, b) => {
                let (of_a, of_b) = (a.of(image).to_vec(), b.of(image).to_vec());
                a.put(image, &of_b);
                b.put(image, &of_a);
            }
            Harm::Truncate { file, at } => {
                if let Some(file) = image.get_mut(file) {
                    file.truncate(*at);
                }
            }
            Harm::Delete(file) => {
                image.remove(file);
            }
            Harm::Append { file, garbage } => {
                if let Some(file) = image.get_mut(file) {
                    file.extend_from_slice(garbage);
                }
            }
            Harm::Stale { block, bytes, .. } => block.put(image, bytes),
        }
        *image != before
    }
}

/// So many bytes of no meaning.
fn garbage(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.next().to_le_bytes()[0]).collect()
}

/// Is this one of the files whose damage matters? What lies in quarantine is never read.
fn counts(path: &str) -> bool {
    path == "store" || lane_file(path).is_some()
}

/// The blocks of a store, up to one page behind what was written in each file.
pub(crate) fn blocks(image: &Image, len: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (file, content) in image.iter().filter(|(path, _)| counts(path)) {
        let used = content.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let end = (used.next_multiple_of(PAGE) + PAGE).min(content.len());
        blocks.extend((0..end).step_by(len).map(|at| Block { file: file.clone(), at, len }));
    }
    blocks
}

/// Every byte of every header, and one in each sector elsewhere.
pub(crate) fn flips(truth: &Truth) -> Vec<Harm> {
    let mut random = Random::new(1);
    let mut places: Vec<(String, usize)> = Vec::new();
    for (file, content) in truth.image.iter().filter(|(path, _)| counts(path)) {
        let head = match lane_file(file) {
            None => content.len(),
            Some((_, "watermark")) => 64,
            Some((_, name)) if segment_id(name).is_some() => 120,
            // The head of an index; of its tables each eighth byte.
            Some(_) => 144,
        };
        places.extend((0..head).map(|at| (file.clone(), at)));
        if file.ends_with(".idx") {
            places.extend((head..content.len()).step_by(8).map(|at| (file.clone(), at)));
        }
        if file.ends_with("watermark") {
            places.extend((PAGE..PAGE + 64).map(|at| (file.clone(), at)));
        }
    }
    for lane in &truth.lanes {
        for segment in &lane.segments {
            let heads = segment.frames.iter().flat_map(|frame| frame.at..frame.at + 96);
            places.extend(heads.map(|at| (lane.path(segment.id), at)));
        }
    }
    for block in blocks(&truth.image, SECTOR) {
        let len = SECTOR.min(truth.image[&block.file].len() - block.at);
        places.push((block.file, block.at + random.below(len)));
    }
    places.sort();
    places.dedup();
    places
        .into_iter()
        .map(|(file, at)| Harm::Flip { file, at, bit: u32::try_from(random.below(8)).expect("a bit") })
        .collect()
}

/// Each block zeroed.
pub(crate) fn zeros(truth: &Truth) -> Vec<Harm> {
    [SECTOR, PAGE].into_iter().flat_map(|len| blocks(&truth.image, len)).map(Harm::Zero).collect()
}

/// Each sector with a few others over it; each page with every other page.
pub(crate) fn duplicates(truth: &Truth) -> Vec<Harm> {
    pairs(truth, 2, 8, Harm::Duplicate)
}

/// Each sector with a few others; each page with every other page.
pub(crate) fn swaps(truth: &Truth) -> Vec<Harm> {
    pairs(truth, 1, 4, Harm::Swap)
}

fn pairs(truth: &Truth, sectors: usize, pages: usize, make: impl Fn(Block, Block) -> Harm) -> Vec<Harm> {
    let mut random = Random::new(2);
    let mut harms = Vec::new();
    for (len, others) in [(SECTOR, sectors), (PAGE, pages)] {
        let blocks = blocks(&truth.image, len);
        for (n, block) in blocks.iter().enumerate() {
            // Its neighbour, and some from anywhere.
            let near = [(n + 1) % blocks.len()];
            let far: Vec<usize> = (0..others).map(|_| random.below(blocks.len())).collect();
            for other in near.into_iter().chain(far).filter(|other| *other != n) {
                harms.push(make(block.clone(), blocks[other].clone()));
            }
        }
    }
    harms
}

/// Each file cut at each sector, deleted, and with garbage behind it.
pub(crate) fn lengths(truth: &Truth) -> Vec<Harm> {
    let mut random = Random::new(3);
    let mut harms: Vec<Harm> = blocks(&truth.image, SECTOR)
        .into_iter()
        .map(|block| Harm::Truncate { file: block.file, at: block.at })
        .collect();
    for file in truth.image.keys().filter(|path| counts(path)) {
        harms.push(Harm::Delete(file.clone()));
        for len in [1, 8, 100, SECTOR, PAGE + 5] {
            harms.push(Harm::Append { file: file.clone(), garbage: garbage(&mut random, len) });
        }
    }
    harms
}

/// Each block as it is in these other stores.
pub(crate) fn stale(truth: &Truth, others: &[(&'static str, Image)]) -> Vec<Harm> {
    let mut harms = Vec::new();
    for (of, other) in others {
        for len in [SECTOR, PAGE] {
            for block in blocks(&truth.image, len).into_iter().filter(|block| block.file != "store") {
                let bytes = block.of(other).to_vec();
                harms.push(Harm::Stale { block, bytes, of });
            }
        }
    }
    harms
}

/// Anything of the above, anywhere in the lanes.
pub(crate) fn any(image: &Image, random: &mut Random) -> Harm {
    let len = [SECTOR, PAGE][random.below(2)];
    let mut blocks = blocks(image, len);
    blocks.retain(|block| block.file != "store");
    let mut block = || blocks[random.below(blocks.len())].clone();
    let (one, other) = (block(), block());
    let file = one.file.clone();
    match random.below(16) {
        0..5 => {
            let len = image[&file].len();
            let at = (one.at + random.below(one.len)).min(len.saturating_sub(1));
            Harm::Flip { file, at, bit: u32::try_from(random.below(8)).expect("a bit") }
        }
        5..8 => Harm::Zero(one),
        8..11 => Harm::Duplicate(one, other),
        11..14 => Harm::Swap(one, other),
        14 => Harm::Truncate { file, at: one.at },
        _ => Harm::Append { file, garbage: garbage(random, 700) },
    }
}
