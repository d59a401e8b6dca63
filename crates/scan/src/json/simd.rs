//! simd-json: validates a text and finds its tokens.
//!
//! It resolves escapes in place, so it parses a copy; the positions it finds hold for the original.

use simd_json::{Buffers, INPUT_PADDING, Tape, fill_tape_padded};

/// What is appended to the copy for the vector loads that reach past its end.
const PADDING: [u8; INPUT_PADDING] = [b' '; INPUT_PADDING];

/// The buffers of one parse after the other.
pub(super) struct Fast {
    copy: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Fast {
    pub(super) fn new(depth_max: usize) -> Fast {
        Fast { copy: Vec::new(), buffers: Buffers::with_max_depth(0, depth_max), tape: Tape(Vec::new()) }
    }

    /// The tokens of `before`, `text` and `after` put together, if that is valid JSON to simd-json.
    ///
    /// It refuses some text that is valid: see [`super::scalar`].
    pub(super) fn index(&mut self, before: &[u8], text: &[u8], after: &[u8]) -> Option<&[u32]> {
        self.copy.clear();
        for part in [before, text, after, &PADDING] {
            self.copy.extend_from_slice(part);
        }
        let len = self.copy.len() - INPUT_PADDING;
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let valid = fill_tape_padded(&mut self.copy, len, &mut self.buffers, &mut tape).is_ok();
        self.tape = tape.reset();
        valid.then(|| self.buffers.structural_indexes())
    }
}
