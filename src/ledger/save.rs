//! Save: how is a part of a checkpoint written?
//!
//! A part says what has changed since the parts before it, in the words of the log: first a block
//! that is common to all, with sets, texts and state, then one for each of 256 shards. What is
//! sealed is copied as it is. A part that says everything, for a checkpoint without the ones
//! before, leaves out what no event needs any more: texts, sets, and the keys of people.

use std::collections::BTreeSet;

use dataflows::{Identifier, spread};

use super::body::{self, Body};
use super::journal::{Journal, Window};
use super::{Error, Ledger, NONE, Payloads, at_index, ids};
use crate::names::Dictionary;

/// How many shards the base collections are cut into. Part of the format: never to be changed.
pub const SHARDS: u64 = 256;

/// The shard of an event. Part of the format: never to be changed.
#[must_use]
pub fn shard(key: u128) -> u64 {
    let [high, low] = super::halves(key);
    spread(spread(high) ^ low) % SHARDS
}

/// A shard as a place in a list.
fn place(shard: u64) -> usize {
    usize::try_from(shard).unwrap_or(usize::MAX)
}

/// A part that is being written: what becomes true when it is in place.
#[derive(Debug, Default)]
pub struct Saving {
    /// The slots that it has, each with its place in the part.
    places: Vec<(u32, u64)>,
    /// The words that no event needs, which it has left out.
    left_out: Vec<u64>,
    /// The groups that have no event any more, which it has left out too.
    forgotten: Vec<u32>,
    /// How many slots there were.
    slots: usize,
}

impl Ledger {
    /// Writes the blocks of a part: of all that has changed since the last, or of everything.
    /// `block` is given each, and says where it has put its first byte.
    ///
    /// # Errors
    ///
    /// See [`Error`]; or what `block` failed with. The ledger is as it was.
    pub fn save(
        &mut self,
        whole: bool,
        names: &Dictionary,
        state: &[u8],
        block: &mut dyn FnMut(&[u8]) -> Result<u64, Error>,
    ) -> Result<Saving, Error> {
        let from = if whole { 0 } else { self.saved };
        let mut saving = Saving { slots: self.slots.len(), ..Saving::default() };
        let numbers = from..self.slots.len();
        let mut live: Vec<(u64, u32)> = numbers
            .filter(|number| 0 < self.slots[*number].len)
            .map(|number| (self.slots[number].place, u32::try_from(number).unwrap_or(NONE)))
            .collect();
        live.sort_unstable();
        block(&self.common(whole, &live, names, state, &mut saving)?)?;
        // Read in the order in which they lie, and written shard by shard.
        let mut shards: Vec<Vec<u8>> = (0..SHARDS).map(|_| Vec::new()).collect();
        if !whole {
            let mut gone = self.gone.clone();
            gone.sort_unstable();
            gone.iter().for_each(|key| body::retract(*key, &mut shards[place(shard(*key))]));
        }
        let (mut window, mut places) = (Window::default(), Vec::with_capacity(live.len()));
        for (_, number) in &live {
            let shard = shard(self.slot(*number).key());
            let at = self.copy(*number, &mut window, &mut shards[place(shard)])?;
            places.push((*number, shard, at));
        }
        let mut begins = Vec::with_capacity(shards.len());
        for records in shards {
            begins.push(block(&Body { records: &records, ..Body::default() }.bytes())?);
        }
        let put = places.into_iter().map(|(number, shard, at)| (number, begins[place(shard)] + at));
        saving.places = put.collect();
        Ok(saving)
    }

    /// Appends the record of a slot with its payload as it lies on disk; gives the payload's place.
    fn copy(&self, number: u32, window: &mut Window, records: &mut Vec<u8>) -> Result<u64, Error> {
        let slot = self.slot(number);
        let Payloads::Disk(journal) = &self.payloads else {
            return Err(Error::Damaged("a ledger in memory has no checkpoint"));
        };
        let subject = journal.subject_of(slot.group);
        body::put(slot.key(), subject, at_index(slot.len), records);
        let at = u64::try_from(records.len()).unwrap_or(u64::MAX);
        journal.payload_in_order(window, (slot.place, slot.len, subject), records)?;
        Ok(at)
    }

