//! One vector of 64 bytes a block.
//!
//! The classes of a byte are looked up, one bit each. What is wanted is the other way round: one mask for each class. Eight
//! bytes of eight bits are a matrix, and turning that is one instruction.
#![expect(unsafe_code, reason = "vector instructions: each behind a value that proves the CPU has them")]

use super::avx2::Avx2;
use super::{parity, scatter};
use crate::json::structure::Task;
use crate::json::structure::grammar::{Grammar, Progress};
use crate::json::structure::index::Index;
use crate::json::structure::simd::{BLOCK_BYTES, Block, Classes, ESCAPABLE, Kinds, Out, Simd, places};
use crate::json::structure::skeleton::{Gathered, Skeleton};
use std::arch::x86_64::*;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(in crate::json::structure) struct Avx512(());

impl Avx512 {
    /// The proof, if this CPU has what it takes.
    pub(in crate::json::structure) fn detect() -> Option<Avx512> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("gfni")
            && Avx2::detect().is_some();
        has.then_some(Avx512(()))
    }

    /// Does the task, compiled for this CPU.
    #[inline(always)]
    pub(in crate::json::structure) fn run<T: Task>(self, task: T) -> T::Output {
        #[target_feature(
            enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,gfni,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq"
        )]
        fn run<T: Task>(task: T) -> T::Output {
            task.run()
        }
        // SAFETY: `self` proves the features.
        unsafe { run(task) }
    }
}

impl Simd for Avx512 {
    #[inline(always)]
    fn fill_up(self, end: &[u8], block: &mut Block) {
        // SAFETY: `self` proves the features.
        unsafe { fill_up(end, block) }
    }

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
        // SAFETY: as above.
        unsafe { places_avx512(bits, base, out) }
    }

    #[inline(always)]
    fn gather(self, block: &Block, _: &Classes, tokens: u64, out: &mut Gathered<'_>) {
        // SAFETY: as above.
        out.with(tokens, |out| unsafe { gather(block, tokens, out) });
    }

    #[inline(always)]
    fn kinds(self, skeleton: &Skeleton, word: usize) -> Kinds {
        // SAFETY: as above.
        unsafe { kinds(skeleton.bytes(word)) }
    }

    #[inline(always)]
    fn scatter(self, bits: u64, places: u64) -> u64 {
        // SAFETY: as above.
        unsafe { scatter(bits, places) }
    }

    fn chunk(self, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
        #[target_feature(
            enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,gfni,avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq"
        )]
        fn chunk(simd: Avx512, grammar: &mut Grammar, text: &[u8], index: &mut Index) -> Progress {
            grammar.chunk(simd, text, index)
        }
        // SAFETY: `self` proves the features.
        unsafe { chunk(self, grammar, text, index) }
    }
}

/// The classes of each ASCII character, as the bits of a byte: in the order of the fields of [`Classes`].
static CLASSES: [Block; 2] = {
    let classes: [&[u8]; 8] = [b"\"\\", b"\\vroiud", b" ", b"0123456789", b"0.", b"{}[]", b"{[:\"", b"{},\""];
    let mut table = [[0; BLOCK_BYTES]; 2];
    let mut class = 0;
    while class < classes.len() {
        let mut i = 0;
        while i < classes[class].len() {
            let byte = classes[class][i] as usize;
            table[byte / BLOCK_BYTES][byte % BLOCK_BYTES] |= 1 << class;
            i += 1;
        }
        class += 1;
    }
    table
};

/// The numbers from 0 to 63.
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

/// Byte `8 * column + row` is `8 * row + column`.
static TURNED: Block = {
    let mut turned = [0; BLOCK_BYTES];
    let mut i = 0;
    while i < BLOCK_BYTES {
        turned[i] = NUMBERS[8 * (i % 8) + i / 8];
        i += 1;
    }
    turned
};

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load(block: &Block) -> __m512i {
    // SAFETY: a block is 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(block.as_ptr().cast()) }
}

/// In one piece, because it is read as one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn fill_up(end: &[u8], block: &mut Block) {
    let there = match BLOCK_BYTES - end.len().min(BLOCK_BYTES) {
        BLOCK_BYTES => 0,
        missing => u64::MAX >> missing,
    };
    let spaces = _mm512_set1_epi8(b' '.cast_signed());
    // SAFETY: of the bytes from `end` on, only as many as it has are loaded.
    let bytes = unsafe { _mm512_mask_loadu_epi8(spaces, there, end.as_ptr().cast()) };
    // SAFETY: a block is 64 bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), bytes) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
fn classify(block: &Block, classes: &mut Classes) -> u64 {
    /// Byte `i` has bit `i`: a matrix that turns the bits of a byte round, and the bytes that pick out each row of one.
    const BITS: i64 = i64::from_le_bytes([1, 2, 4, 8, 16, 32, 64, 128]);
    const { assert!(size_of::<Classes>() == size_of::<Block>()) };
    let (bytes, bits) = (load(block), _mm512_set1_epi64(BITS));
    // As signed numbers, the bytes above 0x7f are below 0.
    let printed = _mm512_cmpge_epi8_mask(bytes, _mm512_set1_epi8(0x20));
    let each = _mm512_maskz_permutex2var_epi8(printed, load(&CLASSES[0]), bytes, load(&CLASSES[1]));
    // Of each eight bytes, a byte for each class. The product has the last byte as the lowest bit.
    let backward = _mm512_gf2p8affine_epi64_epi8::<0>(bits, each);
    let eights = _mm512_gf2p8affine_epi64_epi8::<0>(backward, bits);
    let masks = _mm512_permutexvar_epi8(load(&TURNED), eights);
    // SAFETY: `Classes` is eight numbers of 64 bits in this order; the store needs no alignment.
    unsafe { _mm512_storeu_si512(std::ptr::from_mut(classes).cast(), masks) };
    !printed
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn kinds(tokens: &Block) -> Kinds {
    let bytes = load(tokens);
    let classes = _mm512_permutex2var_epi8(load(&CLASSES[0]), bytes, load(&CLASSES[1]));
    let class = |bit: i8| _mm512_test_epi8_mask(classes, _mm512_set1_epi8(bit));
    // Tokens are ASCII, or no number or literal: that is found out elsewhere.
    Kinds { bracket: class(1 << 5), opening: class(1 << 6), object: class(i8::MIN) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn high(block: &Block) -> u64 {
    _mm512_movepi8_mask(load(block))
}

/// The bytes that are one of `of`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn any(block: &Block, of: &[u8]) -> u64 {
    let bytes = load(block);
    of.iter()
        .fold(0, |found, byte| found | _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(byte.cast_signed())))
}

/// The bytes that `bits` says, moved to the front.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2")]
fn gather(block: &Block, bits: u64, out: &mut Block) {
    let front = _mm512_maskz_compress_epi8(bits, load(block));
    // SAFETY: `out` is a block, too; the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), front) }
}

/// The places of up to sixteen bits at once; more are rare.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
fn places_avx512(bits: u64, base: u32, out: &mut Out) {
    if bits.count_ones() > 16 {
        return places(bits, base, out);
    }
    let packed = _mm512_castsi512_si128(_mm512_maskz_compress_epi8(bits, load(&NUMBERS)));
    let places = _mm512_add_epi32(_mm512_cvtepu8_epi32(packed), _mm512_set1_epi32(base.cast_signed()));
    const { assert!(BLOCK_BYTES >= 16) };
    // SAFETY: sixteen numbers of 32 bits, and `out` has room for 64; the store needs no alignment.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), places) }
}
