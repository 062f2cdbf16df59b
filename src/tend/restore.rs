//! Restore: how does a directory come out of a backup, without those who were erased since?
//!
//! It is made aside and gets its name when all is right: the log ends where it was asked to, later
//! checkpoints are left out, and the keys of all who were erased since are destroyed before anybody
//! can open it. What they did still lies there sealed, and is noted to be written over at once;
//! until then no view of the checkpoints is shown.
//!
//! Where one directory becomes two, both go on sealing under the same keys. So that no nonce is
//! used twice, the new one begins with a generation and an epoch that the old one never reaches.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dataflows::Tick;

use super::Error;
use super::backup::{aside, begin, clear, rename};
use super::check::{FOLDER, check, files_of};
use crate::durable::checkpoint::{self, Checkpoint};
use crate::durable::erased::{Erasure, Erasures};
use crate::durable::{self, Look, hex};
use crate::log::{self, BACKUP, Mark, Outside, Superblock};
use crate::storage::{Disk, Storage};
use crate::vault::{DIRECTORY_KEY, PEOPLE, Random, Slot, System, Vault};

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The last tick.
    pub last: Tick,
    /// The ticks of the checkpoints.
    pub checkpoints: Vec<Tick>,
    /// How many erasures of after that tick were done again.
    pub erasures: usize,
    /// How many keys were destroyed for them.
    pub keys: usize,
    /// Whether a checkpoint may show somebody who was erased.
    pub hidden: bool,
}

/// Makes the directory at `data` of a backup, as it was at `tick` or at its end; those whom
/// `erased` names are erased again.
///
/// # Errors
///
/// There is no directory, and nothing of it is left.
pub fn restore(
    backup: &Path,
    data: &Path,
    erased: &Erasures,
    tick: Option<Tick>,
) -> Result<Restored, Error> {
    let empty = std::fs::read_dir(data).is_ok_and(|mut inside| inside.next().is_none());
    if data.try_exists().map_err(Error::io(data))? && !empty {
        return Err(Error::Taken { path: data.to_owned() });
    }
    let from: Arc<dyn Storage> = Arc::new(Disk::new(backup));
    let superblock = super::backup::sound(&from)?;
    let look = Look::open(Arc::clone(&from))?;
    let outside = Outside::read(from, &superblock)?;
    let last = outside.upper().0.checked_sub(1).map(Tick).ok_or(Error::Nothing)?;
    let first = look.checkpoints().first().map_or(superblock.since, |oldest| oldest.tick);
    let tick = tick.unwrap_or(last);
    if tick < first || last < tick {
        return Err(Error::Tick { tick, first, last });
    }
    let kept: Vec<Checkpoint> =
        look.checkpoints().iter().filter(|checkpoint| checkpoint.tick <= tick).cloned().collect();
    let path = aside(data);
    clear(&path)?;
    let to = Disk::new(&path);
    let made = make(&Disk::new(backup), &to, &kept)
        .and_then(|()| finish(&to, &superblock, &kept, (erased, tick)));
    match made {
        Ok(restored) => {
            rename(&path, data)?;
            let root = Disk::new(data);
            let opened = root.remove(BACKUP).and_then(|()| root.sync_dir(""));
            opened.map_err(Error::io(data))?;
            Ok(restored)
        }
        Err(error) => {
            clear(&path)?;
            Err(error)
        }
    }
}

/// Copies all files that the directory will have.
fn make(from: &Disk, to: &Disk, kept: &[Checkpoint]) -> Result<(), Error> {
    begin(to)?;
    let mut names: BTreeSet<String> = kept.iter().flat_map(files_of).collect();
    names.extend(log::segments(from)?.into_iter().map(log::segment_name));
    names.extend([DIRECTORY_KEY, PEOPLE].map(str::to_owned));
    for checkpoint in kept {
        let folder = checkpoint::folder(checkpoint.tick);
        to.make_dir(&format!("{folder}/views")).map_err(Error::io(to.root()))?;
    }
    for name in names {
        from.copy(&name, to).map_err(Error::io(&from.root().join(&name)))?;
    }
    Ok(())
}