    /// The block that is common to all shards.
    fn common(
        &mut self,
        whole: bool,
        live: &[(u64, u32)],
        names: &Dictionary,
        state: &[u8],
        saving: &mut Saving,
    ) -> Result<Vec<u8>, Error> {
        let (words, identifiers) = match whole {
            true => self.needed(live, names, saving)?,
            false => self.journal().map(|journal| journal.told()).unwrap_or_default(),
        };
        let groups = match whole {
            true => live.iter().map(|(_, number)| self.slot(*number).group).collect(),
            false => self.journal().map(Journal::groups_since).unwrap_or_default(),
        };
        if whole {
            let known = self.journal().map(Journal::groups_known).unwrap_or_default();
            saving.forgotten = known.into_iter().filter(|group| !groups.contains(group)).collect();
        }
        let numbered = match &self.payloads {
            Payloads::Disk(journal) if !whole => self.codec.numbered_from(journal.numbered_saved),
            _ => self.codec.numbered_from(0),
        };
        let Payloads::Disk(journal) = &mut self.payloads else {
            return Err(Error::Damaged("a ledger in memory has no checkpoint"));
        };
        let mut sets = Vec::new();
        let groups: BTreeSet<u32> = groups;
        for group in groups.into_iter().filter(|group| *group != NONE) {
            let ids = ids(&self.ids, &self.groups, group);
            journal.set(journal.subject_of(group), ids, names, &mut sets)?;
        }
        let mut told: Vec<(Option<u8>, &str)> = Vec::new();
        told.extend(words.iter().filter_map(|word| names.text_of_word(*word)).map(|t| (None, t)));
        let of_kind = |id: &Identifier| names.text_of(*id).map(|text| (Some(id.kind().0), text));
        told.extend(identifiers.iter().filter_map(of_kind));
        let words = journal.words(&told);
        let body = Body { records: &[], sets: &sets, words: &words, numbered: &numbered, state };
        Ok(body.bytes())
    }

    /// The words that the events that hold need, and the identifiers that decisions name.
    fn needed(
        &self,
        live: &[(u64, u32)],
        names: &Dictionary,
        saving: &mut Saving,
    ) -> Result<(Vec<u64>, Vec<Identifier>), Error> {
        let mut needed = BTreeSet::new();
        for (_, number) in live {
            self.event(*number)?.each_word(&mut |word| _ = needed.insert(word));
        }
        saving.left_out = names.all_words().filter(|word| !needed.contains(word)).collect();
        let named = self.decisions.values().flatten().copied().collect();
        Ok((needed.into_iter().collect(), named))
    }

    /// The part is in place and is named by a checkpoint: its events lie in it from now on.
    /// `in_part` makes a place of where a block was put.
    pub fn keep(&mut self, saving: Saving, in_part: impl Fn(u64) -> u64) {
        for (number, at) in saving.places {
            let slot = &mut self.slots[at_index(number)];
            slot.place = in_part(at);
        }
        self.saved = saving.slots;
        self.gone.clear();
        let numbered = self.codec.numbered();
        let Some(journal) = self.journal_mut() else { return };
        journal.saved(numbered, saving.left_out);
        for group in saving.forgotten {
            _ = journal.forget(group);
        }
    }

    /// All that has been applied so far is what the newest checkpoint has.
    pub fn loaded(&mut self) {
        let saving = Saving { slots: self.slots.len(), ..Saving::default() };
        self.keep(saving, |at| at);
    }

    /// How many events of the checkpoint hold no longer, and how many it has that do.
    #[must_use]
    pub fn stale(&self) -> (usize, usize) {
        (self.gone.len(), self.saved - self.gone.len().min(self.saved))
    }
}
