//! View: what do readers see?
//!
//! Plain data: one sorted map a view and worker, behind a lock that is held for one tick's changes.
//! It holds no dataflow type, so a reader never touches a trace.

pub mod image;
mod merge;
pub mod pairs;
pub mod snapshot;

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataflows::related::Items;
use dataflows::view::Datum;
use dataflows::{Diff, History, Names, Tick, View};

use image::Encoded;
use merge::merge;
use pairs::Pairs;

/// A change of a row, as bytes that compare equal exactly if the rows are equal.
pub type Change = (Tick, Vec<u8>, Diff);

/// One worker's rows of a view.
#[derive(Debug)]
pub struct Table<K, V> {
    /// The rows.
    pub rows: BTreeMap<K, V>,
    /// The changes since recording began, if it did.
    changes: Option<Vec<(Tick, K, V, Diff)>>,
    /// How many updates were published in all.
    updates: u64,
}

impl<K: Datum, V: Datum> Table<K, V> {
    fn new(recording: bool) -> Table<K, V> {
        Table { rows: BTreeMap::new(), changes: recording.then(Vec::new), updates: 0 }
    }

    /// Applies a tick's consolidated changes, sorted by key.
    ///
    /// # Panics
    ///
    /// If a key would have two values, or a row leaves that is not there: the view's dataflow is
    /// wrong.
    pub fn apply(&mut self, tick: Tick, updates: Vec<((K, V), Diff)>) {
        self.updates += u64::try_from(updates.len()).unwrap_or(0);
        if let Some(changes) = &mut self.changes {
            let rows =
                updates.iter().map(|((key, row), diff)| (tick, key.clone(), row.clone(), *diff));
            changes.extend(rows);
        }
        if self.rows.is_empty() {
            // Sorted already: built in one pass.
            let rows = updates.len();
            let coming = updates.iter().all(|(_, diff)| *diff == 1);
            assert!(coming, "only a row that is there leaves");
            self.rows = updates.into_iter().map(|(row, _)| row).collect();
            assert_eq!(self.rows.len(), rows, "at most one value per key");
            return;
        }
        let (leaving, coming): (Vec<_>, Vec<_>) =
            updates.into_iter().partition(|(_, diff)| *diff < 0);
        for ((key, row), diff) in leaving {
            let gone = self.rows.remove(&key);
            assert!(diff == -1 && gone == Some(row), "only a row that is there leaves");
        }
        for ((key, row), diff) in coming {
            let before = self.rows.insert(key, row);
            assert!(diff == 1 && before.is_none(), "at most one value per key");
        }
    }
}

impl<K: Datum> Table<K, i64> {
    /// Applies a tick's consolidated changes of counts.
    ///
    /// # Panics
    ///
    /// If a count falls below 0: the view's dataflow is wrong.
    pub fn count(&mut self, tick: Tick, updates: Vec<(K, Diff)>) {
        self.updates += u64::try_from(updates.len()).unwrap_or(0);
        for (key, diff) in updates {
            let count = self.rows.entry(key.clone()).or_default();
            let old = *count;
            *count += i64::try_from(diff).unwrap_or(0);
            let new = *count;
            assert!(0 <= new, "a count is never negative");
            if new == 0 {
                self.rows.remove(&key);
            }
            if let Some(changes) = &mut self.changes {
                let rows = [(old, -1), (new, 1)].into_iter().filter(|(count, _)| *count != 0);
                changes.extend(rows.map(|(count, diff)| (tick, key.clone(), count, diff)));
            }
        }
    }
}

/// The tables of one view.
#[derive(Debug)]
struct Shards<K, V> {
    view: View<K, V>,
    tables: Vec<Arc<Mutex<Table<K, V>>>>,
}

