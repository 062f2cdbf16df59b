//! Journal: how do the events that hold come to lie on disk?
//!
//! It writes the body of the frame that the next tick will be, so that the place of every event is
//! known at once; the log takes the body as it is. What is somebody's is sealed under a key of that
//! person's own, by identifiers seen together, and to erase a person is to destroy those keys.
//! A payload that a correction asks for is read back from where it lies.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::operator::Index;
use dataflows::{Action, Event, Identifier};

use super::body::{self, CHECK, NONCE};
use super::{Error, at_index};
use crate::log::{self, Place};
use crate::storage::{Storage, checksum};
use crate::vault::{self, Nonce, Slot, Vault};

/// Nobody's subject, in a list by group.
const NONE: u32 = 0;

/// People who are erased: the keys that are to be destroyed, and what stands for the people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// The keys.
    pub keys: Vec<Slot>,
    /// The pseudonyms of the sets of identifiers.
    pub people: Vec<[u8; 16]>,
}

/// A person's key, and what stands for the set of identifiers; nothing where the key was destroyed.
pub type Said = (Slot, Option<[u8; 16]>);

/// Writes events to the body of the next frame, and reads them back.
#[derive(Debug)]
pub struct Journal {
    storage: Arc<dyn Storage>,
    pub(super) vault: Vault,
    generation: u32,
    /// How many texts this generation has sealed.
    sealed: u64,
    /// Where the next frame's body will begin.
    next: Place,
    pub(super) records: Vec<u8>,
    /// The subject of each group of the ledger, 0 where it has none yet.
    pub(super) subjects: Vec<u32>,
    /// The group of each subject, while a log is replayed.
    pub(super) groups: Index<u32, u32>,
    /// The groups whose identifiers the body has still to say.
    pub(super) fresh: Vec<u32>,
    /// Identifiers that an operator's decision names.
    pub(super) named: Vec<Identifier>,
    /// How many of the codec's words are on disk.
    pub(super) numbered: usize,
    /// Who goes when the body is durable.
    pub(super) gone: Gone,
    /// Words that no event needed when all was written anew, so that their texts are not on disk.
    pub(super) nameless: Index<u64, ()>,
    /// Those of them that the body has to say again.
    pub(super) again: Vec<u64>,
    /// The words and the identifiers whose texts were said since the newest checkpoint.
    pub(super) told: (Vec<u64>, Vec<Identifier>),
    /// How many of the codec's words the newest checkpoint has.
    pub(super) numbered_saved: usize,
    /// The greatest subject, and the greatest that the newest checkpoint has.
    pub(super) newest: u32,
    pub(super) newest_saved: u32,
}

