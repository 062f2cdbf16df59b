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
//!   [`unmatched`]`(event id)`, the place and the `who` of the refund event, gross 0, and never open.

use serde::{Deserialize, Serialize};

use crate::event::{EventId, Money, OrderId, Place, Who, spread};

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
