//! Ingest: how do changes become ticks?
//!
//! It collects what the ledger makes of changes, adds a `day` event when an accepted event's day
//! passes today, and begins the tick after a fit with its `model` event. An erasure is a tick of
//! its own: it takes the events of the profile as all views show it at the tick before.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Duration;

use dataflows::identity::Owned;
use dataflows::{
    Action, Context, Day, Event, EventId, EventTime, IDENTITY, Identifier, OWNERS, ProfileId, Tick,
    Who, Word, day_start, spread,
};
use serde::{Deserialize, Serialize};

use super::refit::{self, Refit};
use super::{Driver, clock};
use crate::durable::{self, Durable, Error, Health, Patience, Rewritten};
use crate::ledger::{self, Ledger, Outcome, Update};

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
    /// What the last tick was besides its changes, and what was known of fits when it was decided.
    last: Turn,
    fitted: Option<refit::State>,
    /// Where ticks are made durable; `None` keeps everything in memory.
    durable: Option<Durable>,
}

/// What a tick is besides its changes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// It takes somebody out of all views.
    pub(super) erased: bool,
    /// It is the last of the input.
    pub(super) end: bool,
}

/// What has to be as it was when a log is taken up again.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    turned: Option<Day>,
    latest: EventTime,
    refit: Option<refit::State>,
    pub(super) erased: bool,
    pub(super) end: bool,
    /// What whoever calls wants to know again.
    pub(super) note: Vec<u8>,
}

impl State {
    /// The state that these bytes say.
    pub(super) fn parse(bytes: &[u8]) -> Result<State, ledger::Error> {
        postcard::from_bytes(bytes)
            .map_err(|_| ledger::Error::Damaged("a state is of no known form"))
    }
}

/// Whom an erasure has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Their profiles.
    pub profiles: Vec<ProfileId>,
    /// All their identifiers.
    pub identifiers: Vec<Identifier>,
    /// How many events go.
    pub events: usize,
}

impl Ingest {
    /// Nothing yet; without `refit`, models come from outside only.
    #[must_use]
    pub fn new(refit: Option<Refit>) -> Ingest {
        Ingest { refit, latest: EventTime(i64::MIN), ..Ingest::default() }
    }

    /// What goes on from `ledger` and `durable`.
    pub(super) fn on_disk(refit: Option<Refit>, ledger: Ledger, durable: Durable) -> Ingest {
        Ingest { ledger, durable: Some(durable), ..Ingest::new(refit) }
    }

    /// Takes up a state of before; the ledger is as it was already.
    pub(super) fn restore(&mut self, state: State) -> Result<(), ledger::Error> {
        self.turned = state.turned;
        self.latest = state.latest;
        self.last = Turn { erased: state.erased, end: state.end };
        self.fitted = state.refit.clone();
        let ledger = &self.ledger;
        match (&mut self.refit, state.refit) {
            (Some(refit), Some(state)) => refit.restore(state, |key| ledger.get(key)),
            _ => Ok(()),
        }
    }

    /// The events that hold.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Where ticks are made durable, if they are, to be changed.
    pub fn durable_mut(&mut self) -> Option<&mut Durable> {
        self.durable.as_mut()
    }

    /// Where ticks are made durable, if they are.
    #[must_use]
    pub fn durable(&self) -> Option<&Durable> {
        self.durable.as_ref()
    }

