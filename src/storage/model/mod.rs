//! Model: what can a disk do to those who trust it?
//!
//! A disk in memory that does from a seed all that a real one may: bytes that were not synced
//! vanish, are torn at sectors or at any byte, or arrive in another order; names that were not
//! synced are lost; a sync fails, and the next one lies; the disk is full; power is cut.
//!
//! It is made for a hundred thousand trials: a trial costs microseconds for each operation, and
//! what is on the disk is copied once, when power is cut.

mod bytes;
mod dice;
mod tree;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{File, Guard, Storage};
use tree::Tree;

pub use dice::Dice;

/// What will go wrong.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Power is cut at this write, counted from now, with [`Model::writes`] as the count.
    pub cut: Option<u64>,
    /// This sync, counted from now, fails.
    pub fail_sync: Option<u64>,
    /// The disk has room for so many bytes.
    pub capacity: Option<u64>,
    /// Nothing may be written.
    pub read_only: bool,
}

/// The model of a disk; clones are handles of the same disk.
#[derive(Clone, Debug)]
pub struct Model {
    state: Arc<Mutex<State>>,
}

/// A disk, and what will go wrong.
#[derive(Debug)]
struct State {
    tree: Tree,
    dice: Dice,
    plan: Plan,
    locked: BTreeSet<String>,
    writes: u64,
    off: bool,
}

/// Whether an operation is done and says so, or is done and power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Whole,
    Last,
}

/// The marker of errors of a disk without power.
#[derive(Debug, thiserror::Error)]
#[error("the modelled disk has no power")]
struct PowerIsCut;

/// Whether an error says that the modelled disk has no power.
#[must_use]
pub fn power_is_cut(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PowerIsCut>())
}

impl Model {
    /// An empty disk, whose chances come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Model {
        Model::of(Tree::new(), Dice::new(seed))
    }

    fn of(tree: Tree, dice: Dice) -> Model {
        let state = State {
            tree,
            dice,
            plan: Plan::default(),
            locked: BTreeSet::new(),
            writes: 0,
            off: false,
        };
        Model { state: Arc::new(Mutex::new(state)) }
    }

    /// Decides what will go wrong from now on.
    pub fn plan(&self, plan: Plan) {
        self.state().plan = plan;
    }

    /// How many operations have changed something, or were to do so.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// The disk after its power was cut and has come back, without plans and without locks; this
    /// one is as it was.
    ///
    /// Cost: one copy of all bytes.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Model {
        let mut dice = Dice::new(seed);
        let tree = self.state().tree.remains(&mut dice);
        Model::of(tree, dice)
    }

    /// Changes the bytes of a file behind everybody's back, as a failing disk does.
    ///
    /// # Errors
    ///
    /// There is no such file.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state();
        let at = state.tree.find(name)?;
        let bytes = state.tree.file_mut(at)?;
        bytes.sync();
        change(&mut bytes.cache);
        bytes.disk.clone_from(&bytes.cache);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a reader.
    fn reads(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.off { Err(io::Error::other(PowerIsCut)) } else { Ok(state) }
    }

    /// The state, changed by `change`, unless power is cut before that.
    fn write<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.reads()?;
        if state.plan.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let turn = state.turn()?;
        let done = change(&mut state);
        if turn == Turn::Last { Err(io::Error::other(PowerIsCut)) } else { done }
    }
}

impl State {
    /// Counts an operation that changes something.
    fn turn(&mut self) -> io::Result<Turn> {
        self.writes += 1;
        let Some(left) = &mut self.plan.cut else { return Ok(Turn::Whole) };
        if 0 < *left {
            *left -= 1;
            return Ok(Turn::Whole);
        }
        self.off = true;
        if self.dice.once_in(2) { Ok(Turn::Last) } else { Err(io::Error::other(PowerIsCut)) }
    }

    /// Whether this sync is the one that fails.
    fn sync_fails(&mut self) -> bool {
        let Some(left) = self.plan.fail_sync else { return false };
        self.plan.fail_sync = left.checked_sub(1);
        left == 0
    }

    /// How many bytes can still be written.
    fn free(&self) -> u64 {
        match self.plan.capacity {
            Some(capacity) => capacity.saturating_sub(self.tree.used()),
            None => u64::MAX,
        }
    }

    /// Writes as much of `bytes` as there is room for.
    fn put(&mut self, at: usize, offset: Option<u64>, bytes: &[u8]) -> io::Result<()> {
        let len = self.tree.file(at)?.cache.len();
        let offset = offset.map_or(len, index);
        let room = match self.plan.capacity {
            Some(_) => index(self.free()).saturating_add(len).saturating_sub(offset),
            None => usize::MAX,
        };
        let fits = bytes.get(..room).unwrap_or(bytes);
        self.tree.file_mut(at)?.write(offset, fits);
        if fits.len() < bytes.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Storage for Model {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.reads()?;
        Ok(state.tree.file(state.tree.find(name)?)?.cache.clone())
    }

    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.reads()?;
        let bytes = &state.tree.file(state.tree.find(name)?)?.cache;
        let end = index(offset).saturating_add(out.len());
        let from = bytes.get(index(offset)..end).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let state = self.reads()?;
        Ok(count(state.tree.file(state.tree.find(name)?)?.cache.len()))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.reads()?.tree.find(name).is_ok())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.reads()?.tree.list(dir)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let at = self.write(|state| state.tree.create(name))?;
        Ok(Box::new(ModelFile { disk: self.clone(), at }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let state = self.reads()?;
        if state.plan.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let at = state.tree.find(name)?;
        state.tree.file(at)?;
        Ok(Box::new(ModelFile { disk: self.clone(), at }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.write(|state| state.tree.rename(from, to))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.write(|state| state.tree.link(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.write(|state| state.tree.remove(name))
    }

    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        self.write(|state| state.tree.remove_dir_all(dir))
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        self.write(|state| state.tree.make_dir(dir))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.write(|state| {
            // A folder is the file system's own: what it could not write it keeps.
            if state.sync_fails() {
                return Err(io::Error::other("a modelled sync of a folder fails"));
            }
            state.tree.sync_dir(dir)
        })
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.reads()?.free())
    }

    fn lock(&self, name: &str) -> io::Result<Guard> {
        self.write(|state| {
            if state.tree.find(name).is_err() {
                state.tree.create(name)?;
            }
            if state.locked.insert(name.to_owned()) {
                Ok(())
            } else {
                Err(ErrorKind::WouldBlock.into())
            }
        })?;
        Ok(Box::new(Lock { disk: self.clone(), name: name.to_owned() }))
    }
}

/// A lock of a [`Model`].
#[derive(Debug)]
struct Lock {
    disk: Model,
    name: String,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.name);
    }
}

/// A file of a [`Model`].
#[derive(Debug)]
struct ModelFile {
    disk: Model,
    at: usize,
}

impl File for ModelFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(|state| state.put(self.at, None, bytes))
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(|state| state.put(self.at, Some(offset), bytes))
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.disk.write(|state| {
            state.tree.file_mut(self.at)?.set_len(index(len));
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.write(|state| {
            let fails = state.sync_fails();
            let State { tree, dice, .. } = state;
            let bytes = tree.file_mut(self.at)?;
            if fails {
                bytes.fail_sync(dice);
                return Err(io::Error::other("a modelled sync fails"));
            }
            bytes.sync();
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(count(self.disk.reads()?.tree.file(self.at)?.cache.len()))
    }
}

/// A place in a file as a place in memory.
fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// A place in memory as a place in a file.
fn count(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
