//! Ledger: which events hold, and what does a change change?
//!
//! Sources repeat themselves, correct themselves and take things back. The ledger holds the current
//! version of every event by its key and turns each verb into updates of the set of events: an
//! identical repeat is a duplicate and changes nothing, another version replaces the one before.
//!
//! Events are kept packed: about 70 bytes an event with its index, growing with the events that
//! hold. Events with the same identifiers are chained, which is how an erasure finds them.

mod arena;

use std::collections::BTreeMap;
use std::rc::Rc;

use dataflows::operator::Index;
use dataflows::{Action, Context, Diff, Event, EventId, EventTime, Identifier, Who, Word, spread};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use arena::Arena;

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

/// An event as it is kept.
#[derive(Serialize, Deserialize)]
struct Packed<A> {
    at: EventTime,
    source: Word,
    action: A,
    context: Context,
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

/// A set of identifiers.
#[derive(Debug)]
struct Group {
    ids: Box<[Identifier]>,
    /// The newest event with it.
    newest: u32,
}

/// The events that hold.
#[derive(Debug, Default)]
pub struct Ledger {
    arena: Arena,
    slots: Vec<Slot>,
    /// The slots by the low half of the key.
    index: HashTable<u32>,
    groups: Vec<Group>,
    group_of: Index<Who, u32>,
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
    pub fn put(&mut self, key: u128, event: Event, updates: &mut Vec<(Event, Diff)>) -> Outcome {
        let reject = matches!(event.action, Action::Reject(_));
        if 0 < self.rejects && !reject {
            self.retract(Ledger::reject_key(key), updates);
        }
        let [high, low] = halves(key);
        debug_assert_eq!(event.id, EventId(low), "an event's id is the low half of its key");
        let (group, known) = self.group(&event);
        let Event { at, source, action, context, .. } = &event;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let packed = Packed { at: *at, source: *source, action, context: *context };
        let bytes = postcard::to_extend(&packed, bytes).unwrap_or_default();
        let outcome = match self.find(low) {
            _ if bytes.is_empty() || EVENT_BYTES_MAX < bytes.len() => Outcome::TooLarge,
            Some(number) if self.slot(number).high != high => Outcome::Collision,
            Some(number) => {
                let slot = *self.slot(number);
                if slot.group == group && self.arena.bytes(slot.place, slot.len) == bytes {
                    Outcome::Duplicate
                } else {
                    updates.extend(self.event(number).map(|old| (old, -1)));
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
            let number = u32::try_from(self.slots.len()).expect("fewer than 2^32 versions");
            let place = self.arena.push(&bytes);
            let len = u32::try_from(bytes.len()).unwrap_or(0);
            let before = known
                .map_or(NONE, |group| std::mem::replace(&mut self.groups[group].newest, number));
            self.slots.push(Slot { high, low, place, group, before, len });
            let slots = &self.slots;
            self.index.insert_unique(low, number, |number| slots[at_index(*number)].low);
            updates.push((event, 1));
        }
        self.scratch = bytes;
        outcome
    }

    /// The event under `key` holds no longer.
    pub fn retract(&mut self, key: u128, updates: &mut Vec<(Event, Diff)>) -> Outcome {
        let [high, low] = halves(key);
        match self.find(low) {
            Some(number) if self.slot(number).high == high => {
                let old = self.event(number);
                self.rejects -= usize::from(
                    old.as_ref().is_some_and(|event| matches!(event.action, Action::Reject(_))),
                );
                updates.extend(old.map(|old| (old, -1)));
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
        updates: &mut Vec<(Event, Diff)>,
    ) -> usize {
        let before = updates.len();
        for who in groups {
            let Some(group) = self.group_of.remove(&who) else { continue };
            let mut number = self.groups[at_index(group)].newest;
            while number != NONE {
                let slot = *self.slot(number);
                if 0 < slot.len {
                    updates.extend(self.event(number).map(|old| (old, -1)));
                    self.drop_slot(number);
                }
                number = slot.before;
            }
            self.groups[at_index(group)] = Group { ids: Box::default(), newest: NONE };
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
        let groups = self.groups.capacity() * size_of::<Group>() + self.group_of.len() * 40;
        let ids: usize = self.groups.iter().map(|group| size_of_val(&*group.ids)).sum();
        self.arena.capacity() + slots + self.index.allocation_size() + groups + ids
    }

    fn slot(&self, number: u32) -> &Slot {
        &self.slots[at_index(number)]
    }

    fn find(&self, low: u64) -> Option<u32> {
        self.index.find(low, |number| self.slot(*number).low == low).copied()
    }

    /// The number of an event's identifiers, and its place in the list of those that have any.
    fn group(&mut self, event: &Event) -> (u32, Option<usize>) {
        let Some(who) = event.key() else { return (NONE, None) };
        let known = self.group_of.get(&who).copied();
        let group = known.unwrap_or_else(|| {
            let group = u32::try_from(self.groups.len()).expect("fewer than 2^32 sets");
            self.groups.push(Group { ids: event.who.clone(), newest: NONE });
            self.group_of.insert(who, group);
            group
        });
        (group, Some(at_index(group)))
    }

    /// The event in a slot.
    fn event(&self, number: u32) -> Option<Event> {
        let slot = self.slot(number);
        let bytes = self.arena.bytes(slot.place, slot.len);
        let packed: Packed<Action> = postcard::from_bytes(bytes).ok()?;
        let who = self.groups.get(at_index(slot.group)).map(|group| group.ids.clone());
        Some(Event {
            at: packed.at,
            id: EventId(slot.low),
            source: packed.source,
            who: who.unwrap_or_default(),
            action: packed.action,
            context: packed.context,
        })
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
        for slot in old.slots.iter().filter(|slot| 0 < slot.len) {
            let number = u32::try_from(self.slots.len()).unwrap_or(NONE);
            let place = self.arena.push(old.arena.bytes(slot.place, slot.len));
            let mut moved = Slot { place, group: NONE, before: NONE, ..*slot };
            if let Some(group) = old.groups.get(at_index(slot.group)) {
                let ids = &group.ids;
                let who = Who::of(ids).expect("a group has identifiers");
                let known = self.group_of.get(&who).copied();
                moved.group = known.unwrap_or_else(|| {
                    let group = u32::try_from(self.groups.len()).unwrap_or(NONE);
                    self.groups.push(Group { ids: ids.clone(), newest: NONE });
                    self.group_of.insert(who, group);
                    group
                });
                let newest = &mut self.groups[at_index(moved.group)].newest;
                moved.before = std::mem::replace(newest, number);
            }
            self.slots.push(moved);
            let slots = &self.slots;
            self.index.insert_unique(slot.low, number, |number| slots[at_index(*number)].low);
        }
    }
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