    /// How many updates the next tick has so far.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.updates.len()
    }

    /// Whether the next tick has so many bytes that it should be decided, however few its changes
    /// are: a frame of the log has an end.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ledger.journal().is_some_and(|journal| GROUP_BYTES <= journal.len())
    }

    /// Whether anything waits for the next tick: changes, or a model.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.updates.is_empty() || self.model.is_some()
    }

    /// `event` holds from the next tick on under `key`.
    ///
    /// # Errors
    ///
    /// The data directory cannot be read; the change is not part of the next tick.
    pub fn put(&mut self, key: u128, event: Event) -> Result<Outcome, ledger::Error> {
        let (at, reject) = (event.at, matches!(event.action, Action::Reject(_)));
        let told = matches!(event.action, Action::Day(_));
        let outcome = self.ledger.put(key, event, &mut self.updates)?;
        if !reject && matches!(outcome, Outcome::Accepted | Outcome::Corrected) {
            self.latest = self.latest.max(at);
            if !told {
                self.turn(at.day())?;
            }
        }
        Ok(outcome)
    }

    /// The event under `key` holds no longer from the next tick on.
    ///
    /// # Errors
    ///
    /// The data directory cannot be read; the change is not part of the next tick.
    pub fn retract(&mut self, key: u128) -> Result<Outcome, ledger::Error> {
        self.ledger.retract(key, &mut self.updates)
    }

    /// Adds the `day` event of `day`, if no event's day has reached it before.
    fn turn(&mut self, day: Day) -> Result<(), ledger::Error> {
        if self.turned < Some(day) {
            self.turned = Some(day);
            let (key, event) = day_event(day);
            self.ledger.put(key, event, &mut self.updates)?;
        }
        Ok(())
    }

    /// Decides the next tick with all that has come. Of a durable log, `note` comes back when it
    /// is taken up again.
    ///
    /// # Errors
    ///
    /// The tick is not durable, and nothing after it can be.
    pub fn commit(&mut self, driver: &mut Driver<'_>, note: &[u8]) -> Result<Tick, Error> {
        self.decide(driver, Turn::default(), note)
    }

    /// Decides the ticks that are left when the input ends: the last changes, and a last fit.
    ///
    /// # Errors
    ///
    /// The tick is not durable, and nothing after it can be.
    pub fn finish(&mut self, driver: &mut Driver<'_>, note: &[u8]) -> Result<(), Error> {
        if self.waits() || driver.upper() == Tick(0) {
            self.decide(driver, Turn { end: true, ..Turn::default() }, note)?;
        } else if let Some(refit) = &mut self.refit {
            let last = Tick(driver.upper().0.saturating_sub(1));
            self.model = refit.after(driver.store(), last, self.latest, false, true);
        }
        // A model that is due after this one begins the next tick, should one come after all.
        if self.model.is_some() {
            self.decide(driver, Turn::default(), note)?;
        }
        Ok(())
    }

    /// Takes the people of these identifiers out of all views, as a tick of its own, after one with
    /// what has come before. Gives the number of events.
    ///
    /// # Errors
    ///
    /// The tick is not durable, and nothing after it can be.
    pub fn erase(
        &mut self,
        driver: &mut Driver<'_>,
        identifiers: &[Identifier],
        note: &[u8],
    ) -> Result<usize, Error> {
        if self.waits() {
            self.commit(driver, note)?;
        }
        let erased = self.take_out(driver, identifiers)?;
        if 0 < erased.events {
            self.commit_erasure(driver, note)?;
        }
        Ok(erased.events)
    }

    /// The events of the people of these identifiers hold no longer, as all views show them at the
    /// tick before; nothing else may be pending. [`commit_erasure`](Ingest::commit_erasure) decides
    /// the tick.
    ///
    /// # Errors
    ///
    /// The data directory cannot be read; the tick must not be decided.
    pub fn take_out(
        &mut self,
        driver: &Driver<'_>,
        identifiers: &[Identifier],
    ) -> Result<Erased, ledger::Error> {
        let store = driver.store();
        let known = identifiers.iter().filter_map(|id| store.get(IDENTITY, id));
        let profiles: BTreeSet<ProfileId> = known.collect();
        let sets = profiles.iter().flat_map(|profile| {
            let range = Owned(*profile, Who::default())..=Owned(*profile, Who(u64::MAX, u64::MAX));
            store.range(OWNERS, range).into_iter().map(|(Owned(_, who), ())| who)
        });
        let sets: Vec<Who> = sets.collect();
        let identifiers = self.ledger.identifiers(&sets);
        let mut events = self.ledger.erase(sets, &mut self.updates)?;
        events += self.erase_decisions(driver, &profiles)?;
        Ok(Erased { profiles: profiles.into_iter().collect(), identifiers, events })
    }

    /// Decides the tick of an erasure.
    ///
    /// # Errors
    ///
    /// The tick is not durable, and nothing after it can be.
    pub fn commit_erasure(&mut self, driver: &mut Driver<'_>, note: &[u8]) -> Result<Tick, Error> {
        self.decide(driver, Turn { erased: true, ..Turn::default() }, note)
    }

    /// Retracts the operators' decisions that name an identifier of one of `profiles`.
    fn erase_decisions(
        &mut self,
        driver: &Driver<'_>,
        profiles: &BTreeSet<ProfileId>,
    ) -> Result<usize, ledger::Error> {
        let of_profile = |id: &Identifier| {
            let own = driver.store().get(IDENTITY, id);
            own.is_some_and(|own| profiles.contains(&own))
        };
        let decisions = self.ledger.decisions();
        let named = decisions.into_iter().filter(|(_, pair)| pair.iter().any(of_profile));
        let keys: Vec<u128> = named.map(|(key, _)| key).collect();
        for key in &keys {
            self.retract(*key)?;
        }
        Ok(keys.len())
    }

    fn decide(&mut self, driver: &mut Driver<'_>, turn: Turn, note: &[u8]) -> Result<Tick, Error> {
        if let Some((key, model)) = self.model.take() {
            self.ledger.put(key, model, &mut self.updates)?;
        }
        self.last = turn;
        self.fitted = self.refit.as_ref().map(Refit::state);
        let state = self.durable.is_some().then(|| self.state(note));
        let updates = std::mem::take(&mut self.updates);
        let tick = match (&mut self.durable, state) {
            (Some(durable), Some(state)) => {
                let (tick, ledger) = (driver.upper(), &mut self.ledger);
                let at = turn.erased.then(clock::unix_seconds);
                durable.commit(ledger, tick, (&state, at), || driver.tick(updates))?
            }
            _ => driver.tick(updates),
        };
        self.fit(driver, tick);
        Ok(tick)
    }

    /// Lets the segments be fitted, if that is due after `tick`.
    pub(super) fn fit(&mut self, driver: &Driver<'_>, tick: Tick) {
        let turn = self.last;
        if let Some(refit) = &mut self.refit {
            self.model = refit.after(driver.store(), tick, self.latest, turn.erased, turn.end);
        }
    }

    /// Whether a checkpoint can be written, and has to be: because the log has outgrown the last
    /// one, or `now`.
    #[must_use]
    pub fn checkpoint_is_due(&self, now: bool) -> bool {
        let due = |durable: &Durable| now || durable.is_due();
        self.updates.is_empty() && self.durable.as_ref().is_some_and(due)
    }

    /// Writes a checkpoint of the last tick; with `whole` an empty tick follows, nothing of before
    /// is kept, and it says what went. `note` is all of what whoever calls wants to know again.
    /// Nothing may be pending.
    ///
    /// # Errors
    ///
    /// The checkpoint before is still there.
    pub fn checkpoint(
        &mut self,
        driver: &mut Driver<'_>,
        whole: bool,
        note: &[u8],
    ) -> Result<Option<Rewritten>, Error> {
        let state = self.state(note);
        let Some(durable) = &mut self.durable else { return Ok(None) };
        durable.checkpoint(&mut self.ledger, driver.store(), &state, whole)?;
        if !whole {
            return Ok(None);
        }
        // The segment with the last tick of before can only go when there is another.
        self.decide(driver, self.last, note)?;
        let Some(durable) = &mut self.durable else { return Ok(None) };
        durable.settle(&mut self.ledger).map(Some)
    }

    /// All that has to be as it was when the last tick was decided, as bytes. What was fitted on it
    /// is not in it: it is no event yet, and will be fitted again.
    fn state(&self, note: &[u8]) -> Vec<u8> {
        let state = State {
            turned: self.turned,
            latest: self.latest,
            refit: self.fitted.clone(),
            erased: self.last.erased,
            end: self.last.end,
            note: note.to_vec(),
        };
        postcard::to_stdvec(&state).expect("bytes in memory take every state")
    }

    /// All events that hold.
    ///
    /// # Errors
    ///
    /// The data directory cannot be read.
    pub fn events(&self) -> Result<Vec<Rc<Event>>, ledger::Error> {
        self.ledger.events()
    }
}

/// From how many bytes on a tick is decided before it has as many changes as it may.
const GROUP_BYTES: usize = 16 << 20;

/// How long is waited before a full disk is tried again.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// Waits for room on a full disk, for ever, and says so in `health`.
#[must_use]
pub fn wait_for_room(health: Health) -> Patience {
    Box::new(move |full| match full {
        Some(error) => {
            health.degraded(error);
            std::thread::sleep(FULL_WAIT);
            true
        }
        None => {
            health.set(durable::State::Live);
            true
        }
    })
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
