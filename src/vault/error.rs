//! Error: why can a key not be made, used or destroyed?

use std::io::{self, ErrorKind};

use super::{PEOPLE, Slot};

/// Why a key cannot be made, used or destroyed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk has no room; nothing that counts was written, and it may be tried again.
    #[error("the disk has no room for {file}: make some, and it goes on")]
    Full {
        /// The file that was to grow.
        file: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// A file cannot be written or synced: what was to be written may be there, and it may be tried
    /// again.
    #[error("{file} cannot be written")]
    Write {
        /// The file.
        file: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// A file cannot be read; nothing was written.
    #[error("{file} cannot be read")]
    Read {
        /// The file.
        file: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// A file is not there; nothing was written.
    #[error("{file} is missing, and nothing can be read without it: restore it from its backup")]
    Missing {
        /// The file.
        file: &'static str,
    },
    /// A file is not what was written; nothing was written.
    #[error("{file} is damaged at byte {offset}: restore it from its backup")]
    Damaged {
        /// The file.
        file: &'static str,
        /// Where the damage begins.
        offset: u64,
    },
    /// A newer program wrote the file; nothing was written.
    #[error(
        "{file} has format {version}, and this program knows {known}: use the program that \
         wrote it"
    )]
    Newer {
        /// The file.
        file: &'static str,
        /// The format that it has.
        version: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The keys are wrapped under another directory's key; nothing was written.
    #[error("directory.key does not open {PEOPLE}: restore both from the same backup")]
    WrongKey,
    /// The key was destroyed, and with it what was sealed under it; nothing was opened.
    #[error("key {} of {PEOPLE} was destroyed", slot.0)]
    Destroyed {
        /// The key's number.
        slot: Slot,
    },
    /// No such key was ever handed out; nothing was opened or written.
    #[error("{PEOPLE} has no key {}", slot.0)]
    Unknown {
        /// The key's number.
        slot: Slot,
    },
    /// What is sealed is damaged, or was sealed under another key, nonce or name; nothing was
    /// opened.
    #[error("what is sealed is damaged, or sealed for something else")]
    Sealed,
    /// The system has no randomness; no key was made.
    #[error("the system gives no random bytes")]
    Random {
        /// What it said.
        source: io::Error,
    },
    /// There are four billion keys; no key was made.
    #[error("{PEOPLE} has no room for more people")]
    Many,
}

impl Error {
    /// Whether the disk is full, so that it may be tried again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Error::Full { .. })
    }

    pub(super) fn write(file: &'static str) -> impl Fn(io::Error) -> Error {
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full { file, source },
            _ => Error::Write { file, source },
        }
    }

    pub(super) fn read(file: &'static str) -> impl Fn(io::Error) -> Error {
        move |source| match source.kind() {
            ErrorKind::NotFound => Error::Missing { file },
            _ => Error::Read { file, source },
        }
    }
}
