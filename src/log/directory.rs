//! Directory: whose is this data directory, and what does it know of itself?
//!
//! A directory has one owner at a time, by a lock that the system gives back when a process ends,
//! and each opening has a number of its own, durable before anything else is written: what is
//! sealed under (generation, sequence) is never sealed twice.
//!
//! Superblocks are written in turn. [`note`](Directory::note) writes the one that is older, for a
//! mark, which only makes damage easier to tell from a torn end. [`change`](Directory::change)
//! writes both, one after the other, before it returns: what depends on it, as removing segments
//! does, stays right when either of the two is damaged later.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::superblock::{Bad, NAMES};
use super::{Error, Mark, Superblock};
use crate::storage::{Guard, Storage};

/// The file that is locked; it says the generation, for people.
pub const LOCK: &str = "LOCK";

/// The file that makes a directory a backup: it is restored, and never opened itself.
pub const BACKUP: &str = "BACKUP";

/// The file that is there until a new directory is whole.
const CREATING: &str = "CREATING";

/// What may be said of superblocks that were not both whole.
const DAMAGED: [&str; 2] = [
    "MANIFEST.a was not whole and MANIFEST.b was used; it is mended",
    "MANIFEST.b was not whole and MANIFEST.a was used; it is mended",
];

/// How far a directory has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There may be no superblock, and there is a sign that says so.
    Created,
    /// The names of the superblocks may not be durable.
    Opened,
    /// Both superblocks are written.
    Ready,
}

/// A data directory that is ours, until it is dropped.
#[derive(Debug)]
pub struct Directory {
    storage: Arc<dyn Storage>,
    superblock: Superblock,
    /// Which of the two superblocks is the newer.
    newest: usize,
    stage: Stage,
    damaged: Option<&'static str>,
    #[expect(dead_code, reason = "it is held, and that is all")]
    lock: Guard,
}

impl Directory {
    /// Makes a new directory named `id`, which must be random; what an interrupted creation has
    /// left is removed.
    ///
    /// It is there from the first [`change`](Directory::change) on, before which all else that it
    /// needs must be durable.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] and [`Error::Foreign`] if something is there, and nothing was written;
    /// others if the disk fails, and creation may be tried again.
    pub fn create(storage: Arc<dyn Storage>, id: [u8; 16]) -> Result<Directory, Error> {
        let found = names(&*storage)?;
        let has = |name: &str| found.iter().any(|found| found == name);
        let creating = has(CREATING);
        for name in NAMES {
            if has(name) && (!creating || Superblock::read(&*storage, name)?.is_ok()) {
                return Err(Error::Exists);
            }
        }
        if let Some(found) = found.iter().find(|name| !creating && *name != LOCK) {
            return Err(Error::Foreign { found: found.clone() });
        }
        storage.make_dir("").map_err(|source| Error::write("the data directory", source))?;
        let lock = lock(&*storage)?;
        mark_creation(&*storage, creating).map_err(|source| Error::write(CREATING, source))?;
        for name in found.iter().filter(|name| ![LOCK, CREATING].contains(&name.as_str())) {
            remove(&*storage, name).map_err(|source| Error::write(name, source))?;
        }
        let superblock = Superblock::new(id);
        Ok(Directory { storage, superblock, newest: 1, stage: Stage::Created, damaged: None, lock })
    }

