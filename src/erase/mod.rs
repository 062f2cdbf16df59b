//! Erase: how does a person leave, and how can it be shown?
//!
//! An erasure is a tick: the events of the person's profile, as all views show it at the tick
//! before, leave every view, and the keys that they are sealed under are destroyed in the same
//! commit. A receipt says what left, and is signed under the directory's key. What still lies on
//! disk cannot be read by anybody; within `erase_within`, or at once, everything is written anew
//! without it, and nothing of before stays.

pub mod verify;

use std::collections::BTreeMap;

use dataflows::{Identifier, Tick};
use serde::{Deserialize, Serialize};

use crate::durable::{Error, Rewritten, hex};
use crate::feed::Feed;
use crate::vault::Vault;
use crate::view::Store;
use crate::worker::{Driver, clock};

/// The version of the format of a receipt.
pub const VERSION: u32 = 1;

/// What an erasure has removed. It names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The version of the format.
    pub version: u32,
    /// Stands for the person: a keyed hash that only this data directory can make.
    pub pseudonym: String,
    /// The tick from which on no view has anything of the person.
    pub tick: u64,
    /// When, in seconds since the Unix epoch, by the clock of the machine.
    pub at: u64,
    /// How many profiles, identifiers and events were removed.
    pub profiles: usize,
    /// The identifiers that were known of the person.
    pub identifiers: usize,
    /// The events.
    pub events: usize,
    /// What became of each view.
    pub views: BTreeMap<String, Removed>,
    /// When all bytes were gone from the directory.
    pub rewritten: Option<Files>,
    /// An HMAC-SHA-256 over all of the above under a key of the directory, in hexadecimal digits.
    pub signature: String,
}

/// What an erasure has removed from a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// How many rows it had, and has.
    pub rows: [usize; 2],
    /// How many rows fewer it has; rows that only changed are not counted.
    pub removed: usize,
    /// The SHA-256 of its rows before and after, in hexadecimal digits.
    pub digests: [String; 2],
}

/// Which files an erasure has written anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The tick of the checkpoint that took the place of all that was before.
    pub tick: u64,
    /// What was removed.
    pub removed: Vec<String>,
    /// What was written.
    pub written: Vec<String>,
}

impl Receipt {
    /// What is signed.
    fn signed(&self) -> Vec<u8> {
        let unsigned = Receipt { signature: String::new(), ..self.clone() };
        serde_json::to_vec(&unsigned).expect("a receipt can be written as JSON")
    }

    /// Whether the directory with these keys has signed it.
    #[must_use]
    pub fn is_signed(&self, vault: &Vault) -> bool {
        unhex(&self.signature).is_some_and(|signature| vault.verify(&self.signed(), &signature))
    }

    /// Whether all views have the digests that it says they had after the erasure.
    #[must_use]
    pub fn agrees(&self, store: &Store) -> bool {
        let all = counted(store);
        let mut views = self.views.iter();
        views
            .all(|(view, said)| all.get(view).is_some_and(|(_, digest)| *digest == said.digests[1]))
    }

    /// The receipt as a file.
    #[must_use]
    pub fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a receipt can be written as JSON");
        json + "\n"
    }
}

/// The bytes of hexadecimal digits.
fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let pairs = digits.as_bytes().chunks(2);
    if pairs.len() != bytes.len() || digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The rows of all views, counted and digested.
fn counted(store: &Store) -> BTreeMap<String, (usize, String)> {
    let views = store.names().into_iter();
    let digest = |view| store.digest(view).map(|digest| hex(&digest)).unwrap_or_default();
    views.map(|view| (view.to_owned(), (store.len(view), digest(view)))).collect()
}

/// Erases the people of `identifiers`, as the views show them now; `None` if there is nobody.
///
/// With `now` all bytes are gone when
/// this returns, else they are within `erase_within`.
///
/// Cost: that of the people's events, and one pass over all views for their digests, twice; with
/// `now`, that of a checkpoint.
///
/// # Errors
///
/// The erasure may be durable or not: look when the directory is opened again.
pub fn erase(
    feed: &mut Feed,
    driver: &mut Driver<'_>,
    identifiers: &[Identifier],
    now: bool,
) -> Result<Option<Receipt>, Error> {
    if feed.ingest().waits() {
        feed.commit(driver)?;
    }
    let at = clock::unix_seconds();
    let before = counted(driver.store());
    let Some((tick, erased)) = feed.erase(driver, identifiers)? else { return Ok(None) };
    let after = counted(driver.store());
    // What is due after an erasure: a fit that knows nothing of the person.
    feed.finish(driver)?;
    let rewritten = match now {
        true => feed.checkpoint(driver, true, true)?.map(Files::from),
        false => None,
    };
    let views = before.into_iter().map(|(view, (rows, digest))| {
        let (left, other) = after.get(&view).cloned().unwrap_or_default();
        let removed = rows.saturating_sub(left);
        (view, Removed { rows: [rows, left], removed, digests: [digest, other] })
    });
    let mut receipt = Receipt {
        version: VERSION,
        pseudonym: String::new(),
        tick: tick.0,
        at,
        profiles: erased.profiles.len(),
        identifiers: erased.identifiers.len(),
        events: erased.events,
        views: views.collect(),
        rewritten,
        signature: String::new(),
    };
    if let Some(journal) = feed.ingest().ledger().journal() {
        let profiles = erased.profiles.iter().flat_map(|profile| profile.0.bits().to_be_bytes());
        let profiles: Vec<u8> = profiles.collect();
        receipt.pseudonym = hex(&journal.vault().pseudonym(&profiles));
        receipt.signature = hex(&journal.vault().sign(&receipt.signed()));
    }
    if let Some(durable) = feed.ingest().durable() {
        durable.file_receipt(Tick(receipt.tick), receipt.json().as_bytes())?;
    }
    Ok(Some(receipt))
}

impl From<Rewritten> for Files {
    fn from(files: Rewritten) -> Files {
        Files { tick: files.tick.0, removed: files.removed, written: files.written }
    }
}
