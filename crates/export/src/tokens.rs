//! Where the structure of a JSON text stands, found 64 bytes at a time.
//!
//! A block of bytes becomes masks with a bit for each byte: quotes, backslashes, brackets and commas. Quotes that no
//! backslash escapes are where strings begin and end; what stands between them is no structure. The places of what is
//! left are written down one after the other, so that whoever walks over them never looks at a byte in between.
//!
//! # Invariants
//! * [`Tokens::find`] gives the brackets and commas outside of strings, in order, each once.
//! * What it gives is of a text that a reader of lines does not stumble over: without line breaks, other control
//!   characters, or halves of surrogate pairs.

use wide::u8x16;

/// What a block holds, a bit for each byte, the first one lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    /// Brackets and commas.
    marks: u64,
}

const BLOCK: usize = BLOCK_PLACES as usize;
const BLOCK_PLACES: u32 = 64;
/// Tokens that a text may have; more than that is not ordinary. Nearly all have less than a hundred.
const TOKENS_MAX: usize = 8192;
/// Places that are written down before asking whether there are more: most blocks have no more.
const AT_ONCE: usize = 4;

/// Memory for the places of one text after the other.
#[derive(Debug)]
pub(crate) struct Tokens {
    places: Box<[u32]>,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens { places: vec![0; TOKENS_MAX + BLOCK].into() }
    }
}

impl Tokens {
    /// The places of what `text` is structured by, in order. `None` if a line cannot have it as it is, if a string
    /// does not end, or if there are too many.
    pub(crate) fn find(&mut self, text: &[u8]) -> Option<&[u32]> {
        // Places are 32 bits wide, and one behind the text is written down before it is known to be none.
        if text.len() >= (u32::MAX - BLOCK_PLACES) as usize {
            return None;
        }
        let mut strings = Strings { text, inside: 0, escaping: false, odd: false };
        let mut smallest = u8x16::splat(b' ');
        let (blocks, rest) = text.as_chunks::<BLOCK>();
        let (mut base, mut count) = (0, 0);
        for block in blocks {
            let tokens = strings.tokens(base as usize, masks(block, &mut smallest));
            count += write_down(tokens, base, self.places.get_mut(count..)?.first_chunk_mut()?);
            base += BLOCK_PLACES;
        }
        if !rest.is_empty() {
            let mut block = [b' '; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            let tokens = strings.tokens(base as usize, masks(&block, &mut smallest));
            count += write_down(tokens, base, self.places.get_mut(count..)?.first_chunk_mut()?);
        }
        let control = smallest.to_array().iter().any(|&byte| byte < b' ');
        if strings.odd || strings.inside != 0 || control { None } else { self.places.get(..count) }
    }
}

/// Appends the places of the bits in `tokens`; returns how many there are. What is behind them is overwritten.
#[inline]
fn write_down(tokens: u64, base: u32, places: &mut [u32; BLOCK]) -> usize {
    let mut left = tokens;
    let (some, _) = places.as_chunks_mut::<AT_ONCE>();
    for places in some {
        // How many there are is hard to foretell, so the end of each is not asked for.
        for place in places {
            *place = base + left.trailing_zeros();
            left &= left.wrapping_sub(1);
        }
        if left == 0 {
            break;
        }
    }
    tokens.count_ones() as usize
}

/// Tells strings from what stands between them, block by block.
struct Strings<'a> {
    text: &'a [u8],
    /// All ones if the block before ended within a string, else zero.
    inside: u64,
    /// The block before ended in a backslash that escapes what follows.
    escaping: bool,
    odd: bool,
}

