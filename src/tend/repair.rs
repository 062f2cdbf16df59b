//! Repair: how does what is damaged or missing come back from a backup?
//!
//! Each file is taken from the backup only where it is damaged and the backup's fits: a segment by
//! the chain that it begins and ends with, what was appended since the backup being kept; a part
//! and an image by what the checkpoint says of them; keys slot by slot. What was there is kept
//! beside it, until everything is written anew for somebody's erasure.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use dataflows::Tick;

use super::backup::sound;
use super::check::{check, files_of};
use super::restore::{apart, people};
use super::{Error, Finding};
use crate::durable::checkpoint::{Checkpoint, folder};
use crate::durable::erased::Erasures;
use crate::durable::{self, DAMAGED, Look, kept};
use crate::ledger::journal::part_name;
use crate::log::{self, LOCK, Mark, Outside, Piece, Place, Superblock};
use crate::storage::{Disk, Storage, split};
use crate::vault::{self, DIRECTORY_KEY, PEOPLE, Slot, System, Vault};
use crate::view::image::file_name;

/// What a repair came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was done, a sentence each.
    pub done: Vec<String>,
    /// What is still wrong.
    pub left: Vec<Finding>,
}

/// Brings back what is damaged or missing in the directory at `data`, as far as `backup` has it.
///
/// # Errors
///
/// The directory is in use, or the backup is none of it; or the disk fails, and some may have been
/// brought back.
pub fn repair(data: &Path, backup: &Path) -> Result<Repaired, Error> {
    let (ours, theirs) = (Disk::new(data), Disk::new(backup));
    let storage: Arc<dyn Storage> = Arc::new(ours.clone());
    if ours.list("").map_err(Error::io(data))?.is_empty() {
        return Err(log::Error::Empty.into());
    }
    let _lock = ours.lock(LOCK).map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => log::Error::Locked.into(),
        _ => Error::Io { path: data.join(LOCK), source },
    })?;
    let backed: Arc<dyn Storage> = Arc::new(theirs.clone());
    let superblock = sound(&backed)?;
    let look = Look::open(backed)?;
    let mut mending = Mending { storage, ours, theirs, superblock, look, done: Vec::new() };
    let own = match log::newest(&mending.ours) {
        Ok(own) if own.directory != superblock.directory => {
            return Err(Error::Stranger { backup: backup.to_owned(), data: data.to_owned() });
        }
        Ok(own) => Some(own),
        Err(error @ log::Error::Newer { .. }) => return Err(error.into()),
        Err(_) => None,
    };
    mending.keys()?;
    let known = match own {
        Some(own) => {
            mending.superblock(&own)?;
            mending.segments(&own)?;
            own
        }
        None => mending.rebuilt()?,
    };
    mending.checkpoints(&known)?;
    mending.fall_back(&known)?;
    let checked = check(&mending.storage, None);
    Ok(Repaired { done: mending.done, left: checked.grave().cloned().collect() })
}

/// A directory that is being mended.
struct Mending {
    storage: Arc<dyn Storage>,
    ours: Disk,
    theirs: Disk,
    /// Of the backup.
    superblock: Superblock,
    look: Look,
    done: Vec<String>,
}

