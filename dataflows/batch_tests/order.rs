//! Order: what has been ordered, and what of it was given back.

use super::*;
use crate::order::{Order, orders_batch, unmatched};

/// Gross, refunded and open of each order.
fn bills(story: &Story) -> BTreeMap<OrderId, (i64, i64, bool)> {
    let bill = |order: Order| (order.gross.0, order.refunded.0, order.open);
    story.ask(orders_batch).into_iter().map(|(id, order)| (id, bill(order))).collect()
}

#[test]
fn an_order_stands_with_its_first_event_and_has_the_lines_of_all() {
    let mut story = Story::default();
    story.tell(5, &[cookie(2)], order(1, &[(1, 2, 10)]));
    story.tell(4, &[cookie(1)], order(1, &[(2, 1, 5), (3, -1, 4)]));
    let row = Order {
        who: Who::of(&[cookie(1)]),
        place: (EventTime(4_000_000), EventId(2)),
        gross: Money(25),
        refunded: Money(4),
        open: true,
    };
    assert_eq!(story.ask(orders_batch), [(OrderId(1), row)].into());
}

#[test]
fn a_refund_without_lines_refunds_the_whole_order_and_no_more() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], order(1, &[(1, 2, 10)]));
    story.tell(2, &[cookie(1)], refund(1, &[(1, 1, 10)]));
    story.tell(3, &[cookie(1)], refund(1, &[]));
    assert_eq!(bills(&story), [(OrderId(1), (20, 20, false))].into());
}

#[test]
fn an_order_closes_when_no_item_has_a_quantity_left() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], order(1, &[(1, 2, 10), (2, 1, 5)]));
    story.tell(2, &[cookie(1)], refund(1, &[(1, 1, 10), (2, 1, 5)]));
    assert_eq!(bills(&story)[&OrderId(1)], (25, 15, true));
    story.tell(3, &[cookie(1)], refund(1, &[(1, 1, 8)]));
    assert_eq!(bills(&story)[&OrderId(1)], (25, 23, false), "a price of its own");
}

#[test]
fn a_refund_of_an_unknown_order_waits_for_it() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], refund(1, &[(1, 1, 10)]));
    assert!(bills(&story).is_empty());
    story.tell(2, &[cookie(1)], order(1, &[(1, 3, 10)]));
    assert_eq!(bills(&story), [(OrderId(1), (30, 10, true))].into());
}

#[test]
fn a_loose_refund_takes_the_latest_alike_line_that_is_not_later() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], order(1, &[(1, 2, 10)]));
    story.tell(2, &[cookie(1)], order(2, &[(1, 2, 10)]));
    story.tell(4, &[cookie(1)], order(3, &[(1, 2, 10)]));
    story.tell(3, &[cookie(1)], loose_refund(&[(1, 2, 9)]));
    let expected = [(1, (20, 0, true)), (2, (20, 18, false)), (3, (20, 0, true))];
    assert_eq!(bills(&story), expected.map(|(id, bill)| (OrderId(id), bill)).into());
    story.tell(4, &[cookie(1)], loose_refund(&[(1, 2, 10), (1, 2, 10)]));
    // In the same instant as order 3, which is not later; then only order 1 is left.
    let expected = [(1, (20, 20, false)), (2, (20, 18, false)), (3, (20, 20, false))];
    assert_eq!(bills(&story), expected.map(|(id, bill)| (OrderId(id), bill)).into());
}

#[test]
fn a_loose_refund_needs_the_same_customer_item_and_quantity() {
    let mut story = Story::default();
    story.tell(1, &[email(1), cookie(1)], order(1, &[(1, 2, 10)]));
    story.tell(2, &[cookie(1)], loose_refund(&[(1, 2, 10)]));
    story.tell(3, &[email(1)], loose_refund(&[(1, 1, 10), (2, 2, 10)]));
    story.tell(4, &[], loose_refund(&[(1, 2, 10)]));
    let expected = [
        (OrderId(1), (20, 0, true)),
        (unmatched(EventId(2)), (0, 20, false)),
        (unmatched(EventId(3)), (0, 30, false)),
        (unmatched(EventId(4)), (0, 20, false)),
    ];
    assert_eq!(bills(&story), expected.into());
    let own = story.ask(orders_batch)[&unmatched(EventId(3))];
    assert_eq!(own.who, Who::of(&[email(1)]));
    assert_eq!(own.place, (EventTime(3_000_000), EventId(3)));
    story.tell(5, &[email(1), device(1)], loose_refund(&[(1, 2, 10)]));
    assert_eq!(bills(&story)[&OrderId(1)], (20, 20, false));
}

#[test]
fn without_matching_every_loose_refund_stands_alone() {
    let mut story = Story::default();
    story.settings.match_refunds = false;
    story.tell(1, &[cookie(1)], order(1, &[(1, 1, 10)]));
    story.tell(2, &[cookie(1)], loose_refund(&[(1, 1, 10)]));
    story.tell(3, &[cookie(1)], loose_refund(&[]));
    let own = (unmatched(EventId(2)), (0, 10, false));
    assert_eq!(bills(&story), [(OrderId(1), (10, 0, true)), own].into());
}
