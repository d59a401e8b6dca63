//! Two vectors of 32 bytes a block.
#![expect(unsafe_code, reason = "vector instructions: each behind a value that proves the CPU has them")]

use super::{by_lower_bits, extract, parity, scatter};
use crate::json::structure::Task;
use crate::json::structure::grammar::{Grammar, Progress};
use crate::json::structure::index::Index;
use crate::json::structure::simd::{Block, Classes, ESCAPABLE, Kinds, Out, Simd, places};
use crate::json::structure::skeleton::{Gathered, Skeleton};
use std::arch::x86_64::*;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(in crate::json::structure) struct Avx2 {
    /// Tokens are gathered by bytes, not by bits.
    by_bytes: bool,
}

impl Avx2 {
    /// The proof, if this CPU has what it takes.
    pub(in crate::json::structure) fn detect() -> Option<Avx2> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("pclmulqdq");
        has.then(|| Avx2 { by_bytes: extracts_slowly() })
    }

    /// The other way of gathering tokens.
    #[cfg(test)]
    pub(super) fn otherwise(self) -> Avx2 {
        Avx2 { by_bytes: !self.by_bytes }
    }

    /// Does the task, compiled for this CPU.
    #[inline(always)]
    pub(in crate::json::structure) fn run<T: Task>(self, task: T) -> T::Output {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn run<T: Task>(task: T) -> T::Output {
            task.run()
        }
        // SAFETY: `self` proves the features.
        unsafe { run(task) }
    }
}

/// AMD's CPUs before Zen 3 move bits together one by one, which takes longer than the vectors save.
fn extracts_slowly() -> bool {
    let (vendor, signature) = (__cpuid(0), __cpuid(1).eax);
    let is_amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD";
    let family = (signature >> 8 & 0xf) + (signature >> 20 & 0xff);
    is_amd && family < 0x19
}

impl Simd for Avx2 {
    #[inline(always)]
    fn classify(self, block: &Block, classes: &mut Classes) -> u64 {
        // SAFETY: `self` proves the features.
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
        // SAFETY: as above.
        unsafe { parity(bits) }
    }

    #[inline(always)]
    fn places(self, bits: u64, base: u32, out: &mut Out) {
        places(bits, base, out);
    }

    #[inline(always)]
    fn gather(self, block: &Block, classes: &Classes, tokens: u64, out: &mut Gathered<'_>) {
        if self.by_bytes {
            out.bytes(block, tokens);
        } else {
            // SAFETY: as above.
            out.bits(&classes.kinds, tokens, |bits, places| unsafe { extract(bits, places) });
        }
    }

    #[inline(always)]
    fn kinds(self, skeleton: &Skeleton, word: usize) -> Kinds {
        if self.by_bytes {
            // SAFETY: as above.
            unsafe { kinds(skeleton.bytes(word)) }
        } else {
            skeleton.bits(word)
        }
    }

    #[inline(always)]
    fn scatter(self, bits: u64, places: u64) -> u64 {
        // SAFETY: as above.
        unsafe { scatter(bits, places) }
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

/// The bytes of a block.
#[derive(Clone, Copy)]
struct Bytes {
    low: __m256i,
    high: __m256i,
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(block: &Block) -> Bytes {
    let (low, high) = block.split_at(32);
    // SAFETY: each half is 32 bytes, and the load needs no alignment.
    let low = unsafe { _mm256_loadu_si256(low.as_ptr().cast()) };
    // SAFETY: as above.
    let high = unsafe { _mm256_loadu_si256(high.as_ptr().cast()) };
    Bytes { low, high }
}

#[inline]
#[target_feature(enable = "avx2")]
fn bits(low: __m256i, high: __m256i) -> u64 {
    let (low, high) = (_mm256_movemask_epi8(low).cast_unsigned(), _mm256_movemask_epi8(high).cast_unsigned());
    u64::from(low) | u64::from(high) << 32
}

#[inline]
#[target_feature(enable = "avx2")]
fn equal(bytes: Bytes, byte: u8) -> u64 {
    let wanted = _mm256_set1_epi8(byte.cast_signed());
    bits(_mm256_cmpeq_epi8(bytes.low, wanted), _mm256_cmpeq_epi8(bytes.high, wanted))
}

/// The bytes of `compared` that are the one that `table` has for the lower bits of `bytes`.
#[inline]
#[target_feature(enable = "avx2")]
fn in_table(compared: Bytes, bytes: Bytes, table: &'static [u8; 16]) -> u64 {
    // SAFETY: a table is 16 bytes, and the load needs no alignment.
    let table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) });
    bits(
        _mm256_cmpeq_epi8(compared.low, _mm256_shuffle_epi8(table, bytes.low)),
        _mm256_cmpeq_epi8(compared.high, _mm256_shuffle_epi8(table, bytes.high)),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn classify(block: &Block, classes: &mut Classes) -> u64 {
    static QUOTES: [u8; 16] = by_lower_bits(b"\"\\");
    static LETTERS: [u8; 16] = by_lower_bits(b"\\vroiud");
    static MARKS: [u8; 16] = by_lower_bits(b"0.");
    /// Moves `0` to the lowest signed number.
    const TO_LOWEST: i8 = i8::MIN.wrapping_sub(b'0'.cast_signed());
    let bytes = load(block);
    // The digits are moved to the lowest ten of all signed numbers.
    let digit = |v: __m256i| {
        let moved = _mm256_add_epi8(v, _mm256_set1_epi8(TO_LOWEST));
        _mm256_cmpgt_epi8(_mm256_set1_epi8(i8::MIN + 10), moved)
    };
    *classes = Classes {
        quote: in_table(bytes, bytes, &QUOTES),
        letter: in_table(bytes, bytes, &LETTERS),
        blank: equal(bytes, b' '),
        digit: bits(digit(bytes.low), digit(bytes.high)),
        mark: in_table(bytes, bytes, &MARKS),
        kinds: kinds(block),
    };
    // As signed numbers, the bytes above 0x7f are below 0.
    let printed = _mm256_set1_epi8(0x20);
    bits(_mm256_cmpgt_epi8(printed, bytes.low), _mm256_cmpgt_epi8(printed, bytes.high))
}

#[inline]
#[target_feature(enable = "avx2")]
fn kinds(block: &Block) -> Kinds {
    static BRACES: [u8; 16] = by_lower_bits(b"{}");
    static OPENING: [u8; 16] = by_lower_bits(b"{:\"");
    static OBJECT: [u8; 16] = by_lower_bits(b"{},\"");
    let bytes = load(block);
    // Brackets as braces.
    let fold = |v: __m256i| _mm256_or_si256(v, _mm256_set1_epi8(0x20));
    let folded = Bytes { low: fold(bytes.low), high: fold(bytes.high) };
    Kinds {
        bracket: in_table(folded, bytes, &BRACES),
        opening: in_table(folded, bytes, &OPENING),
        object: in_table(bytes, bytes, &OBJECT),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn high(block: &Block) -> u64 {
    let bytes = load(block);
    bits(bytes.low, bytes.high)
}

/// The bytes that are one of `of`.
#[inline]
#[target_feature(enable = "avx2")]
fn any(block: &Block, of: &[u8]) -> u64 {
    let bytes = load(block);
    of.iter().fold(0, |found, byte| found | equal(bytes, *byte))
}