impl Journal {
    /// Writes to the log in `storage` whose next body begins at `next`.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, vault: Vault, generation: u32, next: Place) -> Journal {
        Journal {
            storage,
            vault,
            generation,
            sealed: 0,
            next,
            records: Vec::new(),
            subjects: Vec::new(),
            groups: Index::default(),
            fresh: Vec::new(),
            named: Vec::new(),
            numbered: 0,
            gone: Gone::default(),
            nameless: Index::default(),
            again: Vec::new(),
            told: Default::default(),
            numbered_saved: 0,
            newest: 0,
            newest_saved: 0,
        }
    }

    /// The keys of the people.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The keys of the people, to be changed.
    pub fn vault_mut(&mut self) -> &mut Vault {
        &mut self.vault
    }

    /// Whether the body has a record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes the records of the body have so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// How many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.subjects.capacity() * size_of::<u32>() + self.records.capacity()
    }

    pub(super) fn nonce(&mut self) -> Nonce {
        self.sealed += 1;
        Nonce(self.generation, self.sealed)
    }

    /// The subject of a group, with a new key if it has none yet.
    fn subject(&mut self, group: u32) -> Result<u32, Error> {
        let known = self.subject_of(group);
        if known != NONE {
            return Ok(known);
        }
        let Slot(slot) = self.vault.next()?;
        self.know(group, slot + 1);
        self.fresh.push(group);
        Ok(slot + 1)
    }

    /// A group has this subject.
    pub(super) fn know(&mut self, group: u32, subject: u32) {
        let place = at_index(group);
        if self.subjects.len() <= place {
            self.subjects.resize(place + 1, NONE);
        }
        self.subjects[place] = subject;
        self.newest = self.newest.max(subject);
    }

    /// A group has no events and no key any more; gives the key.
    pub(super) fn forget(&mut self, group: u32) -> Option<Slot> {
        let subject = self.subjects.get_mut(at_index(group))?;
        std::mem::replace(subject, NONE).checked_sub(1).map(Slot)
    }

    /// Destroys all keys but those of groups that have one, and leaves nothing of them in the file.
    ///
    /// # Errors
    ///
    /// The file of before is still there.
    pub fn keep_used_keys(&mut self) -> Result<(), vault::Error> {
        let used: BTreeSet<u32> = self.subjects.iter().copied().collect();
        self.vault.rewrite(|Slot(slot)| used.contains(&(slot + 1)))
    }

    /// How many keys have ever been somebody's.
    #[must_use]
    pub fn keys(&self) -> u32 {
        self.newest
    }

    /// Of the keys that were made, the first `keys` have been somebody's, at least.
    pub fn keys_were(&mut self, keys: u32) {
        self.newest = self.newest.max(keys);
    }

    /// Keys that were made and have never been somebody's are used next.
    pub(super) fn reuse_keys(&mut self) {
        self.vault.resume(Slot(self.newest));
    }

    /// The groups that have come since the newest checkpoint.
    pub(super) fn groups_since(&self) -> BTreeSet<u32> {
        self.groups_after(self.newest_saved)
    }

    /// The groups that have a key.
    pub(super) fn groups_known(&self) -> BTreeSet<u32> {
        self.groups_after(NONE)
    }

    fn groups_after(&self, subject: u32) -> BTreeSet<u32> {
        let groups = (0..).zip(&self.subjects);
        groups.filter(|(_, own)| subject < **own).map(|(group, _)| group).collect()
    }

    /// The subject of a group that has had an event.
    pub(super) fn subject_of(&self, group: u32) -> u32 {
        self.subjects.get(at_index(group)).copied().unwrap_or(NONE)
    }

    /// `event`, packed as `bytes`, holds under `key`; gives its place.
    pub(super) fn put(
        &mut self,
        key: u128,
        group: Option<u32>,
        event: &Event,
        bytes: &[u8],
    ) -> Result<u64, Error> {
        if let Action::Link(a, b) | Action::Unlink(a, b) = event.action {
            self.named.extend([a, b]);
        }
        if !self.nameless.is_empty() {
            event.each_word(&mut |word| {
                if self.nameless.remove(&word).is_some() {
                    self.again.push(word);
                }
            });
        }
        let subject = group.map_or(Ok(NONE), |group| self.subject(group))?;
        body::put(key, subject, bytes.len(), &mut self.records);
        let place = self.place(self.records.len());
        match subject.checked_sub(1) {
            Some(slot) => {
                let nonce = self.nonce();
                self.records.extend_from_slice(&nonce.bytes());
                self.vault.seal(Slot(slot), nonce, key, bytes, &mut self.records)?;
            }
            None => {
                self.records.extend_from_slice(&checksum(0, bytes).to_le_bytes());
                self.records.extend_from_slice(bytes);
            }
        }
        Ok(place)
    }

    /// The event of `key` holds no longer.
    pub(super) fn retract(&mut self, key: u128) {
        body::retract(key, &mut self.records);
    }

    /// The events of these groups, with their identifiers, hold no longer; their keys go when the
    /// body is durable.
    pub(super) fn erase(&mut self, groups: &[(u32, Vec<Identifier>)]) {
        let mut subjects = Vec::new();
        for (group, ids) in groups {
            if let Some(key) = self.forget(*group) {
                subjects.push(key.0 + 1);
                self.gone.keys.push(key);
                self.gone.people.push(self.pseudonym(ids));
            }
        }
        if !subjects.is_empty() {
            body::erase(&subjects, &mut self.records);
        }
    }

    /// What stands for a set of identifiers after it was erased.
    pub(super) fn pseudonym(&self, ids: &[Identifier]) -> [u8; 16] {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.bits().to_be_bytes()).collect();
        self.vault.pseudonym(&bytes)
    }

    fn place(&self, offset: usize) -> u64 {
        self.next.0 + u64::try_from(offset).unwrap_or(u64::MAX)
    }

    /// Reads the packed event of `len` bytes at a place.
    pub(super) fn read(
        &self,
        place: u64,
        len: u32,
        key: u128,
        subject: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut payload = Vec::new();
        self.payload(place, len, subject, &mut payload)?;
        self.unseal(key, subject, &payload, out)
    }

    /// Appends the payload of the packed event of `len` bytes at a place, as it lies there.
    pub(super) fn payload(
        &self,
        place: u64,
        len: u32,
        subject: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let length = body::payload_len(subject, at_index(len));
        match place.checked_sub(self.next.0).filter(|_| place & PART == 0) {
            Some(offset) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let own = self.records.get(start..start.saturating_add(length));
                out.extend_from_slice(own.ok_or(Error::Damaged("an event is not there"))?);
            }
            None if place & PART == 0 => {
                let mut read = Vec::new();
                log::fetch(&*self.storage, Place(place), length, &mut read)?;
                out.append(&mut read);
            }
            None => {
                let (number, offset) = part_place(place);
                let name = part_name(number);
                let begin = out.len();
                out.resize(begin + length, 0);
                let read = self.storage.read_at(&name, offset, &mut out[begin..]);
                read.map_err(|source| Error::Part { name, source })?;
            }
        }
        Ok(())
    }

    /// [`payload`](Journal::payload) for many places in order, which are read a piece of a file at
    /// a time.
    pub(super) fn payload_in_order(
        &self,
        window: &mut Window,
        (place, len, subject): (u64, u32, u32),
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let length = body::payload_len(subject, at_index(len));
        if place & PART == 0 && self.next.0 <= place {
            return self.payload(place, len, subject, out);
        }
        if let Some(bytes) = window.get(place, length) {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        let (name, offset) = match place & PART {
            0 => (log::file(Place(place)), Place(place).offset()),
            _ => {
                let (number, offset) = part_place(place);
                (part_name(number), offset)
            }
        };
        let failed = |source| Error::Part { name: name.clone(), source };
        let left = self.storage.len(&name).map_err(failed)?.saturating_sub(offset);
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(WINDOW.max(length));
        window.place = place;
        window.bytes.resize(piece, 0);
        self.storage.read_at(&name, offset, &mut window.bytes).map_err(failed)?;
        let bytes = window.get(place, length).ok_or(Error::Damaged("an event is not there"))?;
        out.extend_from_slice(bytes);
        Ok(())
    }

    /// The packed event of a payload.
    pub(super) fn unseal(
        &self,
        key: u128,
        subject: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        out.clear();
        match subject.checked_sub(1) {
            Some(slot) => {
                let (nonce, sealed) = payload
                    .split_first_chunk::<NONCE>()
                    .ok_or(Error::Damaged("a payload is too short"))?;
                Ok(self.vault.open_sealed(Slot(slot), Nonce::of(*nonce), key, sealed, out)?)
            }
            None => {
                let (check, bytes) = payload
                    .split_first_chunk::<CHECK>()
                    .ok_or(Error::Damaged("a payload is too short"))?;
                if checksum(0, bytes) != u32::from_le_bytes(*check) {
                    return Err(Error::Damaged("an event's checksum is not that of its bytes"));
                }
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Whether the key of a subject has been destroyed.
    pub(super) fn is_gone(&mut self, subject: u32) -> bool {
        let Some(slot) = subject.checked_sub(1).map(Slot) else { return false };
        self.newest = self.newest.max(subject);
        self.vault.is_destroyed(slot)
    }

    /// All erasures of the log destroy these keys: destroys those that are still there because a
    /// process ended before it had.
    ///
    /// # Errors
    ///
    /// Some may have been destroyed.
    pub fn destroy_all(&mut self, erased: &BTreeSet<Slot>) -> Result<(), vault::Error> {
        let left = erased.iter().filter(|slot| !self.vault.is_destroyed(**slot));
        let left: Vec<Slot> = left.copied().collect();
        if left.is_empty() { Ok(()) } else { self.vault.destroy(&left) }
    }

    /// The next body, in which there is no event yet that holds, will begin at `next` after all.
    pub fn begin_at(&mut self, next: Place) {
        self.next = next;
    }

    /// The body lies in the log; the one after it will begin at `next`. Gives who goes once it
    /// is durable.
    pub fn written(&mut self, next: Place) -> Gone {
        self.records.clear();
        if BODY_KEPT < self.records.capacity() {
            self.records.shrink_to(BODY_KEPT);
        }
        self.next = next;
        std::mem::take(&mut self.gone)
    }
}

/// How many bytes are read at a time where many payloads are read in order.
const WINDOW: usize = 1 << 20;

/// Bytes of a file that were read at once.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Where the first of them is.
    place: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// The bytes at a place, if it has all of them.
    fn get(&self, place: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(place.checked_sub(self.place)?).ok()?;
        self.bytes.get(start..start.checked_add(length)?)
    }
}

/// How much room is kept for the next body.
const BODY_KEPT: usize = 1 << 20;

/// Set in a place that is in a part of a checkpoint and not in the log.
pub(super) const PART: u64 = 1 << 63;

/// How many bits of a place are the offset in its file.
const OFFSET_BITS: u32 = 40;

/// The place of a byte of a part.
#[must_use]
pub fn place_in_part(number: u64, offset: u64) -> Place {
    Place(PART | number << OFFSET_BITS | offset)
}

/// The number of a part and the offset in it.
fn part_place(place: u64) -> (u64, u64) {
    ((place & !PART) >> OFFSET_BITS, place & ((1 << OFFSET_BITS) - 1))
}

/// The file of a part of a checkpoint.
#[must_use]
pub fn part_name(number: u64) -> String {
    format!("base/{number:012}.part")
}
