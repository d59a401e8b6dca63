//! The fields of a form or a query: text by name, bounded.

/// More fields than any form here has.
const FIELDS_MAX: usize = 256;

/// Fields, in the order they came in.
#[derive(Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`: what is not UTF-8 is replaced, what is too much left out.
    pub(crate) fn parse(bytes: &[u8]) -> Fields {
        let pairs = form_urlencoded::parse(bytes).take(FIELDS_MAX);
        Fields(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A field as it was sent, if it was.
    pub(crate) fn sent(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// A field as it was sent; empty if it was not.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.sent(name).unwrap_or_default()
    }

    /// A field without the white space at its ends, which nobody means.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A field that was filled in.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }

    /// Whether a box was ticked.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }

    /// All fields.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let fields = Fields::parse(b"name=Zo%C3%AB+B&empty=&role=a&role=b&id=+7+&bad=%FF&tick=on");
        assert_eq!(fields.text("name"), "Zoë B");
        assert_eq!((fields.given("empty"), fields.given("none")), (None, None));
        assert_eq!((fields.sent("empty"), fields.sent("none")), (Some(""), None));
        assert_eq!(fields.raw("role"), "a", "the first counts");
        assert_eq!(fields.number("id"), Some(7));
        assert_eq!(fields.raw("bad"), "\u{fffd}");
        assert!(fields.is_on("tick") && !fields.is_on("tock"));
    }

    #[test]
    fn a_form_of_many_fields_is_cut() {
        let many = "a=1&".repeat(FIELDS_MAX + 10);
        assert_eq!(Fields::parse(many.as_bytes()).iter().count(), FIELDS_MAX);
    }
}
