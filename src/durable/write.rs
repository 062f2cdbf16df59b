//! Write: how does a checkpoint come into the directory, and what goes for it?

use std::io;
use std::sync::Arc;

use dataflows::Tick;

use super::checkpoint::{Checkpoint, Image, Part, folder};
use super::{Durable, Error, hex, lock, part};
use crate::ledger::journal::{Journal, part_name, place_in_part};
use crate::ledger::{self, Ledger};
use crate::log::LOG;
use crate::storage::{File, Storage};
use crate::view::Store;
use crate::view::image::file_name;

/// How many checkpoints are kept, the newest among them.
const CHECKPOINTS_KEPT: usize = 2;

/// A checkpoint is made of at most this many parts; then all is written anew.
const PARTS_MAX: usize = 12;

/// What the name of something ends with that a repair has replaced, and kept.
pub(crate) const DAMAGED: &str = ".damaged";

/// The folder of the keys of people.
pub(super) const KEYS: &str = "keys";

/// Where a checkpoint is written before it has its name.
const ASIDE: &str = "ckpt/aside";

/// What a checkpoint has put in the place of all that was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Its tick.
    pub tick: Tick,
    /// The files that were removed.
    pub removed: Vec<String>,
    /// The files that were written.
    pub written: Vec<String>,
}

impl Durable {
    /// Writes a checkpoint of everything at the last tick that was committed. With `whole`, nothing
    /// of the checkpoints before is used, and [`settle`](Durable::settle) is to follow.
    ///
    /// # Errors
    ///
    /// The checkpoint before is still there, and the log goes on from it.
    pub fn checkpoint(
        &mut self,
        ledger: &mut Ledger,
        store: &Store,
        state: &[u8],
        whole: bool,
    ) -> Result<(), Error> {
        let written = self.try_checkpoint(ledger, store, state, whole);
        if written.as_ref().is_err_and(Error::is_full) {
            // What there is of it takes the room that the log needs.
            drop(remove_orphans(&*self.storage, &self.checkpoints));
            self.since = 0;
        }
        written
    }

    fn try_checkpoint(
        &mut self,
        ledger: &mut Ledger,
        store: &Store,
        state: &[u8],
        whole: bool,
    ) -> Result<(), Error> {
        let Some(tick) = self.log.upper().0.checked_sub(1).map(Tick) else { return Ok(()) };
        if self.newest().is_some_and(|newest| newest.tick == tick) && !whole {
            return Ok(());
        }
        let (gone, live) = ledger.stale();
        let before = self.newest().map(|newest| newest.parts.clone()).unwrap_or_default();
        let afresh = whole || before.is_empty() || PARTS_MAX <= before.len() || live < 2 * gone;
        let number = self.next_part()?;
        let io = |source| Error::Io { name: part_name(number), source };
        let mut writer = part::Writer::create(&*self.storage, number).map_err(io)?;
        let saving = {
            let names = lock(&self.names);
            let mut block = |body: &[u8]| {
                let name = part_name(number);
                writer.block(body).map_err(|source| ledger::Error::Part { name, source })
            };
            ledger.save(afresh, &names, state, &mut block)?
        };
        let bytes = writer.finish(&*self.storage).map_err(io)?;
        let mut parts = if afresh { Vec::new() } else { before };
        parts.push(Part { number, bytes });
        let events = u64::try_from(ledger.len()).unwrap_or(u64::MAX);
        let views = self.write_aside(store, tick)?;
        let keys = ledger.journal().map_or(0, Journal::keys);
        let settings = self.settings.clone();
        let checkpoint = Checkpoint { tick, events, keys, settings, parts, views };
        self.install(&checkpoint)?;
        ledger.keep(saving, |at| place_in_part(number, at).0);
        self.size = checkpoint.views.iter().map(|view| view.bytes).sum::<u64>() + bytes;
        self.since = 0;
        // One at the same tick had the same events, in other parts.
        self.checkpoints.retain(|other| other.tick != tick);
        self.checkpoints.push(checkpoint);
        if whole {
            self.log.rotate();
            if let Some(journal) = ledger.journal_mut() {
                journal.begin_at(self.log.next_place());
            }
            return Ok(());
        }
        self.forget(CHECKPOINTS_KEPT).map(drop)
    }

    /// After a whole checkpoint and the tick that follows it: removes all that was before, so that
    /// nothing is left of those who were erased.
    ///
    /// # Errors
    ///
    /// Some of it may have been removed, and it may be tried again.
    pub fn settle(&mut self, ledger: &mut Ledger) -> Result<Rewritten, Error> {
        let mut removed = self.forget(1)?;
        removed.extend(remove_damaged(&*self.storage, &["", "base", "ckpt", KEYS, LOG])?);
        if let Some(journal) = ledger.journal_mut() {
            journal.keep_used_keys()?;
        }
        for erasure in &mut self.erasures.0 {
            erasure.done = true;
        }
        if !self.erasures.0.is_empty() {
            self.erasures.write(&*self.storage)?;
        }
        let Some(newest) = self.newest() else { return Ok(Rewritten::default()) };
        let folder = folder(newest.tick);
        let mut written = vec![format!("{folder}/checkpoint")];
        written.extend(newest.parts.iter().map(|part| part_name(part.number)));
        written.extend(
            newest.views.iter().map(|view| format!("{folder}/views/{}", file_name(&view.view))),
        );
        Ok(Rewritten { tick: newest.tick, removed, written })
    }

    /// The number that the next part will have.
    fn next_part(&self) -> Result<u64, Error> {
        let names = self.storage.list("base");
        let names = names.map_err(|source| Error::Io { name: "base".to_owned(), source })?;
        let numbers = names.iter().filter_map(|name| name.strip_suffix(".part")?.parse().ok());
        Ok(numbers.max().map_or(1, |number: u64| number + 1))
    }

