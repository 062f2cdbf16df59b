//! Account: how many rows became what, and how is that known after a restart?
//!
//! Each tick's frame in the log has what it changed of the account, a checkpoint has all of it.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::{EventTime, Word};
use serde::{Deserialize, Serialize};

use super::Feed;
use crate::durable::{Error, Health, Opened, State};
use crate::ledger;
use crate::worker::Driver;
use crate::worker::ingest::wait_for_room;
use crate::worker::recover::{self, Listen, Progress};
use crate::worker::refit::Refit;

/// What became of the rows.
///
/// # Invariants
///
/// * `rows = accepted + duplicate + rejected`. Kept by [`Feed::row`], which asserts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Rows of which something was new.
    pub accepted: u64,
    /// Rows that said what held already.
    pub duplicate: u64,
    /// Rows that were refused.
    pub rejected: u64,
    /// Events that hold instead of an earlier version, less those of the catalogue.
    pub corrected: u64,
    /// Catalogue events that hold instead of an earlier version.
    pub retold: u64,
    /// Events and rejects that were retracted.
    pub retracted: u64,
    /// People who were erased.
    pub erased: u64,
    /// Events that went with them.
    pub erased_events: u64,
}

/// A file of a source.
pub(super) type FileOf = (Word, Word);

/// A reason, and the field at fault.
pub(super) type Reason = (Word, Option<Word>);

/// The account as it lies in the log: what has changed of it since the frame before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    counts: Counts,
    span: Option<(EventTime, EventTime)>,
    /// How many rows of each file have been taken.
    taken: Vec<(FileOf, u64)>,
    reasons: Vec<(Reason, u64)>,
}

impl Feed {
    /// The account as bytes: all of it, or what has changed since this was asked last.
    pub fn note(&mut self, all: bool) -> Vec<u8> {
        if self.ingest.durable().is_none() {
            return Vec::new();
        }
        let (reasons, taken) = std::mem::take(&mut self.changed);
        let account = Account {
            counts: self.counts,
            span: self.span,
            taken: changed(&self.taken, &taken, all),
            reasons: changed(&self.reasons, &reasons, all),
        };
        postcard::to_stdvec(&account).expect("bytes in memory take every account")
    }

    /// Takes up an account that [`note`](Feed::note) gave.
    ///
    /// # Errors
    ///
    /// The bytes are no account; nothing has changed.
    pub fn recall(&mut self, note: &[u8]) -> Result<(), ledger::Error> {
        let account: Account = postcard::from_bytes(note)
            .map_err(|_| ledger::Error::Damaged("an account is of no known form"))?;
        self.counts = account.counts;
        self.span = account.span;
        self.taken.extend(account.taken);
        self.reasons.extend(account.reasons);
        Ok(())
    }

    /// Takes up what lies in a data directory.
    ///
    /// # Errors
    ///
    /// The directory is damaged, of another shop or another program; nothing was changed in it.
    pub fn recover(
        &mut self,
        driver: &mut Driver<'_>,
        refit: Refit,
        opened: Opened,
        health: &Health,
    ) -> Result<Progress, Error> {
        let mut opened = (opened.durable, opened.journal);
        opened.0.wait_with(wait_for_room(health.clone()));
        let mut listener = Listener { feed: self, health };
        let recovered = recover::recover(driver, Some(refit), opened, &mut listener)?;
        self.ingest = recovered.ingest;
        Ok(recovered.progress)
    }
}

/// Hears what recovery finds.
struct Listener<'f> {
    feed: &'f mut Feed,
    health: &'f Health,
}

impl Listen for Listener<'_> {
    fn note(&mut self, note: &[u8]) -> Result<(), ledger::Error> {
        self.feed.recall(note)
    }

    fn progress(&mut self, progress: Progress) {
        let (of, events) = progress.events;
        self.health.set(State::Hydrating { events, of, ticks: progress.frames });
    }
}

/// The entries of `all` with one of `keys`, or all of them.
fn changed<K: Copy + Ord>(
    all: &BTreeMap<K, u64>,
    keys: &BTreeSet<K>,
    whole: bool,
) -> Vec<(K, u64)> {
    match whole {
        true => all.iter().map(|(key, count)| (*key, *count)).collect(),
        false => keys.iter().filter_map(|key| Some((*key, *all.get(key)?))).collect(),
    }
}
