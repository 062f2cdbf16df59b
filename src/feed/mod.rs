//! Feed: what becomes of each row?
//!
//! Every row is accepted, a duplicate, or rejected, and the three add up to the rows read.
//! A refused row becomes a reject, which is an event like any other; a good row with the same id
//! later takes it away.

mod account;

use std::collections::{BTreeMap, BTreeSet};

use dataflows::{Action, Event, EventTime, Identifier, Reject, Tick, Word};

use crate::decode::{Change, Row, reject_event, rejected};
use crate::durable::{Durable, Error, Rewritten};
use crate::ledger::{self, Ledger, Outcome};
use crate::names::{Collision, Dictionary};
use crate::worker::ingest::{ENGINE, Erased, Ingest};
use crate::worker::refit::{Policy, Refit};
use crate::worker::{Driver, clock};
use account::{FileOf, Reason};

pub use account::Counts;

/// Within how many seconds the bytes of those who were erased have to go, unless the shop says.
const ERASE_WITHIN: u64 = 24 * 3600;

/// Why a row is refused that could be decoded: what goes on from a field's name, and that field.
const REFUSALS: [(&str, Option<&str>); 4] = [
    ("names no event that holds", Some("id")),
    ("names nobody who is known", Some("who")),
    ("has the 64-bit hash of another event", Some("id")),
    ("is longer than an event may be (64 KiB)", None),
];

/// A place in [`REFUSALS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    NoEvent = 0,
    Nobody = 1,
    Collision = 2,
    TooLarge = 3,
}

/// What a row asks for; its refusal is an event already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    source: Word,
    file: Word,
    line: u64,
    outcome: Result<Vec<Change>, (u128, Event)>,
}

impl Asked {
    /// What `row` asks for.
    ///
    /// # Errors
    ///
    /// Its refusal cannot be named.
    pub fn of(row: Row, names: &mut Dictionary) -> Result<Asked, Collision> {
        let Row { source, file, line, outcome } = row;
        let outcome = match outcome {
            Ok(changes) => Ok(changes),
            Err(refusal) => Err(reject_event(source, file, line, &refusal, names)?),
        };
        Ok(Asked { source, file, line, outcome })
    }
}

/// What became of a change. The greatest is what became of its row: of a row that erases, one
/// identifier of somebody who is known is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Duplicate,
    Nobody,
    Accepted,
    /// Why, and the key of the event that was meant.
    Refused(Why, u128),
}

/// Takes rows to the engine and keeps their account.
#[derive(Debug)]
pub struct Feed {
    ingest: Ingest,
    counts: Counts,
    reasons: BTreeMap<Reason, u64>,
    /// How many rows of each file have been taken.
    taken: BTreeMap<FileOf, u64>,
    /// What has changed of the two since the last tick.
    changed: (BTreeSet<Reason>, BTreeSet<FileOf>),
    refusals: Vec<(Word, Option<Word>)>,
    span: Option<(EventTime, EventTime)>,
    /// How many changes the next tick has so far.
    pending: usize,
    /// Within how many seconds the bytes of those who were erased have to go.
    erase_within: u64,
}

impl Feed {
    /// Nothing yet; segments are fitted as `refit` says.
    ///
    /// # Errors
    ///
    /// A reason for a refusal cannot be named.
    pub fn new(refit: Option<Refit>, names: &mut Dictionary) -> Result<Feed, Collision> {
        let mut refusals = Vec::new();
        for (reason, field) in REFUSALS {
            let field = field.map(|field| names.learn(field)).transpose()?;
            refusals.push((names.learn(reason)?, field));
        }
        Ok(Feed {
            ingest: Ingest::new(refit),
            counts: Counts::default(),
            reasons: BTreeMap::new(),
            taken: BTreeMap::new(),
            changed: Default::default(),
            refusals,
            span: None,
            pending: 0,
            erase_within: ERASE_WITHIN,
        })
    }

    /// What became of the rows so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many rows were refused for each reason and field.
    #[must_use]
    pub fn reasons(&self) -> &BTreeMap<(Word, Option<Word>), u64> {
        &self.reasons
    }

    /// The least and the greatest event time of what people did.
    #[must_use]
    pub fn span(&self) -> Option<(EventTime, EventTime)> {
        self.span
    }

    /// How many changes the next tick has so far.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// What turns changes into ticks.
    #[must_use]
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// What turns changes into ticks, to be changed.
    pub fn ingest_mut(&mut self) -> &mut Ingest {
        &mut self.ingest
    }

    /// How many rows of each file of a source have been taken.
    #[must_use]
    pub fn taken(&self) -> &BTreeMap<(Word, Word), u64> {
        &self.taken
    }

    /// Decides the next tick with all that has come.
    ///
    /// # Errors
    ///
    /// The tick is not durable, and nothing after it can be.
    pub fn commit(&mut self, driver: &mut Driver<'_>) -> Result<Tick, Error> {
        self.pending = 0;
        let note = self.note(false);
        let tick = self.ingest.commit(driver, &note)?;
        self.keep_up(driver)?;
        Ok(tick)
    }

