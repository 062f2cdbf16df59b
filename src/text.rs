//! Text: how are numbers and tables written for people?

use std::fmt::Write;

use dataflows::{Feature, Money};

/// A whole number with a comma after every three digits.
#[must_use]
pub fn count(number: impl TryInto<u64>) -> String {
    grouped(&number.try_into().unwrap_or(u64::MAX).to_string())
}

/// The text of an amount, such as `-1234.5`, with commas between its thousands.
#[must_use]
pub fn grouped(amount: &str) -> String {
    let (sign, digits) = amount.strip_prefix('-').map_or(("", amount), |rest| ("-", rest));
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(a, b)| (a, Some(b)));
    let mut text = String::from(sign);
    for (place, digit) in whole.chars().enumerate() {
        if 0 < place && (whole.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(part) = part {
        _ = write!(text, ".{part}");
    }
    text
}

/// An amount of `decimals` digits after the point, rounded to at most two of them.
#[must_use]
pub fn money(amount: Money, decimals: u8) -> String {
    let shown = decimals.min(2);
    let unit = 10_i64.pow(u32::from(decimals - shown));
    // Half a unit away from zero, so that a refund of an amount is written like the amount.
    let rounded = (amount.0.abs().saturating_add(unit / 2) / unit).to_string();
    let sign = if amount.0 < 0 { "-" } else { "" };
    let shown = usize::from(shown);
    let digits = format!("{rounded:0>width$}", width = shown + 1);
    let (whole, part) = digits.split_at(digits.len() - shown);
    let point = if part.is_empty() { "" } else { "." };
    grouped(&format!("{sign}{whole}{point}{part}"))
}

/// The share of `part` in `whole` in percent with one decimal; empty of nothing.
#[must_use]
pub fn share(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return String::new();
    }
    let tenths = (i128::from(part) * 1000 + i128::from(whole) / 2).div_euclid(i128::from(whole));
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}%", tenths.abs() / 10, tenths.abs() % 10)
}

/// A score in millionths with three decimals.
#[must_use]
pub fn score(millionths: i64) -> String {
    format!("{}.{:03}", millionths / 1_000_000, millionths % 1_000_000 / 1000)
}

/// How a column of a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Texts begin at the same place.
    Left,
    /// Numbers end at the same place.
    Right,
}

/// `rows` as a table behind `indent`, every column as wide as its widest cell.
#[must_use]
pub fn table(indent: &str, align: &[Align], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..align.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(indent);
        for ((cell, align), width) in row.iter().zip(align).zip(&widths) {
            _ = match align {
                Align::Left => write!(line, "{cell:<width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What the column of a feature is headed.
#[must_use]
pub fn feature_heading(feature: Feature, currency: &str) -> String {
    match feature {
        Feature::Recency => "last order".into(),
        Feature::Frequency => "orders".into(),
        Feature::OrderValue => format!("an order, {currency}"),
        Feature::Spent => format!("spent, {currency}"),
        Feature::Depth => "views a visit".into(),
        Feature::SessionTime => "time a visit".into(),
        Feature::Breadth => "categories".into(),
        Feature::Returns => "returned".into(),
    }
}

/// The value of a feature in the unit that it was measured in, before its logarithm was taken.
#[must_use]
#[expect(clippy::float_arithmetic, reason = "for the eyes of people; it enters no collection")]
pub fn feature(feature: Feature, value: i32, decimals: u8) -> String {
    let doublings = f64::from(value) / 1000.0;
    let doubled = doublings.exp2();
    match feature {
        // Whole doublings: half a one more is the middle.
        Feature::Recency => days((doublings + 0.5).exp2() - 1.0),
        Feature::Frequency => format!("{doubled:.1}"),
        Feature::OrderValue | Feature::Spent => {
            let amount = doubled / 10_f64.powi(i32::from(decimals));
            let places = if amount < 100.0 { 2 } else { 0 };
            grouped(&format!("{amount:.places$}"))
        }
        Feature::Depth | Feature::Breadth => format!("{:.1}", doubled - 1.0),
        Feature::SessionTime => {
            let seconds = doubled - 1.0;
            match seconds < 60.0 {
                true => format!("{seconds:.0} s"),
                false => format!("{:.1} min", seconds / 60.0),
            }
        }
        Feature::Returns => format!("{:.1}%", f64::from(value) / 10.0),
    }
}

/// How long ago something was.
fn days(days: f64) -> String {
    match days {
        days if days < 0.5 => "today".into(),
        days if days < 1.5 => "about a day ago".into(),
        days => format!("about {days:.0} days ago"),
    }
}

/// So many things, with the right ending.
#[must_use]
pub fn many(number: impl TryInto<u64>, one: &str, several: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{} {}", count(number), if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(|n: u64| count(n)),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(money(Money(136_002_115), 3), "136,002.12");
        assert_eq!(money(Money(-50), 3), "-0.05");
        assert_eq!(money(Money(1_200), 0), "1,200");
        assert_eq!(
            [(1, 3), (2, 3), (-1, 2), (1, 0)].map(|(a, b)| share(a, b)),
            ["33.3%", "66.7%", "-50.0%", ""]
        );
        assert_eq!(score(1_234_567), "1.234");
    }

    #[test]
    fn features_come_back_in_their_units() {
        assert_eq!(feature(Feature::Recency, 0, 2), "today");
        assert_eq!(feature(Feature::Recency, 4000, 2), "about 22 days ago");
        assert_eq!(feature(Feature::Frequency, 1584, 2), "3.0");
        assert_eq!(feature(Feature::Spent, 10_000, 2), "10.24");
        assert_eq!(feature(Feature::Returns, 125, 2), "12.5%");
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let rows = [["a", "10"], ["bcd", "9"]].map(|row| row.map(String::from).to_vec());
        let text = table("  ", &[Align::Left, Align::Right], &rows);
        assert_eq!(text, "  a    10\n  bcd   9\n");
    }
}
