//! RFM: when did a person last order, how often, and for how much?
//!
//! The view holds the *instant* of the last order, never its age: an age would change for everyone
//! at every tick, and the cost of a tick would no longer follow from what changed. Readers subtract.
//!
//! Over the [orders](crate::order) whose day is inside the trailing window
//! ([`window_start`](crate::window_start) of [`TODAY`](crate::TODAY)), by the profile of their
//! `who`: `last_order` is the greatest event time of the open ones, `orders` how many are open,
//! `spent` what all of them come to, gross less refunded. A profile without an open order has no row.
//!
//! Scores: `1 + floor(5·L/n)`, with `n` the number of rows and `L` the number of rows with a strictly
//! smaller value (event time, count, money). `group` is the place in
//! [`Settings::groups`](crate::Settings) of the first that fits, or their number if none does.

use serde::{Deserialize, Serialize};

use crate::event::{EventTime, Money, ProfileId};
use crate::show;
use crate::view::{History, View};

/// The RFM row of every profile with an order in the window.
pub const RFM: View<ProfileId, Rfm> = View::new("rfm", rfm_batch);

/// Recency, frequency and monetary value, absolute and as scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rfm {
    /// When the last open order was placed.
    pub last_order: EventTime,
    /// How many open orders there are; at least one.
    pub orders: u32,
    /// What the orders come to, refunds taken off.
    pub spent: Money,
    /// The score of `last_order`, 1 to 5.
    pub r: u8,
    /// The score of `orders`, 1 to 5.
    pub f: u8,
    /// The score of `spent`, 1 to 5.
    pub m: u8,
    /// The named group.
    pub group: u8,
}

show!(Rfm, |row, names| {
    "last_order" => names.time(row.last_order),
    "orders" => row.orders.to_string(),
    "spent" => names.money(row.spent),
    "r" => row.r.to_string(),
    "f" => row.f.to_string(),
    "m" => row.m.to_string(),
    "group" => names.group(row.group),
});

fn rfm_batch(_: &History<'_>) -> std::collections::BTreeMap<ProfileId, Rfm> {
    Default::default()
}
