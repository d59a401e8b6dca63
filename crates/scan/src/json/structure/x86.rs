//! Telling bytes apart by SSE2, which every x86-64 CPU has, by AVX2 and by AVX-512.
//!
//! # Invariants
//! * An [`Avx2`] or [`Avx512`] exists only where the CPU was seen to have every feature its functions are compiled
//!   for: that is the proof of each `unsafe` block here, save for the loads, which read exactly one whole block.
#![expect(unsafe_code, reason = "vector instructions: each behind a value that proves the CPU has them")]

use super::grammar::{Grammar, Progress};
use super::index::Index;
use super::simd::{BLOCK_BYTES, Block, Classes, Out, Portable, Simd, places};
use std::arch::x86_64::*;

/// Four vectors of 16 bytes a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sse2;

impl Simd for Sse2 {
    #[inline(always)]
    fn classify(self, block: &Block) -> Classes {
        // SAFETY: SSE2 is part of every x86-64 CPU.
        unsafe { classify_sse2(block) }
    }

    #[inline(always)]
    fn high(self, block: &Block) -> u64 {
        // SAFETY: as above.
        unsafe { high_sse2(block) }
    }

    #[inline(always)]
    fn parity(self, bits: u64) -> u64 {
        Portable.parity(bits)
    }

    #[inline(always)]
    fn places(self, bits: u64, base: u32, out: &mut Out) {
        places(bits, base, out);
    }

    fn chunk(self, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
        grammar.chunk(self, text, index)
    }
}

/// Two vectors of 32 bytes a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof, if this CPU has what it takes.
    pub(super) fn detect() -> Option<Avx2> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("pclmulqdq");
        has.then_some(Avx2(()))
    }

    /// Calls `f`; what is inlined into it is compiled for this CPU, too.
    #[inline(always)]
    pub(super) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn run<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the features.
        unsafe { run(f) }
    }
}

impl Simd for Avx2 {
    #[inline(always)]
    fn classify(self, block: &Block) -> Classes {
        // SAFETY: `self` proves the features.
        unsafe { classify_avx2(block) }
    }

    #[inline(always)]
    fn high(self, block: &Block) -> u64 {
        // SAFETY: as above.
        unsafe { high_avx2(block) }
    }

    #[inline(always)]
    fn parity(self, bits: u64) -> u64 {
        // SAFETY: `self` proves the features.
        unsafe { parity(bits) }
    }

    #[inline(always)]
    fn places(self, bits: u64, base: u32, out: &mut Out) {
        places(bits, base, out);
    }

    fn chunk(self, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn chunk(simd: Avx2, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
            grammar.chunk(simd, text, index)
        }
        // SAFETY: `self` proves the features.
        unsafe { chunk(self, grammar, text, index) }
    }
}

/// One vector of 64 bytes a block, compared into masks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, if this CPU has what it takes.
    pub(super) fn detect() -> Option<Avx512> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi2")
            && Avx2::detect().is_some();
        has.then_some(Avx512(()))
    }

    /// Calls `f`; what is inlined into it is compiled for this CPU, too.
    #[inline(always)]
    pub(super) fn run<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn run<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the features.
        unsafe { run(f) }
    }
}

impl Simd for Avx512 {
    #[inline(always)]
    fn classify(self, block: &Block) -> Classes {
        // SAFETY: `self` proves the features.
        unsafe { classify_avx512(block) }
    }

    #[inline(always)]
    fn high(self, block: &Block) -> u64 {
        // SAFETY: as above.
        unsafe { high_avx512(block) }
    }

    #[inline(always)]
    fn parity(self, bits: u64) -> u64 {
        // SAFETY: `self` proves the features.
        unsafe { parity(bits) }
    }

    #[inline(always)]
    fn places(self, bits: u64, base: u32, out: &mut Out) {
        // SAFETY: `self` proves the features.
        unsafe { places_avx512(bits, base, out) }
    }

    fn chunk(self, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn chunk(simd: Avx512, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
            grammar.chunk(simd, text, index)
        }
        // SAFETY: `self` proves the features.
        unsafe { chunk(self, grammar, text, index) }
    }
}

/// Multiplying by all ones without carries gives each bit the sum of all below it, modulo two.
#[inline]
#[target_feature(enable = "pclmulqdq,sse2")]
fn parity(bits: u64) -> u64 {
    let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits.cast_signed()), _mm_set1_epi8(-1));
    _mm_cvtsi128_si64(product).cast_unsigned()
}

/// Moves `0` to the lowest signed number.
const TO_LOWEST: i8 = i8::MIN.wrapping_sub(b'0'.cast_signed());

