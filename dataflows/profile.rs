//! Profile: what is known of a person?
//!
//! Over the events with a `who` that belong to the profile (see [`identity`](crate::identity)):
//! the least and the greatest event time; how many events of each action; per trait and per
//! consent the value with the greatest place, of equal places the greatest value; device, country
//! and channel each from the event with the greatest place that has one, of equal places the
//! greatest value. `identifiers` counts the profile's rows of [`IDENTITY`](crate::IDENTITY) by
//! kind. `orders`, `revenue` and `refunded` are the open orders, the gross and the refunded money
//! of all [orders](crate::order) of the profile, whenever they were.
//!
//! A profile has a row exactly if an event belongs to it.

use std::collections::BTreeMap;

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::event::{
    Action, Event, EventTime, Identifier, Kind, Money, OrderId, Place, ProfileId, Word,
};
use crate::identity::Owners;
use crate::operator::{Bag, fold, values};
use crate::order::Order;
use crate::rfm::{self, parts};
use crate::show;
use crate::view::{Diff, Facts, Rows, View, optional};

pub use batch::profiles_batch;

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
    "consent_events",
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
    "consent_events" => row.actions[8].to_string(),
    "consents" => listed(row.consents.iter().map(|(purpose, given)| {
        (names.word(purpose.0.get()), if *given { "given" } else { "withdrawn" }.to_string())
    })),
    "identifiers" => listed(row.identifiers.iter().map(|(kind, n)| {
        (names.kind(*kind), n.to_string())
    })),
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

/// Maintains [`PROFILES`] from events, orders and identity.
///
/// Cost: per event, a search among those with the same identifiers, then one pass over what is
/// known under each set of identifiers of the profile.
pub fn profiles<'s>(
    events: Facts<'s, Rc<Event>>,
    orders: Rows<'s, OrderId, Order>,
    identity: Rows<'s, Identifier, ProfileId>,
    owners: Owners<'s>,
) -> Rows<'s, ProfileId, Profile> {
    let facts = events.flat_map(|event| {
        let facts = event.key().map(|who| facts(&event).into_iter().map(move |fact| (who, fact)));
        facts.into_iter().flatten()
    });
    let known = fold(facts, "known of who", Known::add, |_, known: &Known| known.part())
        .join_core(owners.clone(), |_, part, profile| Some((*profile, Share::Known(part.clone()))));
    let bought = parts(orders.map(|(_, order)| order), owners)
        .map(|(profile, part)| (profile, Share::Bought(part)));
    let named = identity.map(|(id, profile)| (profile, Share::Named(id.kind())));
    fold(
        known.concat(bought).concat(named),
        "profiles",
        |_, shares: &mut Bag<Share>, updates| shares.apply(values(updates)),
        |_, shares| profile(shares.values()),
    )
}

/// A fact about the person of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Fact {
    /// An event happened.
    Seen(Place, Option<usize>),
    /// A trait was told.
    Trait(Word, Place, Word),
    /// Consent was given or withdrawn.
    Consent(Word, Place, bool),
    /// A field of the context, by its number.
    Context(usize, Place, Word),
}

/// The facts of an event.
fn facts(event: &Event) -> Vec<Fact> {
    let place = event.place();
    let mut facts = vec![Fact::Seen(place, action_place(&event.action))];
    match &event.action {
        Action::Identify(traits) => {
            facts.extend(traits.iter().map(|(name, value)| Fact::Trait(*name, place, *value)));
        }
        Action::Consent(purpose, given) => facts.push(Fact::Consent(*purpose, place, *given)),
        _ => {}
    }
    let context = [event.context.device, event.context.country, event.context.channel];
    let told = context.into_iter().enumerate();
    facts.extend(told.filter_map(|(field, word)| Some(Fact::Context(field, place, word?))));
    facts
}

/// What is known under one set of identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    places: Bag<Place>,
    actions: [u32; ACTIONS],
    traits: Bag<(Word, Place, Word)>,
    consents: Bag<(Word, Place, bool)>,
    context: [Bag<(Place, Word)>; 3],
}

/// [`Known`], with only what can matter for the profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Part {
    first: EventTime,
    last: EventTime,
    actions: [u32; ACTIONS],
    traits: Vec<(Word, Place, Word)>,
    consents: Vec<(Word, Place, bool)>,
    context: [Option<(Place, Word)>; 3],
}

