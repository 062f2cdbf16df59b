//! Plain: what does a program cost that does only this?
//!
//! The physical baseline: one thread, hash tables and vectors, four results, no engine.
//! It is exact under correction: events are kept by key, and what leaves is taken out again.
//!
//! * Identity: connected components of the identifiers on an event, shared identifiers left out
//!   (`groups`); limits and links are not looked at.
//! * RFM of every profile: events that hold no refunds, one order an event, no window.
//! * Segments: k-means over recency, frequency and money, fitted when asked (`kmeans`).
//! * Pairs: in how many sessions two items are together, scored when read (`pairs`); no limit on
//!   the size of a basket.
//!
//! For the streams of the [generator](super::generator) these are the engine's own results.

mod table;
mod groups;
mod pairs;
mod kmeans;

use dataflows::{Action, Event, EventTime, Identifier, Item, Line, Money, ProfileId, Settings};

use super::generator::{Change, Op};
use groups::{Groups, Order};
use kmeans::Model;
pub(crate) use pairs::Neighbour;
use pairs::Pairs;
use table::Table;

/// A place that stands for none.
const NONE: u32 = u32::MAX;

/// The four results, and the events that hold.
#[derive(Debug)]
pub(crate) struct Plain {
    events: Table<u128, Fact>,
    groups: Groups,
    pairs: Pairs,
    model: Option<Model>,
}

/// What the results need of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    at: i64,
    /// The set of identifiers on it.
    set: u32,
    /// The basket it adds to, if it does.
    basket: u32,
    what: What,
}

/// What an event adds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Nothing,
    Touch(u32),
    /// Boxed because orders are few.
    Order(Box<(Order, Vec<u32>)>),
}

impl Default for Fact {
    fn default() -> Fact {
        Fact { at: 0, set: NONE, basket: NONE, what: What::Nothing }
    }
}

impl Fact {
    /// The order, where it is one.
    fn order(&self) -> Option<Order> {
        match &self.what {
            What::Order(order) => Some(order.0),
            What::Nothing | What::Touch(_) => None,
        }
    }

    /// The items that it puts into its basket.
    fn items(&self) -> &[u32] {
        match &self.what {
            What::Nothing => &[],
            What::Touch(item) => std::slice::from_ref(item),
            What::Order(order) => &order.1,
        }
    }
}

/// A profile with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// When the last order was placed.
    pub(crate) last_order: EventTime,
    /// How many orders there are; at least one.
    pub(crate) orders: u32,
    /// What they come to.
    pub(crate) spent: Money,
    /// The number of its segment; `None` before the first fit.
    pub(crate) segment: Option<u8>,
}

impl Plain {
    /// No events, under the shop's settings for kinds of identifiers.
    pub(crate) fn new(settings: &Settings) -> Plain {
        Plain {
            events: Table::default(),
            groups: Groups::new(settings),
            pairs: Pairs::default(),
            model: None,
        }
    }

    /// Applies changes in order; all results are true when it returns.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for (op, key, event) in changes {
            match op {
                Op::Insert | Op::Correct => self.put(*key, event),
                Op::Retract => self.take(*key),
            }
        }
        self.groups.settle(self.model.as_ref());
    }

    /// Takes out all events of the profile that has `identifier`, and returns how many they were.
    pub(crate) fn erase(&mut self, identifier: Identifier) -> usize {
        let places = self.groups.events(identifier);
        let keys: Vec<u128> = places.iter().map(|&place| self.events.key(place)).collect();
        keys.iter().rev().for_each(|key| self.take(*key));
        self.groups.settle(self.model.as_ref());
        keys.len()
    }

    /// Fits the segments anew.
    pub(crate) fn fit(&mut self) {
        self.model = Model::fit(&self.groups.customers());
        self.groups.assign(self.model.as_ref());
    }

    /// Whose identifier it is.
    pub(crate) fn owner(&self, identifier: Identifier) -> Option<ProfileId> {
        self.groups.owner(identifier)
    }

    /// RFM and segment of a profile that has ordered.
    pub(crate) fn profile(&self, id: ProfileId) -> Option<Profile> {
        self.groups.profile(id)
    }

    /// The `n` items most often together with `item`, by cosine, the best first.
    pub(crate) fn related(&self, item: Item, n: usize) -> Vec<Neighbour> {
        self.pairs.related(item, n)
    }

    /// Lets an event hold, in the place of the one with its key.
    fn put(&mut self, key: u128, event: &Event) {
        let fact = self.fact(event);
        let place = self.events.place(key);
        if self.events[place] == fact {
            return;
        }
        // The new one enters first, so that nothing that both need is taken apart.
        let old = std::mem::replace(&mut self.events[place], fact);
        self.groups.add(place, &self.events);
        let fact = &self.events[place];
        fact.items().iter().for_each(|item| self.pairs.add(fact.basket, *item));
        self.leave(place, &old);
    }

    /// Lets the event with this key hold no more.
    fn take(&mut self, key: u128) {
        if let Some((place, old)) = self.events.remove(key) {
            self.leave(place, &old);
        }
    }

    /// Takes out of the results what `old` added while it was at `place`.
    fn leave(&mut self, place: u32, old: &Fact) {
        self.groups.remove(place, old, &self.events);
        old.items().iter().for_each(|item| self.pairs.remove(old.basket, *item));
    }

    /// What the results need of an event.
    fn fact(&mut self, event: &Event) -> Fact {
        let what = match &event.action {
            Action::View(item) | Action::AddToCart(item) => What::Touch(self.pairs.item(*item)),
            Action::Order { lines, .. } => {
                let ordered = |line: &&Line| 0 < line.quantity;
                let mut items: Vec<u32> =
                    lines.iter().filter(ordered).map(|line| self.pairs.item(line.item)).collect();
                items.sort_unstable();
                items.dedup();
                let spent = lines.iter().map(Line::amount).sum();
                let at = event.at.0;
                What::Order(Box::new((Order { at, spent, open: !items.is_empty() }, items)))
            }
            _ => What::Nothing,
        };
        let mut fact = Fact { at: event.at.0, set: self.groups.set(event), basket: NONE, what };
        if let Some(session) = event.context.session
            && !fact.items().is_empty()
        {
            fact.basket = self.pairs.basket(session);
        }
        fact
    }
}
