//! Vault: who can still read what a person did?
//!
//! What a person did is sealed under a key of that person's own wherever it is written. To destroy
//! the key is to erase the person, at once and in every copy; the rest of the log stays as it is,
//! chain and all.
//!
//! The keys lie in [`PEOPLE`], each wrapped under a key that is derived from the directory's own in
//! [`DIRECTORY_KEY`]: a backup without these two files says nothing about anybody. They are in
//! memory while the directory is open, and in no message.
//!
//! Keys are made a thousand at a time and are durable before the first of them is handed out: a
//! commit needs no sync for them.

#![deny(clippy::indexing_slicing)]

mod error;
mod outside;
mod own;
mod people;
mod random;
mod seal;

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::storage::Storage;
use own::{key_file, read_key};
use people::{COUNTS_AT, LIST_AT, LIST_MAX, Wrapping, slot_at, slots_in};
use seal::KEY_BYTES;

pub use error::Error;
pub use outside::Mended;
pub use people::PEOPLE;
pub use random::{Random, System};
pub use seal::Nonce;

/// The file of the directory's key.
pub const DIRECTORY_KEY: &str = "directory.key";

/// The folder of the persons' keys, and where a new file of them is written.
const KEYS: &str = "keys";
const ASIDE: &str = "keys/people.new";

/// How many keys are made at once, unless [`Vault::pools_of`] says otherwise.
pub const POOL: usize = 1024;

/// The most keys that are made at once because there are many already.
const POOL_MAX: usize = 1 << 14;

/// The number of a person's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// A key of a person; zeros once it is destroyed.
type PersonKey = [u8; KEY_BYTES];

/// The keys of a data directory.
pub struct Vault {
    storage: Arc<dyn Storage>,
    random: Box<dyn Random>,
    wrapping: Wrapping,
    /// The keys of what is sealed for nobody, of signatures and of pseudonyms.
    shared: [u8; KEY_BYTES],
    receipts: [u8; KEY_BYTES],
    pseudonyms: [u8; KEY_BYTES],
    /// All keys that are durable.
    keys: Vec<PersonKey>,
    /// How many of them were handed out.
    used: usize,
    /// A pool that may be on the disk in part, and where: it is written again as it is, because
    /// the nonces of its slots are used up.
    pool: Option<(usize, Vec<PersonKey>)>,
    /// What is on the list and may be torn in the file, after a sync that failed.
    doomed: Vec<u32>,
    /// How many keys are made at once.
    pool_keys: usize,
    /// Whether the name of the file may not be durable.
    renamed: bool,
    damaged: Option<&'static str>,
}

impl fmt::Debug for Vault {
    /// Says how many keys there are, and nothing of what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (keys, epoch) = (self.keys.len(), self.wrapping.epoch);
        f.debug_struct("Vault")
            .field("keys", &keys)
            .field("used", &self.used)
            .field("epoch", &epoch)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Makes the keys of a new directory, durably: the directory's own, and none of a person.
    ///
    /// # Errors
    ///
    /// Files may have been made; create the directory again.
    pub fn create(storage: Arc<dyn Storage>, mut random: Box<dyn Random>) -> Result<Vault, Error> {
        let mut key = [0; KEY_BYTES];
        random.fill(&mut key).map_err(|source| Error::Random { source })?;
        write_new(&*storage, DIRECTORY_KEY, &key_file(&key))
            .map_err(Error::write(DIRECTORY_KEY))?;
        let vault = Vault::new(storage, random, &key);
        let write = || -> io::Result<()> {
            vault.storage.make_dir(KEYS)?;
            write_new(&*vault.storage, PEOPLE, &vault.wrapping.file(&[]))?;
            vault.storage.sync_dir(KEYS)?;
            vault.storage.sync_dir("")
        };
        write().map_err(Error::write(PEOPLE))?;
        Ok(vault)
    }

