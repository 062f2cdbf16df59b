//! Replay: how does the ledger come back from what lies on disk?
//!
//! Bodies of the log and parts of a checkpoint are applied in the order in which they were written.
//! What is sealed for a person whose key has been destroyed is passed over: its erasure is in the
//! log, or everything before it has been written anew.

use std::rc::Rc;

use dataflows::operator::Index;
use dataflows::{Event, EventId, Identifier, Kind, Who};

use super::body::{Body, Read, Record};
use super::journal::{Gone, Journal};
use super::{Error, Ledger, NONE, Payloads, Slot, Update, halves, ids};
use crate::log::Place;
use crate::names::Dictionary;
use crate::vault::Slot as Key;

/// What a body came to, beside its updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What else must be as it was.
    pub state: Vec<u8>,
    /// Whom the body erases, as far as their keys are still there.
    pub gone: Gone,
    /// All keys that its erasures destroy.
    pub erased: Vec<Key>,
    /// How many records were passed over, because their person's key is gone.
    pub passed: usize,
}

impl Ledger {
    /// An empty ledger whose events lie on disk.
    #[must_use]
    pub fn on_disk(journal: Journal) -> Ledger {
        Ledger { payloads: Payloads::Disk(Box::new(journal)), ..Ledger::default() }
    }

    /// What writes its events; `None` where they are in memory.
    #[must_use]
    pub fn journal(&self) -> Option<&Journal> {
        match &self.payloads {
            Payloads::Disk(journal) => Some(journal),
            Payloads::Memory(_) => None,
        }
    }

    /// What writes its events, to be changed.
    pub fn journal_mut(&mut self) -> Option<&mut Journal> {
        match &mut self.payloads {
            Payloads::Disk(journal) => Some(journal),
            Payloads::Memory(_) => None,
        }
    }

