//! Fit: which segments do the profiles fall into?
//!
//! A pure function of the [cells](crate::CELLS) and of a reference, which is the model before.
//! It runs outside the dataflow; its result enters as an event, and anyone can run it again.
//!
//! Candidates are Lloyd's rounds over the cells' exact means, weighted by their profiles, from
//! `restarts` seedings (k-means++ with a fixed generator over the cells in key order) and from the
//! reference's centroids. Among the candidates whose inertia is within `refit_gain` of the least,
//! the one nearest to the reference wins: near-tied optima would otherwise swap from fit to fit and
//! move a tenth of the profiles although nothing has changed. Without a reference the least wins.
//!
//! Floats live only inside this function, in one fixed order of operations without fused or
//! library-dependent steps, and are rounded to integers before they leave it.

#![expect(clippy::float_arithmetic, reason = "inside one deterministic function, then rounded")]
#![expect(clippy::as_conversions, reason = "numbers below 2^53 become floats and come back")]

mod matching;
mod seeding;

use std::collections::BTreeMap;

use crate::event::{FEATURES_MAX, Model, ModelKind, Point};
use crate::segment::{Cell, CellSum};
use crate::settings::{SegmentCount, SegmentSettings};

pub use matching::assignment;

/// How many rounds one candidate may take.
const ROUNDS_MAX: usize = 200;

/// The greatest number of segments.
pub const SEGMENTS_MAX: usize = 32;

/// A weighted point.
#[derive(Clone, Copy, Debug)]
struct Mass {
    at: [f64; FEATURES_MAX],
    weight: f64,
}

/// A set of centroids, and how good it is.
#[derive(Clone, Debug)]
struct Candidate {
    centroids: Vec<Point>,
    inertia: f64,
}

/// The model of the profiles in `cells` at `tick`; `None` where there are none.
///
/// With `fresh`, the reference decides only the numbers of the segments and not where they lie.
///
/// Cost: for each seeding and each number of segments tried, some tens of passes over the cells.
#[must_use]
pub fn fit(
    cells: &BTreeMap<Cell, CellSum>,
    reference: Option<&Model>,
    fresh: bool,
    settings: &SegmentSettings,
    tick: u64,
) -> Option<Model> {
    let masses: Vec<Mass> = cells.values().filter(|cell| 0 < cell.profiles).map(mass).collect();
    if masses.is_empty() {
        return None;
    }
    let guide = reference.filter(|_| !fresh);
    let best = |count: usize| best(&masses, count.min(masses.len()), guide, settings);
    let chosen = match settings.count {
        SegmentCount::Fixed(count) => best(count.clamp(1, SEGMENTS_MAX)),
        SegmentCount::Silhouette(max) => {
            let tried = (2..=max.clamp(2, SEGMENTS_MAX)).map(best);
            let mut tried: Vec<_> = tried.map(|one| (silhouette(&masses, &one), one)).collect();
            // The first of equal ones has the fewest segments.
            tried.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            tried.swap_remove(0).1
        }
        SegmentCount::Elbow(max) => {
            let tried: Vec<_> = (1..=max.clamp(2, SEGMENTS_MAX) + 1).map(best).collect();
            let bend =
                |three: &[Candidate]| three[0].inertia - 2.0 * three[1].inertia + three[2].inertia;
            let mut bends: Vec<_> =
                tried.windows(3).map(|three| (bend(three), three[1].clone())).collect();
            bends.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            bends.swap_remove(0).1
        }
    };
    let centroids = numbered(chosen.centroids, reference.map(|model| model.centroids.as_slice()));
    let kind = if guide.is_some() { ModelKind::Fit } else { ModelKind::FreshFit };
    Some(Model { tick, kind, centroids })
}

/// The middle and the weight of a cell.
fn mass(cell: &CellSum) -> Mass {
    let weight = cell.profiles as f64;
    Mass { at: cell.sums.map(|sum| sum as f64 / weight), weight }
}

/// The best candidate with `count` centroids.
fn best(
    masses: &[Mass],
    count: usize,
    reference: Option<&Model>,
    settings: &SegmentSettings,
) -> Candidate {
    let seeds = (0..settings.restarts.max(1)).map(|number| seeding::seeds(masses, count, number));
    let given = reference.filter(|model| model.centroids.len() == count);
    let given =
        given.map(|model| model.centroids.iter().map(|point| point.map(f64::from)).collect());
    let mut candidates: Vec<_> = seeds.chain(given).map(|seeds| lloyd(masses, seeds)).collect();
    candidates.sort_by(|a, b| {
        a.inertia.total_cmp(&b.inertia).then_with(|| a.centroids.cmp(&b.centroids))
    });
    let Some(reference) = reference else { return candidates.swap_remove(0) };
    let bound = candidates[0].inertia * (1.0 + f64::from(settings.refit_gain) / 1000.0);
    candidates.retain(|candidate| candidate.inertia <= bound);
    let far = |candidate: &Candidate| matching::cost(&candidate.centroids, &reference.centroids);
    let nearest = (0..candidates.len()).min_by_key(|place| far(&candidates[*place]));
    candidates.swap_remove(nearest.unwrap_or(0))
}