impl Known {
    fn add<K>(_: &K, known: &mut Known, updates: &[((K, Fact), Diff)]) {
        // The updates are sorted, so each kind of fact is one run of them.
        let seen = values(updates).filter_map(|(fact, diff)| match fact {
            Fact::Seen(place, action) => Some((place, action, diff)),
            _ => None,
        });
        for (_, action, diff) in seen.clone() {
            if let Some(count) = action.and_then(|action| known.actions.get_mut(action)) {
                *count = count.saturating_add_signed(i32::try_from(diff).unwrap_or(0));
            }
        }
        let seen: Vec<_> = seen.map(|(place, _, diff)| (place, diff)).collect();
        known.places.apply(seen.into_iter());
        for (fact, diff) in values(updates) {
            match *fact {
                Fact::Seen(..) => {}
                Fact::Trait(name, place, value) => known.traits.change((name, place, value), diff),
                Fact::Consent(purpose, place, given) => {
                    known.consents.change((purpose, place, given), diff);
                }
                Fact::Context(field, place, word) => {
                    known.context[field].change((place, word), diff)
                }
            }
        }
    }

    fn part(&self) -> Option<Part> {
        Some(Part {
            first: self.places.first()?.0,
            last: self.places.last()?.0,
            actions: self.actions,
            traits: newest(self.traits.values(), |told| told.0),
            consents: newest(self.consents.values(), |told| told.0),
            context: std::array::from_fn(|field| self.context[field].last().copied()),
        })
    }
}

/// The last entry of each run of `entries`, which are sorted, with the same name.
///
/// Cost: one search a name.
fn newest<T: Copy>(entries: &[T], name: impl Fn(&T) -> Word) -> Vec<T> {
    let mut newest = Vec::new();
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let run = rest.partition_point(|entry| name(entry) <= name(first));
        newest.push(rest[run - 1]);
        rest = &rest[run..];
    }
    newest
}

/// What one source of a profile's row contributes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Share {
    /// What is known under one set of identifiers.
    Known(Part),
    /// What was bought under one set of identifiers.
    Bought(rfm::Part),
    /// An identifier of this kind.
    Named(Kind),
}

/// The row that `shares` come to; nothing without an event.
fn profile(shares: &[Share]) -> Option<Profile> {
    let Share::Known(first) = shares.first()? else { return None };
    let mut row = Profile {
        first_seen: first.first,
        last_seen: first.last,
        actions: [0; ACTIONS],
        identifiers: BTreeMap::new(),
        traits: BTreeMap::new(),
        consents: BTreeMap::new(),
        device: None,
        country: None,
        channel: None,
        orders: 0,
        revenue: Money(0),
        refunded: Money(0),
    };
    let (mut traits, mut consents, mut context) = (Vec::new(), Vec::new(), [None; 3]);
    for share in shares {
        match share {
            Share::Known(part) => {
                row.first_seen = row.first_seen.min(part.first);
                row.last_seen = row.last_seen.max(part.last);
                row.actions.iter_mut().zip(part.actions).for_each(|(sum, count)| *sum += count);
                traits.extend_from_slice(&part.traits);
                consents.extend_from_slice(&part.consents);
                context = std::array::from_fn(|field| context[field].max(part.context[field]));
            }
            Share::Bought(part) => {
                row.orders += part.orders;
                row.revenue.0 += part.gross.0;
                row.refunded.0 += part.refunded.0;
            }
            Share::Named(kind) => *row.identifiers.entry(*kind).or_default() += 1,
        }
    }
    // Sorted by name and place, so that the last one told of a name stays.
    traits.sort_unstable();
    consents.sort_unstable();
    row.traits = traits.into_iter().map(|(name, _, value)| (name, value)).collect();
    row.consents = consents.into_iter().map(|(purpose, _, given)| (purpose, given)).collect();
    [row.device, row.country, row.channel] = context.map(|told| told.map(|(_, word)| word));
    Some(row)
}

mod batch {
    //! The batch twin of [`profile`](crate::profile).

    use std::collections::BTreeMap;

    use crate::IDENTITY;
    use crate::event::{Action, Event, Kind, Place, ProfileId, Word};
    use crate::identity::{attribution_batch, owner_batch};
    use crate::order::{Order, money_batch, orders_batch};
    use crate::profile::{ACTIONS, Profile, action_place};
    use crate::view::History;

