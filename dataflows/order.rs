//! Order: what has been ordered, and what of it was given back?
//!
//! The rows are not published; RFM, features and profiles are made from them.
//!
//! * All `order` events with one order id add their lines to that order. It stands at the least
//!   place (event time, event id) of those events, and belongs to that event's `who`.
//! * `gross` is the sum of its lines with a positive amount, `refunded` the sum of the others
//!   (negated) and of the amounts of refund lines that name it or are matched to it.
//! * A refund that names an order and has no lines refunds it whole: `refunded = gross`.
//! * An order is *open* unless it was refunded whole or no item has a positive quantity left
//!   (quantities of its lines less quantities of refund lines, by item).
//! * A refund that names an order of which no `order` event holds does nothing until one does.
//! * A refund that names no order is matched line by line, where
//!   [`match_refunds`](crate::Settings) says so: the customer is the strongest identifier on the
//!   event; refund lines, by (place, number of the line), each take the latest, by the same
//!   measure, of the order lines not yet taken with the same customer, item and quantity and an
//!   event time not after the refund's. A matched line counts with the refund's own price.
//! * Refund lines matched to nothing make an order of their own, with the id
//!   [`unmatched`]`(event id)`, the place and the `who` of the refund event, gross 0, and never
//!   open.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::event::{
    Action, Event, EventId, Identifier, Item, Line, Money, OrderId, Place, Who, spread,
};
use crate::operator::{Bag, Index, by_tick, fold, hash, values};
use crate::settings::Settings;
use crate::view::{Diff, Facts, Rows};

pub(crate) use batch::money_batch;
pub use batch::orders_batch;

/// What an order comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    /// Whose it is; `None` for an order of nobody.
    pub who: Option<Who>,
    /// Where it stands: the least place of its events.
    pub place: Place,
    /// What was ordered.
    pub gross: Money,
    /// What was given back.
    pub refunded: Money,
    /// Whether anything of it is left.
    pub open: bool,
}

/// The id of the order that the unmatched lines of the refund `id` make.
#[must_use]
pub fn unmatched(id: EventId) -> OrderId {
    OrderId(spread(id.0 ^ 0x5265_6675_6e64_2121))
}

/// Maintains the orders from events.
///
/// Cost: per event, one pass over the events of its order and, for a refund that names no order or
/// an order line where refunds are matched, one over the lines of the same customer, item and
/// quantity.
pub fn orders<'s>(events: Facts<'s, Rc<Event>>, settings: &Settings) -> Rows<'s, OrderId, Order> {
    let parts = events.clone().flat_map(|event| {
        let place = event.place();
        match &event.action {
            Action::Order { order, lines } => {
                Some((*order, Part::Lines(place, event.key(), lines.clone())))
            }
            Action::Refund { order: Some(order), lines } if lines.is_empty() => {
                Some((*order, Part::Whole(place)))
            }
            Action::Refund { order: Some(order), lines } => {
                Some((*order, Part::Back(place, lines.clone())))
            }
            _ => None,
        }
    });
    let loose = events.clone().flat_map(|event| loose_lines(&event));
    let loose = if settings.match_refunds {
        let sold = events.flat_map(|event| sold_lines(&event));
        matched(sold, loose)
    } else {
        loose.map(|(_, loose)| loose.alone())
    };
    fold(
        parts.concat(loose),
        "orders",
        |_, parts: &mut Bag<Part>, updates| parts.apply(values(updates)),
        |_, parts| order(parts.values()),
    )
}

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Part {
    /// Lines were ordered.
    Lines(Place, Option<Who>, Vec<Line>),
    /// Lines were given back.
    Back(Place, Vec<Line>),
    /// All was given back.
    Whole(Place),
    /// A refund line found no order: it is one itself.
    Alone(Place, Option<Who>, Line),
}

/// What an order's parts come to; nothing without lines.
fn order(parts: &[Part]) -> Option<Order> {
    // Parts with lines sort first, by place: the first is the order's own.
    let (Part::Lines(place, who, _) | Part::Alone(place, who, _)) = parts.first()? else {
        return None;
    };
    let (mut gross, mut refunded, mut whole) = (0_i64, 0_i64, false);
    let mut left: BTreeMap<Item, i64> = BTreeMap::new();
    for part in parts {
        let (lines, sign) = match part {
            Part::Lines(_, _, lines) => (lines.as_slice(), 1),
            Part::Back(_, lines) => (lines.as_slice(), -1),
            Part::Alone(_, _, line) => (std::slice::from_ref(line), -1),
            Part::Whole(_) => {
                whole = true;
                continue;
            }
        };
        for line in lines {
            *left.entry(line.item).or_default() += sign * i64::from(line.quantity);
            match sign * line.amount() {
                amount if sign == 1 && 0 < amount => gross = gross.saturating_add(amount),
                amount => refunded = refunded.saturating_sub(amount),
            }
        }
    }
    if whole {
        refunded = gross;
    }
    let open = !whole && left.values().any(|quantity| 0 < *quantity);
    Some(Order { who: *who, place: *place, gross: Money(gross), refunded: Money(refunded), open })
}

