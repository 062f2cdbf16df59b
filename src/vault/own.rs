//! Own: which key is the directory's own?

use super::seal::KEY_BYTES;
use super::{DIRECTORY_KEY, Error, Vault, seal};
use crate::storage::{Format, Storage, Unlike, checksum};

/// What the directory's key begins with.
const FORMAT: Format = Format { letters: *b"afflukey", version: 1 };

/// The file of the directory's key.
pub(super) fn key_file(key: &[u8; KEY_BYTES]) -> Vec<u8> {
    let mut bytes = FORMAT.head().to_vec();
    bytes.extend(key);
    bytes.extend(checksum(0, &bytes).to_le_bytes());
    bytes
}

/// The directory's key.
pub(super) fn read_key(storage: &dyn Storage) -> Result<[u8; KEY_BYTES], Error> {
    let bytes = storage.read(DIRECTORY_KEY).map_err(Error::read(DIRECTORY_KEY))?;
    let fields = FORMAT.check(&bytes).map_err(|unlike| match unlike {
        Unlike::Newer(version) => {
            Error::Newer { file: DIRECTORY_KEY, version, known: FORMAT.version }
        }
        Unlike::Damaged => Error::Damaged { file: DIRECTORY_KEY, offset: 0 },
    })?;
    let mut rest = fields;
    rest.take()
        .filter(|key| key_file(key) == bytes)
        .ok_or(Error::Damaged { file: DIRECTORY_KEY, offset: 0 })
}

impl Vault {
    /// The secret that names are hashed under, where the shop's file gives none.
    #[must_use]
    pub fn secret(&self) -> [u8; 16] {
        let secret = seal::sign(&self.pseudonyms, b"names");
        secret.first_chunk().copied().unwrap_or_default()
    }
}
