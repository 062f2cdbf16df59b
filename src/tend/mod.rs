//! Tend: how is a data directory looked after from outside?
//!
//! [`check`](check::check) reads every byte, [`backup`](backup::backup) copies a directory that may
//! be in use, [`restore`](restore::restore) makes one of a backup without those who were erased
//! since, and [`repair`](repair::repair) brings back what is damaged.

pub mod backup;
pub mod check;
pub mod repair;
pub mod restore;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use dataflows::Tick;

use crate::durable;
use crate::log;
use crate::vault;
use crate::view::image;

/// Why a directory was not looked after.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory cannot be used.
    #[error(transparent)]
    Durable(#[from] durable::Error),
    /// There is something where a folder was to be made; nothing was written.
    #[error("{} is there already: name a folder that is not there yet", path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What the operating system reports.
        source: io::Error,
    },
    /// What was copied is not whole; it was removed again.
    #[error("what was copied is not whole, and nothing of it is kept: {finding}; {way}")]
    Unsound {
        /// What is wrong first.
        finding: Finding,
        /// What to do.
        way: &'static str,
    },
    /// The tick is not in the backup; nothing was written.
    #[error("tick {} is not in the backup, which reaches from {} to {}", tick.0, first.0, last.0)]
    Tick {
        /// The tick that was asked for.
        tick: Tick,
        /// The first that can be restored.
        first: Tick,
        /// The last one.
        last: Tick,
    },
    /// The backup has no tick; nothing was written.
    #[error("the backup holds no tick yet: take one after the first `affluent run --data DIR`")]
    Nothing,
    /// The directory belongs to another one's backup; nothing was written.
    #[error(
        "{} is no backup of {}, but of another directory: name one of this directory",
        backup.display(),
        data.display()
    )]
    Stranger {
        /// The backup.
        backup: PathBuf,
        /// The directory.
        data: PathBuf,
    },
}

impl Error {
    /// What went wrong with a file.
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    }
}

impl From<log::Error> for Error {
    fn from(error: log::Error) -> Error {
        Error::Durable(error.into())
    }
}

impl From<vault::Error> for Error {
    fn from(error: vault::Error) -> Error {
        Error::Durable(error.into())
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file; empty for the directory as a whole.
    pub file: String,
    /// Where in it.
    pub at: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// Whether the directory cannot be used so.
    pub grave: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.at) {
            ("", _) => {}
            (file, None) => write!(f, "{file}: ")?,
            (file, Some(at)) => write!(f, "{file}, byte {at}: ")?,
        }
        f.write_str(&self.what)
    }
}

impl Finding {
    /// Something that makes a directory useless.
    fn grave(file: impl Into<String>, at: impl Into<Option<u64>>, what: impl ToString) -> Finding {
        Finding { file: file.into(), at: at.into(), what: what.to_string(), grave: true }
    }

    /// Something that does no harm yet.
    fn note(file: impl Into<String>, at: impl Into<Option<u64>>, what: impl ToString) -> Finding {
        Finding { grave: false, ..Finding::grave(file, at, what) }
    }

    /// What an error says of a file that could not be read.
    fn unread(file: impl Into<String>, error: &io::Error) -> Finding {
        match error.kind() {
            io::ErrorKind::NotFound => Finding::grave(file, None, "is missing"),
            _ => Finding::grave(file, None, format!("cannot be read: {error}")),
        }
    }

    /// What an error of the log says.
    fn of_log(error: &log::Error) -> Finding {
        match error {
            log::Error::Damaged { file, offset, tick, what } => {
                Finding::grave(file, *offset, format!("{what}, at tick {}", tick.0))
            }
            log::Error::Missing { file, tick } => {
                Finding::grave(file, None, format!("is missing, with tick {}", tick.0))
            }
            log::Error::Newer { file, version, known } => Finding::newer(file, *version, *known),
            log::Error::Superblock { file, what } => Finding::grave(*file, None, what),
            log::Error::Read { file, source } => Finding::unread(file, source),
            log::Error::Superblocks { what } => {
                Finding::grave("", None, format!("MANIFEST.a and MANIFEST.b {what}"))
            }
            error => Finding::grave("", None, error),
        }
    }

    /// A file that a newer program wrote.
    fn newer(file: &str, version: u32, known: u32) -> Finding {
        let says = format!(
            "has format {version}, and this program knows {known}: use the program that wrote it"
        );
        Finding::grave(file, None, says)
    }

    /// What an error of the keys says.
    fn of_vault(error: &vault::Error) -> Finding {
        match error {
            vault::Error::Missing { file } => Finding::grave(*file, None, "is missing"),
            vault::Error::Damaged { file, offset } => Finding::grave(*file, *offset, "is damaged"),
            vault::Error::Newer { file, version, known } => Finding::newer(file, *version, *known),
            vault::Error::Read { file, source } => Finding::unread(*file, source),
            vault::Error::WrongKey => {
                Finding::grave(vault::DIRECTORY_KEY, None, "does not open keys/people")
            }
            error => Finding::grave("", None, error),
        }
    }

    /// What an error of the directory says.
    fn of(error: &durable::Error) -> Finding {
        match error {
            durable::Error::Log(error) => Finding::of_log(error),
            durable::Error::Vault(error) => Finding::of_vault(error),
            durable::Error::Damaged { name, at, what } => Finding::grave(name, *at, what),
            durable::Error::Newer { name, version } => {
                let says = format!("has format {version}: use the program that wrote it");
                Finding::grave(name, None, says)
            }
            durable::Error::Io { name, source } => Finding::unread(name, source),
            error => Finding::grave("", None, error),
        }
    }

    /// What an error of the image in `file` says.
    fn of_image(file: &str, error: &image::Error) -> Finding {
        match error {
            image::Error::Read { source, .. } => Finding::unread(file, source),
            image::Error::Damaged { offset, what, part, .. } => {
                Finding::grave(file, *offset, format!("{part} is damaged: {what}"))
            }
            error => Finding::grave(file, None, error),
        }
    }
}
