//! Open: how is a data directory made, and taken up again?

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use dataflows::{Settings, Tick};
use sha2::{Digest as _, Sha256};

use super::checkpoint::{Checkpoint, Part};
use super::erased::Erasures;
use super::look::read_part;
use super::write::remove_orphans;
use super::{Durable, Error, hex, lock};
use crate::ledger::journal::{Gone, Journal};
use crate::ledger::{self, Ledger};
use crate::log::{self, Directory, Frame, Limits, Log, Place, Superblock};
use crate::names::{Dictionary, SECRET_DEFAULT};
use crate::storage::Storage;
use crate::vault::{Random, Slot, Vault};
use crate::view::Store;

/// A data directory that has been opened, and what was found.
#[derive(Debug)]
pub struct Opened {
    /// The directory.
    pub durable: Durable,
    /// What writes to it.
    pub journal: Journal,
    /// What the log had to say of itself.
    pub log: log::Opened,
}

/// Is called with the place of a block's first byte and with the block.
pub(crate) type EachBlock<'b> = &'b mut dyn FnMut(Place, &[u8]) -> Result<(), ledger::Error>;

/// The dictionary, shared.
#[derive(Clone, Debug)]
pub struct Names(Arc<Mutex<Dictionary>>);

impl Names {
    /// The dictionary, for as long as the guard is held.
    pub fn lock(&self) -> MutexGuard<'_, Dictionary> {
        lock(&self.0)
    }
}

/// A data directory that has been found and is held, and of which nothing but the newest
/// checkpoint has been read.
#[derive(Debug)]
pub struct Found {
    storage: Arc<dyn Storage>,
    directory: Directory,
    vault: Vault,
    checkpoints: Vec<Checkpoint>,
    erasures: Erasures,
    /// Whether it has just been made.
    pub new: bool,
}

impl Found {
    /// Takes the data directory in `storage`, or makes one where nothing is; keys of people are
    /// made `pool` at a time.
    ///
    /// # Errors
    ///
    /// Another process has it, it is damaged, of a newer format, or no data directory but not
    /// empty either; nothing was changed.
    pub fn find(
        storage: Arc<dyn Storage>,
        mut random: Box<dyn Random>,
        pool: usize,
    ) -> Result<Found, Error> {
        let own = Arc::clone(&storage);
        match Directory::open(Arc::clone(&storage)) {
            Err(log::Error::Empty | log::Error::Unfinished) => {
                let mut id = [0; 16];
                let io = |source| Error::Io { name: "the data directory".to_owned(), source };
                random.fill(&mut id).map_err(io)?;
                let mut directory = Directory::create(storage, id)?;
                let mut vault = Vault::create(Arc::clone(&own), random)?;
                vault.pools_of(pool);
                for folder in ["base", "ckpt"] {
                    own.make_dir(folder).map_err(io)?;
                }
                Log::create(Arc::clone(&own), directory.superblock(), Limits::default())?;
                directory.change(|_| ())?;
                let (checkpoints, erasures) = (Vec::new(), Erasures::default());
                Ok(Found { storage: own, directory, vault, checkpoints, erasures, new: true })
            }
            Err(error) => Err(error.into()),
            Ok(directory) => {
                let mut vault = Vault::open(storage, random)?;
                vault.pools_of(pool);
                let checkpoints = checkpoints(&*own, directory.superblock())?;
                let erasures = Erasures::read(&*own)?;
                Ok(Found { storage: own, directory, vault, checkpoints, erasures, new: false })
            }
        }
    }

    /// The secret that names are hashed under, where the shop's file gives none.
    #[must_use]
    pub fn secret(&self) -> [u8; 16] {
        self.vault.secret()
    }

    /// The keys of the directory.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.checkpoints.last()
    }

    /// Reads the log to its end; what was never acknowledged and is torn is cut.
    ///
    /// # Errors
    ///
    /// Something that was acknowledged is damaged or missing; nothing was changed.
    pub fn open(self, limits: Limits) -> Result<Opened, Error> {
        let Found { storage, directory, vault, checkpoints, erasures, .. } = self;
        let (log, found) = Log::open(Arc::clone(&storage), directory.superblock(), limits)?;
        let (generation, next) = (directory.superblock().generation, log.next_place());
        let journal = Journal::new(Arc::clone(&storage), vault, generation, next);
        let size = checkpoints.last().map_or(0, |newest| {
            let views = newest.views.iter().map(|view| view.bytes);
            views.chain(newest.parts.last().map(|part| part.bytes)).sum()
        });
        remove_orphans(&*storage, &checkpoints)?;
        let durable = Durable {
            storage,
            directory,
            log,
            names: Arc::new(Mutex::new(Dictionary::new(SECRET_DEFAULT))),
            own: Vec::new(),
            settings: String::new(),
            checkpoints,
            since: 0,
            size,
            erasures,
            unnoted: 0,
            patience: None,
        };
        Ok(Opened { durable, journal, log: found })
    }
}

