//! Four vectors of 16 bytes a block: what every x86-64 CPU can.
#![expect(unsafe_code, reason = "vector instructions that are part of x86-64")]

use crate::json::structure::grammar::{Grammar, Progress};
use crate::json::structure::index::Index;
use crate::json::structure::simd::{Block, Classes, ESCAPABLE, Kinds, Out, Portable, Simd, places};
use crate::json::structure::skeleton::{Gathered, Skeleton};
use std::arch::x86_64::*;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(in crate::json::structure) struct Sse2;

impl Simd for Sse2 {
    #[inline(always)]
    fn classify(self, block: &Block, classes: &mut Classes) -> u64 {
        // SAFETY: SSE2 is part of every x86-64 CPU.
        unsafe { classify(block, classes) }
    }

    #[inline(always)]
    fn high(self, block: &Block) -> u64 {
        // SAFETY: as above.
        unsafe { high(block) }
    }

    #[inline(always)]
    fn breaks(self, block: &Block) -> u64 {
        // SAFETY: as above.
        unsafe { any(block, b"\t\n\r") }
    }

    #[inline(always)]
    fn escapable(self, block: &Block) -> u64 {
        // SAFETY: as above.
        unsafe { any(block, ESCAPABLE) }
    }

    #[inline(always)]
    fn parity(self, bits: u64) -> u64 {
        Portable.parity(bits)
    }

    #[inline(always)]
    fn places(self, bits: u64, base: u32, out: &mut Out) {
        places(bits, base, out);
    }

    #[inline(always)]
    fn gather(self, block: &Block, _: &Classes, tokens: u64, out: &mut Gathered<'_>) {
        out.bytes(block, tokens);
    }

    #[inline(always)]
    fn kinds(self, skeleton: &Skeleton, word: usize) -> Kinds {
        // SAFETY: as above.
        unsafe { kinds(skeleton.bytes(word)) }
    }

    fn chunk(self, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
        grammar.chunk(self, text, index)
    }
}

/// The four vectors of a block, each with the place of its first byte.
#[inline]
#[target_feature(enable = "sse2")]
fn parts(block: &Block) -> [(usize, __m128i); 4] {
    let (parts, _) = block.as_chunks::<16>();
    [0, 1, 2, 3].map(|i| {
        // SAFETY: a part is 16 bytes, and the load needs no alignment.
        (16 * i, unsafe { _mm_loadu_si128(parts[i].as_ptr().cast()) })
    })
}

#[inline]
#[target_feature(enable = "sse2")]
fn bits(bytes: __m128i) -> u64 {
    u64::from(_mm_movemask_epi8(bytes).cast_unsigned())
}

#[inline]
#[target_feature(enable = "sse2")]
fn equal(bytes: __m128i, byte: u8) -> __m128i {
    _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed()))
}

#[inline]
#[target_feature(enable = "sse2")]
fn classify(block: &Block, classes: &mut Classes) -> u64 {
    /// Moves `0` to the lowest signed number.
    const TO_LOWEST: i8 = i8::MIN.wrapping_sub(b'0'.cast_signed());
    let (mut odd, mut quote, mut found) = (0, 0, Classes::default());
    for (shift, bytes) in parts(block) {
        // `{`, which is `[` with this bit, is the same as it, and so is `}`.
        let folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let bracket = _mm_or_si128(equal(folded, b'{'), equal(folded, b'}'));
        found.kinds.bracket |= bits(bracket) << shift;
        found.kinds.opening |= bits(equal(bytes, b':')) << shift;
        found.kinds.object |= bits(equal(bytes, b',')) << shift;
        quote |= bits(equal(bytes, b'"')) << shift;
        found.quote |= bits(equal(bytes, b'\\')) << shift;
        found.blank |= bits(equal(bytes, b' ')) << shift;
        // The digits are moved to the lowest ten of all signed numbers.
        let moved = _mm_add_epi8(bytes, _mm_set1_epi8(TO_LOWEST));
        found.digit |= bits(_mm_cmplt_epi8(moved, _mm_set1_epi8(i8::MIN + 10))) << shift;
        found.mark |= bits(_mm_or_si128(equal(bytes, b'0'), equal(bytes, b'.'))) << shift;
        // As signed numbers, the bytes above 0x7f are below 0.
        odd |= bits(_mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20))) << shift;
    }
    // Telling the letters apart would cost more than looking at a few more keys.
    *classes = Classes { quote: found.quote | quote, letter: !quote, ..found };
    odd
}

#[inline]
#[target_feature(enable = "sse2")]
fn kinds(block: &Block) -> Kinds {
    parts(block).iter().fold(Kinds::default(), |found, &(shift, bytes)| {
        // `{`, which is `[` with this bit, is the same as it, and so is `}`.
        let folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let (open, close) = (equal(folded, b'{'), equal(folded, b'}'));
        let quote = equal(bytes, b'"');
        let opening = _mm_or_si128(_mm_or_si128(open, equal(bytes, b':')), quote);
        let braces = _mm_or_si128(equal(bytes, b'{'), equal(bytes, b'}'));
        let object = _mm_or_si128(_mm_or_si128(braces, equal(bytes, b',')), quote);
        Kinds {
            bracket: found.bracket | bits(_mm_or_si128(open, close)) << shift,
            opening: found.opening | bits(opening) << shift,
            object: found.object | bits(object) << shift,
        }
    })
}

#[inline]
#[target_feature(enable = "sse2")]
fn high(block: &Block) -> u64 {
    parts(block).iter().fold(0, |high, (shift, bytes)| high | bits(*bytes) << shift)
}

/// The bytes that are one of `of`.
#[inline]
#[target_feature(enable = "sse2")]
fn any(block: &Block, of: &[u8]) -> u64 {
    parts(block).iter().fold(0, |found, (shift, bytes)| {
        let none = _mm_setzero_si128();
        found | bits(of.iter().fold(none, |here, byte| _mm_or_si128(here, equal(*bytes, *byte)))) << shift
    })
}
