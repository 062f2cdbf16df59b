//! Ledger: which events hold, and what does a change change?
//!
//! Sources repeat themselves, correct themselves and take things back. The ledger holds the current
//! version of every event by its key and turns each verb into updates of the set of events: an
//! identical repeat is a duplicate and changes nothing, another version replaces the one before.
//!
//! Events are kept packed: 80 to 100 bytes an event with its index, growing with the events that
//! hold. Events with the same identifiers are chained, which is how an erasure finds them.

mod arena;
mod codec;

use std::collections::BTreeMap;
use std::rc::Rc;

use dataflows::{Action, Diff, Event, EventId, Identifier, Who, spread};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use arena::Arena;
use codec::Codec;

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
    arena: Arena,
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
    pub fn put(&mut self, key: u128, event: Event, updates: &mut Vec<Update>) -> Outcome {
        let reject = matches!(event.action, Action::Reject(_));
        if 0 < self.rejects && !reject {
            self.retract(Ledger::reject_key(key), updates);
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
            Some(number) => {
                let slot = *self.slot(number);
                if slot.group == group && self.arena.bytes(slot.place, slot.len) == bytes {
                    Outcome::Duplicate
                } else {
                    updates.extend(self.event(number).map(|old| (Rc::new(old), -1)));
                    self.drop_slot(number);
                    Outcome::Corrected
                }
            }
            None => Outcome::Accepted,
        };
        if matches!(outcome, Outcome::Accepted | Outcome::Corrected) {
            self.rejects += usize::from(reject);
            if let Action::Link(a, b) | Action::Unlink(a, b) = event.action {
                self.decisions.insert(key, [a, b]);
            }
            let place = self.arena.push(&bytes);
            let len = u32::try_from(bytes.len()).unwrap_or(0);
            self.push(Slot { high, low, place, group, before: NONE, len });
            updates.push((Rc::new(event), 1));
        }
        self.scratch = bytes;
        outcome
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
    pub fn retract(&mut self, key: u128, updates: &mut Vec<Update>) -> Outcome {
        let [high, low] = halves(key);
        match self.find(low) {
            Some(number) if self.slot(number).high == high => {
                let old = self.event(number);
                self.rejects -= usize::from(
                    old.as_ref().is_some_and(|event| matches!(event.action, Action::Reject(_))),
                );
                updates.extend(old.map(|old| (Rc::new(old), -1)));
                self.drop_slot(number);
                self.compact();
                Outcome::Retracted
            }
            _ => Outcome::Unknown,
        }
    }

    /// No event with one of these sets of identifiers holds any longer; gives their number.
    pub fn erase(
        &mut self,
        groups: impl IntoIterator<Item = Who>,
        updates: &mut Vec<Update>,
    ) -> usize {
        let before = updates.len();
        for who in groups {
            let same = |group: &u32| Who::of(ids(&self.ids, &self.groups, *group)) == Some(who);
            let Ok(entry) = self.group_of.find_entry(who.0, same) else { continue };
            let (group, _) = entry.remove();
            let Group { first, len, mut newest } = self.groups[at_index(group)];
            while newest != NONE {
                let slot = *self.slot(newest);
                if 0 < slot.len {
                    updates.extend(self.event(newest).map(|old| (Rc::new(old), -1)));
                    self.drop_slot(newest);
                }
                newest = slot.before;
            }
            self.ids[at_index(first)..][..at_index(len)].fill(Identifier::default());
            self.groups[at_index(group)].newest = NONE;
        }
        self.compact();
        updates.len() - before
    }

    /// All events that hold, by id.
    #[must_use]
    pub fn events(&self) -> Vec<Rc<Event>> {
        let mut numbers: Vec<u32> = self.index.iter().copied().collect();
        numbers.sort_unstable_by_key(|number| self.slot(*number).low);
        numbers.into_iter().filter_map(|number| self.event(number)).map(Rc::new).collect()
    }

    /// How many bytes the ledger keeps.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Slot>();
        let groups = self.groups.capacity() * size_of::<Group>() + self.group_of.allocation_size();
        let ids = self.ids.capacity() * size_of::<Identifier>();
        self.arena.capacity() + slots + self.index.allocation_size() + groups + ids
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
    fn event(&self, number: u32) -> Option<Event> {
        let slot = self.slot(number);
        let bytes = self.arena.bytes(slot.place, slot.len);
        self.codec.decode(bytes, EventId(slot.low), ids(&self.ids, &self.groups, slot.group).into())
    }

    /// The event in a slot holds no longer.
    fn drop_slot(&mut self, number: u32) {
        self.slots[at_index(number)].len = 0;
        let slot = self.slots[at_index(number)];
        if let Ok(entry) = self.index.find_entry(slot.low, |other| *other == number) {
            entry.remove();
        }
        self.dead += 1;
        let key = (u128::from(slot.high) << 64) | u128::from(slot.low);
        self.decisions.remove(&key);
    }

    /// The operators' decisions about identifiers that hold, with their keys.
    #[must_use]
    pub fn decisions(&self) -> Vec<(u128, [Identifier; 2])> {
        self.decisions.iter().map(|(key, pair)| (*key, *pair)).collect()
    }

    /// Gives back the space of what holds no longer, once that is most of it.
    ///
    /// Cost: over many changes, a few copies of what they replaced.
    fn compact(&mut self) {
        if self.dead < 1024 || self.dead < self.index.len() {
            return;
        }
        let old = std::mem::take(self);
        self.rejects = old.rejects;
        self.decisions = old.decisions;
        self.codec = old.codec;
        for slot in old.slots.iter().filter(|slot| 0 < slot.len) {
            let place = self.arena.push(old.arena.bytes(slot.place, slot.len));
            let mut moved = Slot { place, group: NONE, before: NONE, ..*slot };
            let ids = ids(&old.ids, &old.groups, slot.group);
            if let Some(who) = Who::of(ids) {
                moved.group = self.group_of(who, ids);
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