    /// Writes a checkpoint if the log has outgrown the last one, or `now`; with `whole` nothing of
    /// before is kept, and it says what went.
    ///
    /// # Errors
    ///
    /// The checkpoint before is still there.
    pub fn checkpoint(
        &mut self,
        driver: &mut Driver<'_>,
        now: bool,
        whole: bool,
    ) -> Result<Option<Rewritten>, Error> {
        if !self.ingest.checkpoint_is_due(now || whole) {
            return Ok(None);
        }
        let note = self.note(true);
        self.ingest.checkpoint(driver, whole, &note)
    }

    /// Writes a checkpoint where one is due: the log has outgrown the last one, or the bytes of
    /// somebody who was erased have to go. A full disk is no reason to stop: the log goes on.
    fn keep_up(&mut self, driver: &mut Driver<'_>) -> Result<(), Error> {
        let since = self.ingest.durable().and_then(Durable::erased_since);
        let due = since.map(|since| since.saturating_add(self.erase_within));
        let whole = due.is_some_and(|due| due <= clock::unix_seconds());
        match self.checkpoint(driver, false, whole) {
            Err(error) if error.is_full() => Ok(()),
            done => done.map(drop),
        }
    }

    /// The bytes of those who were erased have to go within so many hours.
    pub fn erase_within(&mut self, hours: u32) {
        self.erase_within = 3600 * u64::from(hours);
    }

    /// Leaves nothing to replay: a checkpoint of all that was decided, and without those who were
    /// erased, if their bytes are still there.
    ///
    /// # Errors
    ///
    /// The checkpoint before is still there, and the log goes on from it.
    pub fn close(&mut self, driver: &mut Driver<'_>) -> Result<(), Error> {
        self.keep_up(driver)?;
        match self.checkpoint(driver, true, false) {
            // The log has everything: the next start replays it.
            Err(error) if error.is_full() => {}
            done => drop(done?),
        }
        match self.ingest.durable_mut() {
            Some(durable) => durable.note(),
            None => Ok(()),
        }
    }

    /// Erases the people of `identifiers` with the next tick, after one with what has come before;
    /// `None` if there is nobody.
    ///
    /// # Errors
    ///
    /// The tick is not durable, and nothing after it can be.
    pub fn erase(
        &mut self,
        driver: &mut Driver<'_>,
        identifiers: &[Identifier],
    ) -> Result<Option<(Tick, Erased)>, Error> {
        if self.ingest.waits() {
            self.commit(driver)?;
        }
        let erased = self.take_out(driver, identifiers)?;
        if erased.events == 0 {
            return Ok(None);
        }
        self.pending = 0;
        let note = self.note(false);
        let tick = self.ingest.commit_erasure(driver, &note)?;
        Ok(Some((tick, erased)))
    }

    /// Decides the ticks that are left when the input ends.
    ///
    /// # Errors
    ///
    /// The tick is not durable, and nothing after it can be.
    pub fn finish(&mut self, driver: &mut Driver<'_>) -> Result<(), Error> {
        self.pending = 0;
        let note = self.note(false);
        self.ingest.finish(driver, &note)
    }

    /// Takes a row: its changes hold from the next tick on. An erasure decides its tick at once.
    ///
    /// # Errors
    ///
    /// The row is not durable, and nothing after it can be.
    pub fn row(&mut self, driver: &mut Driver<'_>, asked: Asked) -> Result<(), Error> {
        let Asked { source, file, line, outcome } = asked;
        let erases = |change: &Change| matches!(change, Change::Erase(_));
        let erasing = outcome.as_ref().is_ok_and(|changes| changes.iter().any(erases));
        if erasing && self.ingest.waits() {
            // Of what is committed here the row is no part yet.
            self.commit(driver)?;
        }
        *self.taken.entry((source, file)).or_default() += 1;
        self.changed.1.insert((source, file));
        self.counts.rows += 1;
        let (mut verdict, mut erased) = (None, Vec::new());
        match outcome {
            Err((key, event)) => self.reject(key, event)?,
            Ok(changes) => {
                // A row that asks for nothing says nothing new.
                verdict = Some(Verdict::Duplicate);
                for change in changes {
                    let one = match change {
                        Change::Put { key, event } => self.put(key, event)?,
                        Change::Retract { key } => self.retract(key)?,
                        Change::Erase(identifier) => {
                            erased.push(identifier);
                            Verdict::Nobody
                        }
                    };
                    verdict = verdict.max(Some(one));
                }
            }
        }
        let erases = 0 < self.take_out(driver, &erased)?.events;
        if erases {
            verdict = verdict.max(Some(Verdict::Accepted));
        }
        self.judge(verdict, (source, file, line))?;
        if erases {
            self.pending = 0;
            let note = self.note(false);
            self.ingest.commit_erasure(driver, &note)?;
        }
        let Counts { rows, accepted, duplicate, rejected, .. } = self.counts;
        assert_eq!(rows, accepted + duplicate + rejected, "every row is accounted for");
        Ok(())
    }

