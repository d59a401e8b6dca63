//! The `time` of events: seconds or milliseconds since the epoch.

/// Numbers from here on are milliseconds; seconds reach it in the year 5138.
const MILLIS_FROM: f64 = 1e11;
/// The largest time that is kept: beyond it a double no longer counts single milliseconds.
const MILLIS_MAX: f64 = 9_007_199_254_740_992.0;

/// Milliseconds of a JSON number; infinite beyond a double.
pub(super) fn exact_millis(number: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some(if number.abs() >= MILLIS_FROM { number } else { number * 1000.0 })
}

/// Milliseconds of a JSON number, rounded; `None` when out of any range that means a time.
pub(super) fn millis(number: &[u8]) -> Option<i64> {
    if let Some(whole) = digits(number) {
        return Some(in_millis(whole));
    }
    if let Some(millis) = seconds(number) {
        return Some(millis);
    }
    if let Some(whole) = whole(number) {
        return Some(in_millis(whole));
    }
    let millis = exact_millis(number)?.round();
    #[expect(clippy::cast_possible_truncation, reason = "in range: just checked")]
    (millis.abs() <= MILLIS_MAX).then_some(millis as i64)
}

fn in_millis(whole: i64) -> i64 {
    if whole.unsigned_abs() >= 100_000_000_000 { whole } else { whole * 1000 }
}

/// Eight to fifteen digits and nothing else, as those of today are without decimals.
fn digits(number: &[u8]) -> Option<i64> {
    let (first, rest) = number.split_first_chunk::<8>()?;
    if rest.len() > 7 || !rest.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(rest.iter().fold(eight_digits(*first)?, |n, digit| n * 10 + i64::from(digit - b'0')))
}

/// Seconds below 10^11 with up to three decimals: nearly all there are. A double of so few digits, a thousand times as
/// much and rounded, says the same.
fn seconds(number: &[u8]) -> Option<i64> {
    // Those of today have ten digits before the point, and most three behind it.
    if let [ten @ .., b'.', a, b, c] = number
        && let Some((first, [d, e])) = ten.split_first_chunk::<8>()
    {
        let rest = [d, e, a, b, c].map(|digit| digit.wrapping_sub(b'0'));
        let whole = eight_digits(*first)?;
        return rest
            .iter()
            .all(|&digit| digit < 10)
            .then(|| rest.iter().fold(whole, |n, &digit| n * 10 + i64::from(digit)));
    }
    let point = number.iter().rposition(|&b| b == b'.').filter(|&point| (1..=11).contains(&point))?;
    let (whole, decimals) = (&number[..point], &number[point + 1..]);
    let digits = |digits: &[u8], from: i64| {
        digits.iter().try_fold(from, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let scale = [0, 100, 10, 1].get(decimals.len()).filter(|&&scale| scale > 0)?;
    Some(digits(decimals, digits(whole, 0)?)? * scale)
}

/// The number of eight digits, if they are.
fn eight_digits(digits: [u8; 8]) -> Option<i64> {
    const LANES: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(digits) ^ (LANES * 0x30);
    if (digits.wrapping_add(LANES * 0x76) | digits) & (LANES * 0x80) != 0 {
        return None;
    }
    // Two digits become one number, then four, then eight; the first is the lowest byte.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    Some(eight.cast_signed())
}

/// A number that is plainly an integer, without going through a double.
fn whole(number: &[u8]) -> Option<i64> {
    let (negative, digits) = match number {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // Fifteen digits stay below 2^53, where a double would say the same.
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let n = digits.iter().try_fold(0i64, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))?;
    Some(if negative { -n } else { n })
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        for (number, want) in [
            ("1760000000", Some(1_760_000_000_000)),
            ("1760000000123", Some(1_760_000_000_123)),
            ("12345678", Some(12_345_678_000)),
            ("999999999999999", Some(999_999_999_999_999)),
            ("1795312120.1215115", Some(1_795_312_120_122)),
            ("1795312120.121", Some(1_795_312_120_121)),
            ("0000000009.999", Some(9_999)),
            ("9999999999.999", Some(9_999_999_999_999)),
            ("1795312120.5", Some(1_795_312_120_500)),
            ("1795312120.25", Some(1_795_312_120_250)),
            ("1795312120.0005", Some(1_795_312_120_001)),
            ("99999999999.999", Some(99_999_999_999_999)),
            ("100000000000.4", Some(100_000_000_000)),
            ("-1795312120.5", Some(-1_795_312_120_500)),
            ("1.76e9", Some(1_760_000_000_000)),
            ("99999999999", Some(99_999_999_999_000)),
            ("100000000000", Some(100_000_000_000)),
            ("0", Some(0)),
            ("-1", Some(-1000)),
            ("-0.5", Some(-500)),
            ("9007199254740992", Some(9_007_199_254_740_992)),
            ("9007199254740994", None),
            ("1e400", None),
            ("-1e400", None),
            ("123456789012345678901234567890", None),
        ] {
            assert_eq!(millis(number.as_bytes()), want, "{number}");
        }
    }
}
