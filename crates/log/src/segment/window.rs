//! Bytes of a segment as those need them who follow its frames: some at a time, in memory, never beyond what
//! may be looked at.
//!
//! # Invariants
//! * No byte is touched before a call that can fail has read it: a place that the disk cannot read is an
//!   answer ([`Trouble::Unreadable`]) and never a SIGBUS.
//! * Bytes that may be cut off meanwhile are copies.

use super::map::SegmentMap;
use crate::{
    disk::{DiskFile, DiskView, is_unreadable},
    survivors::survivor,
    watermark::Limit,
};
use forebay_record::{FrameHeader, GROUP_ALIGN, Lsn, resync};
use std::{convert::Infallible, io, ops::Range, sync::Arc};

/// Why bytes cannot be had.
#[derive(Debug)]
pub(crate) enum Trouble<E> {
    /// The disk cannot read them.
    Unreadable,
    /// Something else failed; the bytes may be well.
    Failed(E),
}

/// The bytes of one segment, as far as they may be looked at.
pub(crate) trait Source {
    type Error;
    /// Behind the last byte there is.
    fn end(&self) -> usize;
    /// These bytes, as far as they lie before the end.
    fn get(&mut self, range: Range<usize>) -> Result<&[u8], Trouble<Self::Error>>;
    /// The next place behind `position` where a frame with an lsn of at least `least` validates, header and
    /// payload.
    fn survivor(
        &mut self,
        salt: u64,
        position: usize,
        least: Lsn,
    ) -> Result<Option<(usize, FrameHeader)>, Self::Error>;
}

impl<S: Source + ?Sized> Source for &mut S {
    type Error = S::Error;

    fn end(&self) -> usize {
        S::end(self)
    }

    fn get(&mut self, range: Range<usize>) -> Result<&[u8], Trouble<S::Error>> {
        S::get(self, range)
    }

    fn survivor(
        &mut self,
        salt: u64,
        position: usize,
        least: Lsn,
    ) -> Result<Option<(usize, FrameHeader)>, S::Error> {
        S::survivor(self, salt, position, least)
    }
}

/// All at once, in memory.
impl Source for &[u8] {
    type Error = Infallible;

    fn end(&self) -> usize {
        self.len()
    }

    fn get(&mut self, range: Range<usize>) -> Result<&[u8], Trouble<Infallible>> {
        let end = range.end.min(self.len());
        Ok(&self[range.start.min(end)..end])
    }

    fn survivor(
        &mut self,
        salt: u64,
        position: usize,
        least: Lsn,
    ) -> Result<Option<(usize, FrameHeader)>, Infallible> {
        let frame = resync(self, salt, position as u64, least);
        Ok(frame.and_then(|frame| Some((usize::try_from(frame.position).ok()?, frame.header))))
    }
}

/// The first window of a walk; each next one is twice as long.
const FIRST: usize = 64 << 10;
/// The longest, unless a single frame is longer. Measured: 1 MiB costs what larger ones do.
const LONGEST: usize = 1 << 20;

/// Bytes of a segment in memory; what is handed out stays for as long as anyone has it.
#[derive(Clone)]
pub(crate) struct Window {
    start: usize,
    bytes: Arc<dyn DiskView>,
}

impl Window {
    /// These bytes of the segment, if they lie within.
    pub(crate) fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        let from = range.start.checked_sub(self.start)?;
        self.bytes.bytes().get(from..range.end.checked_sub(self.start)?)
    }
}

/// Bytes that were read from the file.
struct Copied(Vec<u8>);

impl DiskView for Copied {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A segment below a limit, window by window.
pub(crate) struct Windows {
    map: Arc<SegmentMap>,
    limit: Limit,
    /// The limit's, or the file's if that is shorter.
    end: usize,
    window: Option<Window>,
    /// So much comes into memory at once, at least.
    ahead: usize,
    /// What lies below the limit may be cut off: the map is not touched.
    copies: bool,
}

impl Windows {
    /// Of nothing, until [`Windows::extend`] has said how far.
    pub(crate) fn new(map: Arc<SegmentMap>) -> Windows {
        let limit = Limit::nothing(map.header().id);
        Windows { map, limit, end: 0, window: None, ahead: FIRST, copies: false }
    }

    /// Goes up to `limit` from now on. `steady`: nothing that will be looked at can be cut off, as the place
    /// of the last frame is known.
    pub(crate) fn extend(&mut self, limit: Limit, steady: bool) -> io::Result<()> {
        self.limit = limit;
        self.copies = !steady;
        self.end = limit.bytes().min(self.map.file_len()?);
        Ok(())
    }

    /// The next bytes that are not there yet come together with those up to `end`, within bounds, and with nothing
    /// more: for who knows what it will ask for.
    pub(crate) fn expect(&mut self, position: usize, end: usize) {
        self.ahead = end.saturating_sub(position).min(LONGEST);
    }

    /// Are these bytes there?
    pub(crate) fn holds(&self, range: Range<usize>) -> bool {
        self.window.as_ref().is_some_and(|window| window.get(range).is_some())
    }

