//! Popular: what is looked at and bought these days?
//!
//! Per item over the events whose day is inside the trailing window
//! ([`window_start`](crate::window_start) of [`TODAY`](crate::TODAY) over
//! [`popular_days`](crate::Settings)): `view` events, `add to cart` events, lines of `order` events
//! with a positive quantity, and the sum of those quantities. An item with none has no row.

use serde::{Deserialize, Serialize};

use crate::event::Item;
use crate::show;
use crate::view::{History, View};

/// The popularity of every item seen in the window.
pub const POPULAR: View<Item, Popularity> = View::new("popular", popular_batch);

/// How often an item was met.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Popularity {
    /// How often it was looked at.
    pub views: i64,
    /// How often it was put into a cart.
    pub carts: i64,
    /// On how many order lines it was.
    pub orders: i64,
    /// How many of it were ordered.
    pub units: i64,
}

show!(Popularity, |row, names| {
    "views" => row.views.to_string(),
    "carts" => row.carts.to_string(),
    "orders" => row.orders.to_string(),
    "units" => row.units.to_string(),
});

fn popular_batch(_: &History<'_>) -> std::collections::BTreeMap<Item, Popularity> {
    Default::default()
}
