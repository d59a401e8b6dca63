//! The Basic forms of the `Authorization` header.
//!
//! Senders write `Basic base64(user:secret)`, `Basic base64(token)` without a colon, and the plain text
//! `Basic user:secret`. A plain text may happen to be valid base64, so each header gives up to two
//! candidates, the decoded one first.

use crate::forms::base64;
use std::fmt;

/// A user name and a password, as a header may have meant them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Before the first colon: a service account, a project's token, or its secret.
    pub user: String,
    /// After it. Empty for a token or a secret.
    pub password: String,
}

/// Says nothing of what it holds: credentials have no place in logs.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// What a header may have meant, the likelier first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// What the base64 text decodes to.
    pub decoded: Option<Credential>,
    /// The text itself.
    pub plain: Option<Credential>,
}

impl Candidates {
    /// Both, the decoded one first.
    pub fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.decoded.iter().chain(&self.plain)
    }
}

/// Reads the value of an `Authorization` header. No candidates when it is not a Basic one.
///
/// ```
/// let found = forebay_scan::basic::parse(b"Basic dG9rZW46");
/// assert_eq!(found.decoded.expect("base64").user, "token");
/// ```
#[must_use]
pub fn parse(header: &[u8]) -> Candidates {
    let header = header.trim_ascii();
    let Some(space) = header.iter().position(u8::is_ascii_whitespace) else { return Candidates::default() };
    let (scheme, text) = (&header[..space], header[space..].trim_ascii());
    if !scheme.eq_ignore_ascii_case(b"basic") || text.is_empty() {
        return Candidates::default();
    }
    let mut decoded = Vec::new();
    let decoded = base64::decode(text, &mut decoded).ok().and_then(|()| credential(&decoded));
    Candidates { decoded, plain: credential(text) }
}

fn credential(text: &[u8]) -> Option<Credential> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Some(Credential { user: user.into(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, want: &[(&str, &str)]) {
        let found = parse(header.as_bytes());
        let found: Vec<_> = found.iter().map(|c| (c.user.as_str(), c.password.as_str())).collect();
        assert_eq!(found, want, "{header}");
    }

    #[test]
    fn every_form_of_basic_gives_its_candidates() {
        check("Basic dXNlcjpzZWNyZXQ=", &[("user", "secret"), ("dXNlcjpzZWNyZXQ=", "")]);
        check("basic   dXNlcjpzZWNyZXQ", &[("user", "secret"), ("dXNlcjpzZWNyZXQ", "")]);
        check("BASIC dG9rZW46", &[("token", ""), ("dG9rZW46", "")]);
        check("Basic dG9rZW4=", &[("token", ""), ("dG9rZW4=", "")]);
        check("Basic user:a:b", &[("user", "a:b")]);
        check("Basic user:sa-Secret+/=1", &[("user", "sa-Secret+/=1")]);
    }

    #[test]
    fn other_schemes_and_empty_ones_give_none() {
        for header in ["", "Basic", "Basic ", "Bearer abc", "Basicabc", "  ", "Digest x=y"] {
            check(header, &[]);
        }
    }

    #[test]
    fn a_credential_never_shows_in_debug_output() {
        assert!(!format!("{:?}", parse(b"Basic dXNlcjpzZWNyZXQ=")).contains("secret"));
    }
}
