//! View: what is published, and what does it mean?
//!
//! A view carries its own meaning: a plain function from the events that hold to the rows.
//! So a view cannot be published without saying what it means, and the laws, the audit and the
//! reader who wonders what a column holds all ask the same function.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::rc::Rc;

use differential_dataflow::{ExchangeData, VecCollection};
use serde::{Deserialize, Serialize};

use crate::event::{
    Day, Event, EventTime, Identifier, Item, Kind, Money, OrderId, ProfileId, SessionKey, Word,
};
use crate::settings::Settings;
use crate::tick::Tick;

/// By how much something changes.
pub type Diff = isize;

/// A datum, when it changes, and by how much.
pub type Update<D> = (D, Tick, Diff);

/// An evolving collection.
pub type Facts<'s, D> = VecCollection<'s, Tick, D, Diff>;

/// An evolving collection with at most one value per key.
pub type Rows<'s, K, V> = VecCollection<'s, Tick, (K, V), Diff>;

/// The events that hold at one tick, and what the shop has set: what a batch job would be given.
pub struct History<'a> {
    /// The events.
    pub events: &'a [Rc<Event>],
    /// The shop's settings.
    pub settings: &'a Settings,
    /// What batch functions have found already, by type.
    memo: RefCell<BTreeMap<TypeId, Rc<dyn Any>>>,
}

impl std::fmt::Debug for History<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

impl<'a> History<'a> {
    /// The history of `events` under `settings`.
    #[must_use]
    pub fn new(events: &'a [Rc<Event>], settings: &'a Settings) -> History<'a> {
        History { events, settings, memo: RefCell::default() }
    }

    /// What `make` gives for this history, computed at the first call only.
    ///
    /// `T` is a type used for this one purpose.
    pub fn once<T: 'static>(&self, make: fn(&History<'_>) -> T) -> Rc<T> {
        let key = TypeId::of::<T>();
        let known = self.memo.borrow().get(&key).cloned();
        let found = known.unwrap_or_else(|| {
            let made: Rc<dyn Any> = Rc::new(make(self));
            self.memo.borrow_mut().insert(key, Rc::clone(&made));
            made
        });
        found.downcast().unwrap_or_else(|_| unreachable!("the memo is keyed by type"))
    }
}

/// A published result: its name, and what it means.
pub struct View<K, V> {
    /// Its name, everywhere: in snapshots, files, metrics and commands.
    pub name: &'static str,
    /// Its meaning: what a batch job would compute from the same events.
    pub batch: fn(&History<'_>) -> BTreeMap<K, V>,
}

impl<K, V> View<K, V> {
    /// A view named `name` that means `batch`.
    #[must_use]
    pub const fn new(name: &'static str, batch: fn(&History<'_>) -> BTreeMap<K, V>) -> View<K, V> {
        View { name, batch }
    }
}

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for View<K, V> {}

impl<K, V> std::fmt::Debug for View<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("View").field(&self.name).finish()
    }
}

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

/// What a key or a row of a view can do: travel, be ordered, and be shown.
pub trait Datum: ExchangeData + Hash + Sync + Show {}
impl<T: ExchangeData + Hash + Sync + Show> Datum for T {}

/// Somewhere to put finished views: the engine, a test, a backtest.
pub trait Publish<'s> {
    /// Publishes a view whose rows have at most one value per key.
    fn publish<K: Datum, V: Datum>(&mut self, view: View<K, V>, rows: Rows<'s, K, V>);

    /// Publishes a view that counts: a key's value is how often it is in `facts`.
    ///
    /// The dataflow then keeps no count of its own, and a change costs one update.
    fn tally<K: Datum>(&mut self, view: View<K, i64>, facts: Facts<'s, K>);

    /// Publishes the counts of pairs of items, with the counts of the items that a score needs:
    /// those of `items` that have the role of the pair's first or second item.
    fn pairs(
        &mut self,
        view: View<Items, i64>,
        roles: [Role; 2],
        pairs: Facts<'s, Items>,
        items: Facts<'s, RoleItem>,
    );
}

/// Somebody who is told of every view, with its types, by [`views`](crate::views).
pub trait Visit {
    /// A view of rows.
    fn rows<K: Datum, V: Datum>(&mut self, view: View<K, V>);

    /// A view of pairs of items, and what the first and the second item are to a basket.
    fn pairs(&mut self, view: View<Items, i64>, roles: [Role; 2]);
}

/// What hashes stand for.
pub trait Names {
    /// The name of an identifier, with its kind.
    fn identifier(&self, identifier: Identifier) -> String;
    /// The name of a kind of identifier.
    fn kind(&self, kind: Kind) -> String;
    /// The text of a 64-bit hash.
    fn word(&self, word: u64) -> String;
    /// An amount in the shop's money.
    fn money(&self, money: Money) -> String;
    /// An instant.
    fn time(&self, at: EventTime) -> String;
    /// A day.
    fn day(&self, day: Day) -> String;
    /// The name of a group of the RFM table.
    fn group(&self, group: u8) -> String;
}

/// How a key or a row is written as columns.
pub trait Show {
    /// Calls `cell` with the name and the text of each column, always the same columns in the same
    /// order.
    fn show(&self, names: &dyn Names, cell: &mut dyn FnMut(&'static str, String));
    /// The names of the columns.
    fn columns(column: &mut dyn FnMut(&'static str))
    where
        Self: Sized;
}

/// Writes [`Show`] for a type: each column's name and how its text comes about.
#[macro_export]
macro_rules! show {
    ($type:ty, |$row:ident, $names:ident| { $($column:literal => $text:expr),* $(,)? }) => {
        impl $crate::view::Show for $type {
            fn show(
                &self,
                $names: &dyn $crate::view::Names,
                cell: &mut dyn FnMut(&'static str, String),
            ) {
                let $row = self;
                $(cell($column, $text);)*
                let _ = $names;
            }

            fn columns(column: &mut dyn FnMut(&'static str)) {
                $(column($column);)*
            }
        }
    };
}

impl Show for () {
    fn show(&self, _: &dyn Names, _: &mut dyn FnMut(&'static str, String)) {}

    fn columns(_: &mut dyn FnMut(&'static str)) {}
}

show!(i64, |count, names| { "count" => count.to_string() });
show!(Identifier, |id, names| { "identifier" => names.identifier(*id) });
show!(ProfileId, |id, names| { "profile" => names.identifier(id.0) });
show!(Item, |item, names| { "item" => names.word(item.0) });
show!(Word, |word, names| { "word" => names.word(word.0.get()) });
show!(OrderId, |order, names| { "order" => names.word(order.0) });
show!(SessionKey, |session, names| { "session" => names.word(session.0.get()) });

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

/// The text of an optional word, empty where there is none.
pub fn optional(word: Option<Word>, names: &dyn Names) -> String {
    word.map(|word| names.word(word.0.get())).unwrap_or_default()
}
