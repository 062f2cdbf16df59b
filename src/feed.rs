//! Feed: what becomes of each row?
//!
//! Every row is accepted, a duplicate, or rejected, and the three add up to the rows read.
//! A refused row becomes a reject, which is an event like any other; a good row with the same id
//! later takes it away.

use std::collections::BTreeMap;

use dataflows::{Action, Event, EventTime, Reject, Tick, Word};

use crate::decode::{Change, Row, reject_event, rejected};
use crate::ledger::{Ledger, Outcome};
use crate::names::{Collision, Dictionary};
use crate::worker::Driver;
use crate::worker::ingest::{ENGINE, Ingest};
use crate::worker::refit::{Policy, Refit};

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

/// What became of the rows.
///
/// # Invariants
///
/// * `rows = accepted + duplicate + rejected`. Kept by [`Feed::row`], which asserts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    reasons: BTreeMap<(Word, Option<Word>), u64>,
    refusals: Vec<(Word, Option<Word>)>,
    span: Option<(EventTime, EventTime)>,
    /// How many changes the next tick has so far.
    pending: usize,
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
            refusals,
            span: None,
            pending: 0,
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

    /// Decides the next tick with all that has come.
    pub fn commit(&mut self, driver: &mut Driver<'_>) -> Tick {
        self.pending = 0;
        self.ingest.commit(driver)
    }

    /// Decides the ticks that are left when the input ends.
    pub fn finish(&mut self, driver: &mut Driver<'_>) {
        self.pending = 0;
        self.ingest.finish(driver);
    }

    /// Takes a row: its changes hold from the next tick on. An erasure decides its tick at once.
    pub fn row(&mut self, driver: &mut Driver<'_>, asked: Asked) {
        let Asked { source, file, line, outcome } = asked;
        let verdict = match outcome {
            Err((key, event)) => {
                self.reject(key, event);
                None
            }
            Ok(changes) => {
                let verdicts = changes.into_iter().map(|change| self.change(driver, change));
                // A row that asks for nothing says nothing new.
                Some(verdicts.max().unwrap_or(Verdict::Duplicate))
            }
        };
        let place = (source, file, line);
        match verdict {
            None => {}
            Some(Verdict::Duplicate) => self.counts.duplicate += 1,
            Some(Verdict::Accepted) => self.counts.accepted += 1,
            Some(Verdict::Nobody) => self.refuse(Why::Nobody, place_key(file, line), place),
            Some(Verdict::Refused(why, key)) => self.refuse(why, Ledger::reject_key(key), place),
        }
        self.counts.rows += 1;
        let Counts { rows, accepted, duplicate, rejected, .. } = self.counts;
        assert_eq!(rows, accepted + duplicate + rejected, "every row is accounted for");
    }

    /// Refuses a row that could be decoded.
    #[expect(clippy::as_conversions, reason = "a place by its definition")]
    fn refuse(&mut self, why: Why, key: u128, (source, file, line): (Word, Word, u64)) {
        let (reason, field) = self.refusals[why as usize];
        self.reject(key, rejected(key, source, Reject { reason, field, file, line }));
    }

    /// Lets a reject hold.
    fn reject(&mut self, key: u128, event: Event) {
        self.counts.rejected += 1;
        if let Action::Reject(reject) = &event.action {
            *self.reasons.entry((reject.reason, reject.field)).or_default() += 1;
        }
        self.pending += usize::from(self.ingest.put(key, event) != Outcome::Duplicate);
    }

    /// Lets a change hold.
    fn change(&mut self, driver: &mut Driver<'_>, change: Change) -> Verdict {
        match change {
            Change::Put { key, event } => self.put(key, event),
            Change::Retract { key } => self.retract(key),
            Change::Erase(identifier) => {
                let gone = self.ingest.erase(driver, identifier);
                if gone == 0 {
                    return Verdict::Nobody;
                }
                self.pending = 0;
                self.counts.erased += 1;
                self.counts.erased_events += u64::try_from(gone).unwrap_or(0);
                Verdict::Accepted
            }
        }
    }

    fn put(&mut self, key: u128, event: Event) -> Verdict {
        let catalogue = matches!(event.action, Action::Item(..));
        let (at, personal) = (event.at, !event.who.is_empty() || touches_item(&event.action));
        match self.ingest.put(key, event) {
            Outcome::Duplicate => return Verdict::Duplicate,
            Outcome::Collision => return Verdict::Refused(Why::Collision, key),
            Outcome::TooLarge => return Verdict::Refused(Why::TooLarge, key),
            Outcome::Corrected if catalogue => self.counts.retold += 1,
            Outcome::Corrected => self.counts.corrected += 1,
            Outcome::Accepted | Outcome::Retracted | Outcome::Unknown => {}
        }
        if personal {
            let (first, last) = self.span.unwrap_or((at, at));
            self.span = Some((first.min(at), last.max(at)));
        }
        self.pending += 1;
        Verdict::Accepted
    }

    /// The event of `key`, or the reject of the row that meant it, holds no longer.
    fn retract(&mut self, key: u128) -> Verdict {
        let outcomes = [key, Ledger::reject_key(key)].map(|key| self.ingest.retract(key));
        let gone = outcomes.iter().filter(|outcome| **outcome == Outcome::Retracted).count();
        if gone == 0 {
            return Verdict::Refused(Why::NoEvent, key);
        }
        self.counts.retracted += 1;
        self.pending += gone;
        Verdict::Accepted
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
