//! What a name, a token or a credential may be.

use forebay_record::ProjectId;

/// The largest number that every JSON reader keeps exact.
const ID_MAX: u64 = (1 << 53) - 1;

/// A project's number, if it is one.
pub(crate) fn project_id(id: u64) -> Option<ProjectId> {
    ProjectId::new(id).filter(|_| id <= ID_MAX)
}

/// A name for people.
pub(crate) fn name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.trim() == name && !name.chars().any(char::is_control)
}

/// A token: matched exactly as sent, so what could be lost on the way is not in it.
pub(crate) fn token(token: &str) -> bool {
    (1..=256).contains(&token.len()) && !token.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// An API key, an API secret or the name of a service account: they stand before the colon of Basic
/// credentials.
pub(crate) fn credential(text: &str) -> bool {
    token(text) && !text.contains(':')
}

/// A service account's secret: it stands after the colon.
pub(crate) fn secret(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A UUID in its usual form, in lower case.
pub(crate) fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}
