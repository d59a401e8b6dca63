//! Memory that starts where a page does, so that a device can take it as it is.

use forebay_record::GROUP_ALIGN;

/// Bytes that start at a multiple of 4096.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    /// Never grown in place: that would move it.
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    /// So many zeros. Memory that is never written takes none.
    pub(crate) fn zeroed(len: usize) -> Aligned {
        let bytes = vec![0; len + GROUP_ALIGN];
        let at = bytes.as_ptr().addr();
        Aligned { start: at.next_multiple_of(GROUP_ALIGN) - at, bytes }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(GROUP_ALIGN)
    }

    /// The first `len` of them.
    pub(crate) fn first(&self, len: usize) -> &[u8] {
        &self.bytes[self.start..][..len]
    }

    /// The first `len` of them.
    pub(crate) fn first_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.start..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_a_page_and_is_as_long_as_asked_for() {
        for len in [0, 1, GROUP_ALIGN, 1 << 20] {
            let mut aligned = Aligned::zeroed(len);
            assert_eq!((aligned.len(), aligned.first(len).len()), (len, len));
            assert!(aligned.first(len).as_ptr().addr().is_multiple_of(GROUP_ALIGN));
            aligned.first_mut(len).fill(7);
            assert!(aligned.first(len).iter().all(|b| *b == 7));
        }
        assert_eq!(Aligned::default().len(), 0);
    }
}