    /// Opens the keys of a directory, checks every one of them, and finishes what was being
    /// destroyed. All keys are taken to be handed out, unless [`resume`](Vault::resume) says which
    /// are not.
    ///
    /// Cost: each key is unwrapped once.
    ///
    /// # Errors
    ///
    /// Nothing was written, but for what was being destroyed.
    pub fn open(storage: Arc<dyn Storage>, random: Box<dyn Random>) -> Result<Vault, Error> {
        let key = read_key(&*storage)?;
        let mut vault = Vault::new(storage, random, &key);
        let bytes = vault.storage.read(PEOPLE).map_err(Error::read(PEOPLE))?;
        let file = vault.wrapping.read(&bytes)?;
        vault.wrapping.epoch = file.epoch;
        vault.keys = file.keys;
        vault.used = vault.keys.len();
        vault.damaged = file.damaged;
        // The name may not be durable, after a rewrite whose last step failed.
        vault.storage.sync_dir(KEYS).map_err(Error::write(PEOPLE))?;
        // A count or the list may be in the cache only, after a sync that failed.
        if !file.settled {
            let listed = vault.list(&file.doomed);
            listed.and_then(|()| vault.erase(&file.doomed)).map_err(Error::write(PEOPLE))?;
            vault.count().map_err(Error::write(PEOPLE))?;
        }
        if vault.storage.exists(ASIDE).map_err(Error::read(ASIDE))? {
            vault.storage.remove(ASIDE).map_err(Error::write(ASIDE))?;
        }
        Ok(vault)
    }

    fn new(storage: Arc<dyn Storage>, random: Box<dyn Random>, key: &[u8; KEY_BYTES]) -> Vault {
        let derived = |purpose: &str| seal::sign(key, purpose.as_bytes());
        Vault {
            storage,
            random,
            wrapping: Wrapping { key: derived("people"), mark: derived("destroyed"), epoch: 0 },
            shared: derived("shared"),
            receipts: derived("receipts"),
            pseudonyms: derived("pseudonyms"),
            keys: Vec::new(),
            used: 0,
            pool: None,
            doomed: Vec::new(),
            pool_keys: POOL,
            renamed: false,
            damaged: None,
        }
    }

