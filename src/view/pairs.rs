//! Pairs: which items go best with this one, right now?
//!
//! Pair counts are by far the largest view, and the only one that is scored when it is read.
//! So they have a table of their own: items are numbered, and each item's neighbours are a sorted
//! list of (number, count), eight bytes a pair and direction.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use dataflows::operator::Index;
use dataflows::related::Items;
use dataflows::score::{Counts, Score};
use dataflows::{Diff, History, Item, Names, Tick, View};

use super::image::Encoded;
use super::merge::merge;
use super::{AnyView, Change, lock, shown};

/// An item that goes with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The item.
    pub item: Item,
    /// How well it goes, in millionths.
    pub score: i64,
    /// In how many baskets the two are together.
    pub support: u64,
}

/// The items that an item is together with, by number, and how often.
type Neighbours = Vec<(u32, u32)>;

/// One worker's share of the pairs: those whose first item is its own.
#[derive(Debug)]
pub struct Pairs {
    directed: bool,
    number: Index<Item, u32>,
    items: Vec<Item>,
    /// In how many baskets each item is, as the first and as the second of a pair; apart from the
    /// rest, because a read looks at those of thousands.
    baskets: Vec<[u32; 2]>,
    neighbours: Vec<Neighbours>,
    /// The changes of a tick, by the numbers of the two items.
    pending: Vec<(u64, i32)>,
    /// The items, by number, whose counts the last tick changed; sorted.
    touched: Vec<u32>,
    /// Whether they are those of a tick that is settled.
    stale: bool,
    changes: Option<Vec<(Tick, Items, i64, Diff)>>,
    updates: u64,
    len: usize,
}

impl Pairs {
    pub(super) fn new(directed: bool, recording: bool) -> Pairs {
        Pairs {
            directed,
            number: Index::default(),
            items: Vec::new(),
            baskets: Vec::new(),
            neighbours: Vec::new(),
            pending: Vec::new(),
            touched: Vec::new(),
            stale: false,
            changes: recording.then(Vec::new),
            updates: 0,
            len: 0,
        }
    }

    /// The number of an item, new if it is new.
    fn number(&mut self, item: Item) -> u32 {
        if let Some(number) = self.number.get(&item) {
            return *number;
        }
        let number = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.items.push(item);
        self.baskets.push([0; 2]);
        self.neighbours.push(Vec::new());
        self.number.insert(item, number);
        number
    }

    /// The item with a number.
    fn named(&self, number: u32) -> Item {
        self.items[at(number)]
    }

    /// The items whose counts, alone or with others, the last tick changed.
    pub fn touched(&self) -> impl Iterator<Item = Item> {
        self.touched.iter().map(|number| self.named(*number))
    }