impl Strings<'_> {
    /// The tokens of the next block, which starts at `base`.
    #[inline]
    fn tokens(&mut self, base: usize, masks: Masks) -> u64 {
        let mut quotes = masks.quotes;
        if masks.backslashes != 0 || self.escaping {
            quotes &= !self.escaped(base, masks.backslashes);
        }
        // Each bit becomes the parity of the quotes up to it.
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        masks.marks & !inside
    }

    /// Which bytes of the block at `base` are escaped.
    #[inline(never)]
    fn escaped(&mut self, base: usize, backslashes: u64) -> u64 {
        let (mut escaped, mut left) = (u64::from(self.escaping), backslashes & !u64::from(self.escaping));
        self.escaping = false;
        while left != 0 {
            let at = left.trailing_zeros();
            self.odd |= !self.means_a_character(base + at as usize);
            if at == 63 {
                self.escaping = true;
                break;
            }
            escaped |= 2 << at;
            left &= !(3 << at);
        }
        escaped
    }

    /// Is the escape at `at` other than half of a surrogate pair? Of a whole pair the second half is not asked for
    /// in vain: it looks back.
    fn means_a_character(&self, at: usize) -> bool {
        match half(self.text.get(at..)) {
            None => true,
            Some(Half::First) => half(self.text.get(at + 6..)) == Some(Half::Second),
            Some(Half::Second) => {
                let before = at.checked_sub(6).and_then(|from| self.text.get(from..));
                // What stands there may be the end of an escaped backslash: `\\ud83d\ude00`.
                let slashes = self.text[..at.saturating_sub(6)].iter().rev().take_while(|b| **b == b'\\');
                half(before) == Some(Half::First) && slashes.count() % 2 == 0
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    First,
    Second,
}

/// Which half of a surrogate pair the text starts with as an escape.
fn half(text: Option<&[u8]>) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', third, fourth, fifth, ..] = text? else { return None };
    if !fourth.is_ascii_hexdigit() || !fifth.is_ascii_hexdigit() {
        return None;
    }
    match third {
        b'8' | b'9' | b'a' | b'A' | b'b' | b'B' => Some(Half::First),
        b'c'..=b'f' | b'C'..=b'F' => Some(Half::Second),
        _ => None,
    }
}

/// What a block holds; `smallest` becomes the least of what it was and the block's bytes, lane by lane.
///
/// One instruction after the other, as no optimiser is asked to see through loops over four vectors.
#[inline]
fn masks(block: &[u8; BLOCK], smallest: &mut u8x16) -> Masks {
    let (parts, _) = block.as_chunks::<16>();
    let (a, b) = (u8x16::from(parts[0]), u8x16::from(parts[1]));
    let (c, d) = (u8x16::from(parts[2]), u8x16::from(parts[3]));
    *smallest = smallest.min(a.min(b)).min(c.min(d));
    let (quote, backslash) = (u8x16::splat(b'"'), u8x16::splat(b'\\'));
    let quotes = joined(a.simd_eq(quote), b.simd_eq(quote), c.simd_eq(quote), d.simd_eq(quote));
    let slashes = [a.simd_eq(backslash), b.simd_eq(backslash), c.simd_eq(backslash), d.simd_eq(backslash)];
    // Most blocks have none.
    let any = (slashes[0] | slashes[1]) | (slashes[2] | slashes[3]);
    let backslashes =
        if any.to_bitmask() == 0 { 0 } else { joined(slashes[0], slashes[1], slashes[2], slashes[3]) };
    Masks { quotes, backslashes, marks: joined(marks(a), marks(b), marks(c), marks(d)) }
}

/// Which bytes are brackets or commas.
#[inline]
fn marks(bytes: u8x16) -> u8x16 {
    // Square brackets and braces differ in one bit, and nothing else becomes a brace by it.
    let folded = bytes | u8x16::splat(0x20);
    (folded.simd_eq(u8x16::splat(b'{')) | folded.simd_eq(u8x16::splat(b'}')))
        | bytes.simd_eq(u8x16::splat(b','))
}

/// The top bits of 64 bytes.
#[inline]
fn joined(a: u8x16, b: u8x16, c: u8x16, d: u8x16) -> u64 {
    let (a, b) = (u64::from(a.to_bitmask()), u64::from(b.to_bitmask()));
    let (c, d) = (u64::from(c.to_bitmask()), u64::from(d.to_bitmask()));
    (a | b << 16) | (c << 32 | d << 48)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, byte by byte; `None` if a string does not end.
    fn model(text: &[u8]) -> Option<Vec<usize>> {
        let (mut places, mut at, mut inside) = (Vec::new(), 0, false);
        while at < text.len() {
            match text[at] {
                // A quote behind it is none.
                b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 1,
                b'"' => inside = !inside,
                b'{' | b'}' | b'[' | b']' | b',' if !inside => places.push(at),
                _ => {}
            }
            at += 1;
        }
        (!inside).then_some(places)
    }

    fn found(text: &[u8]) -> Option<Vec<usize>> {
        let mut tokens = Tokens::default();
        tokens.find(text).map(|places| places.iter().map(|&p| p as usize).collect())
    }

    #[test]
    fn as_many_tokens_as_there_is_room_for_are_found_and_more_are_not_ordinary() {
        for count in [0, 1, TOKENS_MAX, TOKENS_MAX + 65] {
            let expected = (count <= TOKENS_MAX).then(|| (0..count).collect::<Vec<_>>());
            assert_eq!(found(&b",".repeat(count)), expected, "{count}");
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_and_control_characters_are_noticed_wherever_they_stand() {
        for (text, plain) in [
            (r#"{"a":"b"}"#, true),
            (r#"{"a":"b}"#, false),
            (r"\ud83d\ude00", true),
            (r"\uD83D\uDE00\ud83d\ude00", true),
            (r"\ud83d", false),
            (r"\ude00", false),
            (r"\ude00\ud83d", false),
            (r"\ud83d\ud83d\ude00", false),
            (r"\ud83d\ude00\ude00", false),
            (r"\\ud83d", true),
            (r"\\\ud83d", false),
            (r"\\ud83d\ude00", false),
            (r"\\\ud83d\ude00", true),
            (r"\ud83dx\ude00", false),
            (r"\u00e9\n\ud7ff\ue000", true),
            ("a\nb", false),
            ("a\tb", false),
            ("a\u{7f}é", true),
        ] {
            for shift in 0..130 {
                let shifted = "x".repeat(shift) + text + &"y".repeat(shift % 7);
                assert_eq!(found(shifted.as_bytes()).is_some(), plain, "{text} at {shift}");
            }
        }
    }

    proptest! {
        #[test]
        fn tokens_are_the_structure_outside_of_strings(
            text in prop::collection::vec(prop::sample::select(b"\"\\\\a{[:,]}".to_vec()), 0..300)
        ) {
            prop_assert_eq!(found(&text), model(&text));
        }

        #[test]
        fn a_mask_has_a_bit_for_each_byte(
            block in prop::array::uniform32(any::<u8>()),
            other in prop::array::uniform32(prop::sample::select(b"\"\\ \x1f\x20\x00\xff!#[]{}:,;+-".to_vec())),
        ) {
            let mut both = [0; BLOCK];
            both[..32].copy_from_slice(&block);
            both[32..].copy_from_slice(&other);
            let bits = |of: &[u8]| (0..64).filter(|&i| of.contains(&both[i])).fold(0, |mask, i| mask | 1_u64 << i);
            let mut smallest = u8x16::splat(b' ');
            let expected = Masks { quotes: bits(b"\""), backslashes: bits(b"\\"), marks: bits(b"{}[],") };
            prop_assert_eq!(masks(&both, &mut smallest), expected);
            let least = smallest.to_array().into_iter().min();
            prop_assert_eq!(least, both.iter().copied().chain([b' ']).min());
        }
    }
}