    /// The meaning of [`PROFILES`](crate::PROFILES).
    pub fn profiles_batch(history: &History<'_>) -> BTreeMap<ProfileId, Profile> {
        let mut events: BTreeMap<ProfileId, Vec<&Event>> = BTreeMap::new();
        for event in history.events {
            if let Some(profile) = owner_batch(history, event) {
                events.entry(profile).or_default().push(event);
            }
        }
        let mut identifiers: BTreeMap<ProfileId, BTreeMap<Kind, u32>> = BTreeMap::new();
        for (id, profile) in (IDENTITY.batch)(history) {
            *identifiers.entry(profile).or_default().entry(id.kind()).or_default() += 1;
        }
        let profiles = attribution_batch(history);
        let mut orders: BTreeMap<ProfileId, Vec<Order>> = BTreeMap::new();
        for order in orders_batch(history).into_values() {
            if let Some(who) = order.who {
                orders.entry(profiles[&who]).or_default().push(order);
            }
        }
        let mut rows = BTreeMap::new();
        for (profile, events) in events {
            let identifiers = identifiers.remove(&profile).unwrap_or_default();
            let orders = orders.remove(&profile).unwrap_or_default();
            rows.insert(profile, profile_batch(&events, identifiers, &orders));
        }
        rows
    }

    /// What `events`, of which there is at least one, and `orders` make of a profile.
    fn profile_batch(
        events: &[&Event],
        identifiers: BTreeMap<Kind, u32>,
        orders: &[Order],
    ) -> Profile {
        let mut actions = [0; ACTIONS];
        let (mut first_seen, mut last_seen) = (events[0].at, events[0].at);
        let mut traits: NewestBatch<Word, Word> = BTreeMap::new();
        let mut consents: NewestBatch<Word, bool> = BTreeMap::new();
        let mut device: NewestBatch<(), Word> = BTreeMap::new();
        let mut country: NewestBatch<(), Word> = BTreeMap::new();
        let mut channel: NewestBatch<(), Word> = BTreeMap::new();
        for event in events {
            first_seen = event.at.min(first_seen);
            last_seen = event.at.max(last_seen);
            if let Some(place) = action_place(&event.action) {
                actions[place] += 1;
            }
            match &event.action {
                Action::Identify(told) => {
                    told.iter()
                        .for_each(|(name, value)| learn_batch(&mut traits, *name, event, *value));
                }
                Action::Consent(purpose, given) => {
                    learn_batch(&mut consents, *purpose, event, *given)
                }
                _ => {}
            }
            let context = event.context;
            context.device.into_iter().for_each(|value| learn_batch(&mut device, (), event, value));
            context
                .country
                .into_iter()
                .for_each(|value| learn_batch(&mut country, (), event, value));
            context
                .channel
                .into_iter()
                .for_each(|value| learn_batch(&mut channel, (), event, value));
        }
        let open = orders.iter().filter(|order| order.open).count();
        Profile {
            first_seen,
            last_seen,
            actions,
            identifiers,
            traits: values_batch(traits),
            consents: values_batch(consents),
            device: values_batch(device).remove(&()),
            country: values_batch(country).remove(&()),
            channel: values_batch(channel).remove(&()),
            orders: u32::try_from(open).unwrap_or(u32::MAX),
            revenue: money_batch(orders.iter().map(|order| i128::from(order.gross.0)).sum()),
            refunded: money_batch(orders.iter().map(|order| i128::from(order.refunded.0)).sum()),
        }
    }

    /// By name, the newest value and where it was said.
    type NewestBatch<K, V> = BTreeMap<K, (Place, V)>;

    /// Takes note that `event` says `value` of `name`, unless something newer is known.
    fn learn_batch<K: Ord, V: Ord + Copy>(
        newest: &mut NewestBatch<K, V>,
        name: K,
        event: &Event,
        value: V,
    ) {
        let said = (event.place(), value);
        let last = newest.entry(name).or_insert(said);
        *last = said.max(*last);
    }

    /// The newest values, wherever they were said.
    fn values_batch<K: Ord, V>(newest: NewestBatch<K, V>) -> BTreeMap<K, V> {
        newest.into_iter().map(|(name, (_, value))| (name, value)).collect()
    }
}