/// What can be done with a view without knowing its types.
trait AnyView: Send {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn columns(&self) -> (Vec<&'static str>, usize);
    fn len(&self) -> usize;
    fn updates(&self) -> u64;
    fn each(&self, names: &dyn Names, row: &mut dyn FnMut(&[String]));
    fn difference(&self, history: &History<'_>) -> Option<String>;
    fn changes(&self) -> Vec<Change>;
    fn shown_changes(&self, names: &dyn Names) -> Vec<(Tick, Diff, Vec<String>)>;
    /// Whether each row can also be had in the order of the second part of its key.
    fn mirrored(&self) -> bool;
    /// Calls `row` with the bytes of each row in order of their keys, among them, with `mirrors`,
    /// the rows as a mirror shows them.
    fn encoded(
        &self,
        mirrors: bool,
        row: &mut dyn FnMut(Encoded<'_>) -> io::Result<()>,
    ) -> io::Result<()>;
}

impl<K: Datum, V: Datum> Shards<K, V> {
    fn guards(&self) -> Vec<MutexGuard<'_, Table<K, V>>> {
        self.tables.iter().map(|table| lock(table)).collect()
    }

    /// All rows in order of their keys.
    fn merged(&self) -> BTreeMap<K, V> {
        let guards = self.guards();
        let rows = guards.iter().flat_map(|table| &table.rows);
        rows.map(|(key, row)| (key.clone(), row.clone())).collect()
    }
}

impl<K: Datum, V: Datum> AnyView for Shards<K, V> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn columns(&self) -> (Vec<&'static str>, usize) {
        let mut columns = Vec::new();
        K::columns(&mut |column| columns.push(column));
        let keys = columns.len();
        V::columns(&mut |column| columns.push(column));
        (columns, keys)
    }

    fn len(&self) -> usize {
        self.guards().iter().map(|table| table.rows.len()).sum()
    }

    fn updates(&self) -> u64 {
        self.guards().iter().map(|table| table.updates).sum()
    }

    fn each(&self, names: &dyn Names, row: &mut dyn FnMut(&[String])) {
        let guards = self.guards();
        for (key, value) in merge(guards.iter().map(|table| table.rows.iter())) {
            row(&shown(key, value, names));
        }
    }

    fn difference(&self, history: &History<'_>) -> Option<String> {
        let (live, batch) = (self.merged(), (self.view.batch)(history));
        if live == batch {
            return None;
        }
        let mut keys: Vec<&K> = live.keys().chain(batch.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let differing = keys.iter().filter(|key| live.get(key) != batch.get(key));
        let first = differing
            .clone()
            .next()
            .map(|key| format!("{key:?}: live {:?}, batch {:?}", live.get(*key), batch.get(*key)));
        Some(format!("{} rows differ, the first {}", differing.count(), first.unwrap_or_default()))
    }

    fn changes(&self) -> Vec<Change> {
        let guards = self.guards();
        let recorded = guards.iter().filter_map(|table| table.changes.as_ref()).flatten();
        let mut changes: Vec<Change> = recorded
            .map(|(tick, key, row, diff)| {
                let bytes = postcard::to_stdvec(&(key, row)).unwrap_or_default();
                (*tick, bytes, *diff)
            })
            .collect();
        changes.sort_unstable();
        changes
    }

    fn shown_changes(&self, names: &dyn Names) -> Vec<(Tick, Diff, Vec<String>)> {
        let guards = self.guards();
        let recorded = guards.iter().filter_map(|table| table.changes.as_ref()).flatten();
        let mut changes: Vec<_> = recorded
            .map(|(tick, key, row, diff)| {
                (*tick, shown(key, &(), names), *diff, shown(key, row, names))
            })
            .collect();
        changes.sort_unstable();
        changes.into_iter().map(|(tick, _, diff, row)| (tick, diff, row)).collect()
    }

    fn mirrored(&self) -> bool {
        false
    }

    fn encoded(
        &self,
        _: bool,
        row: &mut dyn FnMut(Encoded<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let guards = self.guards();
        let mut bytes = Vec::new();
        for (key, value) in merge(guards.iter().map(|table| table.rows.iter())) {
            row(Encoded::of(key, value, false, &mut bytes)?)?;
        }
        Ok(())
    }
}

/// A key and a row as texts.
fn shown<K: Datum, V: Datum>(key: &K, row: &V, names: &dyn Names) -> Vec<String> {
    let mut cells = Vec::new();
    key.show(names, &mut |_, text| cells.push(text));
    row.show(names, &mut |_, text| cells.push(text));
    cells
}

/// A lock that a panic elsewhere does not take from us: the process ends with that panic anyway.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a store holds of each view.
type ByName<T> = Arc<Mutex<BTreeMap<&'static str, T>>>;

/// All views.
///
/// Between two ticks it is one consistent state; the driver is asked for nothing while a tick runs.
#[derive(Clone, Default)]
pub struct Store {
    views: ByName<Box<dyn AnyView>>,
    pairs: ByName<Vec<Arc<Mutex<Pairs>>>>,
    /// Whether changes are kept, for replays and tests.
    recording: bool,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("recording", &self.recording).finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store; with `recording` it keeps every change.
    #[must_use]
    pub fn new(recording: bool) -> Store {
        Store { recording, ..Store::default() }
    }

    /// A new table for one worker's rows of `view`.
    pub fn table<K: Datum, V: Datum>(&self, view: View<K, V>) -> Arc<Mutex<Table<K, V>>> {
        let table = Arc::new(Mutex::new(Table::new(self.recording)));
        let mut views = lock(&self.views);
        let shards =
            views.entry(view.name).or_insert_with(|| Box::new(Shards { view, tables: Vec::new() }));
        if let Some(shards) = shards.as_any_mut().downcast_mut::<Shards<K, V>>() {
            shards.tables.push(Arc::clone(&table));
        }
        table
    }

    /// A new table for one worker's share of the pairs of `view`, the `number`-th.
    pub fn pairs_table(&self, view: View<Items, i64>, directed: bool) -> Arc<Mutex<Pairs>> {
        let table = Arc::new(Mutex::new(Pairs::new(directed, self.recording)));
        lock(&self.pairs).entry(view.name).or_default().push(Arc::clone(&table));
        let mut views = lock(&self.views);
        let shards = views
            .entry(view.name)
            .or_insert_with(|| Box::new(pairs::Shards { view, tables: Vec::new() }));
        if let Some(shards) = shards.as_any_mut().downcast_mut::<pairs::Shards>() {
            shards.tables.push(Arc::clone(&table));
        }
        table
    }

    /// Calls `read` with the tables of a pairs view, one a worker; `None` where it is not kept.
    pub fn with_pairs<T>(
        &self,
        view: View<Items, i64>,
        read: impl FnOnce(&[Arc<Mutex<Pairs>>]) -> T,
    ) -> Option<T> {
        lock(&self.pairs).get(view.name).map(|tables| read(tables))
    }

    /// The names of the views.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        lock(&self.views).keys().copied().collect()
    }

    /// The value of `key` in `view`.
    #[must_use]
    pub fn get<K: Datum, V: Datum>(&self, view: View<K, V>, key: &K) -> Option<V> {
        self.typed(view, |shards| {
            let guards = shards.guards();
            guards.iter().find_map(|table| table.rows.get(key).cloned())
        })?
    }

    /// All rows of `view` in order of their keys.
    #[must_use]
    pub fn rows<K: Datum, V: Datum>(&self, view: View<K, V>) -> BTreeMap<K, V> {
        self.typed(view, Shards::merged).unwrap_or_default()
    }

    /// The rows of a pairs view, in order.
    #[must_use]
    pub fn pair_rows(&self, view: View<Items, i64>) -> BTreeMap<Items, i64> {
        let views = lock(&self.views);
        let shards = views.get(view.name).and_then(|view| view.as_any().downcast_ref());
        shards.map(pairs::Shards::merged).unwrap_or_default()
    }

    /// The rows of `view` whose keys are in `range`, in no particular order.
    pub fn range<K: Datum, V: Datum>(
        &self,
        view: View<K, V>,
        range: impl std::ops::RangeBounds<K> + Clone,
    ) -> Vec<(K, V)> {
        let read = |shards: &Shards<K, V>| {
            let guards = shards.guards();
            let rows = guards.iter().flat_map(|table| table.rows.range(range.clone()));
            rows.map(|(key, row)| (key.clone(), row.clone())).collect()
        };
        self.typed(view, read).unwrap_or_default()
    }

    fn typed<K: Datum, V: Datum, T>(
        &self,
        view: View<K, V>,
        read: impl FnOnce(&Shards<K, V>) -> T,
    ) -> Option<T> {
        let views = lock(&self.views);
        views.get(view.name)?.as_any().downcast_ref::<Shards<K, V>>().map(read)
    }

    /// The columns of a view, and how many of them are its key.
    #[must_use]
    pub fn columns(&self, name: &str) -> (Vec<&'static str>, usize) {
        lock(&self.views).get(name).map(|view| view.columns()).unwrap_or_default()
    }

    /// How many rows a view has.
    #[must_use]
    pub fn len(&self, name: &str) -> usize {
        lock(&self.views).get(name).map_or(0, |view| view.len())
    }

    /// How many updates a view has published.
    #[must_use]
    pub fn updates(&self, name: &str) -> u64 {
        lock(&self.views).get(name).map_or(0, |view| view.updates())
    }

    /// Calls `row` with each row of a view as texts, in order of their keys.
    pub fn each(&self, name: &str, names: &dyn Names, row: &mut dyn FnMut(&[String])) {
        if let Some(view) = lock(&self.views).get(name) {
            view.each(names, row);
        }
    }

    /// Compares a view with what its batch function says of `history`; `None` if they are equal.
    #[must_use]
    pub fn difference(&self, name: &str, history: &History<'_>) -> Option<String> {
        lock(&self.views).get(name)?.difference(history)
    }

    /// The recorded changes of a view, as comparable bytes, sorted.
    #[must_use]
    pub fn changes(&self, name: &str) -> Vec<Change> {
        lock(&self.views).get(name).map(|view| view.changes()).unwrap_or_default()
    }

    /// The recorded changes of a view as texts, by tick and key, what leaves before what comes.
    #[must_use]
    pub fn shown_changes(&self, name: &str, names: &dyn Names) -> Vec<(Tick, Diff, Vec<String>)> {
        lock(&self.views).get(name).map(|view| view.shown_changes(names)).unwrap_or_default()
    }
}
