//! Long lists, a page at a time: `?page=2` is an address that stays.
//!
//! # Invariants
//! * A page has at most [`ROWS`] rows. A number that is none, or past the end, is the nearest page there is.

use crate::visit::Visit;

/// Of a page.
pub(crate) const ROWS: usize = 50;

/// Where in a list a page is, and the ways on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paging {
    /// `51 to 100 of 730`.
    pub(crate) words: String,
    pub(crate) previous: Option<String>,
    pub(crate) next: Option<String>,
}

impl Paging {
    /// Whether there is more than this page.
    pub(crate) fn is_needed(&self) -> bool {
        self.previous.is_some() || self.next.is_some()
    }
}

/// The page of a list that is asked for.
pub(crate) fn cut<T>(visit: &Visit<'_>, list: Vec<T>) -> (Vec<T>, Paging) {
    part(visit.path, visit.query.number("page"), list)
}

fn part<T>(path: &str, asked: Option<u64>, mut list: Vec<T>) -> (Vec<T>, Paging) {
    let total = list.len();
    let last = total.saturating_sub(1) / ROWS;
    let asked = asked.unwrap_or(1).saturating_sub(1);
    let at = usize::try_from(asked).unwrap_or(usize::MAX).min(last);
    let rows: Vec<T> = list.drain(at * ROWS..total.min((at + 1) * ROWS)).collect();
    let link = |page: usize| if page == 0 { path.to_owned() } else { format!("{path}?page={}", page + 1) };
    let paging = Paging {
        words: format!("{} to {} of {total}", at * ROWS + 1, at * ROWS + rows.len()),
        previous: at.checked_sub(1).map(link),
        next: (at < last).then(|| link(at + 1)),
    };
    (rows, paging)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(total: u64, asked: Option<u64>, first: Option<u64>, words: &str, ways: [Option<&str>; 2]) {
        let (rows, paging) = part("/list", asked, (0..total).collect());
        assert_eq!(rows.first().copied(), first);
        assert_eq!(paging.words, words);
        assert_eq!([paging.previous.as_deref(), paging.next.as_deref()], ways);
        assert_eq!(paging.is_needed(), ways != [None, None]);
    }

    #[test]
    fn a_list_is_cut_into_pages_and_every_page_has_its_address() {
        check(50, None, Some(0), "1 to 50 of 50", [None, None]);
        check(120, None, Some(0), "1 to 50 of 120", [None, Some("/list?page=2")]);
        check(120, Some(2), Some(50), "51 to 100 of 120", [Some("/list"), Some("/list?page=3")]);
        check(120, Some(3), Some(100), "101 to 120 of 120", [Some("/list?page=2"), None]);
        check(120, Some(99), Some(100), "101 to 120 of 120", [Some("/list?page=2"), None]);
        check(120, Some(0), Some(0), "1 to 50 of 120", [None, Some("/list?page=2")]);
        check(120, Some(u64::MAX), Some(100), "101 to 120 of 120", [Some("/list?page=2"), None]);
        check(0, Some(2), None, "1 to 0 of 0", [None, None]);
    }
}
