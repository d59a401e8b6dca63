//! The places in a JSON text where something starts.
//!
//! A token is the position of a brace, a bracket, a colon, a comma, or the first byte of a string, number
//! or literal. The scalar tokenizer finds and validates them ([`super::scalar::Scalar`]).

use crate::ScanError;

/// Steps over the tokens of a JSON text, always standing on one.
pub(super) trait Tokens {
    /// The position of the current token, or the place where they end.
    fn at(&self) -> usize;

    /// Steps to the next token; stays where they end.
    fn advance(&mut self) -> Result<(), ScanError>;
}
