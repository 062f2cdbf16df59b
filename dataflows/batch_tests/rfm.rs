//! RFM: when a person last ordered, how often, and for how much.

use super::*;
use crate::RFM;
use crate::rfm::Rfm;

#[test]
fn orders_count_from_the_first_day_of_the_window() {
    let mut story = Story::default();
    story.settings.rfm_window_days = 2;
    story.tell(0, &[], Action::Day(Day(10)));
    story.tell(9 * DAY - 1, &[cookie(1)], order(1, &[(1, 1, 10)]));
    assert!(story.rows(RFM).is_empty());
    story.tell(9 * DAY, &[cookie(1)], order(2, &[(1, 2, 10)]));
    story.tell(9 * DAY + 5, &[cookie(1)], order(3, &[(1, 3, 10)]));
    let row = story.rows(RFM)[&ProfileId(cookie(1))];
    let last_order = EventTime((9 * DAY + 5) * 1_000_000);
    assert_eq!(row, Rfm { last_order, orders: 2, spent: Money(50), r: 1, f: 1, m: 1, group: 10 });
}

#[test]
fn a_refunded_order_is_no_order_but_what_it_left_is_spent() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], order(1, &[(1, 1, 10)]));
    story.tell(2, &[cookie(1)], order(2, &[(1, 1, 30)]));
    story.tell(3, &[cookie(1)], refund(2, &[(1, 1, 25)]));
    story.tell(4, &[cookie(1)], loose_refund(&[(9, 1, 2)]));
    story.tell(5, &[cookie(2)], loose_refund(&[(9, 1, 2)]));
    story.tell(6, &[cookie(3)], order(3, &[(1, 1, 10)]));
    story.tell(7, &[cookie(3)], refund(3, &[]));
    let rows = story.rows(RFM);
    assert_eq!(rows.len(), 1, "nobody else has an open order");
    let row = rows[&ProfileId(cookie(1))];
    assert_eq!((row.last_order.0, row.orders, row.spent.0), (1_000_000, 1, 13));
}

#[test]
fn the_orders_of_a_merged_person_come_together_and_those_of_nobody_do_not_count() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], order(1, &[(1, 1, 10)]));
    story.tell(2, &[cookie(2)], order(2, &[(1, 1, 20)]));
    story.tell(3, &[], order(3, &[(1, 1, 40)]));
    story.tell(4, &[cookie(1), cookie(2)], page());
    let rows = story.rows(RFM);
    assert_eq!(rows.len(), 1);
    let row = rows[&ProfileId(cookie(1))];
    assert_eq!((row.orders, row.spent.0), (2, 30));
}

#[test]
fn equal_values_score_alike() {
    let mut story = Story::default();
    for (n, price) in [(1, 10), (2, 10), (3, 10), (4, 20), (5, 30)] {
        let number = u64::try_from(n).unwrap();
        story.tell(1, &[cookie(n)], order(number, &[(1, 1, price)]));
    }
    let rows = story.rows(RFM);
    let m: Vec<u8> = rows.values().map(|row| row.m).collect();
    assert_eq!(m, [1, 1, 1, 4, 5], "1 + 5·0/5 three times, 1 + 5·3/5, 1 + 5·4/5");
    assert!(rows.values().all(|row| (row.r, row.f) == (1, 1)));
}

#[test]
fn the_first_group_that_fits_is_taken() {
    let mut story = Story::default();
    for n in 1..=5_u32 {
        // Person n orders n times, the last time at n.
        for i in 0..n {
            let number = u64::from(10 * n + i);
            story.tell(i64::from(n), &[cookie(n.into())], order(number, &[(1, 1, 10)]));
        }
    }
    let rows = story.rows(RFM);
    let scores: Vec<_> = rows.values().map(|row| (row.r, row.f, row.m)).collect();
    assert_eq!(scores, [1, 2, 3, 4, 5].map(|n| (n, n, n)));
    let groups: Vec<u8> = rows.values().map(|row| row.group).collect();
    // lost, at risk, need attention, loyal, champions.
    assert_eq!(groups, [10, 8, 6, 2, 0]);
}
