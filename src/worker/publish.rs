//! Publish: how do finished ticks leave the dataflows?
//!
//! Each view ends in an operator that sees a finished tick's changes once and applies them to this
//! worker's table of the [`Store`]. Every worker has the keys whose hash is its own, so that a row
//! that comes at one worker and leaves at another is still one row.

use dataflows::operator::{by_tick, by_tick_unsorted, hash};
use dataflows::related::{Items, Role, RoleItem};
use dataflows::view::Datum;
use dataflows::{Facts, Item, Publish, Rows, Tick, View};
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::probe::Handle;

use crate::view::Store;

/// Publishes into a [`Store`].
#[derive(Debug)]
pub(super) struct Publisher {
    store: Store,
    /// How many workers hold tables: those of the first process.
    shards: u64,
    probe: Handle<Tick>,
}

impl Publisher {
    pub(super) fn new(store: Store, shards: usize, probe: Handle<Tick>) -> Publisher {
        Publisher { store, shards: u64::try_from(shards).unwrap_or(1).max(1), probe }
    }
}

/// A change of a pairs view, and the shard that it is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Note {
    Pair(u64, Items),
    Item(u64, usize, Item),
}

impl<'s> Publish<'s> for Publisher {
    fn publish<K: Datum, V: Datum>(&mut self, view: View<K, V>, rows: Rows<'s, K, V>) {
        let table = self.store.table(view);
        let shards = self.shards;
        let route = move |(key, _): &(K, V)| hash(key) % shards;
        let done = by_tick(rows, view.name, route, move |tick, updates, _: &mut Vec<((), _)>| {
            crate::view::lock(&table).apply(tick, std::mem::take(updates));
        });
        done.probe_with(&self.probe);
    }

    fn tally<K: Datum>(&mut self, view: View<K, i64>, facts: Facts<'s, K>) {
        let table = self.store.table(view);
        let shards = self.shards;
        let route = move |key: &K| hash(key) % shards;
        let done = by_tick(facts, view.name, route, move |tick, updates, _: &mut Vec<((), _)>| {
            crate::view::lock(&table).count(tick, std::mem::take(updates));
        });
        done.probe_with(&self.probe);
    }

    fn pairs(
        &mut self,
        view: View<Items, i64>,
        roles: [Role; 2],
        pairs: Facts<'s, Items>,
        items: Facts<'s, RoleItem>,
    ) {
        let directed = roles[0] != roles[1];
        let table = self.store.pairs_table(view, directed);
        let shards = self.shards;
        let shard = move |item: Item| hash(&item) % shards;
        let pairs = pairs.flat_map(move |pair| {
            let (first, second) = (shard(pair.0), shard(pair.1));
            let other = (!directed && second != first).then_some(Note::Pair(second, pair));
            std::iter::once(Note::Pair(first, pair)).chain(other)
        });
        let items = items.flat_map(move |RoleItem(role, item)| {
            let sides = (0..2).filter(move |side| roles[*side] == role);
            sides.flat_map(move |side| (0..shards).map(move |shard| Note::Item(shard, side, item)))
        });
        let route = |note: &Note| match note {
            Note::Pair(shard, _) | Note::Item(shard, ..) => *shard,
        };
        let notes = pairs.concat(items);
        let settle = move |tick, updates: &mut Vec<(Note, _)>, _: &mut Vec<((), _)>| {
            let mut table = crate::view::lock(&table);
            for (note, diff) in updates.drain(..) {
                match note {
                    Note::Item(_, side, item) => table.item(side, item, diff),
                    Note::Pair(own, pair) => {
                        let second = !directed && shard(pair.1) == own;
                        table.pair(pair, [shard(pair.0) == own, second], diff);
                    }
                }
            }
            table.settle(tick);
        };
        by_tick_unsorted(notes, view.name, route, settle).probe_with(&self.probe);
    }
}
