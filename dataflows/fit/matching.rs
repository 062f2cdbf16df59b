//! Matching: which new centroid is which old one?

use crate::event::Point;
use crate::segment::squared;

/// What the best matching of two sets of centroids costs: the sum of squared distances.
pub(super) fn cost(new: &[Point], old: &[Point]) -> i64 {
    let matched = assignment(new, old).into_iter().zip(new);
    matched.filter_map(|(place, point)| Some(squared(point, &old[place?]))).sum()
}

/// For each of `new` the one of `old` that it is matched to, so that the sum of the squared
/// distances is least; `None` for those that are left over.
///
/// The Hungarian method with potentials (Kuhn 1955, Munkres 1957): rows are matched one by one
/// along shortest augmenting paths. Cost: the cube of the number of centroids.
#[must_use]
pub fn assignment(new: &[Point], old: &[Point]) -> Vec<Option<usize>> {
    let size = new.len().max(old.len());
    // Beyond either list every match is equally dear.
    let price = |row: usize, column: usize| match (new.get(row), old.get(column)) {
        (Some(a), Some(b)) => squared(a, b),
        _ => 0,
    };
    // Columns and rows count from 1; 0 stands for "none yet".
    let mut of_column = vec![0_usize; size + 1];
    let (mut row_potential, mut column_potential) = (vec![0_i64; size + 1], vec![0_i64; size + 1]);
    for row in 1..=size {
        of_column[0] = row;
        let mut column = 0;
        let mut least = vec![i64::MAX; size + 1];
        let mut came_from = vec![0_usize; size + 1];
        let mut reached = vec![false; size + 1];
        while of_column[column] != 0 {
            reached[column] = true;
            let at = of_column[column];
            let (mut step, mut next) = (i64::MAX, 0);
            for other in (1..=size).filter(|other| !reached[*other]) {
                let reduced =
                    price(at - 1, other - 1) - row_potential[at] - column_potential[other];
                if reduced < least[other] {
                    least[other] = reduced;
                    came_from[other] = column;
                }
                if least[other] < step {
                    (step, next) = (least[other], other);
                }
            }
            for other in 0..=size {
                if reached[other] {
                    row_potential[of_column[other]] += step;
                    column_potential[other] -= step;
                } else if least[other] != i64::MAX {
                    least[other] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            of_column[column] = of_column[came_from[column]];
            column = came_from[column];
        }
    }
    let mut matched = vec![None; new.len()];
    for (column, row) in of_column.iter().enumerate().skip(1) {
        if let Some(place) = matched.get_mut(*row - 1)
            && column <= old.len()
        {
            *place = Some(column - 1);
        }
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(places: &[i32]) -> Vec<Point> {
        places.iter().map(|x| [*x, 0, 0, 0, 0, 0, 0, 0]).collect()
    }

    #[test]
    fn the_whole_is_cheapest_and_not_the_first_step() {
        // Greedily, 10 would take 9 and leave 0 to 20.
        let matched = assignment(&line(&[10, 0]), &line(&[9, 20]));
        assert_eq!(matched, [Some(1), Some(0)]);
    }

    #[test]
    fn what_is_left_over_has_no_match() {
        assert_eq!(assignment(&line(&[0, 100, 200]), &line(&[205, 90])), [None, Some(1), Some(0)]);
        assert_eq!(assignment(&line(&[100]), &line(&[205, 90])), [Some(1)]);
    }
}
