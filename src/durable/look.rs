//! Look: what does a directory hold, for those who do not have it?
//!
//! Nothing is written and no lock is taken, so another process may have the directory. It may make
//! a checkpoint meanwhile and remove an old one: whoever finds a file gone looks once more.

use std::io;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, Part, folder};
use super::open::{EachBlock, checkpoints};
use super::{Error, part};
use crate::ledger::Ledger;
use crate::ledger::journal::{Journal, place_in_part};
use crate::log::{self, Place, Superblock};
use crate::names::Dictionary;
use crate::storage::Storage;
use crate::vault::Vault;
use crate::view::image::{self, Images, ReadAt, file_name};

/// A directory that is only looked at.
#[derive(Debug)]
pub struct Look {
    storage: Arc<dyn Storage>,
    superblock: Superblock,
    checkpoints: Vec<Checkpoint>,
}

/// A file that is read where it is needed.
#[derive(Debug)]
pub struct Stored {
    /// Where it is.
    pub storage: Arc<dyn Storage>,
    /// Its name.
    pub name: String,
}

impl Stored {
    /// The file, as an image reads it.
    #[must_use]
    pub fn boxed(self) -> Box<dyn ReadAt> {
        Box::new(self)
    }
}

impl ReadAt for Stored {
    fn size(&self) -> io::Result<u64> {
        self.storage.len(&self.name)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read_at(&self.name, offset, out)
    }
}

impl Look {
    /// Reads the superblock, and what each checkpoint says of itself.
    ///
    /// # Errors
    ///
    /// It is no directory, or one of these is damaged.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Look, Error> {
        let superblock = log::newest(&*storage)?;
        let checkpoints = checkpoints(&*storage, &superblock)?;
        Ok(Look { storage, superblock, checkpoints })
    }

    /// Where it is.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The superblock.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The checkpoints, the newest last.
    #[must_use]
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// What can open what is sealed.
    ///
    /// # Errors
    ///
    /// A key is damaged or missing.
    pub fn journal(&self) -> Result<Journal, Error> {
        let vault = Vault::look(Arc::clone(&self.storage))?;
        Ok(Journal::new(Arc::clone(&self.storage), vault, u32::MAX, Place(0)))
    }

    /// What the newest checkpoint calls things, learnt by `names`.
    ///
    /// Cost: the names, and no events.
    ///
    /// # Errors
    ///
    /// It is damaged, or of another shop's file.
    pub fn learn(&self, names: &mut Dictionary) -> Result<(), Error> {
        let Some(newest) = self.checkpoints.last() else { return Ok(()) };
        let mut ledger = Ledger::on_disk(self.journal()?);
        for part in &newest.parts {
            let common = common(&*self.storage, *part)?;
            let place = place_in_part(part.number, 0);
            let applied = ledger.apply(&common, place, names, &mut Vec::new());
            applied.map_err(secret)?;
        }
        Ok(())
    }

    /// The images of the newest checkpoint; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// One is damaged or cannot be read.
    pub fn images(&self) -> Result<Option<Images>, image::Error> {
        let Some(newest) = self.checkpoints.last() else { return Ok(None) };
        let images = Images::open(newest.tick, |view| {
            let kept = newest.views.iter().any(|image| image.view == view);
            let name = format!("{}/views/{}", folder(newest.tick), file_name(view));
            let storage = Arc::clone(&self.storage);
            Ok(kept.then(|| Stored { storage, name }.boxed()))
        })?;
        Ok(Some(images))
    }
}

/// The block of a part that is common to all shards.
///
/// # Errors
///
/// It is damaged or cannot be read.
pub fn common(storage: &dyn Storage, part: Part) -> Result<Vec<u8>, Error> {
    part::common(storage, part.number, part.bytes)
}

/// Calls `block` with every block of a part and the place of its first byte.
///
/// # Errors
///
/// It is damaged or cannot be read; or what `block` failed with.
pub(crate) fn read_part(
    storage: &dyn Storage,
    part: Part,
    block: EachBlock<'_>,
) -> Result<(), Error> {
    let place = |at| place_in_part(part.number, at);
    part::read(storage, part.number, part.bytes, |at, body| block(place(at), body))
}

/// What a text with another hash says of the directory.
fn secret(error: crate::ledger::Error) -> Error {
    match error {
        crate::ledger::Error::Secret => Error::Secret,
        error => error.into(),
    }
}
