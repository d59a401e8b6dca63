//! The vector instructions of x86-64.
//!
//! # Invariants
//! * A value of [`Avx2`] or [`Avx512`] exists only where the CPU was found to have every feature its functions are compiled
//!   for: that is the proof of each `unsafe` block in these files, save for loads and stores, which say theirs.

mod avx2;
mod avx512;
mod sse2;

pub(super) use avx2::Avx2;
pub(super) use avx512::Avx512;
pub(super) use sse2::Sse2;

use std::arch::x86_64::*;

/// Multiplying by all ones without carries gives each bit the sum of all below it, modulo two.
#[inline]
#[target_feature(enable = "pclmulqdq,sse2")]
fn parity(bits: u64) -> u64 {
    let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits.cast_signed()), _mm_set1_epi8(-1));
    _mm_cvtsi128_si64(product).cast_unsigned()
}

/// Moves the lowest bits to the places of those in `places`.
#[inline]
#[target_feature(enable = "bmi2")]
fn scatter(bits: u64, places: u64) -> u64 {
    _pdep_u64(bits, places)
}

/// Moves the bits at `places` together.
#[inline]
#[target_feature(enable = "bmi2")]
fn extract(bits: u64, places: u64) -> u64 {
    _pext_u64(bits, places)
}

/// A vector that has, for each value of the lower four bits, the one byte of a class that has it. `NONE` stands for none:
/// it has other lower bits wherever it stands, save at 1. For bytes above 0x7f a shuffle gives 0, which none is.
const fn by_lower_bits(class: &[u8]) -> [u8; 16] {
    const NONE: u8 = 1;
    let mut table = [NONE; 16];
    table[NONE as usize] = 0;
    let mut i = 0;
    while i < class.len() {
        table[(class[i] & 0xf) as usize] = class[i];
        i += 1;
    }
    table
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
            check(avx2.otherwise());
        }
        if let Some(avx512) = Avx512::detect() {
            check(avx512);
        }
    }
}