#[inline]
#[target_feature(enable = "sse2")]
fn classify_sse2(block: &Block) -> Classes {
    let parts = block.as_chunks::<16>().0;
    // Telling the letters apart would cost more than looking at a few more keys.
    let mut classes = Classes { letter: u64::MAX, ..Classes::default() };
    let (colon, comma) = (_mm_set1_epi8(b':'.cast_signed()), _mm_set1_epi8(b','.cast_signed()));
    let (open, close) = (_mm_set1_epi8(b'{'.cast_signed()), _mm_set1_epi8(b'}'.cast_signed()));
    let (quote, backslash) = (_mm_set1_epi8(b'"'.cast_signed()), _mm_set1_epi8(b'\\'.cast_signed()));
    let space = _mm_set1_epi8(b' '.cast_signed());
    let (zero, point) = (_mm_set1_epi8(b'0'.cast_signed()), _mm_set1_epi8(b'.'.cast_signed()));
    for (i, part) in parts.iter().enumerate() {
        // SAFETY: a part is 16 bytes, and the load needs no alignment.
        let bytes = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
        let bits = |v: __m128i| u64::from(_mm_movemask_epi8(v).cast_unsigned()) << (16 * i);
        // What `{` and `[`, and `}` and `]`, differ in.
        let folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
        let bracket = _mm_or_si128(_mm_cmpeq_epi8(folded, open), _mm_cmpeq_epi8(folded, close));
        classes.quote |= bits(_mm_cmpeq_epi8(bytes, quote));
        classes.backslash |= bits(_mm_cmpeq_epi8(bytes, backslash));
        classes.space |= bits(_mm_cmpeq_epi8(bytes, space));
        classes.colon |= bits(_mm_cmpeq_epi8(bytes, colon));
        classes.comma |= bits(_mm_cmpeq_epi8(bytes, comma));
        classes.bracket |= bits(bracket);
        // The digits are moved to the lowest ten of all signed numbers.
        let moved = _mm_add_epi8(bytes, _mm_set1_epi8(TO_LOWEST));
        classes.digit |= bits(_mm_cmplt_epi8(moved, _mm_set1_epi8(i8::MIN + 10)));
        classes.mark |= bits(_mm_or_si128(_mm_cmpeq_epi8(bytes, zero), _mm_cmpeq_epi8(bytes, point)));
        // As signed numbers, the bytes above 0x7f are below 0.
        classes.odd |= bits(_mm_cmplt_epi8(bytes, space));
    }
    classes
}

