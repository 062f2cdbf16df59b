//! Error: what is wrong with the data directory, was anything written, and what is the way out?

use std::io::{self, ErrorKind};

use dataflows::Tick;

use super::segment;

/// Why the log, or the directory that it is in, cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tick is not the next one; nothing was written.
    #[error("tick {expected} cannot be appended: {upper} is the next one of the log")]
    Fenced {
        /// The tick that was to be appended.
        expected: Tick,
        /// The first tick that is not in the log.
        upper: Tick,
    },
    /// The frame would be too long; nothing was written.
    #[error("a frame of {bytes} bytes is too long, {most} are the most: commit fewer at once")]
    TooLarge {
        /// How many bytes it would have.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// The disk has no room; nothing is left of what was written, and it may be tried again.
    #[error("the disk has no room for {file}: make some, and it goes on")]
    Full {
        /// The file that was to grow.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// A file cannot be written; nothing is left of what was written, and it may be tried again.
    #[error("{file} cannot be written")]
    Write {
        /// The file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// A file cannot be synced: what was appended since the last sync may be there or not.
    #[error("{file} cannot be synced, and nothing more is acknowledged: restart the program")]
    Sync {
        /// The file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// A sync failed before; nothing was written, and nothing will be until the log is opened anew.
    #[error("the log takes nothing more since {file} failed ({kind}): restart the program")]
    Poisoned {
        /// The file that failed.
        file: String,
        /// How it failed.
        kind: ErrorKind,
    },
    /// A file cannot be read; nothing was written.
    #[error("{file} cannot be read")]
    Read {
        /// The file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// Acknowledged events are damaged; nothing was written.
    #[error(
        "{file} is damaged at byte {offset}, tick {tick}: {what}; what stood there was \
         acknowledged: run `affluent repair --from BACKUP`"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where in the file the damage begins.
        offset: u64,
        /// The tick that cannot be read.
        tick: Tick,
        /// What is wrong.
        what: &'static str,
    },
    /// A file of acknowledged events is not there; nothing was written.
    #[error("{file} is missing, with tick {tick}: run `affluent repair --from BACKUP`")]
    Missing {
        /// The file.
        file: String,
        /// The first tick that is missing.
        tick: Tick,
    },
    /// A newer program wrote the file; nothing was written.
    #[error(
        "{file} has format {version}, and this program knows {known}: use the program that \
         wrote it"
    )]
    Newer {
        /// The file.
        file: String,
        /// The format that it has.
        version: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// The tick is before the first that is kept; nothing was written.
    #[error("tick {from} is no longer in the log, {since} is the first: read from a snapshot")]
    Compacted {
        /// The tick that was asked for.
        from: Tick,
        /// The first tick that is kept.
        since: Tick,
    },
    /// The tick is after the last that is there or durable; nothing was written.
    #[error("tick {tick} is ahead of the log, which ends before {upper}")]
    Ahead {
        /// The tick that was asked for.
        tick: Tick,
        /// The first tick that is not there.
        upper: Tick,
    },
    /// Another process has the directory; nothing was written.
    #[error("another process has this data directory: stop it, or name another directory")]
    Locked,
    /// The directory may not be written; nothing was.
    #[error("the data directory cannot be written, see {file}: mount it writable, or give leave")]
    ReadOnly {
        /// The file that could not be opened or made.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// There is nothing in the directory, or no directory; nothing was written.
    #[error("there is no data directory here: create one, or name another")]
    Empty,
    /// There are files, but none that a data directory has; nothing was written.
    #[error(
        "this is no data directory, it has {found} and no MANIFEST: name another, or, if it was \
         one, run `affluent repair --from BACKUP`"
    )]
    Foreign {
        /// A file that is there.
        found: String,
    },
    /// A data directory was to be made where there is one; nothing was written.
    #[error("there is a data directory here already: open it, or name another")]
    Exists,
    /// The directory is a backup; nothing was written.
    #[error("this is a backup: `affluent restore` makes a data directory of it")]
    Backup,
    /// One of the two superblocks is not whole; nothing was written.
    #[error("{file} {what}: as long as the other is whole, the next run mends it")]
    Superblock {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The creation of the directory was interrupted; nothing was written.
    #[error("this data directory was never finished, and holds nothing: create it again")]
    Unfinished,
    /// Both superblocks are damaged; nothing was written.
    #[error("MANIFEST.a and MANIFEST.b {what}: run `affluent repair --from BACKUP`")]
    Superblocks {
        /// What is wrong with them.
        what: &'static str,
    },
}

impl Error {
    /// A failed write.
    pub(super) fn write(file: impl Into<String>, source: io::Error) -> Error {
        let file = file.into();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full { file, source },
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Error::ReadOnly { file, source }
            }
            _ => Error::Write { file, source },
        }
    }

    /// A failed read.
    pub(super) fn read(file: impl Into<String>, source: io::Error) -> Error {
        Error::Read { file: file.into(), source }
    }

    /// A failed sync.
    pub(super) fn sync(file: impl Into<String>, source: io::Error) -> Error {
        Error::Sync { file: file.into(), source }
    }

    /// A segment that is not there.
    pub(super) fn missing(segment: u64, tick: Tick) -> Error {
        Error::Missing { file: segment::name(segment), tick }
    }
}
