//! Number: what exact integer does a decimal text say?
//!
//! No float lies between the text and the result: `0.1` with three decimals is 100, never 99.

/// How a source writes numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// What stands before the fraction: a point or a comma.
    pub point: u8,
    /// What stands between groups of three digits, if anything does.
    pub thousands: Option<u8>,
}

impl Style {
    /// `1234.5`: a point, and nothing between the digits.
    pub const PLAIN: Style = Style { point: b'.', thousands: None };
}

/// What `text` says, in units of ten to the minus `decimals`.
///
/// A sign may lead; zeros beyond the decimals are allowed, for they change nothing.
/// Digits between separators stand in groups of three, so that a decimal comma that is taken for
/// a separator is refused instead of read as a thousand times as much.
///
/// # Errors
///
/// The reason, in the words of a [`Refusal`](super::Refusal).
pub fn decimal(text: &str, decimals: u8, style: Style) -> Result<i64, &'static str> {
    let text = text.trim_ascii().as_bytes();
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let split = text.iter().position(|byte| *byte == style.point);
    let (whole, part) = match split {
        Some(place) => {
            let (whole, part) = text.split_at(place);
            (whole, part.get(1..).unwrap_or_default())
        }
        None => (text, &[][..]),
    };
    if whole.is_empty() && part.is_empty() || !grouped(whole, style.thousands) {
        return Err(PLAIN_NUMBER);
    }
    let mut sum: i64 = 0;
    for byte in whole.iter().filter(|byte| Some(**byte) != style.thousands) {
        sum = append(sum, *byte, negative)?;
    }
    let kept = usize::from(decimals);
    for place in 0..kept {
        sum = append(sum, part.get(place).copied().unwrap_or(b'0'), negative)?;
    }
    let beyond = part.get(kept..).unwrap_or_default();
    if !beyond.iter().all(u8::is_ascii_digit) {
        return Err(PLAIN_NUMBER);
    }
    match beyond.iter().all(|byte| *byte == b'0') {
        true => Ok(sum),
        false => Err("has more decimals than the unit it is kept in"),
    }
}

/// The reason for a text that is no number.
const PLAIN_NUMBER: &str = "is not a plain decimal number";

/// Ten times `sum` and one more digit, away from zero.
fn append(sum: i64, byte: u8, negative: bool) -> Result<i64, &'static str> {
    if !byte.is_ascii_digit() {
        return Err(PLAIN_NUMBER);
    }
    let digit = i64::from(byte - b'0');
    let ten = sum.checked_mul(10);
    let next = ten.and_then(|ten| ten.checked_add(if negative { -digit } else { digit }));
    next.ok_or("is too large a number")
}

/// Whether every group of digits after a separator is of three, and the first of one to three.
fn grouped(whole: &[u8], thousands: Option<u8>) -> bool {
    let Some(separator) = thousands.filter(|separator| whole.contains(separator)) else {
        return true;
    };
    whole.split(|byte| *byte == separator).enumerate().all(|(place, group)| match place {
        0 => (1..=3).contains(&group.len()),
        _ => group.len() == 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let plain = |text, decimals| decimal(text, decimals, Style::PLAIN);
        assert_eq!(plain("2.55", 3), Ok(2550));
        assert_eq!(plain(" -0.001 ", 3), Ok(-1));
        assert_eq!(plain("+7", 2), Ok(700));
        assert_eq!(plain(".5", 1), Ok(5));
        assert_eq!(plain("5.", 1), Ok(50));
        assert_eq!(plain("2.0", 0), Ok(2));
        assert_eq!(plain("-9223372036854775.808", 3), Ok(i64::MIN));
        assert_eq!(plain("9223372036854775.807", 3), Ok(i64::MAX));
    }

    #[test]
    fn what_cannot_be_kept_exactly_is_refused() {
        let plain = |text| decimal(text, 2, Style::PLAIN);
        assert_eq!(plain("0.005"), Err("has more decimals than the unit it is kept in"));
        assert_eq!(plain("92233720368547758.08"), Err("is too large a number"));
        for text in ["", "-", ".", "1e3", "0x10", "1,000", "1.2.3", "NaN", "1.005x", "£1", "١"] {
            assert_eq!(plain(text), Err(PLAIN_NUMBER), "{text}");
        }
    }

    #[test]
    fn separators_stand_between_groups_of_three() {
        let german = Style { point: b',', thousands: Some(b'.') };
        assert_eq!(decimal("1.234.567,8", 2, german), Ok(123_456_780));
        assert_eq!(decimal("12,5", 2, german), Ok(1250));
        assert_eq!(decimal("12.5", 2, german), Err(PLAIN_NUMBER));
        assert_eq!(decimal("1234.567", 2, german), Err(PLAIN_NUMBER));
        assert_eq!(decimal(".567", 2, german), Err(PLAIN_NUMBER));
    }
}
