//! Feature: where a profile stands.

use super::*;
use crate::FEATURES;
use crate::settings::Feature;

/// A story in which all features are asked for.
fn story() -> Story {
    let mut story = Story::default();
    story.settings.segments.features = vec![
        Feature::Recency,
        Feature::Frequency,
        Feature::OrderValue,
        Feature::Spent,
        Feature::Depth,
        Feature::SessionTime,
        Feature::Breadth,
        Feature::Returns,
    ];
    story
}

/// The point of the first cookie.
fn point(story: &Story) -> Point {
    story.rows(FEATURES)[&ProfileId(cookie(1))].0
}

#[test]
fn every_feature_is_what_the_table_says() {
    let mut story = story();
    story.tell(1, &[], listed(1, 50));
    story.tell(1, &[], listed(2, 50));
    story.tell(1, &[], listed(3, 51));
    story.tell(0, &[cookie(1)], view(1));
    story.tell(1, &[cookie(1)], view(2));
    story.tell(15, &[cookie(1)], order(1, &[(1, 1, 100), (2, 1, 60), (4, 1, 40)]));
    story.tell(9000, &[cookie(1)], order(2, &[(3, 1, 56)]));
    story.tell(9001, &[cookie(1)], refund(1, &[(4, 1, 64)]));
    story.tell(9002, &[], Action::Day(Day(8)));
    // 8 days: log2 9 is 3 and a bit. 2 orders. (256 − 64)/2 = 96 and 192: log2 is 6.584… and
    // 7.584…. 2 views in 2 sessions: log2 4 − log2 2. (15 + 0)/2 = 7 seconds: log2 8.
    // 2 categories: log2 3. 64 of 256.
    assert_eq!(point(&story), [3000, 1000, 6584, 7584, 1000, 3000, 1584, 250]);
}

#[test]
fn recency_moves_by_whole_doublings_and_is_nothing_without_a_day() {
    let mut story = story();
    story.tell(10 * DAY + 5, &[cookie(1)], order(1, &[(1, 1, 10)]));
    assert_eq!(point(&story)[0], 0);
    for (today, recency) in [(3, 0), (10, 0), (11, 1000), (12, 1000), (13, 2000), (17, 3000)] {
        story.tell(0, &[], Action::Day(Day(today)));
        assert_eq!(point(&story)[0], recency, "day {today}");
    }
}

#[test]
fn what_was_given_back_is_at_most_everything_and_money_below_one_is_nothing() {
    let mut story = story();
    story.tell(1, &[cookie(1)], order(1, &[(1, 2, 10)]));
    story.tell(2, &[cookie(1)], refund(1, &[(1, 1, 50)]));
    let point = point(&story);
    assert_eq!((point[2], point[3], point[7]), (0, 0, 1000));
}

#[test]
fn places_beyond_the_features_are_nothing_and_only_customers_have_a_point() {
    let mut story = Story::default();
    story.settings.segments.features = vec![Feature::Spent];
    story.tell(1, &[cookie(1)], order(1, &[(1, 1, 8)]));
    story.tell(1, &[cookie(2)], view(1));
    assert_eq!(story.rows(FEATURES).len(), 1);
    assert_eq!(point(&story), [3000, 0, 0, 0, 0, 0, 0, 0]);
}
