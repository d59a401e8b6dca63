//! The places in a JSON text where something starts.
//!
//! A token is the position of a brace, a bracket, a colon, a comma, or the first byte of a string, number
//! or literal. Two things find them: simd-json's first stage ([`Indexed`]), and the scalar tokenizer
//! ([`super::scalar::Scalar`]), which also validates.

use crate::ScanError;

/// Steps over the tokens of a JSON text, always standing on one.
pub(super) trait Tokens {
    /// The position of the current token, or the place where they end.
    fn at(&self) -> usize;

    /// Steps to the next token; stays where they end.
    fn advance(&mut self) -> Result<(), ScanError>;
}

/// Tokens that simd-json found, in a text that it found valid.
pub(super) struct Indexed<'a> {
    index: std::slice::Iter<'a, u32>,
    /// Added to a position, wrapping: the text parsed was a piece of the one walked.
    shift: usize,
    at: usize,
    end: usize,
}

impl<'a> Indexed<'a> {
    /// Over `index`, each position moved by `shift`, up to `end`.
    pub(super) fn new(index: &'a [u32], shift: usize, end: usize) -> Indexed<'a> {
        let mut tokens = Indexed { index: index.iter(), shift, at: end, end };
        tokens.step();
        tokens
    }

    fn step(&mut self) {
        self.at = match self.index.next() {
            Some(&at) => (at as usize).wrapping_add(self.shift),
            None => self.end,
        };
    }
}

impl Tokens for Indexed<'_> {
    #[inline]
    fn at(&self) -> usize {
        self.at
    }

    #[inline]
    fn advance(&mut self) -> Result<(), ScanError> {
        self.step();
        Ok(())
    }
}
