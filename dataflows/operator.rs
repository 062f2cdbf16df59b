//! Operator: how does a dataflow keep state that is cheaper than a trace?
//!
//! Where a result is a sum, a join or a count, dataflows use differential's own operators.
//! Where it is an order (a least, a rank, a session, a component), a trace would be read again in
//! full for every change, so those keep plain Rust data and see each finished tick once:
//!
//! * [`by_tick`] hands a closure all updates of one complete tick, consolidated and sorted;
//! * [`fold`] does so key by key, and publishes at most one row per key;
//! * [`beside`] does so shard by shard, for data that change with something common to all of them;
//! * [`Index`] is a hash map without iteration, so that no hash order can reach a result;
//! * [`Bag`] is a sorted multiset.
//!
//! A closure sees ticks in order and never sees a tick before all of its updates are known, so its
//! output is a function of the input collection alone: of no worker, batch or arrival.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, ExchangeData};
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use crate::event::spread;
use crate::tick::Tick;
use crate::view::{Diff, Facts, Rows, Update};

/// Calls `logic` once for each tick that has updates, with all of them, sorted and consolidated.
///
/// `route` says which updates belong to the same worker; what `logic` appends to its last argument
/// is sent on at that tick.
///
/// Cost: per update, its share of a sort of the tick's updates, and what `logic` does with it.
pub fn by_tick<'s, D, O>(
    input: Facts<'s, D>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut logic: impl FnMut(Tick, &mut Vec<(D, Diff)>, &mut Vec<(O, Diff)>) + 'static,
) -> Facts<'s, O>
where
    D: ExchangeData,
    O: Clone + 'static,
{
    by_tick_unsorted(input, name, route, move |tick, updates, changes| {
        consolidate(updates);
        if !updates.is_empty() {
            logic(tick, updates, changes);
        }
    })
}

/// [`by_tick`] with the updates as they came: for a `logic` that does not depend on their order.
pub fn by_tick_unsorted<'s, D, O>(
    input: Facts<'s, D>,
    name: &str,
    route: impl Fn(&D) -> u64 + 'static,
    mut logic: impl FnMut(Tick, &mut Vec<(D, Diff)>, &mut Vec<(O, Diff)>) + 'static,
) -> Facts<'s, O>
where
    D: ExchangeData,
    O: Clone + 'static,
{
    let pact = Exchange::new(move |(datum, _, _): &Update<D>| route(datum));
    type Output<O> = CapacityContainerBuilder<Vec<Update<O>>>;
    type Pending<D> = BTreeMap<Tick, (Capability<Tick>, Vec<(D, Diff)>)>;
    let operator = input.inner.unary_frontier::<Output<O>, _, _, _>(pact, name, |_, _| {
        let mut pending: Pending<D> = BTreeMap::new();
        let mut changes = Vec::new();
        move |(input, frontier), output| {
            input.for_each(|capability, data| {
                let mut data = data.drain(..).peekable();
                while let Some((datum, tick, diff)) = data.next() {
                    let (_, updates) = pending.entry(tick).or_insert_with(|| {
                        (capability.delayed(&tick, output.output_index()), Vec::new())
                    });
                    updates.push((datum, diff));
                    // The updates of one message nearly always share one tick.
                    while let Some((datum, _, diff)) = data.next_if(|(_, other, _)| *other == tick)
                    {
                        updates.push((datum, diff));
                    }
                }
            });
            while let Some(entry) = pending.first_entry()
                && !frontier.less_equal(entry.key())
            {
                let (tick, (capability, mut updates)) = entry.remove_entry();
                logic(tick, &mut updates, &mut changes);
                let mut session = output.session(&capability);
                for (datum, diff) in changes.drain(..) {
                    session.give((datum, tick, diff));
                }
            }
        }
    });
    operator.as_collection()
}

/// Keeps a state of type `S` for each key, and the row that it comes to.
///
/// `update` applies one key's consolidated updates of a finished tick to its state, `row` says what
/// the state comes to; a key whose state equals `S::default()` afterwards is forgotten.
///
/// Cost: per update, one look-up and what `update` does; per touched key, `row` twice.
pub fn fold<'s, K, V, S, R>(
    input: Facts<'s, (K, V)>,
    name: &str,
    mut update: impl FnMut(&K, &mut S, &[((K, V), Diff)]) + 'static,
    row: impl Fn(&K, &S) -> Option<R> + 'static,
) -> Rows<'s, K, R>
where
    K: ExchangeData + Hash,
    V: ExchangeData,
    S: Default + PartialEq + 'static,
    R: Clone + PartialEq + 'static,
{
    let mut states: Index<K, S> = Index::default();
    let empty = S::default();
    by_tick(
        input,
        name,
        |(key, _)| hash(key),
        move |_, updates, changes| {
            for group in updates.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
                let key = &group[0].0.0;
                let state = states.entry(key);
                let old = row(key, state);
                update(key, state, group);
                let new = row(key, state);
                if *state == empty {
                    states.remove(key);
                }
                if old != new {
                    changes.extend(old.map(|old| ((key.clone(), old), -1)));
                    changes.extend(new.map(|new| ((key.clone(), new), 1)));
                }
            }
        },
    )
}

/// How many parts work beside something common is cut into: never the number of workers, so that
/// no result can depend on that, and enough to keep many workers busy.
pub const SHARDS: u64 = 64;

/// An update of the data, or of what is common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Beside<A, B> {
    /// Something common to all data.
    Common(B),
    /// A datum.
    Datum(A),
}

