//! How a browser is recognised from one request to the next: by cookies, and by a token in every form.
//!
//! # Invariants
//! * A cookie's value is of no use to scripts, to other sites, and, where the connection is encrypted, to whoever listens
//!   to one that is not.
//! * A form's token is made from the cookie under the server's key: another site can make its visitors' browsers send the
//!   cookie, and cannot know the token.

use forebay_control::{Control, DEVICE_BYTES_MAX, DEVICE_LIFE_MS};
use forebay_route::Mac;
use hyper::{HeaderMap, header::COOKIE};

/// The name of the field that carries the token.
pub(crate) const CSRF_FIELD: &str = "csrf";
/// The header in which scripts send it.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// Whose cookie it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// Of somebody who signed in.
    Session,
    /// Of somebody who has not, so that the forms they see have a token too.
    Visit,
    /// Of a browser that people have signed in with: it says so at the next sign-in, and to nobody else.
    Browser,
}

impl Cookie {
    /// `__Host-` keeps other hosts of the same domain from setting it.
    fn name(self, is_secure: bool) -> &'static str {
        match (self, is_secure) {
            (Cookie::Session, true) => "__Host-forebay-session",
            (Cookie::Session, false) => "forebay-session",
            (Cookie::Visit, true) => "__Host-forebay-visit",
            (Cookie::Visit, false) => "forebay-visit",
            (Cookie::Browser, true) => "__Host-forebay-browser",
            (Cookie::Browser, false) => "forebay-browser",
        }
    }

    /// The value that a request brought.
    pub(crate) fn read(self, headers: &HeaderMap, is_secure: bool) -> Option<&str> {
        let name = self.name(is_secure);
        let lists = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let found = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let found = found.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value);
        found.filter(|value| self.is_of_here(value))
    }

    /// What sets it. It ends with the browser's own session, but for that of a known browser; when a session ends is the
    /// store's to say.
    pub(crate) fn set(self, value: &str, is_secure: bool) -> String {
        let plain = self.plain(value, is_secure);
        match self {
            Cookie::Session | Cookie::Visit => plain,
            Cookie::Browser => format!("{plain}; Max-Age={}", DEVICE_LIFE_MS / 1000),
        }
    }

    /// What takes it away.
    pub(crate) fn clear(self, is_secure: bool) -> String {
        format!("{}; Max-Age=0", self.plain("", is_secure))
    }

    /// Values made here are short and of plain letters.
    fn is_of_here(self, value: &str) -> bool {
        let (bytes_max, between) = match self {
            Cookie::Session | Cookie::Visit => (128, None),
            Cookie::Browser => (DEVICE_BYTES_MAX, Some(b'.')),
        };
        (1..=bytes_max).contains(&value.len())
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || Some(b) == between)
    }

    fn plain(self, value: &str, is_secure: bool) -> String {
        let secure = if is_secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}", self.name(is_secure))
    }
}

/// The token of the forms that the bearer of a cookie's value sees.
pub(crate) fn csrf(control: &Control, cookie: &str) -> String {
    let Mac(digest) = control.mac(format!("form of {cookie}").as_bytes());
    hex(&digest)
}

/// Whether it is that token. Compared by digests, so that the time says nothing of it.
pub(crate) fn is_csrf(control: &Control, cookie: &str, token: &str) -> bool {
    control.mac(token.as_bytes()) == control.mac(csrf(control, cookie).as_bytes())
}

/// 128 random bits, in hex.
///
/// # Errors
/// If the system has none to give.
pub(crate) fn random_word() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Whether a request that changes something may come from where it says it comes from: a page of this server.
///
/// Browsers say so in `Sec-Fetch-Site` over encrypted connections, and in `Origin` always; programs say neither, and have
/// no cookie that somebody else could make them send.
pub(crate) fn is_same_origin(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    text("origin").is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_cookie_is_set_and_read_back_and_kept_from_scripts_and_other_hosts() {
        for is_secure in [false, true] {
            let set = Cookie::Session.set("abc123", is_secure);
            assert!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
            assert_eq!(set.contains("; Secure"), is_secure);
            assert_eq!(set.starts_with("__Host-"), is_secure);
            let pair = set.split(';').next().unwrap();
            let sent = headers(&[("cookie", &format!("other=1; {pair}"))]);
            assert_eq!(Cookie::Session.read(&sent, is_secure), Some("abc123"));
            assert_eq!(Cookie::Session.read(&sent, !is_secure), None, "the other name is another cookie");
            assert_eq!(Cookie::Visit.read(&sent, is_secure), None);
        }
        assert!(Cookie::Visit.clear(true).ends_with("; Max-Age=0"));
        assert!(Cookie::Browser.set("abc123", true).ends_with("; Max-Age=15552000"), "half a year");
        assert!(Cookie::Browser.clear(true).ends_with("; Secure; Max-Age=0"));
    }

    #[test]
    fn a_value_that_was_not_made_here_is_none() {
        for value in ["", "a b", "a\"b", "é", &"x".repeat(129)] {
            let sent = headers(&[("cookie", &format!("forebay-session={value}"))]);
            assert_eq!(Cookie::Session.read(&sent, false), None, "{value}");
        }
        for (value, is_read) in
            [("a.b", true), (&"x".repeat(DEVICE_BYTES_MAX), true), (&"x".repeat(DEVICE_BYTES_MAX + 1), false)]
        {
            let sent = headers(&[("cookie", &format!("forebay-browser={value}; forebay-session={value}"))]);
            assert_eq!(Cookie::Browser.read(&sent, false), is_read.then_some(value));
            assert_eq!(Cookie::Session.read(&sent, false), None, "{value}");
        }
    }

    #[test]
    fn only_pages_of_this_host_may_send() {
        for (sent, may) in [
            (&[][..], true),
            (&[("origin", "https://c.example")], true),
            (&[("origin", "https://C.EXAMPLE")], true),
            (&[("origin", "https://c.example:8443")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://behind.a.proxy")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://c.example")], false),
            (&[("sec-fetch-site", "cross-site")], false),
        ] {
            assert_eq!(is_same_origin(&headers(sent), "c.example"), may, "{sent:?}");
        }
    }

    #[test]
    fn a_token_belongs_to_one_cookie() {
        let dir = tempfile::tempdir().unwrap();
        let control = Control::open(dir.path()).unwrap();
        let token = csrf(&control, "one");
        assert!(is_csrf(&control, "one", &token));
        assert!(!is_csrf(&control, "two", &token));
        assert!(!is_csrf(&control, "one", ""));
        assert_ne!(random_word().unwrap(), random_word().unwrap());
    }
}