/// Lloyd's rounds from `centroids` until no mass changes its centroid.
fn lloyd(masses: &[Mass], mut centroids: Vec<[f64; FEATURES_MAX]>) -> Candidate {
    let mut owners = vec![usize::MAX; masses.len()];
    for _ in 0..ROUNDS_MAX {
        let mut sums = vec![[0.0; FEATURES_MAX]; centroids.len()];
        let mut weights = vec![0.0; centroids.len()];
        let mut moved = false;
        for (mass, owner) in masses.iter().zip(&mut owners) {
            let (nearest, _) = nearest(&mass.at, &centroids);
            moved |= nearest != *owner;
            *owner = nearest;
            weights[nearest] += mass.weight;
            let sum: &mut [f64; FEATURES_MAX] = &mut sums[nearest];
            sum.iter_mut().zip(mass.at).for_each(|(sum, x)| *sum += x * mass.weight);
        }
        if !moved {
            break;
        }
        for ((centroid, sum), weight) in centroids.iter_mut().zip(sums).zip(weights) {
            // A centroid that nothing is nearest to stays where it is.
            if 0.0 < weight {
                *centroid = sum.map(|sum| sum / weight);
            }
        }
    }
    let mut centroids: Vec<Point> =
        centroids.iter().map(|centroid| centroid.map(|x| x.round() as i32)).collect();
    centroids.sort_unstable();
    let exact: Vec<_> = centroids.iter().map(|centroid| centroid.map(f64::from)).collect();
    let inertia = masses.iter().map(|mass| mass.weight * nearest(&mass.at, &exact).1).sum();
    Candidate { centroids, inertia }
}

/// The nearest of `centroids`, the first of equal ones, and its squared distance.
fn nearest(at: &[f64; FEATURES_MAX], centroids: &[[f64; FEATURES_MAX]]) -> (usize, f64) {
    let mut nearest = (0, f64::INFINITY);
    for (number, centroid) in centroids.iter().enumerate() {
        let distance = squared(at, centroid);
        if distance < nearest.1 {
            nearest = (number, distance);
        }
    }
    nearest
}

/// The squared distance of two points.
fn squared(a: &[f64; FEATURES_MAX], b: &[f64; FEATURES_MAX]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The mean silhouette by centroids: how much nearer is a profile to its own than to the next?
fn silhouette(masses: &[Mass], candidate: &Candidate) -> f64 {
    let centroids: Vec<_> = candidate.centroids.iter().map(|point| point.map(f64::from)).collect();
    let (mut sum, mut weight) = (0.0, 0.0);
    for mass in masses {
        let mut distances: Vec<f64> =
            centroids.iter().map(|centroid| squared(&mass.at, centroid).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        weight += mass.weight;
        if let [own, next, ..] = distances[..]
            && 0.0 < next
        {
            sum += mass.weight * (next - own) / next;
        }
    }
    sum / weight
}

/// `centroids` with the numbers of the reference's that they match at the least cost.
fn numbered(centroids: Vec<Point>, reference: Option<&[Point]>) -> Vec<Point> {
    let Some(reference) = reference else { return centroids };
    let numbers = assignment(&centroids, reference);
    let mut placed: Vec<Option<Point>> = vec![None; centroids.len()];
    let mut unplaced = Vec::new();
    for (centroid, number) in centroids.into_iter().zip(numbers) {
        match number.and_then(|number| placed.get_mut(number)) {
            Some(place) => *place = Some(centroid),
            None => unplaced.push(centroid),
        }
    }
    let mut unplaced = unplaced.into_iter();
    placed.into_iter().filter_map(|place| place.or_else(|| unplaced.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Profiles at places on the first feature, in cells of 100.
    fn cells(places: &[i32]) -> BTreeMap<Cell, CellSum> {
        let mut cells: BTreeMap<Cell, CellSum> = BTreeMap::new();
        for place in places {
            let mut cell = Cell([0; FEATURES_MAX]);
            cell.0[0] = place.div_euclid(100);
            let sum = cells.entry(cell).or_default();
            sum.profiles += 1;
            sum.sums[0] += i64::from(*place);
        }
        cells
    }

    fn settings(count: SegmentCount) -> SegmentSettings {
        SegmentSettings { count, ..crate::Settings::default().segments }
    }

    fn firsts(model: &Model) -> Vec<i32> {
        model.centroids.iter().map(|centroid| centroid[0]).collect()
    }

    #[test]
    fn obvious_groups_are_found() {
        let cells = cells(&[0, 10, 20, 5000, 5010, 9000, 9020]);
        for count in [SegmentCount::Fixed(3), SegmentCount::Silhouette(5)] {
            let model = fit(&cells, None, false, &settings(count), 1).unwrap();
            assert_eq!(firsts(&model), [10, 5005, 9010], "{count:?}");
        }
        // The step from one to two takes six times what the step from two to three takes.
        let model = fit(&cells, None, false, &settings(SegmentCount::Elbow(4)), 1).unwrap();
        assert_eq!(firsts(&model), [10, 7008]);
    }

    #[test]
    fn numbers_stay_put() {
        let settings = settings(SegmentCount::Fixed(3));
        let point = |x| [x, 0, 0, 0, 0, 0, 0, 0];
        let centroids = [9100, 4900, 100].map(point).to_vec();
        let before = Model { tick: 1, kind: ModelKind::Fit, centroids };
        let cells = cells(&[0, 10, 20, 5000, 5010, 9000, 9020]);
        for fresh in [false, true] {
            let model = fit(&cells, Some(&before), fresh, &settings, 2).unwrap();
            assert_eq!(firsts(&model), [9010, 5005, 10]);
        }
    }

    #[test]
    fn fewer_places_than_segments_are_no_trouble() {
        let settings = settings(SegmentCount::Fixed(5));
        assert_eq!(fit(&BTreeMap::new(), None, false, &settings, 1), None);
        let model = fit(&cells(&[300, 300, 700]), None, false, &settings, 1).unwrap();
        assert_eq!(firsts(&model), [300, 700]);
    }
}
