//! What the fuzz targets share: the plain twins, and segments to damage.
//!
//! ```text
//! python3 seeds.py                       # corpus/ from the repository's vectors and captures
//! cargo +nightly fuzz run payload        # or any other of `cargo fuzz list`
//! cargo fuzz run -s none payload         # on a stable toolchain: no sanitizer, the same comparisons
//! ```
//! A twin does what its parser does, written for being obviously right: byte by byte, no tricks, nothing
//! shared with what it judges.

// The builder of segments that the unit tests of `forebay-record` use; its `crate::` is this crate.
#[allow(dead_code)]
#[path = "../../crates/record/src/sample.rs"]
mod sample;
use forebay_record::*;

pub mod damage;
pub mod requests;
pub mod twins;
