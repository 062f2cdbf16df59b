//! Pairs: in how many sessions are two items together?

use std::cmp::Reverse;

use dataflows::score::{Counts, Score};
use dataflows::{Item, SessionKey};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::table::Table;

/// Counts of items and of pairs of items, over the baskets of sessions.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    items: Table<Item, Counted>,
    baskets: Table<SessionKey, Vec<Touched>>,
}

/// An item's counts.
#[derive(Debug, Default)]
struct Counted {
    /// In how many baskets it is.
    baskets: u32,
    /// In how many baskets it is with each other item, by place.
    with: HashTable<(u32, u32)>,
}

/// An item of a basket.
#[derive(Clone, Copy, Debug)]
struct Touched {
    item: u32,
    /// How many events touched it.
    times: u32,
}

/// An item that occurs together with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// The item.
    pub(crate) item: Item,
    /// The cosine, in millionths.
    pub(crate) score: i64,
    /// In how many sessions they are together.
    pub(crate) together: u32,
}

impl Pairs {
    /// Where an item stands.
    pub(super) fn item(&mut self, item: Item) -> u32 {
        self.items.place(item)
    }

    /// Where a session's basket stands; it is there for as long as something is in it.
    pub(super) fn basket(&mut self, session: SessionKey) -> u32 {
        self.baskets.place(session)
    }

    /// Puts an item into a basket; what is in no basket is not counted.
    pub(super) fn add(&mut self, basket: u32, item: u32) {
        if basket == super::NONE {
            return;
        }
        let touched = &mut self.baskets[basket];
        if let Some(known) = touched.iter_mut().find(|known| known.item == item) {
            known.times += 1;
            return;
        }
        for other in touched.iter() {
            more(&mut self.items[item].with, other.item);
            more(&mut self.items[other.item].with, item);
        }
        touched.push(Touched { item, times: 1 });
        self.items[item].baskets += 1;
    }

    /// Takes an item out of a basket that it was put into.
    pub(super) fn remove(&mut self, basket: u32, item: u32) {
        if basket == super::NONE {
            return;
        }
        let touched = &mut self.baskets[basket];
        let Some(place) = touched.iter().position(|known| known.item == item) else { return };
        touched[place].times -= 1;
        if 0 < touched[place].times {
            return;
        }
        touched.swap_remove(place);
        for other in touched.iter() {
            less(&mut self.items[item].with, other.item);
            less(&mut self.items[other.item].with, item);
        }
        self.items[item].baskets -= 1;
        if touched.is_empty() {
            self.baskets.remove(self.baskets.key(basket));
        }
    }

    /// The `n` items most often together with `item`, by cosine, then by how often, then by item.
    ///
    /// Scores are first estimated; only what may be among the best is scored in integers.
    #[expect(clippy::float_arithmetic, reason = "an estimate that only leaves out candidates")]
    pub(super) fn related(&self, item: Item, n: usize) -> Vec<Neighbour> {
        let Some(place) = self.items.find(item) else { return Vec::new() };
        let Counted { baskets, with } = &self.items[place];
        let root = f64::from(*baskets).sqrt() / 1e6;
        let estimate = |other: u32, together: u32| {
            f64::from(together) / (f64::from(self.items[other].baskets).sqrt() * root)
        };
        let mut candidates: Vec<(f64, u32, u32)> =
            with.iter().map(|&(other, times)| (estimate(other, times), other, times)).collect();
        if 0 < n && n < candidates.len() {
            let (_, last, _) = candidates.select_nth_unstable_by(n - 1, |a, b| b.0.total_cmp(&a.0));
            // Two that an integer score cannot tell apart are less than one millionth apart.
            let least = last.0 - 2.0;
            candidates.retain(|(score, ..)| least <= *score);
        }
        let mut neighbours: Vec<Neighbour> = candidates
            .into_iter()
            .map(|(_, other, together)| {
                let [pair, first, second] =
                    [together, *baskets, self.items[other].baskets].map(u64::from);
                let score = Score::Cosine.of(Counts { pair, first, second, total: 0 });
                Neighbour { item: self.items.key(other), score, together }
            })
            .collect();
        neighbours.sort_unstable_by_key(|near| (Reverse((near.score, near.together)), near.item));
        neighbours.truncate(n);
        neighbours
    }
}

/// Counts a basket more with `item`.
fn more(with: &mut HashTable<(u32, u32)>, item: u32) {
    match with.entry(hash(item), |(other, _)| *other == item, |(other, _)| hash(*other)) {
        Entry::Occupied(mut entry) => entry.get_mut().1 += 1,
        Entry::Vacant(entry) => drop(entry.insert((item, 1))),
    }
}

/// Counts a basket less with `item`.
fn less(with: &mut HashTable<(u32, u32)>, item: u32) {
    if let Ok(mut entry) = with.find_entry(hash(item), |(other, _)| *other == item) {
        entry.get_mut().1 -= 1;
        if entry.get().1 == 0 {
            entry.remove();
        }
    }
}

/// A hash of a place: its high bits matter as well as its low ones.
fn hash(item: u32) -> u64 {
    let bits = u64::from(item).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits ^ (bits >> 32)
}
