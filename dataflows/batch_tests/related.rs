//! Related: which items go together.

use super::*;
use crate::related::{Basket, Items, Role, RoleItem};
use crate::{BASKET_ITEMS, BASKETS, BOUGHT_TOGETHER, VIEWED_THEN_BOUGHT, VIEWED_TOGETHER};

/// Counts of pairs, in short.
fn pairs(rows: BTreeMap<Items, i64>) -> Vec<(u64, u64, i64)> {
    rows.into_iter().map(|(items, n)| (items.0.0, items.1.0, n)).collect()
}

/// The counts of one role, in short.
fn role(story: &Story, role: Role) -> Vec<(u64, i64)> {
    let rows = story.rows(BASKET_ITEMS).into_iter();
    rows.filter(|(key, _)| key.0 == role).map(|(RoleItem(_, item), n)| (item.0, n)).collect()
}

#[test]
fn an_order_is_one_basket_of_distinct_items_over_all_its_events() {
    let mut story = Story::default();
    story.tell(1, &[], order(1, &[(2, 1, 10), (2, 5, 10), (9, -1, 10)]));
    story.tell(2, &[], order(1, &[(1, 1, 10)]));
    story.tell(3, &[], order(2, &[(1, 1, 10), (2, 1, 10), (3, 1, 10)]));
    story.tell(4, &[], order(3, &[(9, -1, 10)]));
    story.tell(5, &[], refund(2, &[]));
    assert_eq!(pairs(story.rows(BOUGHT_TOGETHER)), [(1, 2, 2), (1, 3, 1), (2, 3, 1)]);
    assert_eq!(role(&story, Role::Bought), [(1, 2), (2, 2), (3, 1)]);
    assert_eq!(story.rows(BASKETS), [(Basket::Order, 2)].into());
}

#[test]
fn a_large_basket_counts_its_smallest_items_only() {
    let mut story = Story::default();
    story.settings.basket_items_max = 2;
    story.tell(1, &[], order(1, &[(7, 1, 10), (5, 1, 10), (6, 1, 10)]));
    assert_eq!(pairs(story.rows(BOUGHT_TOGETHER)), [(5, 6, 1)]);
    assert_eq!(role(&story, Role::Bought), [(5, 1), (6, 1)]);
}

#[test]
fn an_ordered_session_goes_from_what_was_seen_to_what_was_ordered() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], view(1));
    story.tell(2, &[cookie(1)], cart(2));
    story.tell(3, &[cookie(1)], order(1, &[(2, 1, 10), (3, 1, 10)]));
    story.tell(4, &[cookie(1)], view(1));
    story.tell(9999, &[cookie(1)], view(1));
    story.tell(9999, &[cookie(1)], view(4));
    assert_eq!(pairs(story.rows(VIEWED_THEN_BOUGHT)), [(1, 2, 1), (1, 3, 1), (2, 3, 1)]);
    let expected = [(1, 2, 1), (1, 3, 1), (1, 4, 1), (2, 3, 1)];
    assert_eq!(pairs(story.rows(VIEWED_TOGETHER)), expected);
    assert_eq!(role(&story, Role::Viewed), [(1, 2), (2, 1), (3, 1), (4, 1)]);
    assert_eq!(role(&story, Role::ViewedBefore), [(1, 1), (2, 1)]);
    assert_eq!(role(&story, Role::BoughtAfter), [(2, 1), (3, 1)]);
    let baskets = [(Basket::Order, 1), (Basket::Session, 2), (Basket::OrderedSession, 1)];
    assert_eq!(story.rows(BASKETS), baskets.into());
}

#[test]
fn a_session_whose_ordered_items_are_beyond_the_cap_is_not_an_ordered_one() {
    let mut story = Story::default();
    story.settings.basket_items_max = 2;
    story.tell(1, &[cookie(1)], view(1));
    story.tell(2, &[cookie(1)], view(2));
    story.tell(3, &[cookie(1)], order(1, &[(3, 1, 10)]));
    assert!(story.rows(VIEWED_THEN_BOUGHT).is_empty());
    let baskets = [(Basket::Order, 1), (Basket::Session, 1)];
    assert_eq!(story.rows(BASKETS), baskets.into());
}
