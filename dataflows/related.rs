//! Related: which items go together?
//!
//! Exact counts are kept, and scored when they are read ([`Score`](crate::Score)): a score holds the
//! counts of both items and of all baskets, so keeping scores would rewrite thousands of rows for
//! one event.
//!
//! * The basket of an order is its distinct items: those on lines with a positive quantity of the
//!   `order` events with its id. Refunds do not change it.
//! * The basket of a session ([named or found](crate::session)) is the distinct items viewed, put
//!   into the cart, or ordered with a positive quantity in it.
//! * A basket with more than [`basket_items_max`](crate::Settings) items counts only that many, the
//!   smallest by hash.
//! * An *ordered session* is one in which a counted item was ordered. Its pairs are directed: each
//!   counted item viewed or put into the cart, with each other counted item ordered.

use serde::{Deserialize, Serialize};

use crate::event::Item;
use crate::show;
use crate::view::{History, View};

/// In how many orders two items are together.
pub const BOUGHT_TOGETHER: View<Items, i64> = View::new("bought_together", bought_together_batch);

/// In how many sessions two items are together.
pub const VIEWED_TOGETHER: View<Items, i64> = View::new("viewed_together", viewed_together_batch);

/// In how many ordered sessions the first item was viewed and the second ordered.
pub const VIEWED_THEN_BOUGHT: View<Items, i64> =
    View::new("viewed_then_bought", viewed_then_bought_batch);

/// In how many baskets an item is, by its role there.
pub const BASKET_ITEMS: View<RoleItem, i64> = View::new("basket_items", basket_items_batch);

/// How many baskets with at least one item there are.
pub const BASKETS: View<Basket, i64> = View::new("baskets", baskets_batch);

/// Two items: the smaller first where the pair has no direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Items(pub Item, pub Item);

/// What an item is to a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// It is in an order's basket.
    Bought,
    /// It is in a session's basket.
    Viewed,
    /// It was viewed or put into the cart in an ordered session.
    ViewedBefore,
    /// It was ordered in an ordered session.
    BoughtAfter,
}

/// An item in a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoleItem(pub Role, pub Item);

/// A kind of basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basket {
    /// The basket of an order.
    Order,
    /// The basket of a session.
    Session,
    /// The basket of an ordered session.
    OrderedSession,
}

show!(Items, |items, names| {
    "item" => names.word(items.0.0),
    "with" => names.word(items.1.0),
});
show!(RoleItem, |role, names| {
    "role" => match role.0 {
        Role::Bought => "bought",
        Role::Viewed => "viewed",
        Role::ViewedBefore => "viewed_before",
        Role::BoughtAfter => "bought_after",
    }.to_string(),
    "item" => names.word(role.1.0),
});
show!(Basket, |basket, names| {
    "basket" => match basket {
        Basket::Order => "order",
        Basket::Session => "session",
        Basket::OrderedSession => "ordered_session",
    }.to_string(),
});

fn bought_together_batch(_: &History<'_>) -> std::collections::BTreeMap<Items, i64> {
    Default::default()
}

fn viewed_together_batch(_: &History<'_>) -> std::collections::BTreeMap<Items, i64> {
    Default::default()
}

fn viewed_then_bought_batch(_: &History<'_>) -> std::collections::BTreeMap<Items, i64> {
    Default::default()
}

fn basket_items_batch(_: &History<'_>) -> std::collections::BTreeMap<RoleItem, i64> {
    Default::default()
}

fn baskets_batch(_: &History<'_>) -> std::collections::BTreeMap<Basket, i64> {
    Default::default()
}
