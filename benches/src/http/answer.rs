//! Answers: when one is whole, and whether it says what it must.

/// What an answer must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The body `1`: everything is stored.
    One,
    /// Success, in whatever words: a server that is not one of ours.
    Success,
}

/// How much of an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Come {
    /// More must come.
    Part,
    /// All of it. The server goes on with this connection, or closes it.
    Whole {
        /// The status.
        status: u16,
        /// Is the connection to be used again?
        keeps: bool,
    },
    /// This is no HTTP answer.
    Nonsense,
}

/// The longest answer that is looked at.
pub const ANSWER_BYTES_MAX: usize = 4096;

/// Does `answer` begin with an answer, and is it all there?
#[must_use]
pub fn come(answer: &[u8]) -> Come {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return if answer.len() < ANSWER_BYTES_MAX { Come::Part } else { Come::Nonsense };
    };
    let (head, body) = (&answer[..end], &answer[end + 4..]);
    let mut lines = head.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let status =
        first.split(|&b| b == b' ').nth(1).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let (Some(status), true) = (status, first.starts_with(b"HTTP/1.")) else { return Come::Nonsense };
    let (mut length, mut chunked, mut keeps) = (0, false, first.starts_with(b"HTTP/1.1"));
    for line in lines {
        let colon = line.iter().position(|&b| b == b':').unwrap_or(0);
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(usize::MAX);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = value.eq_ignore_ascii_case(b"chunked");
        } else if name.eq_ignore_ascii_case(b"connection") {
            keeps = !value.eq_ignore_ascii_case(b"close");
        }
    }
    let whole = if chunked { body.ends_with(b"0\r\n\r\n") } else { body.len() >= length };
    match whole {
        true => Come::Whole { status, keeps },
        false if length > ANSWER_BYTES_MAX => Come::Nonsense,
        false => Come::Part,
    }
}

impl Wanted {
    /// Is `answer`, which is whole and has this status, what it must be?
    #[must_use]
    pub fn is(self, status: u16, answer: &[u8]) -> bool {
        match self {
            Wanted::One => status == 200 && answer.ends_with(b"\r\n\r\n1"),
            Wanted::Success => (200..300).contains(&status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Come = Come::Whole { status: 200, keeps: true };

    fn check(answer: &str, expected: Come) {
        assert_eq!(come(answer.as_bytes()), expected, "{answer:?}");
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        check("", Come::Part);
        check("HTTP/1.1 200 OK\r\ncontent-le", Come::Part);
        check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", Come::Part);
        check("HTTP/1.1 200 OK\r\ncontent-length:1\r\n\r\n1", WHOLE);
        check("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", Come::Whole { status: 204, keeps: true });
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n", Come::Part);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n", WHOLE);
        let closing = Come::Whole { status: 503, keeps: false };
        check("HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", closing);
        check("HTTP/1.0 200 OK\r\n\r\n", Come::Whole { status: 200, keeps: false });
        check("SSH-2.0-OpenSSH\r\n\r\n", Come::Nonsense);
        check("HTTP/1.1 OK\r\n\r\n", Come::Nonsense);
        check("HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", Come::Nonsense);
        check(&"x".repeat(ANSWER_BYTES_MAX), Come::Nonsense);
    }

    #[test]
    fn only_what_says_that_all_is_stored_counts() {
        let one = b"HTTP/1.1 200 OK\r\n\r\n1";
        assert!(Wanted::One.is(200, one) && !Wanted::One.is(503, one));
        assert!(!Wanted::One.is(200, b"HTTP/1.1 200 OK\r\n\r\n0"));
        assert!(Wanted::Success.is(204, b"") && !Wanted::Success.is(302, b""));
    }
}