    /// All items.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        self.items.iter().copied()
    }

    /// Notes that the counts of an item change with this tick.
    fn touch(&mut self, number: u32) {
        if std::mem::take(&mut self.stale) {
            self.touched.clear();
        }
        self.touched.push(number);
    }

    /// An item is in `diff` more baskets, as the first item of pairs or as the second.
    pub fn item(&mut self, side: usize, item: Item, diff: Diff) {
        let number = self.number(item);
        self.touch(number);
        let count = &mut self.baskets[at(number)][side];
        *count = count.saturating_add_signed(i32::try_from(diff).unwrap_or(0));
    }

    /// A pair is in `diff` more baskets, of which this table has the neighbours of the first item
    /// or of the second as `own` says; it counts when the tick is [settled](Pairs::settle).
    pub fn pair(&mut self, pair: Items, own: [bool; 2], diff: Diff) {
        let [first, second] = [pair.0, pair.1].map(|item| u64::from(self.number(item)));
        let diff = i32::try_from(diff).unwrap_or(0);
        for (own, (first, second)) in own.into_iter().zip([(first, second), (second, first)]) {
            if own {
                self.pending.push(((first << 32) | second, diff));
            }
        }
    }

    /// Applies the changes of a finished tick.
    pub fn settle(&mut self, tick: Tick) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable_by_key(|(key, _)| *key);
        pending.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
        pending.retain(|(_, diff)| *diff != 0);
        let first = |key: u64| u32::try_from(key >> 32).unwrap_or(u32::MAX);
        for run in pending.chunk_by(|(a, _), (b, _)| first(*a) == first(*b)) {
            self.touch(first(run[0].0));
            self.settle_item(tick, first(run[0].0), run);
        }
        pending.clear();
        pending.shrink_to(1 << 16);
        self.pending = pending;
        if std::mem::replace(&mut self.stale, true) {
            self.touched.clear();
        }
        self.touched.sort_unstable();
        self.touched.dedup();
    }

    /// Applies the changes of one item's neighbours, sorted by their number.
    fn settle_item(&mut self, tick: Tick, first: u32, run: &[(u64, i32)]) {
        self.updates += u64::try_from(run.len()).unwrap_or(0);
        let second = |key: u64| u32::try_from(key & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let mut neighbours = std::mem::take(&mut self.neighbours[at(first)]);
        let before = neighbours.len();
        if run.len() < 16 {
            for (key, diff) in run {
                let number = second(*key);
                let place = neighbours.partition_point(|(other, _)| *other < number);
                let old = match neighbours.get(place) {
                    Some((other, count)) if *other == number => *count,
                    _ => {
                        neighbours.insert(place, (number, 0));
                        0
                    }
                };
                let new = old.checked_add_signed(*diff).expect("a count is never negative");
                neighbours[place].1 = new;
                if new == 0 {
                    neighbours.remove(place);
                }
                self.record(tick, first, number, old, new);
            }
        } else {
            let mut merged = Vec::with_capacity(before + run.len());
            let mut old = neighbours.into_iter().peekable();
            for (key, diff) in run {
                let number = second(*key);
                while let Some(other) = old.next_if(|(other, _)| *other < number) {
                    merged.push(other);
                }
                let count =
                    old.next_if(|(other, _)| *other == number).map_or(0, |(_, count)| count);
                let new = count.checked_add_signed(*diff).expect("a count is never negative");
                if 0 < new {
                    merged.push((number, new));
                }
                self.record(tick, first, number, count, new);
            }
            merged.extend(old);
            merged.shrink_to(merged.len() + merged.len() / 4);
            neighbours = merged;
        }
        self.len = self.len + neighbours.len() - before;
        self.neighbours[at(first)] = neighbours;
    }

    /// Records a change of a count, once for both directions of an undirected pair.
    fn record(&mut self, tick: Tick, first: u32, second: u32, old: u32, new: u32) {
        let Some(changes) = &mut self.changes else { return };
        let pair = Items(self.items[at(first)], self.items[at(second)]);
        if self.directed || pair.0 < pair.1 {
            let rows = [(old, -1), (new, 1)].into_iter().filter(|(count, _)| *count != 0);
            changes.extend(rows.map(|(count, diff)| (tick, pair, i64::from(count), diff)));
        }
    }

    /// The `most` best neighbours of `item` by score, then support, then item, of those that are
    /// together with it in at least `support_min` of `total` baskets; empty for an item of another
    /// worker.
    ///
    /// Cost: one pass over the item's neighbours.
    #[must_use]
    pub fn top(
        &self,
        item: Item,
        score: Score,
        support_min: u64,
        total: u64,
        most: usize,
    ) -> Vec<Neighbour> {
        let Some(own) = self.number.get(&item) else { return Vec::new() };
        let first = u64::from(self.baskets[at(*own)][0]);
        let neighbours = self.neighbours[at(*own)].iter().map(|(number, count)| {
            let support = u64::from(*count);
            let second = u64::from(self.baskets[at(*number)][1]);
            let score = score.of(Counts { pair: support, first, second, total });
            Neighbour { item: self.named(*number), score, support }
        });
        best(neighbours.filter(|other| support_min <= other.support).collect(), most)
    }

    /// The counts of `item`'s neighbours: item, together, and that item's baskets.
    pub fn neighbours(&self, item: Item) -> impl Iterator<Item = (Item, u32, u32)> {
        let own = self.number.get(&item).map(|number| &self.neighbours[at(*number)]);
        own.into_iter()
            .flatten()
            .map(|(number, count)| (self.named(*number), *count, self.baskets[at(*number)][1]))
    }

    /// The items that have neighbours here, in order, with their numbers.
    fn owners(&self) -> Vec<(Item, u32)> {
        let numbered = (0..).zip(&self.items).zip(&self.neighbours);
        let owners = numbered.filter(|(_, neighbours)| !neighbours.is_empty());
        let mut owners: Vec<_> = owners.map(|((number, item), _)| (*item, number)).collect();
        owners.sort_unstable();
        owners
    }
}

/// The `most` best of `all`, in order.
pub(super) fn best(mut all: Vec<Neighbour>, most: usize) -> Vec<Neighbour> {
    let rank = |a: &Neighbour, b: &Neighbour| {
        b.score.cmp(&a.score).then(b.support.cmp(&a.support)).then(a.item.cmp(&b.item))
    };
    if most < all.len() {
        all.select_nth_unstable_by(most, rank);
        all.truncate(most);
    }
    all.sort_unstable_by(rank);
    all
}

