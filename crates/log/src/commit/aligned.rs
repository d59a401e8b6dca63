//! Memory that starts where a page does, so that a device can take it as it is.
//!
//! Much of it is asked for in huge pages: a device is then handed one piece and not one for every 4 KiB, which halved the
//! CPU time of a direct write of 1 MiB and made it a quarter faster (see docs/performance.md). A system that has none to
//! give leaves ordinary ones.

use forebay_record::GROUP_ALIGN;
use memmap2::{Advice, MmapMut};
use std::io;

/// What x86-64, and aarch64 with pages of 4 KiB, call huge.
const HUGE: usize = 2 << 20;
/// From so many bytes on, a huge page is worth the memory of it that is not used.
const HUGE_WORTH: usize = 64 << 10;

/// Bytes that start at a multiple of 4096.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    /// `None` if there are no bytes.
    map: Option<MmapMut>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// At least so many zeros. Memory that is never written takes none.
    ///
    /// # Errors
    /// When the system has no memory to give.
    pub(crate) fn zeroed(len: usize) -> io::Result<Aligned> {
        if len < HUGE_WORTH {
            let map = MmapMut::map_anon(len.next_multiple_of(GROUP_ALIGN).max(GROUP_ALIGN))?;
            return Ok(Aligned { start: 0, len: map.len(), map: Some(map) });
        }
        let len = len.next_multiple_of(HUGE);
        // What is mapped starts at some page: a huge one starts up to its own length behind.
        let map = MmapMut::map_anon(len + HUGE)?;
        let at = map.as_ptr().addr();
        let start = at.next_multiple_of(HUGE) - at;
        // A hint: refused, it costs speed.
        let _ = map.advise_range(Advice::HugePage, start, len);
        Ok(Aligned { map: Some(map), start, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first `len` of them.
    pub(crate) fn first(&self, len: usize) -> &[u8] {
        &self.map.as_deref().unwrap_or_default()[self.start..][..len]
    }

    /// The first `len` of them.
    pub(crate) fn first_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.map.as_deref_mut().unwrap_or_default()[self.start..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_a_page_and_has_at_least_what_was_asked_for() {
        for len in [0, 1, GROUP_ALIGN, HUGE_WORTH - 1, HUGE_WORTH, 1 << 20, HUGE + 1] {
            let mut aligned = Aligned::zeroed(len).unwrap();
            assert!(aligned.len() >= len);
            assert!(aligned.first(len).as_ptr().addr().is_multiple_of(GROUP_ALIGN));
            let all = aligned.len();
            assert!(aligned.first(all).iter().all(|b| *b == 0));
            aligned.first_mut(all).fill(7);
            assert!(aligned.first(all).iter().all(|b| *b == 7));
        }
        assert_eq!((Aligned::default().len(), Aligned::default().first(0).len()), (0, 0));
    }

    #[test]
    fn much_of_it_starts_where_a_huge_page_does() {
        let aligned = Aligned::zeroed(HUGE_WORTH).unwrap();
        assert!(aligned.first(1).as_ptr().addr().is_multiple_of(HUGE));
    }
}