/// The checkpoints that are kept, the newest last.
pub(super) fn checkpoints(
    storage: &dyn Storage,
    superblock: &Superblock,
) -> Result<Vec<Checkpoint>, Error> {
    let ticks = kept(storage, superblock)?;
    ticks.into_iter().map(|tick| Checkpoint::read(storage, tick)).collect()
}

/// The ticks of the checkpoints that are kept, the newest last.
pub(crate) fn kept(storage: &dyn Storage, superblock: &Superblock) -> Result<Vec<Tick>, Error> {
    let Some(newest) = superblock.checkpoint else { return Ok(Vec::new()) };
    let io = |source| Error::Io { name: "ckpt".to_owned(), source };
    let names = storage.list("ckpt").map_err(io)?;
    let ticks = names.iter().filter_map(|name| name.parse().ok().map(Tick));
    // One before the log's beginning is one that was about to be removed.
    let kept = ticks.filter(|tick| superblock.since <= tick.next() && *tick < newest);
    Ok(kept.chain([newest]).collect())
}

impl Durable {
    /// What everybody calls things.
    #[must_use]
    pub fn names(&self) -> Names {
        Names(Arc::clone(&self.names))
    }

    /// From now on texts are learnt and looked up in `names`, and views are of `settings`.
    pub fn name(&mut self, names: Arc<Mutex<Dictionary>>, settings: &Settings) {
        self.own = lock(&names).take_fresh();
        self.names = names;
        let written = format!("{} {settings:?}", env!("CARGO_PKG_VERSION"));
        self.settings = hex(&Sha256::digest(written.as_bytes()));
    }

    /// Calls `block` with every block of a part and the place of its first byte.
    ///
    /// # Errors
    ///
    /// The part is damaged or cannot be read; or what `block` failed with.
    pub fn read_part(&self, part: &Part, block: EachBlock<'_>) -> Result<(), Error> {
        read_part(&*self.storage, *part, block)
    }

    /// Whether every view of `store` has the digest that the newest checkpoint says; `false` where
    /// the settings are not those of then, so that the views may be others.
    ///
    /// # Errors
    ///
    /// A view has another.
    pub fn compare(&self, store: &Store) -> Result<bool, Error> {
        let Some(checkpoint) = self.newest() else { return Ok(false) };
        if checkpoint.settings != self.settings {
            return Ok(false);
        }
        let mut all = true;
        for image in &checkpoint.views {
            match store.digest(&image.view) {
                Some(digest) if hex(&digest) == image.digest => {}
                Some(_) => {
                    let view = image.view.clone();
                    return Err(Error::Digest { view, tick: checkpoint.tick });
                }
                None => all = false,
            }
        }
        Ok(all)
    }

    /// Files a receipt in the directory, durably.
    ///
    /// # Errors
    ///
    /// It was not filed.
    pub fn file_receipt(&self, tick: Tick, receipt: &[u8]) -> Result<(), Error> {
        let name = format!("receipts/{:020}.json", tick.0);
        let write = || -> std::io::Result<()> {
            self.storage.make_dir("receipts")?;
            if self.storage.exists(&name)? {
                self.storage.remove(&name)?;
            }
            let mut file = self.storage.create(&name)?;
            file.append(receipt)?;
            file.sync()?;
            self.storage.sync_dir("receipts")?;
            self.storage.sync_dir("")
        };
        write().map_err(|source| Error::Io { name: name.clone(), source })
    }

    /// The frames behind the newest checkpoint.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub fn tail(&self) -> Result<impl Iterator<Item = Result<Frame, log::Error>>, Error> {
        let from = self.newest().map_or(Tick(0), |newest| newest.tick.next());
        Ok(self.log.read(from)?)
    }

    /// Lets those go for good whom the log erases, where a process ended before it was done. `gone`
    /// is whom, by tick, as far as their keys are still there, and `erased` all their keys.
    ///
    /// # Errors
    ///
    /// Some keys may have been destroyed.
    pub fn finish_erasures(
        &mut self,
        ledger: &mut Ledger,
        (gone, erased): (&[(Tick, Gone)], &BTreeSet<Slot>),
        at: u64,
    ) -> Result<(), Error> {
        for (tick, gone) in gone.iter().filter(|(_, gone)| !gone.people.is_empty()) {
            self.bury(ledger, *tick, at, gone)?;
        }
        match ledger.journal_mut() {
            Some(journal) => Ok(journal.destroy_all(erased)?),
            None => Ok(()),
        }
    }

    /// All has been taken up: what the dictionary has learnt from the directory needs not be
    /// written again, what it knew before does.
    pub fn ready(&mut self) {
        let mut names = lock(&self.names);
        drop(names.take_fresh());
        names.give_back(std::mem::take(&mut self.own));
    }
}
