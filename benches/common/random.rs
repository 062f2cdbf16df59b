//! Random: where do a generator's numbers come from?

/// The step of splitmix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes all bits of a number into all bits of the result; different numbers stay different.
pub(crate) fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(STEP);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Numbers by splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers that follow from `seed`.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        let number = mix(self.0);
        self.0 = self.0.wrapping_add(STEP);
        number
    }

    /// A number below `bound`, or 0 where there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Whether something happens that does so `chance` times in a thousand.
    pub(crate) fn permille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }
}

/// Numbers from 0, each as likely as its weight says: Walker's table, as Vose fills it.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    /// The share of each place, of 2⁶⁴, that stays its own, and who has the rest.
    places: Vec<(u64, u32)>,
}

impl Weighted {
    /// Numbers below `n` by Zipf's law: the `i`th is as likely as `i` to the power of `-exponent`.
    #[expect(clippy::float_arithmetic, reason = "weights, rounded to integers before use")]
    #[expect(clippy::as_conversions, reason = "a weight is rounded to an integer")]
    pub(crate) fn zipf(n: u64, exponent: f64) -> Weighted {
        let weight = |i: u64| (1e12 * ((i + 1) as f64).powf(-exponent)) as u64;
        Weighted::new((0..n).map(weight))
    }

    /// Numbers below `n` with the weights of a Pareto distribution from 0, plus `least`.
    #[expect(clippy::float_arithmetic, reason = "weights, rounded to integers before use")]
    #[expect(clippy::as_conversions, reason = "a weight is rounded to an integer")]
    pub(crate) fn pareto(n: u64, shape: f64, least: f64, random: &mut Random) -> Weighted {
        let weight = |uniform: u64| {
            let uniform = (uniform + 1) as f64 / (1_u64 << 32) as f64;
            (1e6 * (uniform.powf(-1.0 / shape) - 1.0 + least)) as u64
        };
        Weighted::new((0..n).map(|_| weight(random.next() >> 32)))
    }

    /// Numbers with these weights.
    pub(crate) fn new(weights: impl Iterator<Item = u64>) -> Weighted {
        let weights: Vec<u128> = weights.map(|weight| u128::from(weight.max(1))).collect();
        let total: u128 = weights.iter().sum();
        let n = u128::try_from(weights.len()).unwrap_or(1);
        // Each place is worth `total`; a number fills places with `n` times its weight.
        let mut left: Vec<u128> = weights.iter().map(|weight| weight * n).collect();
        let (mut poor, mut rich): (Vec<u32>, Vec<u32>) =
            (0..).take(left.len()).partition(|&i| left[index(i)] < total);
        let mut places = vec![(u64::MAX, 0); left.len()];
        while let Some(small) = poor.pop() {
            let Some(&large) = rich.last() else { continue };
            let share = left[index(small)];
            let own = (share << 64) / total;
            places[index(small)] = (u64::try_from(own).unwrap_or(u64::MAX), large);
            left[index(large)] -= total - share;
            if left[index(large)] < total {
                rich.pop();
                poor.push(large);
            }
        }
        Weighted { places }
    }

    /// A number.
    pub(crate) fn pick(&self, random: &mut Random) -> u64 {
        let n = u64::try_from(self.places.len()).unwrap_or(0);
        let place = random.below(n);
        let (own, other) = self.places[usize::try_from(place).unwrap_or(0)];
        if random.next() <= own { place } else { u64::from(other) }
    }
}

/// A number as a place in memory.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
