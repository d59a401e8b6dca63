//! What differs from one kind of CPU to the next: telling 64 bytes apart.

use super::grammar::{Grammar, Progress};
use super::index::Index;

/// How many bytes are looked at together: one for each bit of a mask.
pub(super) const BLOCK_BYTES: usize = 64;
/// The bytes of one mask.
pub(super) type Block = [u8; BLOCK_BYTES];

/// Which bytes of a block are what: one bit for each, the first byte lowest. Within strings they mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes {
    /// `"`
    pub(super) quote: u64,
    /// `\`
    pub(super) backslash: u64,
    /// The space alone.
    pub(super) space: u64,
    /// `:`
    pub(super) colon: u64,
    /// `,`
    pub(super) comma: u64,
    /// `{`, `[`, `]` and `}`
    pub(super) bracket: u64,
    /// `0` to `9`
    pub(super) digit: u64,
    /// `0` and `.`
    pub(super) mark: u64,
    /// What the second letter of a name is that is looked for, and perhaps anything else: one of `vroiud`.
    pub(super) letter: u64,
    /// Not printable ASCII: below 0x20, or above 0x7f.
    pub(super) odd: u64,
}

/// Room for one more block than is ever written.
pub(super) type Out = [u32; BLOCK_BYTES];

/// One way of computing masks. A value of such a type is the proof that this CPU can.
pub(super) trait Simd: Copy {
    /// Tells the bytes of a block apart.
    fn classify(self, block: &Block) -> Classes;

    /// The bytes above 0x7f.
    fn high(self, block: &Block) -> u64;

    /// Each bit becomes the parity of itself and all below it.
    fn parity(self, bits: u64) -> u64;

    /// Writes the place of each bit, counted from `base`, to the front of `out`. What is behind them there is not kept.
    fn places(self, bits: u64, base: u32, out: &mut Out);

