//! Ledger: which events hold, and what does a change change?
//!
//! Sources repeat themselves, correct themselves and take things back. The ledger holds the current
//! version of every event by its key and turns each verb into updates of the set of events: an
//! identical repeat is a duplicate and changes nothing, another version replaces the one before.
//!
//! Without a data directory events are kept packed: 80 to 100 bytes an event with its index,
//! growing with the events that hold. With one, the [`journal`] keeps them on disk and only the
//! index is in memory. Events with the same identifiers are chained, which is how an erasure finds
//! them.

mod arena;
mod body;
mod codec;
mod erase;
pub mod journal;
mod replay;
pub mod save;
mod tell;

use std::collections::BTreeMap;
use std::rc::Rc;

use dataflows::{Action, Diff, Event, EventId, Identifier, Who, spread};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::{log, vault};
use arena::Arena;
use codec::Codec;
use journal::Journal;

/// An event that came to hold, or holds no longer.
pub type Update = (Rc<Event>, Diff);

/// The longest event that is taken, packed.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// No event.
const NONE: u32 = u32::MAX;

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A new event holds.
    Accepted,
    /// It holds instead of its version before.
    Corrected,
    /// It held already, exactly so.
    Duplicate,
    /// It holds no longer.
    Retracted,
    /// There was nothing to retract.
    Unknown,
    /// Its 64-bit id is another event's: it must be refused.
    Collision,
    /// It is longer than [`EVENT_BYTES_MAX`]: it must be refused.
    TooLarge,
}

/// Why the ledger could not say which events hold. Never without a data directory.
///
/// What was asked for has not become part of the next tick, and nothing after it can.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes of the log or of a checkpoint are not what was written.
    #[error("{0}")]
    Damaged(&'static str),
    /// Bytes of the log cannot be read.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// A person's key cannot be used.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// A part of a checkpoint cannot be read or written.
    #[error("`{name}` could not be read or written")]
    Part {
        /// The file.
        name: String,
        /// What the operating system reports.
        source: std::io::Error,
    },
    /// A text does not have the hash that it was written with.
    #[error("a text does not have its hash: the secret is not that of the data directory")]
    Secret,
}

/// Where packed events lie.
#[derive(Debug)]
enum Payloads {
    Memory(Arena),
    Disk(Box<Journal>),
}

impl Default for Payloads {
    fn default() -> Payloads {
        Payloads::Memory(Arena::default())
    }
}

/// The current version of an event.
#[derive(Clone, Copy, Debug)]
struct Slot {
    high: u64,
    low: u64,
    /// Where its bytes are.
    place: u64,
    /// Its identifiers' number.
    group: u32,
    /// The event before it with the same identifiers.
    before: u32,
    /// How many bytes; 0 for one that holds no longer.
    len: u32,
}

impl Slot {
    fn key(&self) -> u128 {
        (u128::from(self.high) << 64) | u128::from(self.low)
    }
}

/// A set of identifiers: where they are in the list of all, and how many.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: u32,
    len: u32,
    /// The newest event with it.
    newest: u32,
}

/// The events that hold.
#[derive(Debug, Default)]
pub struct Ledger {
    payloads: Payloads,
    codec: Codec,
    slots: Vec<Slot>,
    /// The slots by the low half of the key.
    index: HashTable<u32>,
    groups: Vec<Group>,
    /// The identifiers of the groups, one set after the other.
    ids: Vec<Identifier>,
    /// The groups by the first half of their key.
    group_of: HashTable<u32>,
    /// How many slots hold no longer.
    dead: usize,
    /// How many rejects hold.
    rejects: usize,
    /// The operators' decisions about identifiers that hold.
    decisions: BTreeMap<u128, [Identifier; 2]>,
    scratch: Vec<u8>,
    /// How many of the slots the newest checkpoint has.
    saved: usize,
    /// The keys of events that it has and that hold no longer.
    gone: Vec<u128>,
}

impl Ledger {
    /// How many events hold.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The key under which the refusal of the record with `key` is kept.
    #[must_use]
    pub fn reject_key(key: u128) -> u128 {
        key ^ (u128::from(spread(0x7265_6a65)) << 64 | u128::from(spread(0x6374_2121)))
    }

