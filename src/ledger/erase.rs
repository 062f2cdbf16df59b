//! Erase: which events are a person's, and how do they all cease to hold?
//!
//! Events with the same identifiers are chained, so that a person's are found without a search.

use std::collections::BTreeSet;
use std::rc::Rc;

use dataflows::{Identifier, Who};

use super::{Error, Group, Ledger, NONE, Payloads, Update, at_index, ids};

impl Ledger {
    /// No event with one of these sets of identifiers holds any longer; gives their number.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn erase(
        &mut self,
        sets: impl IntoIterator<Item = Who>,
        updates: &mut Vec<Update>,
    ) -> Result<usize, Error> {
        let before = updates.len();
        let mut erased = Vec::new();
        for who in sets {
            let same = |group: &u32| Who::of(ids(&self.ids, &self.groups, *group)) == Some(who);
            let Ok(entry) = self.group_of.find_entry(who.0, same) else { continue };
            let (group, _) = entry.remove();
            let own = ids(&self.ids, &self.groups, group).to_vec();
            self.erase_group(group, updates)?;
            erased.push((group, own));
        }
        if let Payloads::Disk(journal) = &mut self.payloads {
            journal.erase(&erased);
        }
        self.compact_memory();
        Ok(updates.len() - before)
    }

    /// All identifiers of these sets.
    #[must_use]
    pub fn identifiers(&self, sets: &[Who]) -> Vec<Identifier> {
        let group = |who: &Who| {
            let same = |group: &u32| Who::of(ids(&self.ids, &self.groups, *group)) == Some(*who);
            self.group_of.find(who.0, same).copied()
        };
        let groups = sets.iter().filter_map(group);
        let all = groups.flat_map(|group| ids(&self.ids, &self.groups, group));
        let distinct: BTreeSet<Identifier> = all.copied().collect();
        distinct.into_iter().collect()
    }

    /// No event of a group holds any longer, and its identifiers are forgotten.
    pub(super) fn erase_group(
        &mut self,
        group: u32,
        updates: &mut Vec<Update>,
    ) -> Result<(), Error> {
        let Group { first, len, mut newest } = self.groups[at_index(group)];
        while newest != NONE {
            let slot = *self.slot(newest);
            if 0 < slot.len {
                let old = self.event(newest)?;
                self.leave(newest, &old);
                updates.push((Rc::new(old), -1));
            }
            newest = slot.before;
        }
        self.ids[at_index(first)..][..at_index(len)].fill(Identifier::default());
        self.groups[at_index(group)].newest = NONE;
        Ok(())
    }
}
