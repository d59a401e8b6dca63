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

/// A time zone, by its IANA name.
pub(crate) fn timezone(name: &str) -> bool {
    name == "UTC" || jiff::tz::db().get(name).is_ok()
}

/// So many origins a project may name.
pub(crate) const ORIGINS_MAX: usize = 100;

/// An origin as browsers send it: scheme, host and perhaps port, and nothing behind.
pub(crate) fn origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    text.len() <= 255 && host.is_some_and(|host| !host.is_empty() && host.chars().all(is_part))
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

/// An e-mail address, as far as can be told without sending mail: what browsers take for one, and no longer than mail
/// servers take (RFC 5321, 4.5.3.1).
pub(crate) fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.len() <= 63
    };
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"()<>[]:;,\\\"@".contains(c);
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.chars().all(is_plain)
        && domain.chars().all(is_plain)
        && domain.split('.').all(is_label)
}

/// A phone's number as it is dialled from abroad, however it was written; `None` if it is none.
pub(crate) fn phone(text: &str) -> Option<String> {
    let digits = text.trim().strip_prefix('+')?;
    let plain: String = digits.chars().filter(|c| !" -()./\u{a0}".contains(*c)).take(20).collect();
    // ITU-T E.164: at most fifteen digits, of which the country's come first and do not begin with 0.
    let is_number = (7..=15).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_digit());
    (is_number && !plain.starts_with('0')).then(|| format!("+{plain}"))
}

/// How few characters are no password.
pub(crate) const PASSWORD_CHARS_MIN: usize = 10;
/// What is longer is no password, but a way to keep a server busy.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Is it a password for somebody with that address? Says what it lacks. Length is what counts; rules about digits and
/// signs only make people write passwords down (NIST SP 800-63B, 5.1.1.2).
pub(crate) fn password(password: &str, email: &str) -> Result<(), &'static str> {
    let mut chars = password.chars();
    let first = chars.next();
    if password.chars().count() < PASSWORD_CHARS_MIN {
        Err("is too short")
    } else if password.len() > PASSWORD_BYTES_MAX {
        Err("is longer than 1024 bytes")
    } else if chars.all(|c| Some(c) == first) {
        Err("is one character over and over")
    } else if password.to_lowercase() == email.to_lowercase() {
        Err("is the e-mail address")
    } else {
        Ok(())
    }
}

/// A UUID in its usual form, in lower case.
pub(crate) fn uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_what_is_none() {
        for good in ["a@b", "zoë@example.com", "first.last+tag@sub.example.co.uk", "o'hara@x-y.example"] {
            assert!(email(good), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in [
            "", "@", "a@", "@b", "a b@c.d", "a@b c", "a@b..c", "a@-b.c", "a@b.", "a@@b", "a,b@c.d",
            "<a@b.c>", "a\n@b.c", &long,
        ] {
            assert!(!email(bad), "{bad}");
        }
    }

    #[test]
    fn numbers_of_phones_are_taken_as_people_write_them() {
        for (text, number) in [
            ("+49 170 1234567", Some("+491701234567")),
            (" +1 (202) 555-0123 ", Some("+12025550123")),
            ("+49/170.123-45 67", Some("+491701234567")),
            ("0170 1234567", None),
            ("+0170 1234567", None),
            ("+49 170", None),
            ("+4917012345671234567", None),
            ("+49170abc4567", None),
            ("", None),
        ] {
            assert_eq!(phone(text).as_deref(), number, "{text}");
        }
    }

    #[test]
    fn passwords_are_long_enough_and_no_ones_address() {
        assert_eq!(password("correct horse", "a@b.example"), Ok(()));
        assert_eq!(password("äöüäöüäöüß", "a@b.example"), Ok(()), "characters count, not bytes");
        assert_eq!(password("short one", "a@b.example"), Err("is too short"));
        assert_eq!(password("aaaaaaaaaaaa", "a@b.example"), Err("is one character over and over"));
        assert_eq!(password("Someone@B.example", "someone@b.example"), Err("is the e-mail address"));
        assert_eq!(password(&"ab".repeat(513), "a@b.example"), Err("is longer than 1024 bytes"));
    }
}
