//! A credential as the server keeps it: a keyed digest, never the credential.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// HMAC-SHA-256 of a credential under the server's key.
///
/// Compared in constant time; printed as its first bytes only.
#[derive(Clone, Copy)]
pub struct Mac(pub [u8; 32]);

impl PartialEq for Mac {
    fn eq(&self, other: &Mac) -> bool {
        // No early exit: the time says nothing about where two digests differ.
        self.0.iter().zip(&other.0).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
    }
}

impl Eq for Mac {}

impl Hash for Mac {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}
