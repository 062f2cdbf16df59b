//! K-means: which customers are alike?

use dataflows::DAY_MICROS;

use super::super::random::Random;
use super::groups::Sum;

/// How many segments there are.
const SEGMENTS: usize = 5;
/// How many rounds a fit takes at most.
const ROUNDS_MAX: usize = 20;

/// Recency, frequency and money, each in doublings.
type Point = [f64; 3];

/// The middles of the segments.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The day of the last order when it was fitted.
    today: i64,
    centroids: Vec<Point>,
}

impl Model {
    /// Lloyd's algorithm from one seeding, each centroid far from those before (k-means++), with
    /// fixed random numbers; `None` without customers.
    pub(super) fn fit(customers: &[Sum]) -> Option<Model> {
        let today = customers.iter().map(|sum| sum.last.div_euclid(DAY_MICROS)).max()?;
        let points: Vec<Point> = customers.iter().map(|sum| point(sum, today)).collect();
        let mut centroids = seeds(&points);
        let mut segments = vec![usize::MAX; points.len()];
        for _ in 0..ROUNDS_MAX {
            if !assign(&points, &centroids, &mut segments) {
                break;
            }
            means(&points, &segments, &mut centroids);
        }
        Some(Model { today, centroids })
    }

    /// The number of the segment of a customer: the place of the nearest centroid.
    pub(super) fn of(&self, customer: &Sum) -> u8 {
        let (segment, _) = nearest(&point(customer, self.today), &self.centroids);
        u8::try_from(segment).unwrap_or(u8::MAX)
    }
}

/// Where a customer stands.
#[expect(clippy::as_conversions, reason = "days and money are far below 2⁵³")]
fn point(customer: &Sum, today: i64) -> Point {
    let days = (today - customer.last.div_euclid(DAY_MICROS)).max(0);
    [(days + 1) as f64, f64::from(customer.orders), customer.spent.max(1) as f64].map(f64::log2)
}

/// The squared distance of two points.
#[expect(clippy::float_arithmetic, reason = "in an order that is fixed")]
fn distance(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The place of the nearest centroid, of equal ones the first, and the squared distance to it.
fn nearest(point: &Point, centroids: &[Point]) -> (usize, f64) {
    let distances = centroids.iter().map(|centroid| distance(point, centroid)).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0))
}

/// Points to start from: each with a chance that grows with its distance from those before.
#[expect(clippy::float_arithmetic, clippy::as_conversions, reason = "in an order that is fixed")]
fn seeds(points: &[Point]) -> Vec<Point> {
    let mut random = Random::new(1);
    let mut centroids = vec![points[0]];
    let mut distances = vec![f64::INFINITY; points.len()];
    while centroids.len() < SEGMENTS {
        let newest = centroids[centroids.len() - 1];
        let mut total = 0.0;
        for (least, point) in distances.iter_mut().zip(points) {
            *least = least.min(distance(point, &newest));
            total += *least;
        }
        let mut left = total * (random.below(1 << 53) as f64 / (1_u64 << 53) as f64);
        let chosen = distances.iter().position(|least| {
            left -= least;
            left < 0.0
        });
        let Some(chosen) = chosen else { break };
        centroids.push(points[chosen]);
    }
    centroids
}

/// Assigns all points, and says whether any has moved.
fn assign(points: &[Point], centroids: &[Point], segments: &mut [usize]) -> bool {
    let mut moved = false;
    for (point, segment) in points.iter().zip(segments) {
        let (near, _) = nearest(point, centroids);
        moved |= near != *segment;
        *segment = near;
    }
    moved
}

/// Moves the centroids to the means of their points.
#[expect(clippy::float_arithmetic, reason = "in an order that is fixed")]
fn means(points: &[Point], segments: &[usize], centroids: &mut [Point]) {
    let mut sums = vec![([0.0; 3], 0.0); centroids.len()];
    for (point, &segment) in points.iter().zip(segments) {
        let (sum, count) = &mut sums[segment];
        sum.iter_mut().zip(point).for_each(|(sum, value)| *sum += value);
        *count += 1.0;
    }
    for (centroid, (sum, count)) in centroids.iter_mut().zip(sums) {
        if 0.0 < count {
            *centroid = sum.map(|sum| sum / count);
        }
    }
}
