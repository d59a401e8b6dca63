//! Splits a form body or a query string.

/// The raw `name=value` pairs of a form, neither decoded.
///
/// Pairs are parted by `&` alone; empty ones are skipped; one without `=` has an empty value.
///
/// ```
/// let pairs: Vec<_> = forebay_scan::forms::Pairs::of(b"a=1&&b").collect();
/// assert_eq!(pairs, [(&b"a"[..], &b"1"[..]), (b"b", b"")]);
/// ```
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    /// Over the pairs of `form`.
    #[must_use]
    pub fn of(form: &'a [u8]) -> Pairs<'a> {
        Pairs { rest: form }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (pair, rest) = match memchr::memchr(b'&', self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 1..]),
                None => (self.rest, &b""[..]),
            };
            self.rest = rest;
            if !pair.is_empty() {
                let cut = memchr::memchr(b'=', pair);
                return Some(cut.map_or((pair, b"" as &[u8]), |at| (&pair[..at], &pair[at + 1..])));
            }
        }
        None
    }
}
