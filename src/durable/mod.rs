//! Durable: what is in the data directory, and what has to be there before anybody is told?
//!
//! ```text
//! data/
//!   LOCK                     held while a process uses the directory
//!   MANIFEST.a, MANIFEST.b   the superblock: how far the log is durable, the newest checkpoint
//!   directory.key            wraps the keys of people and seals texts; to be backed up apart
//!   log/<number>.seg         every tick with what it changed, and where its sources were
//!   base/<number>.part       the events that hold, in 256 shards
//!   ckpt/<tick>/             a checkpoint: which parts, and all published views
//!   keys/people              a key for each person, by identifiers seen together
//!   erased                   pseudonyms of those who were erased
//!   receipts/<tick>.json     what each erasure has removed, signed
//! ```
//!
//! A tick is one frame of the log, made durable by one sync, and only then is anybody told. The
//! dataflows compute it meanwhile. A checkpoint comes when the log since the last one has outgrown
//! it, so that its cost is a bounded part of what was written; then the log before the checkpoint
//! that is kept beside it goes.
//!
//! The log knows frames and no events, the ledger events and no frames; this module brings the two
//! together, and a damaged byte is found by the checksum of the frame, the block or the file that
//! it is in, before anything is made of it.

pub mod checkpoint;
pub mod erased;
mod health;
mod look;
mod open;
mod part;
mod write;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dataflows::Tick;

use crate::ledger::journal::Gone;
use crate::ledger::{self, Ledger};
use crate::log::{self, Directory, Log};
use crate::names::{Dictionary, Span};
use crate::storage::Storage;
use crate::vault;
use checkpoint::Checkpoint;
use erased::Erasures;

pub use health::{Health, State};
pub(crate) use look::read_part;
pub use look::{Look, Stored, common};
pub(crate) use open::kept;
pub use open::{Found, Names, Opened};
pub(crate) use write::DAMAGED;
pub use write::Rewritten;

/// A checkpoint is due when the log since the last one has this many bytes, at least.
pub const CHECKPOINT_LOG_BYTES: u64 = 128 << 20;

/// After so many ticks the superblock notes how far the log goes, which is also noted whenever it
/// changes for another reason.
const NOTE_TICKS: u32 = 32;

/// Why the data directory cannot be used, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log cannot be written or read, or its superblock.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// An event cannot be read.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// A person's key cannot be made, read or destroyed.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// A file is not what was written.
    #[error(
        "`{name}` is damaged at byte {at}: {what}; `affluent repair --from BACKUP` brings it back \
         from a backup"
    )]
    Damaged {
        /// The file.
        name: String,
        /// Where in it.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A file is of a format that this program does not know yet.
    #[error("`{name}` is of format {version}, which is newer than this program: update affluent")]
    Newer {
        /// The file.
        name: String,
        /// Its format.
        version: u32,
    },
    /// A file cannot be read or written.
    #[error("`{name}` in the data directory could not be read or written")]
    Io {
        /// The file.
        name: String,
        /// What the operating system reports.
        source: io::Error,
    },
    /// A view is not what it was when the checkpoint was made.
    #[error(
        "the view `{view}` recomputed from the checkpoint at tick {} is not the one stored in it: \
         another version wrote the directory, or it is for another shop's file, or damaged",
        tick.0
    )]
    Digest {
        /// The view.
        view: String,
        /// The tick.
        tick: Tick,
    },
    /// The directory belongs to another shop's file.
    #[error(
        "the data directory was written under another secret: use the shop's file it was made with"
    )]
    Secret,
}

/// The data directory in use.
pub struct Durable {
    storage: Arc<dyn Storage>,
    directory: Directory,
    log: Log,
    names: Arc<Mutex<Dictionary>>,
    /// The texts that the dictionary knew before anything was taken up.
    own: Vec<Span>,
    /// The digest of the settings that the views are of.
    settings: String,
    /// The checkpoints, the newest last.
    checkpoints: Vec<Checkpoint>,
    /// How many bytes the log has had since the newest.
    since: u64,
    /// How large the newest is.
    size: u64,
    erasures: Erasures,
    /// How many ticks were committed since the superblock noted how far the log goes.
    unnoted: u32,
    /// What waits for room on a full disk; without it a full disk is an error.
    patience: Option<Patience>,
}

/// Waits for room on a disk that is full, as the error says; `false` gives up. `None` says that it
/// went on.
pub type Patience = Box<dyn FnMut(Option<&Error>) -> bool + Send>;

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable")
            .field("log", &self.log)
            .field("checkpoints", &self.checkpoints)
            .finish_non_exhaustive()
    }
}

