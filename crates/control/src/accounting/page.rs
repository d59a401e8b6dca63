//! A page of the accounting: what the events of many owners became in one minute, as bytes.
//!
//! ```text
//! page = how many kinds, the kinds, rows up to the end
//! kind = its name and its reason, each after its length
//! row  = owner (by how much its code is more than that of the row before), kind (its place among the kinds), events, bytes
//! ```
//!
//! Numbers are LEB128: seven bits a byte, the lowest first. An owner with a few events takes some ten bytes; the rows of
//! a table took a hundred, and a search in its tree for each.
//!
//! # Invariants
//! * Owners ascend; the rows of one stand together.
//! * Kinds go by their names, so that a page outlives the order in which a version lists them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use forebay_route::{Counts, Kind};

/// What is more goes into another page: who asks for one owner reads little.
const PAGE_BYTES: usize = 64 << 10;

/// The least code of an owner: what the first row of a page counts from.
const OWNER_MIN: i64 = -1;

/// A page that says what no page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPage(pub(super) &'static str);

/// A page, ready to be stored.
pub(super) struct Page {
    pub(super) first_owner: i64,
    pub(super) last_owner: i64,
    pub(super) rows: u64,
    pub(super) bytes: Vec<u8>,
}

/// A row of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRow {
    pub(crate) owner: i64,
    pub(crate) kind: Kind,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// A page in the making.
#[derive(Default)]
pub(super) struct PageWriter {
    kinds: Vec<Kind>,
    rows: Vec<u8>,
    count: u64,
    owners: Option<(i64, i64)>,
}

impl PageWriter {
    /// Adds a row; of an owner that is not before the last one's.
    pub(super) fn add(&mut self, row: PageRow) {
        let before = self.owners.map_or(OWNER_MIN, |(_, last)| last);
        debug_assert!(row.owner >= before, "owner {} after {before}", row.owner);
        let kind = self.kinds.iter().position(|&kind| kind == row.kind).unwrap_or_else(|| {
            self.kinds.push(row.kind);
            self.kinds.len() - 1
        });
        for number in [row.owner.abs_diff(before), kind as u64, row.events, row.bytes] {
            put(&mut self.rows, number);
        }
        self.count += 1;
        self.owners = Some((self.owners.map_or(row.owner, |(first, _)| first), row.owner));
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= PAGE_BYTES
    }

    /// The page; `None` where there is no row.
    pub(super) fn finish(self) -> Option<Page> {
        let (first_owner, last_owner) = self.owners?;
        let mut bytes = Vec::with_capacity(self.rows.len() + 32 * self.kinds.len());
        put(&mut bytes, self.kinds.len() as u64);
        for text in self.kinds.iter().flat_map(|kind| [kind.as_str(), kind.reason()]) {
            put(&mut bytes, text.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&self.rows);
        Some(Page { first_owner, last_owner, rows: self.count, bytes })
    }
}

/// The rows of a page, in order. After an error there is no other.
pub(crate) struct Rows<'a> {
    kinds: Vec<Kind>,
    owner: i64,
    rest: &'a [u8],
}

impl<'a> Rows<'a> {
    pub(crate) fn of(page: &'a [u8]) -> Result<Rows<'a>, BadPage> {
        let mut rest = page;
        let count = take(&mut rest)?;
        let mut kinds = Vec::new();
        for _ in 0..count {
            let (name, reason) = (take_text(&mut rest)?, take_text(&mut rest)?);
            kinds.push(Kind::parse(name, reason).map_err(|_| BadPage("a kind that is not known"))?);
        }
        Ok(Rows { kinds, owner: OWNER_MIN, rest })
    }

    fn row(&mut self) -> Result<PageRow, BadPage> {
        let owner = self.owner.checked_add_unsigned(take(&mut self.rest)?);
        self.owner = owner.ok_or(BadPage("an owner beyond all numbers"))?;
        let kind = usize::try_from(take(&mut self.rest)?).ok().and_then(|at| self.kinds.get(at));
        let kind = *kind.ok_or(BadPage("a row of a kind that the page does not list"))?;
        let (events, bytes) = (take(&mut self.rest)?, take(&mut self.rest)?);
        Ok(PageRow { owner: self.owner, kind, events, bytes })
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<PageRow, BadPage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let row = self.row();
        if row.is_err() {
            self.rest = &[];
        }
        Some(row)
    }
}

/// Adds pages up: each owner in them once, in order, and all of its counts. Nothing but the pages is held in memory.
pub(super) struct Merge<'a> {
    pages: Vec<Rows<'a>>,
    /// The next row of each page, by owner.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    rows: Vec<Option<PageRow>>,
}