    /// [`Grammar::chunk`], compiled for this CPU.
    fn chunk(self, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress;
}

/// [`Simd::places`], one by one.
///
/// How many bits there are is hard to predict, and a wrong guess costs as much as twenty places: the first three are
/// written whether they are there or not. (Four would be made one vector, at many times the work.)
#[inline(always)]
pub(super) fn places(mut bits: u64, base: u32, out: &mut Out) {
    const MOST: usize = 3;
    let count = bits.count_ones() as usize;
    for place in &mut out[..MOST] {
        *place = base.wrapping_add(bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
    }
    if count > MOST {
        more_places(bits, base, &mut out[MOST..count]);
    }
}

#[inline(never)]
fn more_places(mut bits: u64, base: u32, out: &mut [u32]) {
    for place in out {
        *place = base.wrapping_add(bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
    }
}

/// For any CPU: eight bytes at a time in an ordinary register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Simd for Portable {
    #[inline(always)]
    fn classify(self, block: &Block) -> Classes {
        let mut classes = Classes { letter: u64::MAX, ..Classes::default() };
        for (i, word) in block.as_chunks::<8>().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let shift = 8 * i;
            // What `{` and `[`, and `}` and `]`, differ in.
            let folded = word | lanes(0x20);
            let brackets = equal(folded, b'{') | equal(folded, b'}');
            classes.quote |= gather(equal(word, b'"')) << shift;
            classes.backslash |= gather(equal(word, b'\\')) << shift;
            classes.space |= gather(equal(word, b' ')) << shift;
            classes.colon |= gather(equal(word, b':')) << shift;
            classes.comma |= gather(equal(word, b',')) << shift;
            classes.bracket |= gather(brackets) << shift;
            classes.digit |= gather(digit(word)) << shift;
            classes.mark |= gather(equal(word, b'0') | equal(word, b'.')) << shift;
            // A byte below 0x20 has none of its upper three bits set.
            classes.odd |= gather(word | !(word << 1 | word << 2)) << shift;
        }
        classes
    }

    #[inline(always)]
    fn high(self, block: &Block) -> u64 {
        let words = block.as_chunks::<8>().0.iter().enumerate();
        words.fold(0, |high, (i, word)| high | gather(u64::from_le_bytes(*word)) << (8 * i))
    }

    #[inline(always)]
    fn parity(self, mut bits: u64) -> u64 {
        for shift in [1, 2, 4, 8, 16, 32] {
            bits ^= bits << shift;
        }
        bits
    }

    #[inline(always)]
    fn places(self, bits: u64, base: u32, out: &mut Out) {
        places(bits, base, out);
    }

    fn chunk(self, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
        grammar.chunk(self, text, index)
    }
}

/// The same byte eight times.
const fn lanes(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The bytes of `word` that are `byte`, as the highest bit of each; the other bits are of no meaning.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ lanes(byte);
    // The highest bit of each byte says whether any of its bits is set: adding 0x7f carries into it from the lower
    // seven, and no further.
    let any = ((differs & lanes(0x7f)) + lanes(0x7f)) | differs;
    !any
}

/// The bytes of `word` that are digits, likewise.
#[inline(always)]
fn digit(word: u64) -> u64 {
    let value = word ^ lanes(0x30);
    // Above 9 the highest bit is set, by the addition or before it.
    !(((value & lanes(0x7f)) + lanes(0x76)) | value)
}

/// The highest bit of each byte, as eight bits.
#[inline(always)]
fn gather(word: u64) -> u64 {
    // Each of the eight bits is moved to its own place in the highest byte; no two meet on the way.
    ((word >> 7 & lanes(1)).wrapping_mul(0x0102_0408_1020_4080)) >> 56
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The same, byte by byte.
    pub(in super::super) fn slowly(block: &Block) -> Classes {
        let mask = |is: &dyn Fn(u8) -> bool| (0..64).fold(0u64, |m, i| m | u64::from(is(block[i])) << i);
        Classes {
            quote: mask(&|b| b == b'"'),
            backslash: mask(&|b| b == b'\\'),
            space: mask(&|b| b == b' '),
            colon: mask(&|b| b == b':'),
            comma: mask(&|b| b == b','),
            bracket: mask(&|b| b"{}[]".contains(&b)),
            digit: mask(&|b| b.is_ascii_digit()),
            mark: mask(&|b| b"0.".contains(&b)),
            letter: mask(&|b| b"vroiud".contains(&b)),
            odd: mask(&|b| !(0x20..0x80).contains(&b)),
        }
    }

    /// Every byte at every place, and its neighbours the other way round.
    pub(in super::super) fn check(simd: impl Simd) {
        for byte in 0..=255u8 {
            for shift in 0..64 {
                let mut block = [b'a'; 64];
                block[shift] = byte;
                block[(shift + 1) % 64] = byte.wrapping_add(1);
                block[(shift + 7) % 64] = byte ^ 0x20;
                let mut want = slowly(&block);
                let found = simd.classify(&block);
                if found.letter == u64::MAX {
                    want.letter = u64::MAX;
                }
                assert_eq!(found, want, "{byte:#x} at {shift}");
                let high = (0..64).fold(0u64, |high, i| high | u64::from(block[i] > 0x7f) << i);
                assert_eq!(simd.high(&block), high, "{byte:#x} at {shift}");
            }
        }
        for bits in [0, 1, 1 << 63, u64::MAX, 0x0123_4567_89ab_cdef, 0x8000_0001_0000_0100] {
            let parity = (0..64).fold(0u64, |m, i| m | u64::from((bits << (63 - i)).count_ones() & 1) << i);
            assert_eq!(simd.parity(bits), parity, "{bits:#x}");
            let want: Vec<u32> = (0..64).filter(|i| bits >> i & 1 != 0).map(|i| 1000 + i).collect();
            let mut out = [0; BLOCK_BYTES];
            simd.places(bits, 1000, &mut out);
            assert_eq!(out[..want.len()], want, "{bits:#x}");
        }
    }

    #[test]
    fn eight_bytes_at_a_time_say_what_single_ones_say() {
        check(Portable);
    }
}
