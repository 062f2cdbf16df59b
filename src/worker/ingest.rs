//! Ingest: how do changes become ticks?
//!
//! It collects what the ledger makes of changes, adds a `day` event when an accepted event's day
//! passes today, and begins the tick after a fit with its `model` event. An erasure is a tick of
//! its own: it takes the events of the profile as all views show it at the tick before.

use std::num::NonZeroU64;
use std::rc::Rc;

use dataflows::identity::Owned;
use dataflows::{
    Action, Context, Day, Event, EventId, EventTime, IDENTITY, Identifier, OWNERS, ProfileId, Tick,
    Who, Word, day_start, spread,
};

use super::Driver;
use super::refit::Refit;
use crate::ledger::{Ledger, Outcome, Update};

/// The source of the events that the engine adds itself.
pub const ENGINE: Word = Word(NonZeroU64::new(0x0061_6666_6c75_656e).expect("not zero"));

/// Turns changes into ticks.
#[derive(Debug, Default)]
pub struct Ingest {
    ledger: Ledger,
    updates: Vec<Update>,
    /// The greatest day that it has added a `day` event for.
    turned: Option<Day>,
    /// The greatest event time so far.
    latest: EventTime,
    refit: Option<Refit>,
    model: Option<(u128, Event)>,
}

impl Ingest {
    /// Nothing yet; without `refit`, models come from outside only.
    #[must_use]
    pub fn new(refit: Option<Refit>) -> Ingest {
        Ingest { refit, latest: EventTime(i64::MIN), ..Ingest::default() }
    }

    /// The events that hold.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many updates the next tick has so far.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.updates.len()
    }

    /// `event` holds from the next tick on under `key`.
    pub fn put(&mut self, key: u128, event: Event) -> Outcome {
        let (at, reject) = (event.at, matches!(event.action, Action::Reject(_)));
        let told = matches!(event.action, Action::Day(_));
        let outcome = self.ledger.put(key, event, &mut self.updates);
        if !reject && matches!(outcome, Outcome::Accepted | Outcome::Corrected) {
            self.latest = self.latest.max(at);
            if !told {
                self.turn(at.day());
            }
        }
        outcome
    }

    /// The event under `key` holds no longer from the next tick on.
    pub fn retract(&mut self, key: u128) -> Outcome {
        self.ledger.retract(key, &mut self.updates)
    }

    /// Adds the `day` event of `day`, if no event's day has reached it before.
    fn turn(&mut self, day: Day) {
        if self.turned < Some(day) {
            self.turned = Some(day);
            let (key, event) = day_event(day);
            self.ledger.put(key, event, &mut self.updates);
        }
    }

    /// Decides the next tick with all that has come.
    pub fn commit(&mut self, driver: &mut Driver<'_>) -> Tick {
        self.decide(driver, false, false)
    }

    /// Decides the ticks that are left when the input ends: the last changes, and a last fit.
    pub fn finish(&mut self, driver: &mut Driver<'_>) {
        if !self.updates.is_empty() || self.model.is_some() || driver.upper() == Tick(0) {
            self.decide(driver, false, true);
        } else if let Some(refit) = &mut self.refit {
            let last = Tick(driver.upper().0.saturating_sub(1));
            self.model = refit.after(driver.store(), last, self.latest, false, true);
        }
        // A model that is due after this one begins the next tick, should one come after all.
        if self.model.is_some() {
            self.decide(driver, false, false);
        }
    }

    /// Takes the person of `identifier` out of all views, as a tick of its own, after one with what
    /// has come before. Gives the number of events.
    pub fn erase(&mut self, driver: &mut Driver<'_>, identifier: Identifier) -> usize {
        if !self.updates.is_empty() || self.model.is_some() {
            self.commit(driver);
        }
        let Some(profile) = driver.store().get(IDENTITY, &identifier) else { return 0 };
        let range = Owned(profile, Who::default())..=Owned(profile, Who(u64::MAX, u64::MAX));
        let owned = driver.store().range(OWNERS, range);
        let sets = owned.into_iter().map(|(Owned(_, who), ())| who);
        let mut gone = self.ledger.erase(sets, &mut self.updates);
        gone += self.erase_decisions(driver, profile);
        self.decide(driver, true, false);
        gone
    }

    /// Retracts the operators' decisions that name an identifier of `profile`.
    fn erase_decisions(&mut self, driver: &Driver<'_>, profile: ProfileId) -> usize {
        let of_profile = |id: &Identifier| driver.store().get(IDENTITY, id) == Some(profile);
        let decisions = self.ledger.decisions();
        let named = decisions.into_iter().filter(|(_, pair)| pair.iter().any(of_profile));
        let keys: Vec<u128> = named.map(|(key, _)| key).collect();
        for key in &keys {
            self.retract(*key);
        }
        keys.len()
    }

    fn decide(&mut self, driver: &mut Driver<'_>, erased: bool, end: bool) -> Tick {
        if let Some((key, model)) = self.model.take() {
            self.ledger.put(key, model, &mut self.updates);
        }
        let tick = driver.tick(std::mem::take(&mut self.updates));
        if let Some(refit) = &mut self.refit {
            self.model = refit.after(driver.store(), tick, self.latest, erased, end);
        }
        tick
    }

    /// All events that hold.
    #[must_use]
    pub fn events(&self) -> Vec<Rc<Event>> {
        self.ledger.events()
    }
}

/// The event that says that `day` is today, and its key.
#[must_use]
pub fn day_event(day: Day) -> (u128, Event) {
    let number = u64::from(day.0.cast_unsigned());
    let [high, low] = [spread(number ^ 0x6461_7900), spread(number ^ 0x6461_7921)];
    let event = Event {
        at: day_start(day),
        id: EventId(low),
        source: ENGINE,
        who: [].into(),
        action: Action::Day(day),
        context: Context::default(),
    };
    ((u128::from(high) << 64) | u128::from(low), event)
}