impl<'a> Merge<'a> {
    pub(super) fn of(pages: &'a [Vec<u8>]) -> Result<Merge<'a>, BadPage> {
        let mut pages = pages.iter().map(|page| Rows::of(page)).collect::<Result<Vec<_>, _>>()?;
        let rows = pages.iter_mut().map(|page| page.next().transpose()).collect::<Result<Vec<_>, _>>()?;
        let next = rows.iter().enumerate().filter_map(|(at, row)| Some(Reverse((row.as_ref()?.owner, at))));
        Ok(Merge { next: next.collect(), pages, rows })
    }

    fn owner(&mut self, owner: i64) -> Result<Counts, BadPage> {
        let mut counts = Counts::default();
        while let Some(mut top) = self.next.peek_mut() {
            let Reverse((next, at)) = *top;
            if next != owner {
                break;
            }
            let mut row = self.rows[at];
            while let Some(same) = row.filter(|row| row.owner == owner) {
                counts.add(same.kind, same.events, same.bytes);
                row = self.pages[at].next().transpose()?;
            }
            self.rows[at] = row;
            match row {
                Some(row) => *top = Reverse((row.owner, at)),
                None => drop(PeekMut::pop(top)),
            }
        }
        Ok(counts)
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<(i64, Counts), BadPage>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((owner, _)) = *self.next.peek()?;
        let counts = self.owner(owner);
        if counts.is_err() {
            self.next.clear();
        }
        Some(counts.map(|counts| (owner, counts)))
    }
}

/// Appends a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Takes a number off the beginning.
pub(super) fn take(rest: &mut &[u8]) -> Result<u64, BadPage> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, others) = rest.split_first().ok_or(BadPage("an end within a number"))?;
        *rest = others;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(BadPage("a number of more than 64 bits"))
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, BadPage> {
    let length = take(rest)?;
    let at = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (text, others) = at.ok_or(BadPage("an end within a name"))?;
    *rest = others;
    std::str::from_utf8(text).map_err(|_| BadPage("a name that is no text"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use forebay_route::{Reason, Rule};
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 5] = [
        Kind::Received,
        Kind::Stored,
        Kind::Rejected(Reason::Empty),
        Kind::Dropped(Rule::Ignored),
        Kind::Unaccounted,
    ];

    fn page(rows: &[PageRow]) -> Vec<u8> {
        let mut page = PageWriter::default();
        rows.iter().for_each(|&row| page.add(row));
        page.finish().map_or_else(Vec::new, |page| page.bytes)
    }

    fn rows() -> impl Strategy<Value = Vec<PageRow>> {
        let number =
            prop_oneof![0..300_u64, any::<u32>().prop_map(u64::from), Just(u64::from(u32::MAX) << 20)];
        let owner = prop_oneof![-1..20_i64, 0..(1_i64 << 53)];
        let row = (owner, 0..KINDS.len(), 1..200_u64, number);
        prop::collection::vec(row, 1..40).prop_map(|rows| {
            let mut rows: Vec<PageRow> = rows
                .into_iter()
                .map(|(owner, kind, events, bytes)| PageRow {
                    owner,
                    kind: KINDS[kind],
                    events,
                    bytes: if kind < 2 { bytes } else { 0 },
                })
                .collect();
            rows.sort_by_key(|row| row.owner);
            rows
        })
    }

    proptest! {
        #[test]
        fn a_page_gives_back_the_rows_it_was_made_of(rows in rows()) {
            let page = page(&rows);
            let read: Result<Vec<_>, _> = Rows::of(&page).unwrap().collect();
            prop_assert_eq!(read, Ok(rows));
        }

        #[test]
        fn pages_add_up_like_a_plain_map(pages in prop::collection::vec(rows(), 0..6)) {
            let mut model: BTreeMap<i64, Counts> = BTreeMap::new();
            for row in pages.iter().flatten() {
                model.entry(row.owner).or_default().add(row.kind, row.events, row.bytes);
            }
            let pages: Vec<Vec<u8>> = pages.iter().map(|rows| page(rows)).collect();
            let merged: Result<Vec<_>, _> = Merge::of(&pages).unwrap().collect();
            prop_assert_eq!(merged, Ok(model.into_iter().collect::<Vec<_>>()));
        }

        #[test]
        fn any_bytes_are_rows_or_a_bad_page(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(rows) = Rows::of(&bytes) {
                prop_assert!(rows.count() <= bytes.len());
            }
        }
    }

    #[test]
    fn a_page_that_was_cut_is_no_page() {
        let whole = page(&[PageRow { owner: 300, kind: Kind::Received, events: 1, bytes: 752 }]);
        for end in 0..whole.len() {
            let read = Rows::of(&whole[..end]).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            // Between two rows it is one with fewer.
            assert!(read.is_err() || read == Ok(vec![]), "{end}: {read:?}");
        }
    }

    #[test]
    fn numbers_keep_all_their_bits_and_no_more() {
        for number in [0, 1, 127, 128, 1 << 21, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(take(&mut &*bytes), Ok(number));
        }
        let mut beyond: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take(&mut beyond), Err(BadPage("a number of more than 64 bits")));
    }
}
