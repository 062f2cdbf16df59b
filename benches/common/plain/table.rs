//! Table: where does a key's row stand?

use dataflows::event::spread;
use dataflows::{Identifier, Item, SessionKey, Who};
use hashbrown::HashTable;

/// Something with a fixed hash: what is hashed was hashed under a secret already.
pub(super) trait Key: Copy + Eq {
    /// The hash.
    fn hash(self) -> u64;
}

impl Key for u128 {
    fn hash(self) -> u64 {
        low(self)
    }
}

impl Key for Who {
    fn hash(self) -> u64 {
        self.0
    }
}

impl Key for Identifier {
    fn hash(self) -> u64 {
        spread(low(self.bits()))
    }
}

impl Key for Item {
    fn hash(self) -> u64 {
        spread(self.0)
    }
}

impl Key for SessionKey {
    fn hash(self) -> u64 {
        spread(self.0.get())
    }
}

/// Where a row stands, and half of its key's hash: enough to move the entry, and nearly always
/// enough to see that a row is another, without a look at the row.
#[derive(Clone, Copy, Debug)]
struct Entry {
    half: u32,
    place: u32,
}

impl Entry {
    /// The whole hash by which it is kept.
    fn hash(&self) -> u64 {
        u64::from(self.half).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The low half of 128 bits.
fn low(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0)
}

/// Rows by key, each at a place that is its own until it is removed.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    places: HashTable<Entry>,
    rows: Vec<(K, V)>,
    /// Places that were left.
    free: Vec<u32>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table { places: HashTable::new(), rows: Vec::new(), free: Vec::new() }
    }
}

impl<K: Key, V: Default> Table<K, V> {
    /// Where the row of `key` stands, if there is one.
    pub(super) fn find(&self, key: K) -> Option<u32> {
        let wanted = wanted(key);
        let same =
            |entry: &Entry| entry.half == wanted.half && self.rows[index(entry.place)].0 == key;
        self.places.find(wanted.hash(), same).map(|entry| entry.place)
    }

    /// Where the row of `key` stands; it is made by default where there is none.
    pub(super) fn place(&mut self, key: K) -> u32 {
        if let Some(place) = self.find(key) {
            return place;
        }
        let place = self.free.pop().unwrap_or_else(|| next(self.rows.len()));
        let entry = Entry { place, ..wanted(key) };
        self.places.insert_unique(entry.hash(), entry, Entry::hash);
        match self.rows.get_mut(index(place)) {
            Some(row) => *row = (key, V::default()),
            None => self.rows.push((key, V::default())),
        }
        place
    }

    /// Removes the row of `key`, and returns where it stood.
    pub(super) fn remove(&mut self, key: K) -> Option<(u32, V)> {
        let wanted = wanted(key);
        let same =
            |entry: &Entry| entry.half == wanted.half && self.rows[index(entry.place)].0 == key;
        let entry = self.places.find_entry(wanted.hash(), same).ok()?;
        let (Entry { place, .. }, _) = entry.remove();
        self.free.push(place);
        Some((place, std::mem::take(&mut self.rows[index(place)].1)))
    }

    /// The key of the row at `place`.
    pub(super) fn key(&self, place: u32) -> K {
        self.rows[index(place)].0
    }
}

impl<K, V> std::ops::Index<u32> for Table<K, V> {
    type Output = V;

    fn index(&self, place: u32) -> &V {
        &self.rows[index(place)].1
    }
}

impl<K, V> std::ops::IndexMut<u32> for Table<K, V> {
    fn index_mut(&mut self, place: u32) -> &mut V {
        &mut self.rows[index(place)].1
    }
}

/// What to look for.
fn wanted<K: Key>(key: K) -> Entry {
    let half = u32::try_from(key.hash() >> 32).unwrap_or(0);
    Entry { half, place: 0 }
}

/// A place as an index.
pub(super) fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// An index as a place.
///
/// # Panics
///
/// If there are more than four thousand million rows.
pub(super) fn next(rows: usize) -> u32 {
    u32::try_from(rows).expect("a plain program is for what fits into memory")
}