/// Makes the copy a directory of its own.
fn finish(
    to: &Disk,
    before: &Superblock,
    kept: &[Checkpoint],
    (erased, tick): (&Erasures, Tick),
) -> Result<Restored, Error> {
    let storage: Arc<dyn Storage> = Arc::new(to.clone());
    let outside = Outside::read(Arc::clone(&storage), before)?;
    let mark: Mark = outside.cut(tick.next())?;
    let superblock = Superblock {
        generation: apart(before.generation)?,
        mark,
        checkpoint: kept.last().map(|checkpoint| checkpoint.tick),
        ..*before
    };
    log::install(to, &superblock)?;
    let (erasures, new) = told(erased, mark.upper);
    let again: BTreeSet<&str> =
        new.iter().flat_map(|erasure| &erasure.people).map(String::as_str).collect();
    let look = Look::open(Arc::clone(&storage))?;
    let people = people(&storage, &look)?;
    let gone: BTreeSet<Slot> = people
        .iter()
        .filter(|(_, stands)| stands.as_ref().is_some_and(|stands| again.contains(&**stands)))
        .map(|(slot, _)| *slot)
        .collect();
    // Of somebody without a key, the backup itself knows an erasure after the tick.
    let hidden = !new.is_empty() || people.iter().any(|(_, stands)| stands.is_none());
    let mut vault = Vault::open(Arc::clone(&storage), Box::new(System))?;
    vault.rewrite_at(apart(vault.epoch())?, |slot| !gone.contains(&slot))?;
    let mut erasures = Erasures(erasures);
    if hidden {
        let people: Vec<String> = again.iter().map(|stands| (*stands).to_owned()).collect();
        // At the beginning of time: their bytes are written over as soon as may be.
        erasures.0.push(Erasure { tick: mark.upper, at: 0, people, done: false });
    }
    erasures.write(to)?;
    sync(to, kept)?;
    let checked = check(&storage, None);
    if let Some(finding) = checked.grave().next().cloned() {
        return Err(Error::Unsound { finding, way: "take another backup" });
    }
    Ok(Restored {
        last: tick,
        checkpoints: kept.iter().map(|checkpoint| checkpoint.tick).collect(),
        erasures: new.len(),
        keys: gone.len(),
        hidden,
    })
}

/// The erasures that the log before `upper` knows, and those that came later.
fn told(erased: &Erasures, upper: Tick) -> (Vec<Erasure>, Vec<Erasure>) {
    erased.0.iter().cloned().partition(|erasure| erasure.tick < upper)
}

/// Whose sets of identifiers lie in a directory: their keys, and what stands for them unless the
/// key was destroyed.
pub(super) fn people(
    storage: &Arc<dyn Storage>,
    look: &Look,
) -> Result<BTreeSet<(Slot, Option<String>)>, Error> {
    let journal = look.journal()?;
    let mut people = BTreeSet::new();
    let mut add = |body: &[u8]| -> Result<(), durable::Error> {
        let said = journal.people(body)?.into_iter();
        people.extend(said.map(|(slot, stands)| (slot, stands.map(|stands| hex(&stands)))));
        Ok(())
    };
    for part in look.checkpoints().iter().flat_map(|checkpoint| &checkpoint.parts) {
        add(&durable::common(&**storage, *part)?)?;
    }
    for frame in Outside::read(Arc::clone(storage), look.superblock())?.frames() {
        add(&frame?.body)?;
    }
    Ok(people)
}

/// A number that a directory with this one never reaches by itself.
pub(super) fn apart(number: u32) -> Result<u32, Error> {
    let mut bytes = [0; 4];
    let filled = System.fill(&mut bytes);
    filled.map_err(|source| crate::vault::Error::Random { source })?;
    let step = (u32::from_le_bytes(bytes) >> 10).max(1 << 16);
    Ok(number.saturating_add(step))
}

/// Makes all names durable.
fn sync(to: &Disk, kept: &[Checkpoint]) -> Result<(), Error> {
    let mut folders: Vec<String> = Vec::new();
    for checkpoint in kept {
        let folder = checkpoint::folder(checkpoint.tick);
        folders.extend([format!("{folder}/views"), folder]);
    }
    folders.extend(["base", "ckpt", "keys", FOLDER, ""].map(str::to_owned));
    folders.iter().try_for_each(|folder| to.sync_dir(folder)).map_err(Error::io(to.root()))
}