    /// Takes the directory, and gives it a new generation.
    ///
    /// # Errors
    ///
    /// Nothing was written, but for a generation that was counted up in one superblock or in both.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Directory, Error> {
        let found = names(&*storage)?;
        let creating = superblocks_in(&found)?;
        if found.iter().any(|name| name == BACKUP) {
            return Err(Error::Backup);
        }
        let lock = lock(&*storage)?;
        let (superblock, newest, damaged) = choose(&*storage, creating)?;
        let mut directory = Directory {
            storage,
            superblock,
            // The newer of two may be in the cache only, after a sync that failed: it is written
            // over first, while the other one is surely on the disk.
            newest: if damaged.is_some() { newest } else { 1 - newest },
            stage: if creating { Stage::Created } else { Stage::Opened },
            damaged: damaged.and_then(|slot: usize| DAMAGED.get(slot)).copied(),
            lock,
        };
        directory.change(|superblock| superblock.generation += 1)?;
        Ok(directory)
    }

    /// What is known of the directory.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// What was wrong with a superblock when the directory was opened.
    #[must_use]
    pub fn damaged(&self) -> Option<&'static str> {
        self.damaged
    }

    /// Notes the end of the log that is durable; do so when the log is idle, and at least once in
    /// a second: damage to what came after the last note is taken for a torn end.
    ///
    /// # Errors
    ///
    /// The mark of before counts, and that is no harm.
    pub fn note(&mut self, mark: Mark) -> Result<(), Error> {
        assert!(self.superblock.mark.upper <= mark.upper, "a mark goes forward");
        match self.stage {
            Stage::Ready => self.write(Superblock { mark, ..self.superblock }),
            Stage::Created | Stage::Opened => self.change(|superblock| superblock.mark = mark),
        }
    }

    /// Changes what is known of the directory; it is durable twice when this returns.
    ///
    /// # Errors
    ///
    /// What was before counts, or what was to be: do nothing that depends on it, and try again.
    pub fn change(&mut self, change: impl FnOnce(&mut Superblock)) -> Result<(), Error> {
        let mut superblock = self.superblock;
        change(&mut superblock);
        self.write(superblock)?;
        self.write(superblock)?;
        if self.stage == Stage::Created {
            let removed = self.storage.remove(CREATING).and_then(|()| self.storage.sync_dir(""));
            removed.map_err(|source| Error::write(CREATING, source))?;
        }
        if self.stage != Stage::Ready {
            self.stage = Stage::Ready;
            self.say_generation();
        }
        Ok(())
    }

    /// Writes `superblock` over the older of the two.
    fn write(&mut self, superblock: Superblock) -> Result<(), Error> {
        let sequence = self.superblock.sequence + 1;
        let superblock = Superblock { sequence, ..superblock };
        let slot = 1 - self.newest;
        let name = NAMES.get(slot).copied().unwrap_or_default();
        let written = overwrite(&*self.storage, name, &superblock.encode());
        let named = match self.stage {
            Stage::Ready => written,
            Stage::Created | Stage::Opened => written.and_then(|()| self.storage.sync_dir("")),
        };
        named.map_err(|source| Error::write(name, source))?;
        (self.superblock, self.newest) = (superblock, slot);
        Ok(())
    }

    /// Writes the generation into the lock file, where people look for it; nothing else reads it,
    /// and a full disk is no reason not to open the directory.
    fn say_generation(&self) {
        let text = format!("{}\n", self.superblock.generation);
        let say = |mut file: Box<dyn crate::storage::File>| {
            file.write_at(0, text.as_bytes())?;
            file.set_len(u64::try_from(text.len()).unwrap_or(0))
        };
        drop(self.storage.open(LOCK).and_then(say));
    }
}

/// Whether the directory is still being made; refuses one that has no superblock.
pub(super) fn superblocks_in(found: &[String]) -> Result<bool, Error> {
    let creating = found.iter().any(|name| name == CREATING);
    if found.iter().any(|name| NAMES.contains(&name.as_str())) {
        return Ok(creating);
    }
    Err(match found.iter().find(|name| *name != LOCK) {
        Some(_) if creating => Error::Unfinished,
        Some(found) => Error::Foreign { found: found.clone() },
        None => Error::Empty,
    })
}

/// The superblock that counts, which of the two it is, and which of them is not whole.
pub(super) fn choose(
    storage: &dyn Storage,
    creating: bool,
) -> Result<(Superblock, usize, Option<usize>), Error> {
    let read = |name| Superblock::read(storage, name);
    let [a, b] = NAMES;
    Ok(match (read(a)?, read(b)?) {
        (Ok(a), Ok(b)) if a.directory != b.directory => {
            let what = "belong to two data directories";
            return Err(Error::Superblocks { what });
        }
        (Ok(a), Ok(b)) if a.sequence < b.sequence => (b, 1, None),
        (Ok(a), Ok(_)) => (a, 0, None),
        (Ok(a), Err(_)) => (a, 0, Some(1)),
        (Err(_), Ok(b)) => (b, 1, Some(0)),
        (Err(_), Err(_)) if creating => return Err(Error::Unfinished),
        (Err(Bad::Missing), Err(_)) | (Err(_), Err(Bad::Missing)) => {
            return Err(Error::Superblocks { what: "are missing or damaged" });
        }
        (Err(_), Err(_)) => return Err(Error::Superblocks { what: "are both damaged" }),
    })
}

/// The names of all that is in the directory.
pub(super) fn names(storage: &dyn Storage) -> Result<Vec<String>, Error> {
    storage.list("").map_err(|source| Error::read("the data directory", source))
}

/// Takes the lock.
fn lock(storage: &dyn Storage) -> Result<Guard, Error> {
    storage.lock(LOCK).map_err(|source| match source.kind() {
        ErrorKind::WouldBlock => Error::Locked,
        _ => Error::write(LOCK, source),
    })
}

/// Says that the directory is not whole.
fn mark_creation(storage: &dyn Storage, done: bool) -> io::Result<()> {
    if !done {
        storage.create(CREATING)?.sync()?;
    }
    storage.sync_dir("")
}

/// Removes a file or a folder.
fn remove(storage: &dyn Storage, name: &str) -> io::Result<()> {
    storage.remove(name).or_else(|_| storage.remove_dir_all(name))
}

/// Writes a file that always has the same length, and syncs it.
pub(super) fn overwrite(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = match storage.open(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => storage.create(name)?,
        opened => opened?,
    };
    file.write_at(0, bytes)?;
    let len = u64::try_from(bytes.len()).unwrap_or(0);
    if len < file.len()? {
        file.set_len(len)?;
    }
    file.sync()
}