#[inline]
#[target_feature(enable = "sse2")]
fn high_sse2(block: &Block) -> u64 {
    block.as_chunks::<16>().0.iter().enumerate().fold(0, |high, (i, part)| {
        // SAFETY: a part is 16 bytes, and the load needs no alignment.
        let bytes = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
        high | u64::from(_mm_movemask_epi8(bytes).cast_unsigned()) << (16 * i)
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn high_avx2(block: &Block) -> u64 {
    let (low, high) = load_avx2(block);
    let bits = |v: __m256i| u64::from(_mm256_movemask_epi8(v).cast_unsigned());
    bits(low) | bits(high) << 32
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn high_avx512(block: &Block) -> u64 {
    // SAFETY: a block is 64 bytes, and the load needs no alignment.
    _mm512_movepi8_mask(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn classify_avx2(block: &Block) -> Classes {
    let (low, high) = load_avx2(block);
    let bits = |low: __m256i, high: __m256i| {
        let (low, high) =
            (_mm256_movemask_epi8(low).cast_unsigned(), _mm256_movemask_epi8(high).cast_unsigned());
        u64::from(low) | u64::from(high) << 32
    };
    let equal = |low: __m256i, high: __m256i, byte: u8| {
        let wanted = _mm256_set1_epi8(byte.cast_signed());
        bits(_mm256_cmpeq_epi8(low, wanted), _mm256_cmpeq_epi8(high, wanted))
    };
    // As signed numbers, the bytes above 0x7f are below 0.
    let odd = |v: __m256i| _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);
    // The bracket or mark whose lower four bits a byte has, if any; brackets as braces.
    let (braces, marks) = (_mm256_broadcastsi128_si256(braces()), _mm256_broadcastsi128_si256(marks()));
    let fold = _mm256_set1_epi8(0x20);
    let bracket = |v: __m256i| _mm256_cmpeq_epi8(_mm256_or_si256(v, fold), _mm256_shuffle_epi8(braces, v));
    let mark = |v: __m256i| _mm256_cmpeq_epi8(v, _mm256_shuffle_epi8(marks, v));
    let letters = _mm256_broadcastsi128_si256(letters());
    let letter = |v: __m256i| _mm256_cmpeq_epi8(v, _mm256_shuffle_epi8(letters, v));
    // The digits are moved to the lowest ten of all signed numbers.
    let digit = |v: __m256i| {
        let moved = _mm256_add_epi8(v, _mm256_set1_epi8(TO_LOWEST));
        _mm256_cmpgt_epi8(_mm256_set1_epi8(i8::MIN + 10), moved)
    };
    Classes {
        quote: equal(low, high, b'"'),
        backslash: equal(low, high, b'\\'),
        space: equal(low, high, b' '),
        colon: equal(low, high, b':'),
        comma: equal(low, high, b','),
        bracket: bits(bracket(low), bracket(high)),
        digit: bits(digit(low), digit(high)),
        mark: bits(mark(low), mark(high)),
        letter: bits(letter(low), letter(high)),
        odd: bits(odd(low), odd(high)),
    }
}

/// For each value of the lower four bits, the brace that has it; 0, which no byte with 0x20 set is, stands for none.
#[inline]
#[target_feature(enable = "sse2")]
fn braces() -> __m128i {
    const OPEN: i8 = b'{'.cast_signed();
    const CLOSE: i8 = b'}'.cast_signed();
    _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, OPEN, 0, CLOSE, 0, 0)
}

/// The same for `0` and `.`; 1, which has other lower bits wherever it stands, stands for none. For bytes above 0x7f the
/// shuffle gives 0, which none is.
#[inline]
#[target_feature(enable = "sse2")]
fn marks() -> __m128i {
    const ZERO: i8 = b'0'.cast_signed();
    const POINT: i8 = b'.'.cast_signed();
    _mm_setr_epi8(ZERO, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, POINT, 1)
}

/// The same for `vroiud`.
#[inline]
#[target_feature(enable = "sse2")]
fn letters() -> __m128i {
    const fn at(letter: u8) -> i8 {
        letter.cast_signed()
    }
    let (r, d, u) = (at(b'r'), at(b'd'), at(b'u'));
    let (v, i, o) = (at(b'v'), at(b'i'), at(b'o'));
    _mm_setr_epi8(1, 0, r, 0, d, u, v, 0, 0, i, 0, 0, 0, 0, 0, o)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_avx2(block: &Block) -> (__m256i, __m256i) {
    let (low, high) = block.split_at(32);
    // SAFETY: each half is 32 bytes, and the load needs no alignment.
    let low = unsafe { _mm256_loadu_si256(low.as_ptr().cast()) };
    // SAFETY: as above.
    let high = unsafe { _mm256_loadu_si256(high.as_ptr().cast()) };
    (low, high)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn classify_avx512(block: &Block) -> Classes {
    // SAFETY: a block is 64 bytes, and the load needs no alignment.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let equal =
        |bytes: __m512i, byte: u8| _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte.cast_signed()));
    let (braces, marks) = (_mm512_broadcast_i32x4(braces()), _mm512_broadcast_i32x4(marks()));
    let braces = _mm512_shuffle_epi8(braces, bytes);
    let letters = _mm512_broadcast_i32x4(letters());
    let value = _mm512_sub_epi8(bytes, _mm512_set1_epi8(b'0'.cast_signed()));
    Classes {
        quote: equal(bytes, b'"'),
        backslash: equal(bytes, b'\\'),
        space: equal(bytes, b' '),
        colon: equal(bytes, b':'),
        comma: equal(bytes, b','),
        // Brackets as braces.
        bracket: _mm512_cmpeq_epi8_mask(_mm512_or_si512(bytes, _mm512_set1_epi8(0x20)), braces),
        digit: _mm512_cmplt_epu8_mask(value, _mm512_set1_epi8(10)),
        mark: _mm512_cmpeq_epi8_mask(bytes, _mm512_shuffle_epi8(marks, bytes)),
        letter: _mm512_cmpeq_epi8_mask(bytes, _mm512_shuffle_epi8(letters, bytes)),
        // As signed numbers, the bytes above 0x7f are below 0.
        odd: _mm512_cmplt_epi8_mask(bytes, _mm512_set1_epi8(0x20)),
    }
}

/// The places of up to sixteen bits at once; more are rare.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn places_avx512(bits: u64, base: u32, out: &mut Out) {
    if bits.count_ones() > 16 {
        return places(bits, base, out);
    }
    let packed = _mm512_castsi512_si128(_mm512_maskz_compress_epi8(bits, numbers()));
    let places = _mm512_add_epi32(_mm512_cvtepu8_epi32(packed), _mm512_set1_epi32(base.cast_signed()));
    const { assert!(BLOCK_BYTES >= 16) };
    // SAFETY: sixteen numbers of 32 bits, and `out` has room for 64; the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), places) }
}

/// The numbers from 0 to 63.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn numbers() -> __m512i {
    static NUMBERS: Block = {
        let mut numbers = [0; BLOCK_BYTES];
        let mut i = 0;
        while i < BLOCK_BYTES {
            #[expect(clippy::cast_possible_truncation, reason = "below 64")]
            let number = i as u8;
            numbers[i] = number;
            i += 1;
        }
        numbers
    };
    // SAFETY: a block is 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::structure::simd::tests::check;

    #[test]
    fn vectors_say_what_single_bytes_say() {
        check(Sse2);
        // Where the CPU lacks one of the two there is nothing to compare.
        if let Some(avx2) = Avx2::detect() {
            check(avx2);
        }
        if let Some(avx512) = Avx512::detect() {
            check(avx512);
        }
    }
}
