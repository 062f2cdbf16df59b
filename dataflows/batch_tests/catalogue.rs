//! Catalogue: day, items, rejects and popularity.

use super::*;
use crate::popular::Popularity;
use crate::{ITEMS, POPULAR, REJECTS, TODAY};

#[test]
fn today_is_the_greatest_day_and_there_is_none_at_first() {
    let mut story = Story::default();
    assert!(story.rows(TODAY).is_empty());
    story.tell(9, &[], Action::Day(Day(7)));
    story.tell(5, &[], Action::Day(Day(8)));
    story.tell(99, &[], Action::Day(Day(6)));
    assert_eq!(story.rows(TODAY), [((), Day(8))].into());
}

#[test]
fn the_latest_word_on_an_item_stands_and_ids_break_ties() {
    let mut story = Story::default();
    story.tell(20, &[], listed(1, 11));
    story.tell(10, &[], listed(1, 12));
    story.tell(30, &[], listed(2, 13));
    story.tell(30, &[], listed(2, 14));
    let rows = story.rows(ITEMS);
    let category = |item| rows[&Item(item)].category;
    assert_eq!((category(1), category(2)), (Some(word(11)), Some(word(14))));
}

#[test]
fn a_reject_is_a_row() {
    let mut story = Story::default();
    let reject = Reject { reason: word(1), field: None, file: word(2), line: 3 };
    story.tell(1, &[], page());
    story.tell(1, &[], Action::Reject(reject.clone()));
    assert_eq!(story.rows(REJECTS), [(EventId(2), reject)].into());
}

#[test]
fn popularity_counts_from_the_first_day_of_the_window_and_without_its_negative_lines() {
    let mut story = Story::default();
    story.settings.popular_days = 3;
    story.tell(0, &[], Action::Day(Day(10)));
    story.tell(8 * DAY - 1, &[], view(1));
    story.tell(8 * DAY, &[], view(1));
    story.tell(9 * DAY, &[], cart(1));
    story.tell(9 * DAY, &[], Action::RemoveFromCart(Item(5)));
    story.tell(10 * DAY, &[], order(1, &[(1, 4, 10), (1, 2, 10), (2, -1, 10), (3, 0, 10)]));
    let row = Popularity { views: 1, carts: 1, orders: 2, units: 6 };
    assert_eq!(story.rows(POPULAR), [(Item(1), row)].into());
}

#[test]
fn without_a_day_nothing_is_too_old_to_be_popular() {
    let mut story = Story::default();
    story.tell(0, &[], view(1));
    story.tell(5000 * DAY, &[], view(1));
    assert_eq!(story.rows(POPULAR)[&Item(1)].views, 2);
}
