//! Seeding: where does a candidate begin?

use super::{Mass, squared};
use crate::event::{FEATURES_MAX, spread};

/// The `number`-th seeding of `count` centroids: k-means++, with a fixed generator.
pub(super) fn seeds(masses: &[Mass], count: usize, number: usize) -> Vec<[f64; FEATURES_MAX]> {
    let mut generator = Generator(number as u64);
    let weights: Vec<f64> = masses.iter().map(|mass| mass.weight).collect();
    let mut seeds = vec![masses[generator.choice(&weights)].at];
    let mut distances = vec![f64::INFINITY; masses.len()];
    while seeds.len() < count {
        let newest = seeds[seeds.len() - 1];
        for (distance, mass) in distances.iter_mut().zip(masses) {
            *distance = distance.min(mass.weight * squared(&mass.at, &newest));
        }
        seeds.push(masses[generator.choice(&distances)].at);
    }
    seeds
}

/// SplitMix64.
struct Generator(u64);

impl Generator {
    /// A number from 0 up to 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (spread(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A place in `weights`, drawn in proportion to them.
    fn choice(&mut self, weights: &[f64]) -> usize {
        let total: f64 = weights.iter().sum();
        let mut left = self.fraction() * total;
        let mut last = 0;
        for (place, weight) in weights.iter().enumerate().filter(|(_, weight)| 0.0 < **weight) {
            last = place;
            if left < *weight {
                break;
            }
            left -= weight;
        }
        last
    }
}
