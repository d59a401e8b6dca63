//! Segment files: prepared ahead, put to use, sealed, mapped for reading.

mod list;
pub(crate) mod map;
mod prepare;
pub(crate) mod window;

pub(crate) use list::{SegmentInfo, SegmentList};
pub(crate) use prepare::{Prepared, prepare};

/// A new salt, which tells uses of a file apart.
pub(crate) fn random_salt() -> u64 {
    let mut salt = [0; 8];
    // Where the system has no random numbers, the time does.
    if getrandom::fill(&mut salt).is_err() {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        salt = since.as_nanos().to_le_bytes()[..8].try_into().unwrap_or([0; 8]);
    }
    u64::from_le_bytes(salt)
}
