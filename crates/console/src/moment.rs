//! A moment on the pages that belong to no project, and so have no zone of their own: UTC, which is what the log and the
//! audit are in, in an element that the small script reads. Where scripts run it is shown in the browser's zone, with UTC
//! beside it, as a project's pages show theirs; the zone is said in either case.

use std::fmt;

use crate::when;

/// A moment, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\">{}</time>", when::rfc3339(self.0), when::minute(self.0))
    }
}

// Digits and letters of a date, and nothing that anybody typed.
impl askama::filters::HtmlSafe for Moment {}

#[cfg(test)]
mod tests {
    use askama::Template;

    use super::*;

    #[derive(Template)]
    #[template(source = "{{ at }}", ext = "html")]
    struct Page {
        at: Moment,
    }

    #[test]
    fn a_moment_says_its_zone_and_what_a_script_needs_to_show_another() {
        for (at_ms, want) in [
            (1_772_374_509_123, "<time datetime=\"2026-03-01T14:15:09Z\">2026-03-01 14:15 UTC</time>"),
            (u64::MAX, "<time datetime=\"an unknown time\">an unknown time</time>"),
        ] {
            assert_eq!(Page { at: Moment(at_ms) }.render().unwrap(), want);
        }
    }
}
