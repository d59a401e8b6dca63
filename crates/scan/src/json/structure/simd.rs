//! What differs from one kind of CPU to the next: telling 64 bytes apart.

use super::grammar::{Grammar, Progress};
use super::index::Index;
use super::skeleton::{Gathered, Skeleton};

/// How many bytes are looked at together: one for each bit of a mask.
pub(super) const BLOCK_BYTES: usize = 64;
/// The bytes of one mask.
pub(super) type Block = [u8; BLOCK_BYTES];

/// Which bytes of a block are what: one bit for each, the first byte lowest. Of bytes that are not printable ASCII it means
/// nothing, and of those within strings, save for the first two, nothing either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Classes {
    /// `"` and `\`
    pub(super) quote: u64,
    /// `\`, and what the second letter of a name is that is looked for: one of `vroiud`. Perhaps anything else, save for
    /// `"`.
    pub(super) letter: u64,
    /// The space.
    pub(super) blank: u64,
    /// `0` to `9`
    pub(super) digit: u64,
    /// `0` and `.`
    pub(super) mark: u64,
    /// What tells tokens apart.
    pub(super) kinds: Kinds,
}

/// What a token is, in three bits. A number or literal has none of them. What is gathered by bytes needs less of a block:
/// of the last two, `:` and `,`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Kinds {
    /// `{`, `[`, `]` and `}`
    pub(super) bracket: u64,
    /// `{`, `[`, `:` and `"`
    pub(super) opening: u64,
    /// `{`, `}`, `,` and `"`
    pub(super) object: u64,
}

/// What a backslash may stand before.
pub(super) const ESCAPABLE: &[u8; 9] = b"\"\\/bfnrtu";

/// Room for one more block than is ever written.
pub(super) type Out = [u32; BLOCK_BYTES];

/// One way of computing masks. A value of such a type is the proof that this CPU can.
pub(super) trait Simd: Copy {
    /// Makes a block of less than one, filled up with spaces.
    #[inline(always)]
    fn fill_up(self, end: &[u8], block: &mut Block) {
        *block = [b' '; BLOCK_BYTES];
        block.iter_mut().zip(end).for_each(|(byte, end)| *byte = *end);
    }

    /// Tells the bytes of a block apart. Returns those that are not printable ASCII: below 0x20, or above 0x7f.
    fn classify(self, block: &Block, classes: &mut Classes) -> u64;

    /// The bytes above 0x7f.
    fn high(self, block: &Block) -> u64;

    /// Tabs, line feeds and carriage returns.
    fn breaks(self, block: &Block) -> u64;

    /// What a backslash may stand before: `"\\/bfnrtu`.
    fn escapable(self, block: &Block) -> u64;

    /// Each bit becomes the parity of itself and all below it.
    fn parity(self, bits: u64) -> u64;

    /// Writes the place of each bit, counted from `base`, to the front of `out`. What is behind them there is not kept.
    fn places(self, bits: u64, base: u32, out: &mut Out);

