//! The files of the pages' look and their small scripts, inside the binary.

use crate::{answer::Answer, refusal::Refusal, visit::Visit};

/// Where they are; the version in it changes with them, so that browsers may keep them.
pub(crate) const PATH: &str = "/console/assets/{version}/{name}";

/// Stands in the address of every file.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

const FILES: &[(&str, &str, &[u8])] = &[
    ("console.css", "text/css; charset=utf-8", include_bytes!("../assets/console.css")),
    ("console.js", "text/javascript; charset=utf-8", include_bytes!("../assets/console.js")),
    ("mark.svg", "image/svg+xml", include_bytes!("../assets/mark.svg")),
];

/// Serves one.
pub(crate) fn serve(visit: &Visit<'_>) -> Result<Answer, Refusal> {
    let name = visit.part("name");
    let found = FILES.iter().find(|(known, ..)| *known == name).ok_or(Refusal::NotFound)?;
    Ok(Answer::asset(found.1, found.2))
}
