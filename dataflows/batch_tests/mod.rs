//! Batch tests: do the meanings of the views say what we think they say?
//!
//! Each test tells a tiny story and works out the rows by hand.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;

use crate::event::*;
use crate::settings::Settings;
use crate::view::{History, View};

mod catalogue;
mod feature;
mod identity;
mod order;
mod profile;
mod related;
mod rfm;
mod segment;
mod session;

/// A history that grows line by line; the first event has the id 1.
#[derive(Default)]
pub(super) struct Story {
    /// What has happened so far.
    events: Vec<Event>,
    /// What the shop has set.
    settings: Settings,
}

impl Story {
    /// Something happens so many seconds after the epoch.
    fn tell(&mut self, seconds: i64, who: &[Identifier], action: Action) -> &mut Event {
        let at = EventTime(seconds * 1_000_000);
        let id = EventId(u64::try_from(self.events.len()).unwrap() + 1);
        let mut who = who.to_vec();
        who.sort();
        let (who, context) = (who.into(), Context::default());
        self.events.push(Event { at, id, source: word(1), who, action, context });
        self.events.last_mut().unwrap()
    }

    /// The rows of a view; told backwards, the story must come to the same.
    fn rows<K, V>(&self, view: View<K, V>) -> BTreeMap<K, V>
    where
        K: Ord + std::fmt::Debug,
        V: PartialEq + std::fmt::Debug,
    {
        self.ask(view.batch)
    }

    /// What a batch function says of the story; told backwards, it must come to the same.
    fn ask<T: PartialEq + std::fmt::Debug>(&self, batch: fn(&History<'_>) -> T) -> T {
        let mut events: Vec<Rc<Event>> = self.events.iter().cloned().map(Rc::new).collect();
        let forwards = batch(&History::new(&events, &self.settings));
        events.reverse();
        let backwards = batch(&History::new(&events, &self.settings));
        assert_eq!(forwards, backwards, "the order of arrival must not matter");
        forwards
    }
}

/// Seconds in a day.
const DAY: i64 = 86_400;

/// A user, the strongest kind of the default settings, of which a profile may have one.
fn user(n: u128) -> Identifier {
    Identifier::new(Kind(0), n)
}

/// An email, shared above one stronger identifier.
fn email(n: u128) -> Identifier {
    Identifier::new(Kind(1), n)
}

/// A device, shared above three stronger identifiers.
fn device(n: u128) -> Identifier {
    Identifier::new(Kind(4), n)
}

/// A cookie, shared above three stronger identifiers.
fn cookie(n: u128) -> Identifier {
    Identifier::new(Kind(5), n)
}

/// A word.
fn word(n: u64) -> Word {
    Word(NonZeroU64::new(n).unwrap())
}

/// A page that nothing depends on.
fn page() -> Action {
    Action::Page(word(7))
}

/// A view of an item.
fn view(item: u64) -> Action {
    Action::View(Item(item))
}

/// An item put into the cart.
fn cart(item: u64) -> Action {
    Action::AddToCart(Item(item))
}

/// An order of lines (item, quantity, price).
fn order(order: u64, lines: &[(u64, i32, i64)]) -> Action {
    Action::Order { order: OrderId(order), lines: lines.iter().copied().map(line).collect() }
}

/// A refund of lines (item, quantity, price) of an order.
fn refund(order: u64, lines: &[(u64, i32, i64)]) -> Action {
    let lines = lines.iter().copied().map(line).collect();
    Action::Refund { order: Some(OrderId(order)), lines }
}

/// A refund of lines (item, quantity, price) that names no order.
fn loose_refund(lines: &[(u64, i32, i64)]) -> Action {
    Action::Refund { order: None, lines: lines.iter().copied().map(line).collect() }
}

/// A line.
fn line((item, quantity, price): (u64, i32, i64)) -> Line {
    Line { item: Item(item), quantity, price: Money(price) }
}

/// The catalogue puts an item into a category.
fn listed(item: u64, category: u64) -> Action {
    let attributes = Attributes { category: Some(word(category)), ..Attributes::default() };
    Action::Item(Item(item), attributes)
}

/// A model fitted at `tick` with these middles, on the first feature.
fn model(tick: u64, middles: &[i32]) -> Action {
    let middle = |value: &i32| [*value, 0, 0, 0, 0, 0, 0, 0];
    let centroids = middles.iter().map(middle).collect();
    Action::Model(Model { tick, kind: ModelKind::Fit, centroids })
}
