//! Segment: which profiles are alike.

use super::*;
use crate::segment::{Cell, CellSum, Centroid, Segment, Spread};
use crate::settings::Feature;
use crate::{CELLS, CENTROIDS, SEGMENTS, SPREAD};

/// Two customers who spent 4 and 8, and stand at 2000 and 3000.
fn story() -> Story {
    let mut story = Story::default();
    story.settings.segments.features = vec![Feature::Spent];
    story.tell(1, &[cookie(1)], order(1, &[(1, 1, 4)]));
    story.tell(1, &[cookie(2)], order(2, &[(1, 1, 8)]));
    story
}

/// The numbers of the two customers.
fn numbers(story: &Story) -> [u8; 2] {
    let rows = story.rows(SEGMENTS);
    [cookie(1), cookie(2)].map(|id| rows[&ProfileId(id)].0)
}

#[test]
fn a_cell_sums_its_points() {
    let mut story = story();
    let sums = |sum| [sum, 0, 0, 0, 0, 0, 0, 0];
    let cell = |place| Cell([place, 0, 0, 0, 0, 0, 0, 0]);
    let two = [
        (cell(8), CellSum { profiles: 1, sums: sums(2000) }),
        (cell(12), CellSum { profiles: 1, sums: sums(3000) }),
    ];
    assert_eq!(story.rows(CELLS), two.into());
    story.settings.segments.cell = 2000;
    let one = [(cell(1), CellSum { profiles: 2, sums: sums(5000) })];
    assert_eq!(story.rows(CELLS), one.into());
}

#[test]
fn without_a_model_there_are_no_segments() {
    let mut story = story();
    story.tell(2, &[], model(9, &[]));
    assert!(story.rows(SEGMENTS).is_empty());
    assert!(story.rows(CENTROIDS).is_empty());
    assert!(story.rows(SPREAD).is_empty());
}

#[test]
fn the_nearest_centroid_of_the_newest_model_decides_and_the_smallest_number_breaks_ties() {
    let mut story = story();
    story.tell(2, &[], model(9, &[1000, 3000]));
    story.tell(8, &[], model(5, &[3000, 0]));
    story.tell(9, &[], model(12, &[]));
    assert_eq!(numbers(&story), [0, 1]);
    let centroid = |number, value| (Segment(number), Centroid([value, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(story.rows(CENTROIDS), [centroid(0, 1000), centroid(1, 3000)].into());
    let spread = Spread { profiles: 2, inertia: 1_000_000 };
    assert_eq!(story.rows(SPREAD), [((), spread)].into());
    story.tell(3, &[], model(9, &[5000, 0]));
    assert_eq!(numbers(&story), [1, 0], "of two models of one tick, the greater id");
}

#[test]
fn with_hysteresis_a_profile_leaves_only_for_a_centroid_nearer_by_more() {
    let mut story = story();
    story.tell(2, &[], model(1, &[2000, 9000]));
    story.tell(3, &[], model(2, &[1600, 2100]));
    // The first is 400 away from number 0 and 100 from number 1; the second 1400 and 900.
    assert_eq!(numbers(&story), [1, 1]);
    story.settings.segments.hysteresis = 299;
    assert_eq!(numbers(&story), [1, 1]);
    story.settings.segments.hysteresis = 300;
    assert_eq!(numbers(&story), [0, 1], "nearer by 300 is not nearer by more than 300");
    story.settings.segments.hysteresis = 500;
    assert_eq!(numbers(&story), [0, 0]);
}

#[test]
fn hysteresis_does_not_hold_a_number_that_is_gone() {
    let mut story = story();
    story.settings.segments.hysteresis = 1_000_000;
    story.tell(2, &[], model(1, &[9000, 9000, 2000]));
    story.tell(3, &[], model(2, &[9000, 2000]));
    assert_eq!(numbers(&story), [1, 1]);
}

#[test]
fn a_quiet_profile_keeps_its_number_until_enough_happens() {
    let mut story = story();
    story.settings.segments.reassign_after = 2;
    story.tell(5, &[], model(1, &[9000, 2000]));
    story.tell(6, &[], model(2, &[2000]));
    story.tell(6, &[cookie(1)], page());
    story.tell(7, &[cookie(1)], page());
    assert_eq!(numbers(&story), [1, 1], "what happens with the model is not later than it");
    story.tell(7, &[cookie(1)], Action::Consent(word(1), true));
    assert_eq!(numbers(&story), [0, 1]);
}

#[test]
fn without_a_model_before_nothing_is_kept() {
    let mut story = story();
    story.settings.segments.reassign_after = 9;
    story.settings.segments.hysteresis = 1_000_000;
    story.tell(5, &[], model(1, &[9000, 2000]));
    assert_eq!(numbers(&story), [1, 1]);
}