/// A number as a place in a list.
fn at(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The tables of a pairs view.
#[derive(Debug)]
pub(super) struct Shards {
    pub(super) view: View<Items, i64>,
    pub(super) tables: Vec<Arc<Mutex<Pairs>>>,
}

impl Shards {
    fn guards(&self) -> Vec<MutexGuard<'_, Pairs>> {
        self.tables.iter().map(|table| lock(table)).collect()
    }

    fn directed(&self) -> bool {
        self.guards().iter().all(|pairs| pairs.directed)
    }

    /// Calls `row` with each pair in order, and with `mirrors` with those of an undirected view
    /// once more, their items exchanged.
    ///
    /// It holds the neighbours of one item at a time, beside a list of all items.
    fn in_order<E>(
        &self,
        mirrors: bool,
        mut row: impl FnMut(Items, i64) -> Result<(), E>,
    ) -> Result<(), E> {
        let guards = self.guards();
        let owners = guards.iter().zip(0..).map(|(pairs, table): (_, usize)| {
            pairs.owners().into_iter().map(move |(item, number)| (item, table, number))
        });
        let mut neighbours = Vec::new();
        for (item, table, number) in merge(owners) {
            let pairs = &guards[table];
            let named = pairs.neighbours[at(number)].iter();
            let named = named.map(|(other, count)| (Items(item, pairs.named(*other)), *count));
            let wanted = |pair: &Items| mirrors || pairs.directed || pair.0 < pair.1;
            neighbours.extend(named.filter(|(pair, _)| wanted(pair)));
            neighbours.sort_unstable();
            for (pair, count) in neighbours.drain(..) {
                row(pair, i64::from(count))?;
            }
        }
        Ok(())
    }

    /// Calls `row` with each pair in order.
    fn each_pair(&self, mut row: impl FnMut(Items, i64)) {
        let told = self.in_order(false, |pair, count| {
            row(pair, count);
            Ok::<(), Infallible>(())
        });
        told.unwrap_or_else(|never| match never {});
    }

    pub(super) fn merged(&self) -> BTreeMap<Items, i64> {
        let mut rows = Vec::new();
        self.each_pair(|pair, count| rows.push((pair, count)));
        rows.into_iter().collect()
    }
}

impl AnyView for Shards {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn columns(&self) -> (Vec<&'static str>, usize) {
        (vec!["item", "with", "count"], 2)
    }

    fn len(&self) -> usize {
        // An undirected pair lies with each of its items, which may be two workers'.
        let guards = self.guards();
        let directed = guards.iter().all(|pairs| pairs.directed);
        let all: usize = guards.iter().map(|pairs| pairs.len).sum();
        if directed { all } else { all / 2 }
    }

    fn updates(&self) -> u64 {
        let guards = self.guards();
        let directed = guards.iter().all(|pairs| pairs.directed);
        let all: u64 = guards.iter().map(|pairs| pairs.updates).sum();
        if directed { all } else { all / 2 }
    }

    fn each(&self, names: &dyn Names, row: &mut dyn FnMut(&[String])) {
        self.each_pair(|pair, count| row(&shown(&pair, &count, names)));
    }

    fn difference(&self, history: &History<'_>) -> Option<String> {
        let (live, batch) = (self.merged(), (self.view.batch)(history));
        let differs = |pair: &&Items| live.get(pair) != batch.get(pair);
        let first = live.keys().chain(batch.keys()).find(differs)?;
        let of = |rows: &BTreeMap<Items, i64>| rows.get(first).copied();
        Some(format!("{first:?}: live {:?}, batch {:?}", of(&live), of(&batch)))
    }

    fn changes(&self) -> Vec<Change> {
        let guards = self.guards();
        let recorded = guards.iter().filter_map(|pairs| pairs.changes.as_ref()).flatten();
        let bytes =
            |pair: &Items, count: i64| postcard::to_stdvec(&(pair, count)).unwrap_or_default();
        let mut changes: Vec<Change> =
            recorded.map(|(tick, pair, count, diff)| (*tick, bytes(pair, *count), *diff)).collect();
        changes.sort_unstable();
        changes
    }

    fn shown_changes(&self, names: &dyn Names) -> Vec<(Tick, Diff, Vec<String>)> {
        let guards = self.guards();
        let recorded = guards.iter().filter_map(|pairs| pairs.changes.as_ref()).flatten();
        let mut changes: Vec<_> = recorded
            .map(|(tick, pair, count, diff)| {
                (*tick, shown(pair, &(), names), *diff, shown(pair, count, names))
            })
            .collect();
        changes.sort_unstable();
        changes.into_iter().map(|(tick, _, diff, row)| (tick, diff, row)).collect()
    }

    fn mirrored(&self) -> bool {
        !self.directed()
    }

    fn encoded(
        &self,
        mirrors: bool,
        row: &mut dyn FnMut(Encoded<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let directed = self.directed();
        let mut bytes = Vec::new();
        self.in_order(mirrors, |pair, count| {
            let mirror = !directed && pair.1 < pair.0;
            row(Encoded::of(&pair, &count, mirror, &mut bytes)?)
        })
    }
}
