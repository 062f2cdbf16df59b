//! Outside: what do the keys say to those who do not hold the directory?

use std::io;
use std::sync::Arc;

use super::own::read_key;
use super::{Error, PEOPLE, Slot, System, Vault, place};
use crate::storage::Storage;

/// The bytes of a file of keys, and which of them were taken from a backup.
pub type Mended = (Vec<u8>, Vec<Slot>);

impl Vault {
    /// Reads the keys of a directory that another process may have, and checks every one of them;
    /// nothing is written, and what was being destroyed counts as destroyed.
    ///
    /// # Errors
    ///
    /// A file is damaged or missing, or does not belong to the other.
    pub fn look(storage: Arc<dyn Storage>) -> Result<Vault, Error> {
        let key = read_key(&*storage)?;
        let mut vault = Vault::new(storage, Box::new(System), &key);
        let bytes = vault.storage.read(PEOPLE).map_err(Error::read(PEOPLE))?;
        let file = vault.wrapping.read(&bytes)?;
        vault.wrapping.epoch = file.epoch;
        vault.keys = file.keys;
        for slot in file.doomed {
            if let Some(key) = vault.keys.get_mut(place(Slot(slot))) {
                key.fill(0);
            }
        }
        vault.used = vault.keys.len();
        vault.damaged = file.damaged;
        Ok(vault)
    }

    /// What [`PEOPLE`] should hold: what it does, with what is damaged of it taken from `backup`,
    /// the same file of a backup; and the keys that were taken. `None` if that is not enough.
    ///
    /// # Errors
    ///
    /// The directory's key cannot be read; nothing is ever written.
    pub fn mend(storage: &Arc<dyn Storage>, backup: &[u8]) -> Result<Option<Mended>, Error> {
        let key = read_key(&**storage)?;
        let ours = match storage.read(PEOPLE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::read(PEOPLE))?,
        };
        let vault = Vault::new(Arc::clone(storage), Box::new(System), &key);
        let mended = vault.wrapping.mend(&ours, backup);
        Ok(mended.map(|(bytes, brought)| (bytes, brought.into_iter().map(Slot).collect())))
    }
}