    pub(crate) fn map(&self) -> &Arc<SegmentMap> {
        &self.map
    }

    /// These bytes to keep; `None` if they were not the last ones fetched.
    pub(crate) fn hold(&self, range: &Range<usize>) -> Option<Window> {
        self.window.clone().filter(|window| window.get(range.clone()).is_some())
    }

    fn fetch(&mut self, range: Range<usize>) -> Result<Window, Trouble<io::Error>> {
        let start = range.start;
        // The padding behind a frame comes with it.
        let end = (range.end + GROUP_ALIGN).max(start.saturating_add(self.ahead)).min(self.end);
        self.ahead = (self.ahead * 2).min(LONGEST);
        let fetched = match self.copies {
            true => read(self.map.file(), start..end).map(|bytes| Arc::new(Copied(bytes)) as Arc<_>),
            false => self.map.window(self.limit, start..end),
        };
        let bytes = match fetched {
            Ok(bytes) => bytes,
            // It may be elsewhere in the window than where we were asked for.
            Err(_) => match read(self.map.file(), range) {
                Ok(bytes) => Arc::new(Copied(bytes)),
                Err(e) if is_unreadable(&e) => return Err(Trouble::Unreadable),
                Err(e) => return Err(Trouble::Failed(e)),
            },
        };
        Ok(Window { start, bytes })
    }
}

impl Source for Windows {
    type Error = io::Error;

    fn end(&self) -> usize {
        self.end
    }

    fn get(&mut self, range: Range<usize>) -> Result<&[u8], Trouble<io::Error>> {
        let end = range.end.min(self.end);
        let range = range.start.min(end)..end;
        if self.window.as_ref().is_none_or(|window| window.get(range.clone()).is_none()) {
            let window = self.fetch(range.clone())?;
            let there = window.start + window.bytes.bytes().len();
            self.window = Some(window);
            if there < range.end {
                // Somebody cut the file since its length was asked for.
                self.end = there;
            }
        }
        let range = range.start..range.end.min(self.end.max(range.start));
        Ok(self.window.as_ref().and_then(|window| window.get(range)).unwrap_or_default())
    }

    fn survivor(
        &mut self,
        salt: u64,
        position: usize,
        least: Lsn,
    ) -> Result<Option<(usize, FrameHeader)>, io::Error> {
        let map = Arc::clone(&self.map);
        survivor(self, map.file(), salt, position, least)
    }
}

/// Copies of a file's bytes, window by window: for bytes that nothing says are durable, which no reader of
/// records is shown.
pub(crate) struct Copies<'f> {
    file: &'f dyn DiskFile,
    end: usize,
    start: usize,
    window: Vec<u8>,
    ahead: usize,
}

impl<'f> Copies<'f> {
    /// Of all the file.
    pub(crate) fn of(file: &'f dyn DiskFile) -> io::Result<Copies<'f>> {
        let end = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        // Small at first: a segment that has just been begun is not to be pulled into the cache.
        Ok(Copies { file, end, start: 0, window: Vec::new(), ahead: GROUP_ALIGN })
    }

    /// Ends there if it does not end before.
    pub(crate) fn cut(&mut self, end: usize) {
        self.end = self.end.min(end);
    }
}

impl Source for Copies<'_> {
    type Error = io::Error;

    fn end(&self) -> usize {
        self.end
    }

    fn get(&mut self, range: Range<usize>) -> Result<&[u8], Trouble<io::Error>> {
        let end = range.end.min(self.end);
        let range = range.start.min(end)..end;
        let inside = range.start >= self.start && range.end <= self.start + self.window.len();
        if !inside {
            let ahead = range.start..(range.start.saturating_add(self.ahead)).max(range.end).min(self.end);
            self.ahead = (self.ahead * 2).min(LONGEST);
            let (wanted, asked) = (ahead.len(), range.len());
            self.window = match read(self.file, ahead).or_else(|_| read(self.file, range.clone())) {
                Ok(bytes) => bytes,
                Err(e) if is_unreadable(&e) => return Err(Trouble::Unreadable),
                Err(e) => return Err(Trouble::Failed(e)),
            };
            self.start = range.start;
            if self.window.len() < asked.min(wanted) {
                self.end = self.start + self.window.len();
            }
        }
        let from = range.start - self.start;
        let to = range.len().saturating_add(from).min(self.window.len());
        Ok(self.window.get(from..to).unwrap_or_default())
    }

    fn survivor(
        &mut self,
        salt: u64,
        position: usize,
        least: Lsn,
    ) -> Result<Option<(usize, FrameHeader)>, io::Error> {
        let file = self.file;
        survivor(self, file, salt, position, least)
    }
}

/// What the file holds of `range`.
fn read(file: &dyn DiskFile, range: Range<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; range.len()];
    let read = file.read_at(&mut bytes, range.start as u64)?;
    bytes.truncate(read);
    Ok(bytes)
}