    /// Writes all views aside.
    fn write_aside(&self, store: &Store, tick: Tick) -> Result<Vec<Image>, Error> {
        let make = || -> io::Result<()> {
            self.storage.remove_dir_all(ASIDE)?;
            self.storage.make_dir(&format!("{ASIDE}/views"))
        };
        make().map_err(|source| Error::Io { name: ASIDE.to_owned(), source })?;
        store.names().into_iter().map(|view| self.write_image(store, view, tick)).collect()
    }

    /// Writes the image of a view aside.
    fn write_image(&self, store: &Store, view: &str, tick: Tick) -> Result<Image, Error> {
        let name = format!("{ASIDE}/views/{}", file_name(view));
        let write = || -> io::Result<_> {
            let mut file = self.storage.create(&name)?;
            let mut out = io::BufWriter::with_capacity(1 << 16, Appending(&mut *file));
            let written = store.image(view, tick, &mut out)?;
            io::Write::flush(&mut out)?;
            drop(out);
            file.sync()?;
            Ok(written)
        };
        let written = write().map_err(|source| Error::Io { name: name.clone(), source })?;
        let digest = hex(&written.digest);
        Ok(Image { view: view.to_owned(), rows: written.rows, bytes: written.bytes, digest })
    }

    /// Gives a checkpoint, whose views lie aside, its place and its name in the superblock.
    fn install(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let (storage, folder) = (&*self.storage, folder(checkpoint.tick));
        let install = || -> io::Result<()> {
            let mut file = storage.create(&format!("{ASIDE}/checkpoint"))?;
            file.append(&checkpoint.bytes())?;
            file.sync()?;
            storage.sync_dir(&format!("{ASIDE}/views"))?;
            storage.sync_dir(ASIDE)?;
            storage.remove_dir_all(&folder)?;
            storage.rename(ASIDE, &folder)?;
            storage.sync_dir("ckpt")?;
            storage.sync_dir("")
        };
        install().map_err(|source| Error::Io { name: folder.clone(), source })?;
        let (mark, tick) = (self.log.mark(), checkpoint.tick);
        self.unnoted = 0;
        Ok(self.directory.change(|superblock| {
            superblock.mark = mark;
            superblock.checkpoint = Some(tick);
        })?)
    }

    /// Removes all checkpoints but the newest `kept`, their parts, and the log before them; gives
    /// the files.
    fn forget(&mut self, kept: usize) -> Result<Vec<String>, Error> {
        let drop = self.checkpoints.len().saturating_sub(kept);
        let storage = Arc::clone(&self.storage);
        let mut removed = Vec::new();
        let since = self.checkpoints.get(drop).map(|oldest| oldest.tick.next());
        if let Some(since) = since {
            // First, so that nobody who reads the directory meanwhile looks for what is removed.
            self.directory.change(|superblock| superblock.since = since)?;
        }
        for old in self.checkpoints.drain(..drop) {
            let name = folder(old.tick);
            let gone = storage.remove_dir_all(&name).and_then(|()| storage.sync_dir("ckpt"));
            gone.map_err(|source| Error::Io { name: name.clone(), source })?;
            removed.push(name);
        }
        removed.extend(remove_orphans(&*self.storage, &self.checkpoints)?);
        if let Some(since) = since {
            removed.extend(self.log.compact(since)?);
        }
        Ok(removed)
    }
}

/// Removes all that no checkpoint names; gives the files.
pub(super) fn remove_orphans(
    storage: &dyn Storage,
    checkpoints: &[Checkpoint],
) -> Result<Vec<String>, Error> {
    let parts = checkpoints.iter().flat_map(|checkpoint| &checkpoint.parts);
    let parts: Vec<String> = parts.map(|part| part_name(part.number)).collect();
    let folders: Vec<String> = checkpoints.iter().map(|at| folder(at.tick)).collect();
    let mut removed = Vec::new();
    for (place, named) in [("base", parts), ("ckpt", folders)] {
        let remove = |removed: &mut Vec<String>| -> io::Result<()> {
            for name in storage.list(place)?.iter().map(|name| format!("{place}/{name}")) {
                if !named.contains(&name) && !name.ends_with(DAMAGED) {
                    match place {
                        "base" => storage.remove(&name)?,
                        _ => storage.remove_dir_all(&name)?,
                    }
                    removed.push(name);
                }
            }
            if removed.is_empty() { Ok(()) } else { storage.sync_dir(place) }
        };
        remove(&mut removed).map_err(|source| Error::Io { name: place.to_owned(), source })?;
    }
    Ok(removed)
}

/// Removes what repairs have kept in these folders beside what they brought back; gives the files.
pub(super) fn remove_damaged(storage: &dyn Storage, places: &[&str]) -> Result<Vec<String>, Error> {
    let mut removed = Vec::new();
    for place in places.iter().copied() {
        let mut remove = || -> io::Result<()> {
            let names = storage.list(place)?.into_iter().filter(|name| name.ends_with(DAMAGED));
            let folder = if place.is_empty() { String::new() } else { format!("{place}/") };
            let before = removed.len();
            for name in names.map(|name| format!("{folder}{name}")) {
                storage.remove(&name).or_else(|_| storage.remove_dir_all(&name))?;
                removed.push(name);
            }
            if removed.len() == before { Ok(()) } else { storage.sync_dir(place) }
        };
        remove().map_err(|source| Error::Io { name: place.to_owned(), source })?;
    }
    Ok(removed)
}

/// A file, as what is written to.
struct Appending<'f>(&'f mut dyn File);

impl io::Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