    /// `event` holds from now on under `key`, and the refusal of its record does no longer.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn put(
        &mut self,
        key: u128,
        event: Event,
        updates: &mut Vec<Update>,
    ) -> Result<Outcome, Error> {
        let reject = matches!(event.action, Action::Reject(_));
        if 0 < self.rejects && !reject {
            self.retract(Ledger::reject_key(key), updates)?;
        }
        let [high, low] = halves(key);
        debug_assert_eq!(event.id, EventId(low), "an event's id is the low half of its key");
        let group = self.group(&event);
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        self.codec.encode(&event, &mut bytes);
        let outcome = match self.find(low) {
            _ if EVENT_BYTES_MAX < bytes.len() => Outcome::TooLarge,
            Some(number) if self.slot(number).high != high => Outcome::Collision,
            Some(number) => self.replace(number, group, &bytes, updates)?,
            None => Outcome::Accepted,
        };
        if matches!(outcome, Outcome::Accepted | Outcome::Corrected) {
            let place = match &mut self.payloads {
                Payloads::Memory(arena) => arena.push(&bytes),
                Payloads::Disk(journal) => {
                    let somebody = (group != NONE).then_some(group);
                    journal.put(key, somebody, &event, &bytes)?
                }
            };
            let len = u32::try_from(bytes.len()).unwrap_or(0);
            self.hold(key, &event, Slot { high, low, place, group, before: NONE, len });
            updates.push((Rc::new(event), 1));
        }
        self.scratch = bytes;
        Ok(outcome)
    }

    /// Whether the event in a slot is another than the one of `group` packed as `bytes`; if so, it
    /// holds no longer.
    fn replace(
        &mut self,
        number: u32,
        group: u32,
        bytes: &[u8],
        updates: &mut Vec<Update>,
    ) -> Result<Outcome, Error> {
        let slot = *self.slot(number);
        let same = slot.group == group
            && match &self.payloads {
                Payloads::Memory(arena) => arena.bytes(slot.place, slot.len) == bytes,
                Payloads::Disk(journal) => {
                    let mut old = Vec::new();
                    let subject = journal.subject_of(slot.group);
                    journal.read(slot.place, slot.len, slot.key(), subject, &mut old)?;
                    old == bytes
                }
            };
        if same {
            return Ok(Outcome::Duplicate);
        }
        let old = self.event(number)?;
        self.leave(number, &old);
        updates.push((Rc::new(old), -1));
        Ok(Outcome::Corrected)
    }

    /// `event`, which is in `slot`, holds.
    fn hold(&mut self, key: u128, event: &Event, slot: Slot) {
        self.rejects += usize::from(matches!(event.action, Action::Reject(_)));
        if let Action::Link(a, b) | Action::Unlink(a, b) = event.action {
            self.decisions.insert(key, [a, b]);
        }
        self.push(slot);
    }

    /// `event`, which is in a slot, holds no longer.
    fn leave(&mut self, number: u32, event: &Event) {
        self.rejects -= usize::from(matches!(event.action, Action::Reject(_)));
        self.drop_slot(number);
    }

    /// Adds a slot, as the newest of its group.
    fn push(&mut self, mut slot: Slot) {
        let number = u32::try_from(self.slots.len()).expect("fewer than 2^32 versions");
        if let Some(group) = self.groups.get_mut(at_index(slot.group)) {
            slot.before = std::mem::replace(&mut group.newest, number);
        }
        self.slots.push(slot);
        let slots = &self.slots;
        self.index.insert_unique(slot.low, number, |number| slots[at_index(*number)].low);
    }

    /// The event under `key` holds no longer.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn retract(&mut self, key: u128, updates: &mut Vec<Update>) -> Result<Outcome, Error> {
        let [high, low] = halves(key);
        let Some(number) = self.find(low).filter(|number| self.slot(*number).high == high) else {
            return Ok(Outcome::Unknown);
        };
        let old = self.event(number)?;
        if let Payloads::Disk(journal) = &mut self.payloads {
            journal.retract(key);
        }
        self.leave(number, &old);
        updates.push((Rc::new(old), -1));
        self.compact_memory();
        Ok(Outcome::Retracted)
    }

    /// The event that holds under `key`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn get(&self, key: u128) -> Result<Option<Event>, Error> {
        let [high, low] = halves(key);
        let found = self.find(low).filter(|number| self.slot(*number).high == high);
        found.map(|number| self.event(number)).transpose()
    }

    /// All events that hold, by id.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn events(&self) -> Result<Vec<Rc<Event>>, Error> {
        let mut numbers: Vec<u32> = self.index.iter().copied().collect();
        numbers.sort_unstable_by_key(|number| self.slot(*number).low);
        numbers.into_iter().map(|number| self.event(number).map(Rc::new)).collect()
    }

    /// How many bytes the ledger keeps.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Slot>();
        let groups = self.groups.capacity() * size_of::<Group>() + self.group_of.allocation_size();
        let ids = self.ids.capacity() * size_of::<Identifier>();
        let payloads = match &self.payloads {
            Payloads::Memory(arena) => arena.capacity(),
            Payloads::Disk(journal) => journal.bytes(),
        };
        payloads + slots + self.index.allocation_size() + groups + ids
    }

    fn slot(&self, number: u32) -> &Slot {
        &self.slots[at_index(number)]
    }

    fn find(&self, low: u64) -> Option<u32> {
        self.index.find(low, |number| self.slot(*number).low == low).copied()
    }

    /// The number of an event's identifiers; none for an event of nobody.
    fn group(&mut self, event: &Event) -> u32 {
        event.key().map_or(NONE, |who| self.group_of(who, &event.who))
    }

    /// The number of a set of identifiers, new if it is new.
    fn group_of(&mut self, who: Who, of: &[Identifier]) -> u32 {
        let (all, groups) = (&mut self.ids, &mut self.groups);
        let same = |group: &u32| ids(all, groups, *group) == of;
        let key = |group: &u32| Who::of(ids(all, groups, *group)).map_or(0, |who| who.0);
        let group = match self.group_of.entry(who.0, same, key) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(place) => {
                let group = u32::try_from(groups.len()).expect("fewer than 2^32 sets");
                place.insert(group);
                group
            }
        };
        let number = |n: usize| u32::try_from(n).expect("fewer than 2^32 identifiers of sets");
        groups.push(Group { first: number(all.len()), len: number(of.len()), newest: NONE });
        all.extend_from_slice(of);
        group
    }

    /// The event in a slot.
    fn event(&self, number: u32) -> Result<Event, Error> {
        let slot = self.slot(number);
        let who = ids(&self.ids, &self.groups, slot.group);
        let mut read = Vec::new();
        let bytes = match &self.payloads {
            Payloads::Memory(arena) => arena.bytes(slot.place, slot.len),
            Payloads::Disk(journal) => {
                let subject = journal.subject_of(slot.group);
                journal.read(slot.place, slot.len, slot.key(), subject, &mut read)?;
                &read
            }
        };
        let event = self.codec.decode(bytes, EventId(slot.low), who.into());
        event.ok_or(Error::Damaged("an event is of no known form"))
    }

    /// The event in a slot holds no longer.
    fn drop_slot(&mut self, number: u32) {
        let slot = self.slots[at_index(number)];
        self.slots[at_index(number)].len = 0;
        if let Ok(entry) = self.index.find_entry(slot.low, |other| *other == number) {
            entry.remove();
        }
        self.dead += 1;
        if at_index(number) < self.saved {
            self.gone.push(slot.key());
        }
        self.decisions.remove(&slot.key());
    }

    /// The operators' decisions about identifiers that hold, with their keys.
    #[must_use]
    pub fn decisions(&self) -> Vec<(u128, [Identifier; 2])> {
        self.decisions.iter().map(|(key, pair)| (*key, *pair)).collect()
    }

    /// [`compact`](Ledger::compact) at once; with a journal it waits until the body is written,
    /// which knows groups by their numbers.
    fn compact_memory(&mut self) {
        if let Payloads::Memory(_) = self.payloads {
            self.compact();
        }
    }

    /// Gives back the space of what holds no longer, once that is most of it.
    ///
    /// Cost: over many changes, a few copies of what they replaced.
    fn compact(&mut self) {
        if self.dead < 1024 || self.dead < self.index.len() {
            return;
        }
        let old = std::mem::take(self);
        self.saved = old.slots[..old.saved].iter().filter(|slot| 0 < slot.len).count();
        self.gone = old.gone;
        self.rejects = old.rejects;
        self.decisions = old.decisions;
        self.codec = old.codec;
        let (from, subjects) = match old.payloads {
            Payloads::Memory(arena) => (Some(arena), Vec::new()),
            Payloads::Disk(mut journal) => {
                let subjects = std::mem::take(&mut journal.subjects);
                self.payloads = Payloads::Disk(journal);
                (None, subjects)
            }
        };
        for slot in old.slots.iter().filter(|slot| 0 < slot.len) {
            let mut moved = Slot { group: NONE, before: NONE, ..*slot };
            if let (Some(from), Payloads::Memory(to)) = (&from, &mut self.payloads) {
                moved.place = to.push(from.bytes(slot.place, slot.len));
            }
            let ids = ids(&old.ids, &old.groups, slot.group);
            if let Some(who) = Who::of(ids) {
                moved.group = self.group_of(who, ids);
                if let Payloads::Disk(journal) = &mut self.payloads {
                    let subject = subjects.get(at_index(slot.group)).copied().unwrap_or(0);
                    journal.know(moved.group, subject);
                }
            }
            self.push(moved);
        }
    }
}

/// The identifiers of a group; none for the number of no group.
fn ids<'a>(ids: &'a [Identifier], groups: &[Group], group: u32) -> &'a [Identifier] {
    let Some(group) = groups.get(at_index(group)) else { return &[] };
    &ids[at_index(group.first)..][..at_index(group.len)]
}

/// The high and the low half of a key.
fn halves(key: u128) -> [u64; 2] {
    [key >> 64, key & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0))
}

/// A number as a place in a list.
fn at_index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