/// Keeps a state of type `S` for each of [`SHARDS`] shards of `data`, beside a few facts `common`
/// to all shards: what day it is, which models there are.
///
/// `logic` is given a shard's state and the consolidated updates of a finished tick, of the data
/// and of what is common.
///
/// Cost: per datum, what `logic` does with it; per common fact, one update a shard.
pub fn beside<'s, A, B, S, O>(
    data: Facts<'s, A>,
    common: Facts<'s, B>,
    name: &str,
    key: impl Fn(&A) -> u64 + 'static,
    mut logic: impl FnMut(&mut S, &[(A, Diff)], &[(B, Diff)], &mut Vec<(O, Diff)>) + 'static,
) -> Facts<'s, O>
where
    A: ExchangeData,
    B: ExchangeData,
    S: Default + 'static,
    O: Clone + 'static,
{
    let data = data.map(move |datum| (key(&datum) % SHARDS, Beside::Datum(datum)));
    let common =
        common.flat_map(|fact| (0..SHARDS).map(move |shard| (shard, Beside::Common(fact.clone()))));
    let mut states: BTreeMap<u64, S> = BTreeMap::new();
    let (mut facts, mut datums) = (Vec::new(), Vec::new());
    by_tick(
        common.concat(data),
        name,
        |(shard, _)| *shard,
        move |_, updates, changes| {
            let mut updates = updates.drain(..).peekable();
            while let Some(((shard, first), diff)) = updates.next() {
                let mut sort = |update, diff| match update {
                    Beside::Common(fact) => facts.push((fact, diff)),
                    Beside::Datum(datum) => datums.push((datum, diff)),
                };
                sort(first, diff);
                while let Some(((_, next), diff)) =
                    updates.next_if(|((other, _), _)| *other == shard)
                {
                    sort(next, diff);
                }
                logic(states.entry(shard).or_default(), &datums, &facts, changes);
                facts.clear();
                datums.clear();
            }
        },
    )
}

/// A fixed hash of `key`, the same on every machine; only for spreading work.
pub fn hash<K: Hash>(key: &K) -> u64 {
    FixedState.hash_one(key)
}

/// Builds [`FixedHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct FixedState;

impl BuildHasher for FixedState {
    type Hasher = FixedHasher;

    fn build_hasher(&self) -> FixedHasher {
        FixedHasher(0)
    }
}

/// A fast hasher without a secret: what it hashes is hashed under a secret already.
#[derive(Clone, Copy, Debug)]
pub struct FixedHasher(u64);

impl Hasher for FixedHasher {
    fn finish(&self) -> u64 {
        spread(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A hash map that cannot be iterated over.
#[expect(clippy::disallowed_types, reason = "it offers no iteration, so no order can leak")]
pub struct Index<K, V>(std::collections::HashMap<K, V, FixedState>);

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Index(Default::default())
    }
}

impl<K, V> std::fmt::Debug for Index<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index of {}", self.0.len())
    }
}

impl<K: Clone + Eq + Hash, V> Index<K, V> {
    /// The value of `key`, if there is one.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// The value of `key`, made by default where there is none.
    pub fn entry(&mut self, key: &K) -> &mut V
    where
        V: Default,
    {
        self.0.entry(key.clone()).or_default()
    }

    /// Sets the value of `key`, and returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Forgets `key`, and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A sorted multiset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bag<V>(Vec<V>);

impl<V> Default for Bag<V> {
    fn default() -> Self {
        Bag(Vec::new())
    }
}

impl<V: Clone + Ord + std::fmt::Debug> Bag<V> {
    /// Applies `changes`, which are sorted by value.
    ///
    /// Cost: one search and one move for a single change; one merge for many.
    pub fn apply<'c>(&mut self, changes: impl ExactSizeIterator<Item = (&'c V, Diff)>)
    where
        V: 'c,
    {
        if 8 < changes.len() {
            return self.merge(changes);
        }
        for (value, diff) in changes {
            self.change(value.clone(), diff);
        }
    }

    /// Adds `value` as often as `diff` says, or takes it out.
    pub fn change(&mut self, value: V, diff: Diff) {
        let place = self.0.partition_point(|other| *other < value);
        for _ in diff..0 {
            debug_assert_eq!(self.0.get(place), Some(&value), "only what is there leaves");
            if self.0.get(place) == Some(&value) {
                self.0.remove(place);
            }
        }
        for _ in 0..diff {
            if self.0.len() == self.0.capacity() {
                // Most bags are small and never grow again: room is not doubled.
                self.0.reserve_exact(1 + self.0.len() / 4);
            }
            self.0.insert(place, value.clone());
        }
    }

    /// Applies many changes in one pass.
    fn merge<'c>(&mut self, changes: impl ExactSizeIterator<Item = (&'c V, Diff)>)
    where
        V: 'c,
    {
        let mut merged = Vec::with_capacity(self.0.len() + changes.len());
        let mut old = std::mem::take(&mut self.0).into_iter().peekable();
        for (value, mut diff) in changes {
            while let Some(before) = old.next_if(|other| other < value) {
                merged.push(before);
            }
            while diff < 0 && old.next_if(|other| other == value).is_some() {
                diff += 1;
            }
            for _ in 0..diff {
                merged.push(value.clone());
            }
        }
        merged.extend(old);
        merged.shrink_to(merged.len() + merged.len() / 4);
        self.0 = merged;
    }

    /// The values in order, as often as they occur.
    pub fn values(&self) -> &[V] {
        &self.0
    }

    /// The least value.
    pub fn first(&self) -> Option<&V> {
        self.0.first()
    }

    /// The greatest value.
    pub fn last(&self) -> Option<&V> {
        self.0.last()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The values and differences of one key's updates, as [`Bag::apply`] takes them.
pub fn values<K, V>(group: &[((K, V), Diff)]) -> impl ExactSizeIterator<Item = (&V, Diff)> + Clone {
    group.iter().map(|((_, value), diff)| (value, *diff))
}