    /// The body of the next frame: all that has changed since the last, and `state`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn body(&mut self, names: &mut Dictionary, state: &[u8]) -> Result<Vec<u8>, Error> {
        let Payloads::Disk(journal) = &mut self.payloads else { return Ok(Vec::new()) };
        let mut sets = Vec::new();
        for group in journal.take_fresh() {
            let subject = journal.subject_of(group);
            let ids = ids(&self.ids, &self.groups, group);
            // One that has been erased before it was ever written has nothing to say.
            if ids.first().is_some_and(|id| *id != Identifier::default()) {
                journal.set(subject, ids, names, &mut sets)?;
            }
        }
        let numbered = self.codec.numbered_from(journal.numbered);
        journal.numbered = self.codec.numbered();
        Ok(journal.body(names, &sets, &numbered, state))
    }

    /// The body lies in the log, and the one after it will begin at `next`. Gives who goes once it
    /// is durable.
    pub fn written(&mut self, next: Place) -> Gone {
        let gone = self.journal_mut().map(|journal| journal.written(next)).unwrap_or_default();
        self.compact();
        gone
    }

    /// Applies a body that was written before, whose first byte is at `place`.
    ///
    /// # Errors
    ///
    /// The body is not one that a ledger wrote after those applied before; part of it may have been
    /// applied.
    pub fn apply(
        &mut self,
        bytes: &[u8],
        place: Place,
        names: &mut Dictionary,
        updates: &mut Vec<Update>,
    ) -> Result<Applied, Error> {
        let body = Body::parse(bytes)?;
        self.codec.number(body.numbered)?;
        let Payloads::Disk(journal) = &mut self.payloads else {
            return Err(Error::Damaged("a ledger in memory has no log"));
        };
        journal.numbered = self.codec.numbered();
        for (kind, text) in journal.open_words(body.words)? {
            match kind {
                Some(kind) => {
                    let identifier = names.learn_identifier(Kind(kind), &text);
                    journal.tell(None, Some(identifier));
                }
                None => {
                    let word = names.learn(&text).map_err(|_| Error::Secret)?;
                    journal.tell(Some(word.0.get()), None);
                }
            }
        }
        self.apply_sets(body.sets, names)?;
        let mut applied = Applied { state: body.state.to_vec(), ..Applied::default() };
        let mut records = Read::of(body.records);
        while !records.is_done() {
            match records.record()? {
                Record::Put { key, subject, at, payload } => {
                    let place = place.0 + u64::try_from(at).unwrap_or(u64::MAX);
                    let put = self.apply_put(key, subject, place, payload, updates)?;
                    applied.passed += usize::from(!put);
                }
                Record::Retract(key) => self.apply_retract(key, updates)?,
                Record::Erase(subjects) => {
                    for subject in subjects {
                        self.apply_erase(subject, updates, &mut applied.gone)?;
                        applied.erased.extend(subject.checked_sub(1).map(Key));
                    }
                }
            }
        }
        Ok(applied)
    }

    /// Learns who the subjects of a body are.
    fn apply_sets(&mut self, sets: &[u8], names: &mut Dictionary) -> Result<(), Error> {
        let mut read = Read::of(sets);
        while !read.is_done() {
            let subject = read.number()?;
            let nonce = read.chunk()?;
            let length = usize::try_from(read.number()?).unwrap_or(usize::MAX);
            let sealed = read.bytes(length)?;
            let Some(journal) = self.journal_mut() else { continue };
            if journal.is_gone(subject) {
                continue;
            }
            let named = journal.open_set(subject, nonce, sealed)?;
            for (id, text) in &named {
                if let Some(text) = text
                    && names.learn_identifier(id.kind(), text) != *id
                {
                    return Err(Error::Secret);
                }
            }
            let ids: Vec<Identifier> = named.into_iter().map(|(id, _)| id).collect();
            let who = Who::of(&ids).ok_or(Error::Damaged("a set has no identifier"))?;
            let group = self.group_of(who, &ids);
            if let Some(journal) = self.journal_mut() {
                journal.know(group, subject);
                journal.groups.insert(subject, group);
            }
        }
        Ok(())
    }

    /// An event holds; `false` if its person's key is gone.
    fn apply_put(
        &mut self,
        key: u128,
        subject: u32,
        place: u64,
        payload: &[u8],
        updates: &mut Vec<Update>,
    ) -> Result<bool, Error> {
        let [high, low] = halves(key);
        let Some(journal) = self.journal_mut() else { return Ok(false) };
        if journal.is_gone(subject) {
            // The version before it, if there was one, holds no longer all the same.
            return self.apply_retract(key, updates).map(|()| false);
        }
        let group = match subject {
            0 => NONE,
            _ => {
                let known = journal.groups.get(&subject).copied();
                known.ok_or(Error::Damaged("an event is of somebody unknown"))?
            }
        };
        let mut bytes = std::mem::take(&mut self.scratch);
        if let Some(journal) = self.journal() {
            journal.unseal(key, subject, payload, &mut bytes)?;
        }
        let who = ids(&self.ids, &self.groups, group);
        let event = self.codec.decode(&bytes, EventId(low), who.into());
        let event = event.ok_or(Error::Damaged("an event is of no known form"))?;
        let len = u32::try_from(bytes.len()).unwrap_or(0);
        self.scratch = bytes;
        self.apply_retract(key, updates)?;
        self.hold(key, &event, Slot { high, low, place, group, before: NONE, len });
        updates.push((Rc::new(event), 1));
        Ok(true)
    }

    /// The event of a key, if there is one, holds no longer.
    fn apply_retract(&mut self, key: u128, updates: &mut Vec<Update>) -> Result<(), Error> {
        let [high, low] = halves(key);
        if let Some(number) = self.find(low).filter(|number| self.slot(*number).high == high) {
            let old: Event = self.event(number)?;
            self.leave(number, &old);
            updates.push((Rc::new(old), -1));
        }
        Ok(())
    }

    /// No event of a subject holds any longer.
    fn apply_erase(
        &mut self,
        subject: u32,
        updates: &mut Vec<Update>,
        gone: &mut Gone,
    ) -> Result<(), Error> {
        let group = self.journal_mut().and_then(|journal| journal.groups.remove(&subject));
        let Some(group) = group else { return Ok(()) };
        if let (Some(journal), Some(key)) = (self.journal(), subject.checked_sub(1)) {
            let own = ids(&self.ids, &self.groups, group);
            gone.keys.push(Key(key));
            gone.people.push(journal.pseudonym(own));
        }
        if let Some(who) = Who::of(ids(&self.ids, &self.groups, group)) {
            let found = self.group_of.find_entry(who.0, |other| *other == group);
            if let Ok(entry) = found {
                entry.remove();
            }
        }
        self.erase_group(group, updates)?;
        if let Some(journal) = self.journal_mut() {
            _ = journal.forget(group);
        }
        Ok(())
    }

    /// All that the log holds has been applied: what only replays need is given back.
    pub fn replayed(&mut self) {
        if let Some(journal) = self.journal_mut() {
            journal.groups = Index::default();
            journal.reuse_keys();
        }
        self.compact();
    }

    /// How many slots there are, whose first are those of the newest checkpoint.
    #[must_use]
    pub fn saved(&self) -> (usize, usize) {
        (self.saved, self.slots.len())
    }
}