    /// Lets the people of `identifiers` go with the next tick.
    fn take_out(
        &mut self,
        driver: &Driver<'_>,
        identifiers: &[Identifier],
    ) -> Result<Erased, ledger::Error> {
        if identifiers.is_empty() {
            return Ok(Erased::default());
        }
        let erased = self.ingest.take_out(driver, identifiers)?;
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.counts.erased += count(erased.profiles.len());
        self.counts.erased_events += count(erased.events);
        Ok(erased)
    }

    /// Counts a row by what became of it; a refusal becomes a reject.
    fn judge(
        &mut self,
        verdict: Option<Verdict>,
        place: (Word, Word, u64),
    ) -> Result<(), ledger::Error> {
        match verdict {
            None => {}
            Some(Verdict::Duplicate) => self.counts.duplicate += 1,
            Some(Verdict::Accepted) => self.counts.accepted += 1,
            Some(Verdict::Nobody) => {
                self.refuse(Why::Nobody, place_key(place.1, place.2), place)?;
            }
            Some(Verdict::Refused(why, key)) => {
                self.refuse(why, Ledger::reject_key(key), place)?;
            }
        }
        Ok(())
    }

    /// Refuses a row that could be decoded.
    #[expect(clippy::as_conversions, reason = "a place by its definition")]
    fn refuse(
        &mut self,
        why: Why,
        key: u128,
        (source, file, line): (Word, Word, u64),
    ) -> Result<(), ledger::Error> {
        let (reason, field) = self.refusals[why as usize];
        self.reject(key, rejected(key, source, Reject { reason, field, file, line }))
    }

    /// Lets a reject hold.
    fn reject(&mut self, key: u128, event: Event) -> Result<(), ledger::Error> {
        self.counts.rejected += 1;
        if let Action::Reject(reject) = &event.action {
            let reason = (reject.reason, reject.field);
            *self.reasons.entry(reason).or_default() += 1;
            self.changed.0.insert(reason);
        }
        self.pending += usize::from(self.ingest.put(key, event)? != Outcome::Duplicate);
        Ok(())
    }

    /// Lets an event hold.
    fn put(&mut self, key: u128, event: Event) -> Result<Verdict, ledger::Error> {
        let catalogue = matches!(event.action, Action::Item(..));
        let (at, personal) = (event.at, !event.who.is_empty() || touches_item(&event.action));
        match self.ingest.put(key, event)? {
            Outcome::Duplicate => return Ok(Verdict::Duplicate),
            Outcome::Collision => return Ok(Verdict::Refused(Why::Collision, key)),
            Outcome::TooLarge => return Ok(Verdict::Refused(Why::TooLarge, key)),
            Outcome::Corrected if catalogue => self.counts.retold += 1,
            Outcome::Corrected => self.counts.corrected += 1,
            Outcome::Accepted | Outcome::Retracted | Outcome::Unknown => {}
        }
        if personal {
            let (first, last) = self.span.unwrap_or((at, at));
            self.span = Some((first.min(at), last.max(at)));
        }
        self.pending += 1;
        Ok(Verdict::Accepted)
    }

    /// The event of `key`, or the reject of the row that meant it, holds no longer.
    fn retract(&mut self, key: u128) -> Result<Verdict, ledger::Error> {
        let mut gone = 0;
        for key in [key, Ledger::reject_key(key)] {
            gone += usize::from(self.ingest.retract(key)? == Outcome::Retracted);
        }
        if gone == 0 {
            return Ok(Verdict::Refused(Why::NoEvent, key));
        }
        self.counts.retracted += 1;
        self.pending += gone;
        Ok(Verdict::Accepted)
    }
}

/// The key of a reject that has only its place.
fn place_key(file: Word, line: u64) -> u128 {
    let halves = [file.0.get() ^ line.rotate_left(32), file.0.get().wrapping_add(line)];
    let [high, low] = halves.map(dataflows::spread);
    (u128::from(high) << 64) | u128::from(low)
}

/// Whether something happened to an item, and not in the catalogue only.
fn touches_item(action: &Action) -> bool {
    matches!(
        action,
        Action::View(_)
            | Action::AddToCart(_)
            | Action::RemoveFromCart(_)
            | Action::Order { .. }
            | Action::Refund { .. }
    )
}

/// When segments are fitted, as the shop's file says.
#[must_use]
pub fn refit(shop: &crate::config::Shop) -> Refit {
    let policy = Policy {
        ticks: shop.refit.ticks,
        days: shop.refit.days,
        drift: shop.refit.drift,
        erase_within_days: shop.refit.erase_within_hours / 24,
    };
    Refit::new(policy, shop.settings.segments.clone(), ENGINE)
}