impl Mending {
    fn io<'a>(&self, name: &'a str) -> impl FnOnce(std::io::Error) -> Error + use<'a> {
        let path = self.ours.root().join(name);
        move |source| Error::Io { path, source }
    }

    /// Gives what is there a name beside it.
    fn keep(&self, name: &str) -> Result<Option<String>, Error> {
        if !self.ours.exists(name).map_err(self.io(name))? {
            return Ok(None);
        }
        for number in 1.. {
            let number = if number == 1 { String::new() } else { format!(".{number}") };
            let kept = format!("{name}{number}{DAMAGED}");
            if !self.ours.exists(&kept).map_err(self.io(name))? {
                self.ours.rename(name, &kept).map_err(self.io(name))?;
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    /// Puts `bytes` in place of a file, durably, and keeps what is there.
    fn put(&mut self, name: &str, bytes: &[u8], how: &str) -> Result<(), Error> {
        let (dir, _) = split(name);
        let aside = format!("{name}.aside");
        let write = || {
            self.ours.make_dir(dir)?;
            if self.ours.exists(&aside)? {
                self.ours.remove(&aside)?;
            }
            let mut file = self.ours.create(&aside)?;
            file.append(bytes)?;
            file.sync()
        };
        write().map_err(self.io(name))?;
        let kept = self.keep(name)?;
        let named = self.ours.rename(&aside, name).and_then(|()| self.ours.sync_dir(dir));
        named.map_err(self.io(name))?;
        let kept =
            kept.map_or("it was missing".to_owned(), |kept| format!("{kept} is what it was"));
        self.done.push(format!("{name} {how}; {kept}"));
        Ok(())
    }

    /// Brings a file back as the backup has it, if it has.
    fn bring(&mut self, name: &str) -> Result<(), Error> {
        match self.theirs.read(name) {
            Ok(bytes) => self.put(name, &bytes, "was brought back"),
            Err(_) => Ok(()),
        }
    }

    /// The directory's key and those of people.
    fn keys(&mut self) -> Result<(), Error> {
        for _ in 0..2 {
            match Vault::look(Arc::clone(&self.storage)) {
                Err(
                    vault::Error::Missing { file: DIRECTORY_KEY }
                    | vault::Error::Damaged { file: DIRECTORY_KEY, .. }
                    | vault::Error::WrongKey,
                ) => self.bring(DIRECTORY_KEY)?,
                Err(vault::Error::Missing { .. } | vault::Error::Damaged { .. }) => {
                    return self.people();
                }
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// The keys of people, slot by slot; nobody comes back who was erased since the backup.
    fn people(&mut self) -> Result<(), Error> {
        let theirs = self.theirs.read(PEOPLE).map_err(self.io(PEOPLE))?;
        let Some((bytes, brought)) = Vault::mend(&self.storage, &theirs)? else { return Ok(()) };
        let brought: BTreeSet<Slot> = brought.into_iter().collect();
        let erasures = Erasures::read(&*self.storage).map_err(|_| Error::Unsound {
            finding: Finding::grave("erased", None, "cannot be read"),
            way: "without it, keys of people who were erased would come back",
        })?;
        let erased: BTreeSet<&str> =
            erasures.0.iter().flat_map(|erasure| &erasure.people).map(String::as_str).collect();
        let gone: Vec<Slot> = people(self.look.storage(), &self.look)?
            .into_iter()
            .filter(|(_, stands)| stands.as_deref().is_some_and(|stands| erased.contains(stands)))
            .map(|(slot, _)| slot)
            .filter(|slot| brought.contains(slot))
            .collect();
        self.put(PEOPLE, &bytes, &format!("was mended with {} keys", brought.len()))?;
        let mut vault = Vault::open(Arc::clone(&self.storage), Box::new(System))?;
        Ok(vault.destroy(&gone)?)
    }

    /// One superblock that is not whole is written as the other one.
    fn superblock(&mut self, own: &Superblock) -> Result<(), Error> {
        for (error, name) in log::superblocks(&self.ours).into_iter().zip(["a", "b"]) {
            if error.is_err() {
                let name = format!("MANIFEST.{name}");
                let kept = self.keep(&name)?;
                let kept = kept.map_or(String::new(), |kept| format!("; {kept} is what it was"));
                log::install(&self.ours, own)?;
                self.done.push(format!("{name} was written as the other superblock is{kept}"));
            }
        }
        Ok(())
    }

    /// Both superblocks, out of what the directory holds and what the backup knows.
    fn rebuilt(&mut self) -> Result<Superblock, Error> {
        let mut known = self.provisional()?;
        self.segments(&known)?;
        let mut generation = self.superblock.generation;
        for number in log::segments(&self.ours)? {
            if let Some(piece) = self.piece(number)? {
                generation = generation.max(piece.generation);
            }
        }
        let names = self.ours.list("ckpt").map_err(self.io("ckpt"))?;
        let ticks = names.iter().filter_map(|name| name.parse().ok().map(Tick));
        let whole: Vec<Tick> = ticks.filter(|tick| self.is_whole(*tick)).collect();
        // What is newer than all that is known of is better than the backup's.
        known.checkpoint = whole.last().copied().or(self.superblock.checkpoint);
        let oldest = whole.first().map_or(self.superblock.since, |oldest| oldest.next());
        known.since = oldest.max(known.since);
        let outside = Outside::read(Arc::clone(&self.storage), &known)?;
        known.mark = outside.mark();
        if known.mark.upper < known.since {
            return Err(log::Error::Ahead { tick: known.since, upper: known.mark.upper }.into());
        }
        known.generation = apart(generation)?;
        known.sequence = self.superblock.sequence + 2;
        for name in ["MANIFEST.a", "MANIFEST.b"] {
            self.keep(name)?;
        }
        log::install(&self.ours, &known)?;
        let says = "MANIFEST.a and MANIFEST.b were made anew of what the log holds";
        self.done.push(format!("{says}, up to tick {}", known.mark.upper.0.saturating_sub(1)));
        Ok(known)
    }

    /// What is surely true of a directory without a superblock.
    fn provisional(&self) -> Result<Superblock, Error> {
        let mut known = Superblock { generation: u32::MAX, ..self.superblock };
        for number in log::segments(&self.ours)? {
            if let Some(Piece { first: (tick, chain), .. }) = self.piece(number)? {
                if known.mark.upper < tick || known.since < tick {
                    known.since = tick;
                    let place = Place::new(number, 0);
                    known.mark = Mark { place, chain, upper: tick };
                    known.checkpoint = None;
                }
                break;
            }
        }
        Ok(known)
    }

    /// What a segment of ours holds, as far as it has a header.
    fn piece(&self, number: u64) -> Result<Option<Piece>, Error> {
        let name = log::segment_name(number);
        let Ok(bytes) = self.ours.read(&name) else { return Ok(None) };
        Ok(log::piece(&bytes, number, self.superblock.directory)?.ok())
    }

    /// The segments, one after the other as far as the log can be read.
    fn segments(&mut self, known: &Superblock) -> Result<(), Error> {
        let mut tried = BTreeSet::new();
        loop {
            let outside = Outside::read(Arc::clone(&self.storage), known);
            let Err(log::Error::Damaged { file, .. } | log::Error::Missing { file, .. }) = outside
            else {
                return Ok(());
            };
            if !tried.insert(file.clone()) {
                return Ok(());
            }
            let numbers = log::segments(&self.theirs)?;
            let number = numbers.into_iter().find(|number| log::segment_name(*number) == file);
            if let Some(number) = number {
                self.segment(number, &file)?;
            }
        }
    }

    /// A segment: the backup's, with what was appended since.
    fn segment(&mut self, number: u64, name: &str) -> Result<(), Error> {
        let piece = |bytes: &[u8]| -> Result<Option<Piece>, Error> {
            Ok(log::piece(bytes, number, self.superblock.directory)?.ok())
        };
        let theirs = self.theirs.read(name).map_err(self.io(name))?;
        let ours = self.ours.read(name).unwrap_or_default();
        let appended = ours.get(theirs.len()..).unwrap_or_default();
        let both = [theirs.as_slice(), appended].concat();
        let reaches = piece(&ours)?.map_or(Tick(0), |piece| piece.next.0);
        let next = self.piece(number + 1)?.map(|next| next.first);
        let brought = piece(&both)?.filter(|piece| {
            // The one after it, if there is one, must go on where it ends.
            let follows = next.is_none_or(|next| piece.next == next || piece.fault.is_some());
            reaches < piece.next.0 && follows
        });
        match brought {
            Some(piece) if appended.is_empty() => {
                let last = piece.next.0.0.saturating_sub(1);
                let how = format!("was brought back as the backup has it, up to tick {last}");
                self.put(name, &theirs, &how)
            }
            Some(_) => {
                let how = "was brought back, with what was appended since the backup";
                self.put(name, &both, how)
            }
            None => Ok(()),
        }
    }

    /// Whether a checkpoint of ours can be loaded.
    fn is_whole(&self, tick: Tick) -> bool {
        Checkpoint::read(&*self.storage, tick).is_ok_and(|checkpoint| {
            let read = |part| durable::read_part(&*self.storage, part, &mut |_, _| Ok(()));
            checkpoint.parts.into_iter().all(|part| read(part).is_ok())
        })
    }

    /// The files of checkpoints.
    fn checkpoints(&mut self, known: &Superblock) -> Result<(), Error> {
        for tick in kept(&*self.storage, known)? {
            let theirs = self.look.checkpoints().iter().find(|theirs| theirs.tick == tick).cloned();
            if let (Err(error), Some(_)) = (Checkpoint::read(&*self.storage, tick), &theirs) {
                if let durable::Error::Newer { .. } = error {
                    return Err(error.into());
                }
                self.bring(&format!("{}/checkpoint", folder(tick)))?;
            }
            let Ok(checkpoint) = Checkpoint::read(&*self.storage, tick) else { continue };
            for part in &checkpoint.parts {
                let read = durable::read_part(&*self.storage, *part, &mut |_, _| Ok(()));
                let mut backed = self.look.checkpoints().iter().flat_map(|backed| &backed.parts);
                if read.is_err() && backed.any(|backed| backed == part) {
                    self.bring(&part_name(part.number))?;
                }
            }
            let Some(theirs) = theirs else { continue };
            let damaged: BTreeSet<String> =
                check(&self.storage, None).grave().map(|finding| finding.file.clone()).collect();
            for image in checkpoint.views.iter().filter(|image| theirs.views.contains(image)) {
                let name = format!("{}/views/{}", folder(tick), file_name(&image.view));
                if damaged.contains(&name) {
                    self.bring(&name)?;
                }
            }
        }
        Ok(())
    }

    /// If the newest checkpoint cannot be loaded, the one before it counts, and the log behind it.
    fn fall_back(&mut self, known: &Superblock) -> Result<(), Error> {
        let Some(newest) = known.checkpoint.filter(|newest| !self.is_whole(*newest)) else {
            return Ok(());
        };
        let ticks = kept(&*self.storage, known)?;
        let mut before = ticks.into_iter().filter(|tick| *tick < newest);
        let before = before.rfind(|tick| self.is_whole(*tick));
        let Some(before) = before.filter(|before| known.since <= before.next()) else {
            return Ok(());
        };
        if Outside::read(Arc::clone(&self.storage), known).is_err() {
            return Ok(());
        }
        let files = Checkpoint::read(&*self.storage, newest).map(|newest| files_of(&newest));
        let others = Checkpoint::read(&*self.storage, before).map(|before| files_of(&before));
        let superblock =
            Superblock { checkpoint: Some(before), sequence: known.sequence + 2, ..*known };
        log::install(&self.ours, &superblock)?;
        // A start removes what no checkpoint names, but for what is called damaged.
        for name in files.unwrap_or_default() {
            let other = others.as_ref().is_ok_and(|others| others.contains(&name));
            if name.starts_with("base/") && !other {
                self.keep(&name)?;
            }
        }
        let kept = self.keep(&folder(newest))?.unwrap_or_default();
        self.done.push(format!(
            "the checkpoint at tick {} cannot be mended: the one at tick {} and the log behind it \
             take its place; {kept} is what it was",
            newest.0, before.0
        ));
        Ok(())
    }
}