/// Lines that can be matched: of one customer, item and quantity.
type Alike = (Option<Identifier>, Item, i32);

/// An order line that a refund can take: where it stands, and its order.
type Sold = (Place, usize, OrderId);

/// A refund line that names no order: where it stands, whose it is, and the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Loose(Place, usize, Option<Who>, Line);

impl Loose {
    /// The line as an order of its own.
    fn alone(self) -> (OrderId, Part) {
        let Loose(place, _, who, line) = self;
        (unmatched(place.1), Part::Alone(place, who, line))
    }

    /// The line as a part of the order that it was matched to, or of none.
    fn part(self, order: Option<OrderId>) -> (OrderId, Part) {
        order.map_or_else(|| self.alone(), |order| (order, Part::Back(self.0, vec![self.3])))
    }
}

/// The order lines of an event.
fn sold_lines(event: &Event) -> Vec<(Alike, Sold)> {
    let Action::Order { order, lines } = &event.action else { return Vec::new() };
    let customer = event.who.first().copied();
    let lines = lines.iter().enumerate().filter(|_| customer.is_some());
    let sold = lines.map(|(number, line)| {
        ((customer, line.item, line.quantity), (event.place(), number, *order))
    });
    sold.collect()
}

/// The lines of a refund that names no order.
fn loose_lines(event: &Event) -> Vec<(Alike, Loose)> {
    let Action::Refund { order: None, lines } = &event.action else { return Vec::new() };
    let customer = event.who.first().copied();
    let loose = lines.iter().enumerate().map(|(number, line)| {
        let loose = Loose(event.place(), number, event.key(), *line);
        ((customer, line.item, line.quantity), loose)
    });
    loose.collect()
}

/// A line on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Side {
    Sold(Sold),
    Back(Loose),
}

/// Matches refund lines to order lines.
fn matched<'s>(
    sold: Facts<'s, (Alike, Sold)>,
    loose: Facts<'s, (Alike, Loose)>,
) -> Facts<'s, (OrderId, Part)> {
    let sides = sold
        .map(|(alike, sold)| (alike, Side::Sold(sold)))
        .concat(loose.map(|(alike, loose)| (alike, Side::Back(loose))));
    let mut states: Index<Alike, (Bag<Sold>, Bag<Loose>)> = Index::default();
    by_tick(
        sides,
        "matched refunds",
        |(alike, _)| hash(alike),
        move |_, updates, changes| {
            for group in updates.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
                let alike = &group[0].0.0;
                let (sold, back) = states.entry(alike);
                let old = matches(sold.values(), back.values());
                let (mut sales, mut returns) = (Vec::new(), Vec::new());
                for ((_, side), diff) in group {
                    match side {
                        Side::Sold(sale) => sales.push((sale, *diff)),
                        Side::Back(loose) => returns.push((loose, *diff)),
                    }
                }
                sold.apply(sales.into_iter());
                back.apply(returns.into_iter());
                let new = matches(sold.values(), back.values());
                if sold.is_empty() && back.is_empty() {
                    states.remove(alike);
                }
                let pair = |diff: Diff| move |(loose, order): (Loose, _)| (loose.part(order), diff);
                changes.extend(old.into_iter().map(pair(-1)));
                changes.extend(new.into_iter().map(pair(1)));
            }
        },
    )
}

/// The order that each refund line takes: the latest line before it that is not yet taken.
fn matches(sold: &[Sold], back: &[Loose]) -> Vec<(Loose, Option<OrderId>)> {
    let mut taken = BTreeSet::new();
    let lines = back.iter().map(|loose| {
        let Loose((at, _), ..) = loose;
        let before = sold.partition_point(|((sold_at, _), ..)| sold_at <= at);
        let line = (0..before).rev().find(|line| !taken.contains(line));
        taken.extend(line);
        (*loose, line.map(|line| sold[line].2))
    });
    lines.collect()
}

mod batch {
    //! The batch twin of [`order`](crate::order).

    use std::collections::BTreeMap;

    use crate::event::{
        Action, Event, EventTime, Identifier, Item, Line, Money, OrderId, Place, Who,
    };
    use crate::order::{Order, unmatched};
    use crate::view::History;

    /// What every order comes to.
    #[must_use]
    pub fn orders_batch(history: &History<'_>) -> BTreeMap<OrderId, Order> {
        history.once(|history| OrdersBatch(add_up_batch(history))).0.clone()
    }

    /// A sum of money; it saturates rather than overflows, and only once everything is added.
    pub(crate) fn money_batch(sum: i128) -> Money {
        let most = if sum < 0 { i64::MIN } else { i64::MAX };
        Money(i64::try_from(sum).unwrap_or(most))
    }

    /// The orders, once for a history.
    struct OrdersBatch(BTreeMap<OrderId, Order>);

