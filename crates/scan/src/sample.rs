//! Clips text for a log.

/// At most `max` bytes of `bytes` as readable text: wrong UTF-8 and control characters replaced, and `…`
/// at the end where something was left out.
#[must_use]
pub fn clip(bytes: &[u8], max: usize) -> String {
    // One character more than fits, so that a cut never splits one that would have fitted.
    let window = &bytes[..bytes.len().min(max.saturating_add(4))];
    let mut out = String::with_capacity(window.len().min(max) + 3);
    for c in String::from_utf8_lossy(window).chars() {
        let c = if c.is_control() { ' ' } else { c };
        if out.len() + c.len_utf8() > max {
            out.push('…');
            return out;
        }
        out.push(c);
    }
    if window.len() < bytes.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn a_sample_is_bounded_readable_and_never_splits_a_character() {
        for (bytes, max, want) in [
            (&b"short"[..], 10, "short"),
            (b"exactly ten", 11, "exactly ten"),
            (b"a longer text", 8, "a longer…"),
            ("zürich".as_bytes(), 2, "z…"),
            (b"tab\there\n", 20, "tab here "),
            (b"wrong \xff byte", 30, "wrong \u{fffd} byte"),
            (b"", 5, ""),
            (b"x", 0, "…"),
        ] {
            assert_eq!(clip(bytes, max), want);
        }
    }
}