    /// How often all keys were written anew: the superblock knows, and a file of an earlier epoch
    /// is an old backup, which may hold keys that were destroyed since.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.wrapping.epoch
    }

    /// What was not whole when the keys were opened, and did no harm.
    #[must_use]
    pub fn damaged(&self) -> Option<&'static str> {
        self.damaged
    }

    /// The first key that has not been handed out; nothing is sealed under it or a later one.
    #[must_use]
    pub fn unused(&self) -> Slot {
        Slot(number(self.used))
    }

    /// Keys from `slot` on were never used, and are handed out next. Without it, a start leaves
    /// what is left of a pool unused.
    pub fn resume(&mut self, slot: Slot) {
        self.used = place(slot).min(self.keys.len());
    }

    /// Makes so many keys at once from now on.
    pub fn pools_of(&mut self, keys: usize) {
        self.pool_keys = keys.max(1);
    }

    /// Makes keys if none is left, so that the next person's is at hand.
    ///
    /// # Errors
    ///
    /// None is at hand, and it may be tried again.
    pub fn spare(&mut self) -> Result<(), Error> {
        while self.keys.get(self.used).is_some_and(|key| *key == [0; KEY_BYTES]) {
            self.used += 1;
        }
        if self.used < self.keys.len() { Ok(()) } else { self.make_pool() }
    }

    /// The key of a new person: durable, and handed out once.
    ///
    /// Cost: three syncs for each thousand of people, else nothing.
    ///
    /// # Errors
    ///
    /// No key was handed out, and it may be tried again.
    #[expect(clippy::should_implement_trait, reason = "no iterator: it may fail, and never ends")]
    pub fn next(&mut self) -> Result<Slot, Error> {
        loop {
            while let Some(key) = self.keys.get(self.used) {
                let slot = Slot(number(self.used));
                self.used += 1;
                if *key != [0; KEY_BYTES] {
                    return Ok(slot);
                }
            }
            self.make_pool()?;
        }
    }

    /// Makes a pool of keys durable.
    fn make_pool(&mut self) -> Result<(), Error> {
        self.settle_name()?;
        let (start, pool) = match self.pool.take() {
            Some(pool) => pool,
            None => {
                // What a crash has left of a pool is never used: its nonces are.
                let len = self.storage.len(PEOPLE).map_err(Error::read(PEOPLE))?;
                (slots_in(len).max(self.keys.len()), self.new_pool()?)
            }
        };
        if u32::try_from(start.saturating_add(pool.len())).is_err() {
            return Err(Error::Many);
        }
        let before = self.keys.len();
        self.keys.resize(start, [0; KEY_BYTES]);
        self.keys.extend(&pool);
        let written = self.write_slots(before).and_then(|()| self.count());
        if let Err(error) = written {
            self.keys.truncate(before);
            self.pool = Some((start, pool));
            return Err(Error::write(PEOPLE)(error));
        }
        Ok(())
    }

    fn new_pool(&mut self) -> Result<Vec<PersonKey>, Error> {
        // The more people there are, the more come at once.
        let many = self.pool_keys.max((self.keys.len() / 4).min(POOL_MAX));
        let mut pool = vec![[0; KEY_BYTES]; many];
        let filled = self.random.fill(pool.as_flattened_mut());
        filled.map_err(|source| Error::Random { source })?;
        Ok(pool)
    }

    /// Writes all slots from one on, and syncs them.
    fn write_slots(&self, from: usize) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (slot, key) in (number(from)..).zip(self.keys.iter().skip(from)) {
            self.wrapping.wrap(slot, key, &mut bytes);
        }
        let mut file = self.storage.open(PEOPLE)?;
        file.write_at(slot_at(from), &bytes)?;
        file.sync()
    }

    /// Writes how many slots are ready: one copy is whole whatever happens to the other.
    fn count(&self) -> io::Result<()> {
        let mut file = self.storage.open(PEOPLE)?;
        for at in COUNTS_AT {
            file.write_at(at, &people::count_sector(number(self.keys.len())))?;
            file.sync()?;
        }
        Ok(())
    }

    /// The key of a person.
    fn key(&self, slot: Slot) -> Result<&PersonKey, Error> {
        match self.keys.get(place(slot)).filter(|_| place(slot) < self.used) {
            None => Err(Error::Unknown { slot }),
            Some(key) if *key == [0; KEY_BYTES] => Err(Error::Destroyed { slot }),
            Some(key) => Ok(key),
        }
    }

    /// Appends `plain` to `out`, sealed under a person's key for the event `key`. No nonce may be
    /// used twice.
    ///
    /// # Errors
    ///
    /// There is no such key, or not any more; nothing was appended.
    pub fn seal(
        &self,
        slot: Slot,
        nonce: Nonce,
        key: u128,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        seal::seal(self.key(slot)?, nonce.bytes(), &key.to_le_bytes(), plain, out);
        Ok(())
    }

    /// Puts what was sealed under a person's key for the event `key` into `out`, in place of what
    /// it holds.
    ///
    /// # Errors
    ///
    /// There is no such key, or not any more, or what is sealed is damaged; `out` holds nothing of
    /// it.
    pub fn open_sealed(
        &self,
        slot: Slot,
        nonce: Nonce,
        key: u128,
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        out.clear();
        let opened = seal::unseal(self.key(slot)?, nonce.bytes(), &key.to_le_bytes(), sealed, out);
        opened.ok_or(Error::Sealed)
    }

    /// Appends `plain` to `out`, sealed under a key of the directory. No nonce may be used twice.
    pub fn seal_shared(&self, nonce: Nonce, plain: &[u8], out: &mut Vec<u8>) {
        seal::seal(&self.shared, nonce.bytes(), &[], plain, out);
    }

    /// Puts what was sealed under a key of the directory into `out`, in place of what it holds.
    ///
    /// # Errors
    ///
    /// What is sealed is damaged; `out` holds nothing of it.
    pub fn open_shared(&self, nonce: Nonce, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let opened = seal::unseal(&self.shared, nonce.bytes(), &[], sealed, out);
        opened.ok_or(Error::Sealed)
    }

    /// Whether a key was destroyed.
    #[must_use]
    pub fn is_destroyed(&self, slot: Slot) -> bool {
        self.keys.get(place(slot)) == Some(&[0; KEY_BYTES])
    }

    /// Destroys keys, durably: what is sealed under them is read by nobody any more.
    ///
    /// It needs no room on the disk. To destroy a key again is no harm.
    ///
    /// Cost: two syncs for each hundred of keys.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]: none was destroyed. Otherwise some may have been, those at hand are not
    /// opened any more, and a start or another try finishes it.
    pub fn destroy(&mut self, slots: &[Slot]) -> Result<(), Error> {
        if let Some(slot) = slots.iter().find(|slot| self.used <= place(**slot)) {
            return Err(Error::Unknown { slot: *slot });
        }
        self.settle_name()?;
        let slots: Vec<u32> = slots.iter().map(|slot| slot.0).collect();
        // The list is written over only when all that is on it is done.
        let doomed = std::mem::take(&mut self.doomed);
        if !doomed.is_empty() {
            self.erase(&doomed).map_err(Error::write(PEOPLE))?;
        }
        for slots in slots.chunks(LIST_MAX) {
            self.list(slots).and_then(|()| self.erase(slots)).map_err(Error::write(PEOPLE))?;
        }
        Ok(())
    }

    /// Makes the list of what is to be destroyed durable.
    fn list(&self, slots: &[u32]) -> io::Result<()> {
        let mut file = self.storage.open(PEOPLE)?;
        file.write_at(LIST_AT, &people::list_sector(slots))?;
        file.sync()
    }

    /// Writes zeros over keys that a durable list names, and empties the list.
    fn erase(&mut self, slots: &[u32]) -> io::Result<()> {
        let erased = self.overwrite(slots);
        if erased.is_err() {
            self.doomed = slots.to_vec();
        }
        erased
    }

    fn overwrite(&mut self, slots: &[u32]) -> io::Result<()> {
        let mut file = self.storage.open(PEOPLE)?;
        for slot in slots {
            let Some(key) = self.keys.get_mut(place(Slot(*slot))) else { continue };
            key.fill(0);
            let mut bytes = Vec::new();
            self.wrapping.wrap(*slot, key, &mut bytes);
            file.write_at(slot_at(place(Slot(*slot))), &bytes)?;
        }
        file.sync()?;
        // It need not be durable: what is destroyed may be destroyed again.
        file.write_at(LIST_AT, &people::list_sector(&[]))
    }

    /// Writes all keys that `keep` wants into a new file and destroys the others: no block of the
    /// disk that held one of these belongs to the file any more. The epoch goes up by one.
    ///
    /// # Errors
    ///
    /// The file may be the one of before or the new one; it may be tried again.
    pub fn rewrite(&mut self, keep: impl Fn(Slot) -> bool) -> Result<(), Error> {
        self.rewrite_at(self.wrapping.epoch.saturating_add(1), keep)
    }

    /// [`rewrite`](Vault::rewrite), with the epoch that is to be: of two directories made of one,
    /// each needs its own, because a slot is sealed once in an epoch.
    ///
    /// # Errors
    ///
    /// The file of before is still there.
    pub fn rewrite_at(&mut self, epoch: u32, keep: impl Fn(Slot) -> bool) -> Result<(), Error> {
        assert!(self.wrapping.epoch < epoch, "no epoch comes again");
        let kept = |(slot, key): (u32, &PersonKey)| {
            let gone = place(Slot(slot)) < self.used && !keep(Slot(slot));
            if gone { [0; KEY_BYTES] } else { *key }
        };
        let keys: Vec<PersonKey> = (0..).zip(&self.keys).map(kept).collect();
        let wrapping = Wrapping { epoch, ..self.wrapping };
        let write = || -> io::Result<()> {
            if self.storage.exists(ASIDE)? {
                self.storage.remove(ASIDE)?;
            }
            write_new(&*self.storage, ASIDE, &wrapping.file(&keys))?;
            self.storage.rename(ASIDE, PEOPLE)
        };
        write().map_err(Error::write(ASIDE))?;
        self.wrapping = wrapping;
        self.pool = None;
        self.doomed.clear();
        self.keys.iter_mut().zip(&keys).for_each(|(key, kept)| *key = *kept);
        self.renamed = true;
        self.settle_name()
    }

    /// Makes the name of a file that was written anew durable, before anything more is.
    fn settle_name(&mut self) -> Result<(), Error> {
        if self.renamed {
            self.storage.sync_dir(KEYS).map_err(Error::write(PEOPLE))?;
            self.renamed = false;
        }
        Ok(())
    }

    /// The signature of `bytes` by this directory.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> [u8; 32] {
        seal::sign(&self.receipts, bytes)
    }

    /// Whether `signature` is that of `bytes` by this directory.
    #[must_use]
    pub fn verify(&self, bytes: &[u8], signature: &[u8; 32]) -> bool {
        seal::verify(&self.receipts, bytes, signature)
    }

    /// What stands for `bytes` where they must not be; only this directory can make it.
    #[must_use]
    pub fn pseudonym(&self, bytes: &[u8]) -> [u8; 16] {
        let hash = seal::sign(&self.pseudonyms, bytes);
        hash.first_chunk().copied().unwrap_or_default()
    }
}

/// Writes a new file and syncs it.
fn write_new(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = storage.create(name)?;
    file.append(bytes)?;
    file.sync()
}

/// The number of a place in memory.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// The place of a slot in memory.
fn place(slot: Slot) -> usize {
    usize::try_from(slot.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may fail")]
mod tests;
