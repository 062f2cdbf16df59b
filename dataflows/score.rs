//! Score: how are results turned into comparable numbers without a float?
//!
//! A score is an integer in millionths, a feature an integer in thousandths of a doubling.
//! Both are computed from integers in one last function, so that every machine gets the same.

/// Fractional bits of a [`log2`].
const FRACTION_BITS: u32 = 40;

/// The binary logarithm of `x`, rounded down, in units of 2⁻⁴⁰; 0 for 0.
///
/// Squares the mantissa once for each bit of the result.
#[must_use]
pub fn log2(x: u64) -> i64 {
    if x == 0 {
        return 0;
    }
    let whole = x.ilog2();
    let mut mantissa = u128::from(x) << (63 - whole);
    let mut log = i64::from(whole);
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        let carry = mantissa >> 64;
        mantissa >>= carry;
        log = 2 * log + i64::from(carry != 0);
    }
    log
}

/// The binary logarithm of `x` in thousandths, rounded down; 0 for anything below 1.
#[must_use]
pub fn doublings(x: i64) -> i32 {
    let log = log2(u64::try_from(x).unwrap_or(0));
    i32::try_from((log * 1000) >> FRACTION_BITS).unwrap_or(i32::MAX)
}

/// How two items that occur together are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Score {
    /// Pair count over the geometric mean of the two item counts.
    Cosine,
    /// Pair count over the count of baskets with either.
    Jaccard,
    /// How many times more often together than if they were independent.
    Lift,
    /// The share of the first item's baskets that also hold the second.
    Conditional,
    /// Dunning's log-likelihood ratio: how surprising the pair count is, in either direction.
    LogLikelihood,
}

/// Four counts: baskets with both items, with the first, with the second, and all baskets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Baskets with both.
    pub pair: u64,
    /// Baskets with the first item.
    pub first: u64,
    /// Baskets with the second item.
    pub second: u64,
    /// All baskets.
    pub total: u64,
}

/// One in a score.
const ONE: u128 = 1_000_000;

impl Score {
    /// The score of `counts` in millionths, rounded down; 0 where it is not defined.
    #[must_use]
    pub fn of(self, counts: Counts) -> i64 {
        let [pair, first, second, total] =
            [counts.pair, counts.first, counts.second, counts.total].map(u128::from);
        let ratio = |over: u128, under: u128| (over * ONE).checked_div(under).unwrap_or(0);
        let score = match self {
            Score::Cosine => {
                (pair * pair * ONE * ONE).checked_div(first * second).unwrap_or(0).isqrt()
            }
            Score::Jaccard => ratio(pair, (first + second).saturating_sub(pair)),
            Score::Lift => ratio(pair * total, first * second),
            Score::Conditional => ratio(pair, first),
            Score::LogLikelihood => return log_likelihood(counts),
        };
        i64::try_from(score).unwrap_or(i64::MAX)
    }
}

/// Dunning's log-likelihood ratio in millionths of a nat: 2·Σ k·ln k over the table's cells less
/// the same over its margins, plus the same for the whole.
fn log_likelihood(counts: Counts) -> i64 {
    let Counts { pair, first, second, total } = counts;
    let (only_first, only_second) = (first.saturating_sub(pair), second.saturating_sub(pair));
    let neither = total.saturating_sub(pair + only_first + only_second);
    let entropy = |k: u64| i128::from(k) * i128::from(log2(k));
    let cells = entropy(pair) + entropy(only_first) + entropy(only_second) + entropy(neither);
    let margins = entropy(first)
        + entropy(total.saturating_sub(first))
        + entropy(second)
        + entropy(total.saturating_sub(second));
    // ln 2 in units of 2⁻⁴⁰, to turn doublings into nats.
    const LN_2: i128 = 762_123_384_786;
    let doubled = 2 * (cells - margins + entropy(total)).max(0);
    let nats = ((doubled >> 20) * LN_2) >> 20;
    i64::try_from((nats * 1_000_000) >> FRACTION_BITS).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_textbook() {
        assert_eq!(log2(1), 0);
        assert_eq!(log2(8), 3 << FRACTION_BITS);
        assert_eq!([1, 2, 3, 10, 1_000_000].map(doublings), [0, 1000, 1584, 3321, 19931]);
        assert_eq!([-5, 0].map(doublings), [0, 0]);
        assert_eq!(doublings(i64::MAX), 62_999);
    }

    #[test]
    fn scores_are_those_of_a_table_by_hand() {
        // 1,000 baskets, 100 with a, 50 with b, 20 with both.
        let counts = Counts { pair: 20, first: 100, second: 50, total: 1000 };
        assert_eq!(Score::Cosine.of(counts), 282_842);
        assert_eq!(Score::Jaccard.of(counts), 153_846);
        assert_eq!(Score::Lift.of(counts), 4_000_000);
        assert_eq!(Score::Conditional.of(counts), 200_000);
        // 2·(20 ln(20/5) + 80 ln(80/95) + 30 ln(30/45) + 870 ln(870/855)) = 33.889459…
        let llr = Score::LogLikelihood.of(counts);
        assert!((33_889_455..33_889_460).contains(&llr), "{llr}");
    }

    #[test]
    fn nothing_divides_by_zero() {
        let none = Counts { pair: 0, first: 0, second: 0, total: 0 };
        for score in
            [Score::Cosine, Score::Jaccard, Score::Lift, Score::Conditional, Score::LogLikelihood]
        {
            assert_eq!(score.of(none), 0);
        }
    }
}