    /// Adds up order events first, then refunds that name an order, then those that name none.
    fn add_up_batch(history: &History<'_>) -> BTreeMap<OrderId, Order> {
        let mut bills: BTreeMap<OrderId, BillBatch> = BTreeMap::new();
        for event in history.events {
            if let Action::Order { order, lines } = &event.action {
                let bill = bills.entry(*order).or_insert_with(|| BillBatch::opened_by(event));
                if event.place() < bill.place {
                    (bill.place, bill.who) = (event.place(), event.key());
                }
                lines.iter().for_each(|line| bill.order_line(line));
            }
        }
        for event in history.events {
            let Action::Refund { order: Some(order), lines } = &event.action else { continue };
            let Some(bill) = bills.get_mut(order) else { continue };
            bill.whole |= lines.is_empty();
            lines.iter().for_each(|line| bill.refund_line(line));
        }
        let matches = matches_batch(history);
        for event in history.events {
            let Action::Refund { order: None, lines } = &event.action else { continue };
            for (n, line) in lines.iter().enumerate() {
                let order =
                    matches.get(&(event.place(), n)).copied().unwrap_or(unmatched(event.id));
                let bill = bills.entry(order).or_insert_with(|| BillBatch::opened_by(event));
                bill.refund_line(line);
            }
        }
        bills.into_iter().map(|(order, bill)| (order, bill.close())).collect()
    }

    /// The order whose line each line of the refunds without an order is matched to.
    fn matches_batch(history: &History<'_>) -> BTreeMap<(Place, usize), OrderId> {
        if !history.settings.match_refunds {
            return BTreeMap::new();
        }
        let mut groups: BTreeMap<(Identifier, Item, i32), AlikeBatch> = BTreeMap::new();
        for event in history.events {
            let Some(customer) = event.who.iter().min() else { continue };
            let (order, lines) = match &event.action {
                Action::Order { order, lines } => (Some(*order), lines),
                Action::Refund { order: None, lines } => (None, lines),
                _ => continue,
            };
            for (n, line) in lines.iter().enumerate() {
                let group = groups.entry((*customer, line.item, line.quantity)).or_default();
                match order {
                    Some(order) => group.ordered.push((event.place(), n, order)),
                    None => group.refunded.push((event.place(), n)),
                }
            }
        }
        groups.into_values().flat_map(AlikeBatch::matches).collect()
    }

    /// Lines with the same customer, item and quantity.
    #[derive(Default)]
    struct AlikeBatch {
        /// The order lines: place, number of the line, order.
        ordered: Vec<(Place, usize, OrderId)>,
        /// The refund lines: place, number of the line.
        refunded: Vec<(Place, usize)>,
    }

    impl AlikeBatch {
        /// Lets every refund line take the latest order line that is left and not later than it.
        fn matches(mut self) -> Vec<((Place, usize), OrderId)> {
            self.ordered.sort_unstable();
            self.refunded.sort_unstable();
            let mut ordered = self.ordered.into_iter().peekable();
            let mut left: Vec<OrderId> = Vec::new();
            let mut matches = Vec::new();
            for refund in self.refunded {
                let at: EventTime = refund.0.0;
                while let Some((.., order)) =
                    ordered.next_if(|((ordered_at, _), ..)| *ordered_at <= at)
                {
                    left.push(order);
                }
                matches.extend(left.pop().map(|order| (refund, order)));
            }
            matches
        }
    }

    /// An order while it is added up.
    struct BillBatch {
        /// The least place of its events.
        place: Place,
        /// Whose that event is.
        who: Option<Who>,
        /// The sum of the positive lines.
        gross: i128,
        /// The sum of what was given back.
        refunded: i128,
        /// Whether it was refunded whole.
        whole: bool,
        /// How many of each item are left.
        left: BTreeMap<Item, i64>,
    }

    impl BillBatch {
        /// An empty one that stands where `event` does.
        fn opened_by(event: &Event) -> BillBatch {
            let (place, who) = (event.place(), event.key());
            BillBatch { place, who, gross: 0, refunded: 0, whole: false, left: BTreeMap::new() }
        }

        /// Adds a line of an order event.
        fn order_line(&mut self, line: &Line) {
            let amount = i128::from(line.amount());
            if 0 < amount {
                self.gross += amount;
            } else {
                self.refunded -= amount;
            }
            *self.left.entry(line.item).or_default() += i64::from(line.quantity);
        }

        /// Takes off a line of a refund.
        fn refund_line(&mut self, line: &Line) {
            self.refunded += i128::from(line.amount());
            *self.left.entry(line.item).or_default() -= i64::from(line.quantity);
        }

        /// What it comes to.
        fn close(self) -> Order {
            let refunded = if self.whole { self.gross } else { self.refunded };
            Order {
                who: self.who,
                place: self.place,
                gross: money_batch(self.gross),
                refunded: money_batch(refunded),
                open: !self.whole && self.left.values().any(|quantity| 0 < *quantity),
            }
        }
    }
}
