//! The forms a payload travels in: `name=value` pairs, percent escapes, base64, gzip.

pub mod base64;
pub mod gzip;
mod pairs;
pub mod percent;

pub use pairs::Pairs;
