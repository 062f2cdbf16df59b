//! Profile: what is known of a person?
//!
//! Over the events with a `who` that belong to the profile (see [`identity`](crate::identity)):
//! the least and the greatest event time; how many events of each action; per trait and per
//! consent the value with the greatest place, of equal places the greatest value; device, country
//! and channel each from the event with the greatest place that has one, of equal places the
//! greatest value. `identifiers` counts the profile's rows of [`IDENTITY`](crate::IDENTITY) by kind.
//! `orders`, `revenue` and `refunded` are the open orders, the gross and the refunded money of all
//! [orders](crate::order) of the profile, whenever they were.
//!
//! A profile has a row exactly if an event belongs to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Action, EventTime, Kind, Money, ProfileId, Word};
use crate::show;
use crate::view::{History, View, optional};

/// The merged profile of every person.
pub const PROFILES: View<ProfileId, Profile> = View::new("profiles", profiles_batch);

/// How many kinds of actions a profile counts.
pub const ACTIONS: usize = 9;

/// The names of the counted actions, in the order of [`Profile::actions`].
pub const ACTION_NAMES: [&str; ACTIONS] = [
    "views",
    "carts",
    "removals",
    "order_events",
    "refund_events",
    "searches",
    "pages",
    "identifies",
    "consents",
];

/// The place of an action in [`Profile::actions`]; `None` for what no person does.
#[must_use]
pub fn action_place(action: &Action) -> Option<usize> {
    Some(match action {
        Action::View(_) => 0,
        Action::AddToCart(_) => 1,
        Action::RemoveFromCart(_) => 2,
        Action::Order { .. } => 3,
        Action::Refund { .. } => 4,
        Action::Search(_) => 5,
        Action::Page(_) => 6,
        Action::Identify(_) => 7,
        Action::Consent(..) => 8,
        _ => return None,
    })
}

/// What is known of a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Profile {
    /// The event time of the first event.
    pub first_seen: EventTime,
    /// The event time of the last event.
    pub last_seen: EventTime,
    /// How many events of each action, see [`ACTION_NAMES`].
    pub actions: [u32; ACTIONS],
    /// How many identifiers of each kind.
    pub identifiers: BTreeMap<Kind, u32>,
    /// The newest value of each trait.
    pub traits: BTreeMap<Word, Word>,
    /// The newest consent to each purpose.
    pub consents: BTreeMap<Word, bool>,
    /// The last kind of device.
    pub device: Option<Word>,
    /// The last country.
    pub country: Option<Word>,
    /// The last channel.
    pub channel: Option<Word>,
    /// How many orders were placed and not wholly refunded.
    pub orders: u32,
    /// What all orders came to.
    pub revenue: Money,
    /// What of it was given back.
    pub refunded: Money,
}

show!(Profile, |row, names| {
    "first_seen" => names.time(row.first_seen),
    "last_seen" => names.time(row.last_seen),
    "views" => row.actions[0].to_string(),
    "carts" => row.actions[1].to_string(),
    "removals" => row.actions[2].to_string(),
    "order_events" => row.actions[3].to_string(),
    "refund_events" => row.actions[4].to_string(),
    "searches" => row.actions[5].to_string(),
    "pages" => row.actions[6].to_string(),
    "identifies" => row.actions[7].to_string(),
    "consents" => listed(row.consents.iter().map(|(purpose, given)| {
        (names.word(purpose.0.get()), if *given { "given" } else { "withdrawn" }.to_string())
    })),
    "identifiers" => listed(row.identifiers.iter().map(|(kind, n)| (names.kind(*kind), n.to_string()))),
    "traits" => listed(row.traits.iter().map(|(name, value)| {
        (names.word(name.0.get()), names.word(value.0.get()))
    })),
    "device" => optional(row.device, names),
    "country" => optional(row.country, names),
    "channel" => optional(row.channel, names),
    "orders" => row.orders.to_string(),
    "revenue" => names.money(row.revenue),
    "refunded" => names.money(row.refunded),
});

/// Names and values as one text, ordered by name.
fn listed(entries: impl Iterator<Item = (String, String)>) -> String {
    let mut entries: Vec<_> = entries.map(|(name, value)| format!("{name}={value}")).collect();
    entries.sort();
    entries.join("; ")
}

fn profiles_batch(_: &History<'_>) -> std::collections::BTreeMap<ProfileId, Profile> {
    Default::default()
}