    /// Adds the tokens of a block to a skeleton.
    fn gather(self, block: &Block, classes: &Classes, tokens: u64, out: &mut Gathered<'_>);

    /// What 64 tokens of it are.
    fn kinds(self, skeleton: &Skeleton, word: usize) -> Kinds;

    /// Moves the lowest bits to the places of those in `places`, in order.
    #[inline(always)]
    fn scatter(self, mut bits: u64, mut places: u64) -> u64 {
        let mut moved = 0;
        while places != 0 {
            moved |= places & places.wrapping_neg() & (bits & 1).wrapping_neg();
            places &= places - 1;
            bits >>= 1;
        }
        moved
    }

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
    fn classify(self, block: &Block, classes: &mut Classes) -> u64 {
        let (mut odd, mut quote, mut found) = (0, 0, Classes::default());
        for (shift, word) in words(block) {
            // `{`, which is `[` with this bit, is the same as it, and so is `}`.
            let folded = word | lanes(0x20);
            found.kinds.bracket |= gather(equal(folded, b'{') | equal(folded, b'}')) << shift;
            found.kinds.opening |= gather(equal(word, b':')) << shift;
            found.kinds.object |= gather(equal(word, b',')) << shift;
            quote |= gather(equal(word, b'"')) << shift;
            found.quote |= gather(equal(word, b'\\')) << shift;
            found.blank |= gather(equal(word, b' ')) << shift;
            found.digit |= gather(digit(word)) << shift;
            found.mark |= gather(equal(word, b'0') | equal(word, b'.')) << shift;
            // A byte below 0x20 has none of its upper three bits set.
            odd |= gather(word | !(word << 1 | word << 2)) << shift;
        }
        *classes = Classes { quote: found.quote | quote, letter: !quote, ..found };
        odd
    }

    #[inline(always)]
    fn high(self, block: &Block) -> u64 {
        words(block).fold(0, |high, (shift, word)| high | gather(word) << shift)
    }

    #[inline(always)]
    fn breaks(self, block: &Block) -> u64 {
        words(block).fold(0, |breaks, (shift, word)| {
            let here = equal(word, b'\t') | equal(word, b'\n') | equal(word, b'\r');
            breaks | gather(here) << shift
        })
    }

    #[inline(always)]
    fn escapable(self, block: &Block) -> u64 {
        words(block).fold(0, |found, (shift, word)| {
            let here = ESCAPABLE.iter().fold(0, |here, byte| here | equal(word, *byte));
            found | gather(here) << shift
        })
    }

    #[inline(always)]
    fn gather(self, block: &Block, _: &Classes, tokens: u64, out: &mut Gathered<'_>) {
        out.bytes(block, tokens);
    }

    #[inline(always)]
    fn kinds(self, skeleton: &Skeleton, word: usize) -> Kinds {
        kinds(skeleton.bytes(word))
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

/// What the bytes of a block are, taken for tokens.
#[inline(always)]
fn kinds(block: &Block) -> Kinds {
    words(block).fold(Kinds::default(), |found, (shift, word)| {
        // `{`, which is `[` with this bit, is the same as it, and so is `}`.
        let folded = word | lanes(0x20);
        let (open, close) = (equal(folded, b'{'), equal(folded, b'}'));
        let quote = equal(word, b'"');
        let of_object = equal(word, b'{') | equal(word, b'}');
        Kinds {
            bracket: found.bracket | gather(open | close) << shift,
            opening: found.opening | gather(open | equal(word, b':') | quote) << shift,
            object: found.object | gather(of_object | equal(word, b',') | quote) << shift,
        }
    })
}

/// The words of a block, each with the place of its first byte.
#[inline(always)]
fn words(block: &Block) -> impl Iterator<Item = (usize, u64)> {
    block.as_chunks::<8>().0.iter().enumerate().map(|(i, word)| (8 * i, u64::from_le_bytes(*word)))
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

    fn mask(block: &Block, is: impl Fn(u8) -> bool) -> u64 {
        (0..64).fold(0, |mask, i| mask | u64::from(is(block[i])) << i)
    }

    /// The same, byte by byte; what a level does not tell apart is said to be as it says.
    fn slowly(block: &Block, found: &Classes) -> Classes {
        let mask = |of: &'static [u8]| mask(block, |b| of.contains(&b));
        let (quote, letter) = (mask(b"\"\\"), mask(b"\\vroiud"));
        let whole = Kinds { bracket: mask(b"{}[]"), opening: mask(b"{[:\""), object: mask(b"{},\"") };
        let coarse = Kinds { opening: mask(b":"), object: mask(b","), ..whole };
        let is_coarse = (found.kinds.opening, found.kinds.object) == (coarse.opening, coarse.object);
        let kinds = if is_coarse { coarse } else { whole };
        assert_eq!(found.letter & (letter | mask(b"\"")), letter);
        Classes {
            quote,
            letter: found.letter,
            blank: mask(b" "),
            digit: mask(b"0123456789"),
            mark: mask(b"0."),
            kinds,
        }
    }

    fn kept(classes: &Classes, odd: u64) -> [u64; 8] {
        let Classes { quote, letter, blank, digit, mark, kinds } = *classes;
        [quote, letter, blank, digit, mark, kinds.bracket, kinds.opening, kinds.object].map(|m| m & !odd)
    }

    /// A skeleton of many tokens of all kinds, in blocks of few and many.
    fn check_skeleton(simd: impl Simd) {
        let text: Block = std::array::from_fn(|i| b"{}[]:,\"-0t"[i * 7 % 10]);
        let mut skeleton = Skeleton::new();
        let mut want: Vec<u8> = Vec::new();
        let mut classes = Classes::default();
        let odd = simd.classify(&text, &mut classes);
        assert_eq!(odd, 0);
        let all = [u64::MAX, 0, 1, 1 << 63, 0x1111_1111_1111_1111, 0x00ff_ff00_f0f0_0f0f, u64::MAX >> 3];
        for chunk in 0..5 {
            skeleton.begin();
            let left_over = skeleton.left_over();
            want.drain(..want.len() - left_over);
            let mut gathered = skeleton.gather();
            for tokens in all.iter().cycle().skip(chunk).take(40) {
                simd.gather(&text, &classes, *tokens, &mut gathered);
                want.extend((0..64).filter(|i| tokens >> i & 1 != 0).map(|i| text[i]));
            }
            let gathered = gathered.done();
            skeleton.end(gathered);
            assert_eq!(skeleton.len(), want.len());
            for (word, want) in want.chunks(64).enumerate() {
                let found = simd.kinds(&skeleton, word);
                let mut bytes = [b'0'; 64];
                bytes[..want.len()].copy_from_slice(want);
                let valid = u64::MAX >> (64 - want.len());
                let want = kinds(&bytes);
                assert_eq!(found.bracket & valid, want.bracket);
                assert_eq!(found.opening & valid, want.opening);
                assert_eq!(found.object & valid, want.object);
            }
        }
    }

    /// Every byte at every place, and its neighbours the other way round.
    pub(in super::super) fn check(simd: impl Simd) {
        check_skeleton(simd);
        let numbers: Block = std::array::from_fn(|i| u8::try_from(i).unwrap());
        for len in 0..BLOCK_BYTES {
            let (mut block, mut want) = ([0; BLOCK_BYTES], [b' '; BLOCK_BYTES]);
            want[..len].copy_from_slice(&numbers[..len]);
            simd.fill_up(&numbers[..len], &mut block);
            assert_eq!(block, want);
        }
        for byte in 0..=255u8 {
            for shift in 0..64 {
                let mut block = [b'a'; 64];
                block[shift] = byte;
                block[(shift + 1) % 64] = byte.wrapping_add(1);
                block[(shift + 7) % 64] = byte ^ 0x20;
                let mut found = Classes::default();
                let odd = simd.classify(&block, &mut found);
                assert_eq!(odd, mask(&block, |b| !(0x20..0x80).contains(&b)), "{byte:#x} at {shift}");
                let want = slowly(&block, &found);
                assert_eq!(kept(&found, odd), kept(&want, odd), "{byte:#x} at {shift}");
                for (found, is) in [
                    (simd.high(&block), (|b| b > 0x7f) as fn(u8) -> bool),
                    (simd.breaks(&block), |b| b"\t\n\r".contains(&b)),
                    (simd.escapable(&block), |b| ESCAPABLE.contains(&b)),
                ] {
                    assert_eq!(found, mask(&block, is), "{byte:#x} at {shift}");
                }
            }
        }
        for bits in [0, 1, 1 << 63, u64::MAX, 0x0123_4567_89ab_cdef, 0x8000_0001_0000_0100] {
            let parity = (0..64).fold(0u64, |m, i| m | u64::from((bits << (63 - i)).count_ones() & 1) << i);
            assert_eq!(simd.parity(bits), parity, "{bits:#x}");
            let want: Vec<u32> = (0..64).filter(|i| bits >> i & 1 != 0).map(|i| 1000 + i).collect();
            let mut out = [0; BLOCK_BYTES];
            simd.places(bits, 1000, &mut out);
            assert_eq!(out[..want.len()], want, "{bits:#x}");
            let odd = 0xaaaa_aaaa_aaaa_aaaa;
            let count = bits.count_ones();
            let every_second = simd.scatter(odd, bits);
            assert_eq!(every_second & !bits, 0, "{bits:#x}");
            assert_eq!(every_second.count_ones(), count / 2, "{bits:#x}");
            assert_eq!(simd.scatter(1, bits), bits & bits.wrapping_neg(), "{bits:#x}");
        }
    }

    #[test]
    fn eight_bytes_at_a_time_say_what_single_ones_say() {
        check(Portable);
    }
}