/// Locks the dictionary.
fn lock(names: &Mutex<Dictionary>) -> MutexGuard<'_, Dictionary> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Durable {
    /// Makes a tick durable with all that `ledger` has of it, while `work` computes it; gives what
    /// `work` gave. `at` is the time of an erasure, in seconds since the Unix epoch; what it erased
    /// cannot be read by anybody any more when this returns.
    ///
    /// # Errors
    ///
    /// The tick may be durable or not, and nothing after it can be: the program has to end, and to
    /// look when it starts again.
    pub fn commit<T>(
        &mut self,
        ledger: &mut Ledger,
        tick: Tick,
        (state, at): (&[u8], Option<u64>),
        work: impl FnOnce() -> T,
    ) -> Result<T, Error> {
        let body = ledger.body(&mut lock(&self.names), state)?;
        self.append(ledger, tick, &body)?;
        self.since += u64::try_from(body.len()).unwrap_or(0);
        let gone = ledger.written(self.log.next_place());
        let log = &mut self.log;
        let (done, synced) = std::thread::scope(|scope| {
            let syncing = scope.spawn(|| log.sync());
            let done = work();
            (done, syncing.join())
        });
        match synced {
            Ok(synced) => _ = synced?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        if !gone.people.is_empty() {
            self.bury(ledger, tick, at.unwrap_or(0), &gone)?;
        }
        self.unnoted += 1;
        if NOTE_TICKS <= self.unnoted {
            self.note()?;
        }
        Ok(done)
    }

    /// Appends a tick's frame, which may have to wait for room.
    fn append(&mut self, ledger: &mut Ledger, tick: Tick, body: &[u8]) -> Result<(), Error> {
        let mut waiting = false;
        loop {
            let keys = match ledger.journal_mut() {
                Some(journal) => journal.vault_mut().spare().map_err(Error::from),
                None => Ok(()),
            };
            let appended = keys.and_then(|()| Ok(self.log.append(tick, body)?));
            let Err(error) = appended else {
                if let Some(wait) = self.patience.as_mut().filter(|_| waiting) {
                    wait(None);
                }
                return Ok(());
            };
            waiting = match &mut self.patience {
                Some(wait) if error.is_full() => wait(Some(&error)),
                _ => false,
            };
            if !waiting {
                return Err(error);
            }
        }
    }

    /// Notes whom a durable tick erases, and destroys their keys.
    fn bury(&mut self, ledger: &mut Ledger, tick: Tick, at: u64, gone: &Gone) -> Result<(), Error> {
        let people = gone.people.iter().map(|person| hex(person)).collect();
        if self.erasures.add(tick, at, people) {
            self.erasures.write(&*self.storage)?;
        }
        let Some(journal) = ledger.journal_mut() else { return Ok(()) };
        journal.vault_mut().destroy(&gone.keys)?;
        // A repair has kept a file of keys, and these among them.
        write::remove_damaged(&*self.storage, &[write::KEYS]).map(drop)
    }

    /// Lets the superblock note how far the log is durable.
    ///
    /// # Errors
    ///
    /// What it noted before counts, and that is no harm but that the disk fails.
    pub fn note(&mut self) -> Result<(), Error> {
        self.unnoted = 0;
        Ok(self.directory.note(self.log.mark())?)
    }

    /// Waits for room like this when the disk is full, from now on.
    pub fn wait_with(&mut self, patience: Patience) {
        self.patience = Some(patience);
    }

    /// How many bytes of ticks the log has had since the newest checkpoint.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.since
    }

    /// Whether the log has outgrown the newest checkpoint by so much that another costs little
    /// beside what was written.
    #[must_use]
    pub fn is_due(&self) -> bool {
        CHECKPOINT_LOG_BYTES.max(4 * self.size) <= self.since
    }

    /// When the first of those was erased, in seconds since the Unix epoch, whose bytes are still
    /// to be written over.
    #[must_use]
    pub fn erased_since(&self) -> Option<u64> {
        self.erasures.waiting()
    }

    /// The newest checkpoint.
    #[must_use]
    pub fn newest(&self) -> Option<&Checkpoint> {
        self.checkpoints.last()
    }
}

impl Error {
    /// Whether it says that the disk is full, and that it may be tried again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let full = |source: &io::Error| source.kind() == io::ErrorKind::StorageFull;
        match self {
            Error::Log(log::Error::Full { .. }) => true,
            Error::Vault(error) => error.is_full(),
            Error::Io { source, .. } | Error::Ledger(ledger::Error::Part { source, .. }) => {
                full(source)
            }
            _ => false,
        }
    }

    /// Whether a sync has failed: what was to be acknowledged may be durable or not.
    #[must_use]
    pub fn is_sync(&self) -> bool {
        matches!(self, Error::Log(log::Error::Sync { .. } | log::Error::Poisoned { .. }))
    }
}

/// Bytes in hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
