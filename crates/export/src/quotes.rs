//! The quotes of a JSON text, found 64 bytes at a time.
//!
//! A block of bytes becomes masks with a bit for each byte: quotes, backslashes, bytes that are no text. What is
//! escaped is taken out, and what is left is where strings begin and end. The bytes in between are never looked at.
//!
//! # Invariants
//! * [`Quotes::next`] gives the quotes that no backslash escapes, in order, each once.
//! * Once all have been given, [`Quotes::is_plain`] has judged every byte of the text.

use wide::u8x16;

/// What a block holds, a bit for each byte, the first one lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    /// Is there a byte below 0x20?
    control: bool,
}

const BLOCK: usize = 64;

/// Walks over the quotes of a text.
pub(crate) struct Quotes<'a> {
    text: &'a [u8],
    /// The next block starts here.
    next_block: usize,
    /// Quotes of the block before that which have not been given yet.
    mask: u64,
    /// The block before ended in a backslash that escapes what follows.
    escaping: bool,
    escapes: bool,
    odd: bool,
}

impl<'a> Quotes<'a> {
    pub(crate) fn of(text: &'a [u8]) -> Quotes<'a> {
        Quotes { text, next_block: 0, mask: 0, escaping: false, escapes: false, odd: false }
    }

    /// The place of the next quote that begins or ends a string.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            if self.next_block >= self.text.len() {
                return None;
            }
            self.load();
        }
        let place = self.next_block - BLOCK + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(place)
    }

    /// Has there been a backslash, up to the quote given last or behind it?
    #[inline]
    pub(crate) fn has_escapes(&self) -> bool {
        self.escapes
    }

    /// Was there nothing that a reader of lines would stumble over: no line break, no other control character, no
    /// half of a surrogate pair? Looks at the rest of the text.
    pub(crate) fn is_plain(&mut self) -> bool {
        while self.next_block < self.text.len() {
            self.load();
        }
        !self.odd
    }

    fn load(&mut self) {
        let rest = &self.text[self.next_block..];
        let masks = match rest.first_chunk::<BLOCK>() {
            Some(block) => masks(block),
            None => {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                masks(&block)
            }
        };
        self.odd |= masks.control;
        self.mask = masks.quotes;
        if masks.backslashes != 0 || self.escaping {
            self.mask &= !self.escaped(masks.backslashes);
        }
        self.next_block += BLOCK;
    }

    /// Which bytes of the next block are escaped.
    #[inline(never)]
    fn escaped(&mut self, backslashes: u64) -> u64 {
        self.escapes = true;
        let (mut escaped, mut left) = (u64::from(self.escaping), backslashes & !u64::from(self.escaping));
        self.escaping = false;
        while left != 0 {
            let at = left.trailing_zeros();
            self.odd |= !self.means_a_character(self.next_block + at as usize);
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

/// One instruction after the other, as no optimiser is asked to see through loops over four vectors.
#[inline]
fn masks(block: &[u8; BLOCK]) -> Masks {
    let (parts, _) = block.as_chunks::<16>();
    let (a, b) = (u8x16::from(parts[0]), u8x16::from(parts[1]));
    let (c, d) = (u8x16::from(parts[2]), u8x16::from(parts[3]));
    let (quote, backslash, largest) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
    let quotes = joined(a.simd_eq(quote), b.simd_eq(quote), c.simd_eq(quote), d.simd_eq(quote));
    let slashes = [a.simd_eq(backslash), b.simd_eq(backslash), c.simd_eq(backslash), d.simd_eq(backslash)];
    // Most blocks have none.
    let any = (slashes[0] | slashes[1]) | (slashes[2] | slashes[3]);
    let backslashes =
        if any.to_bitmask() == 0 { 0 } else { joined(slashes[0], slashes[1], slashes[2], slashes[3]) };
    let small = (a.min(largest).simd_eq(a) | b.min(largest).simd_eq(b))
        | (c.min(largest).simd_eq(c) | d.min(largest).simd_eq(d));
    Masks { quotes, backslashes, control: small.to_bitmask() != 0 }
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

    /// The same, byte by byte.
    fn model(text: &[u8]) -> Vec<usize> {
        let (mut quotes, mut at) = (Vec::new(), 0);
        while at < text.len() {
            match text[at] {
                b'\\' => at += 1,
                b'"' => quotes.push(at),
                _ => {}
            }
            at += 1;
        }
        quotes
    }

    fn found(text: &[u8]) -> (Vec<usize>, bool) {
        let mut quotes = Quotes::of(text);
        let places = std::iter::from_fn(|| quotes.next()).collect();
        (places, quotes.is_plain())
    }

    #[test]
    fn halves_of_surrogate_pairs_and_control_characters_are_noticed_wherever_they_stand() {
        for (text, plain) in [
            (r#"{"a":"b"}"#, true),
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
                assert_eq!(found(shifted.as_bytes()).1, plain, "{text} at {shift}");
            }
        }
    }

    proptest! {
        #[test]
        fn quotes_are_those_that_no_backslash_escapes(text in prop::collection::vec(prop::sample::select(b"\"\\\\a{".to_vec()), 0..300)) {
            prop_assert_eq!(found(&text).0, model(&text));
        }

        #[test]
        fn a_mask_has_a_bit_for_each_byte(
            block in prop::array::uniform32(any::<u8>()),
            other in prop::array::uniform32(prop::sample::select(b"\"\\ \x1f\x20\x00\xff!#[]".to_vec())),
        ) {
            let mut both = [0; BLOCK];
            both[..32].copy_from_slice(&block);
            both[32..].copy_from_slice(&other);
            let bits = |of: u8| (0..64).filter(|&i| both[i] == of).fold(0, |mask, i| mask | 1_u64 << i);
            let control = both.iter().any(|&b| b < 0x20);
            prop_assert_eq!(masks(&both), Masks { quotes: bits(b'"'), backslashes: bits(b'\\'), control });
        }
    }
}
