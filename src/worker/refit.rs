//! Refit: when are segments trained anew?
//!
//! In file runs a fit is synchronous: it sees the views at a tick, and its `model` event is the
//! first update of the next, so that the same input gives the same log.

use dataflows::event::{Action, Context, Day, Event, EventId, EventTime, Model, Word, spread};
use dataflows::settings::{SegmentCount, SegmentSettings};
use dataflows::{CELLS, SPREAD, TODAY, Tick, fit};
use serde::{Deserialize, Serialize};

use crate::view::Store;

/// When a fit is due. A trigger that is 0 is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After this many ticks.
    pub ticks: u64,
    /// When a `day` event is this many days after that of the last fit.
    pub days: u32,
    /// When the mean squared distance has grown by this many thousandths since the last fit.
    pub drift: u32,
    /// How many days after an erasure a fit without reference follows at the latest.
    pub erase_within_days: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { ticks: 0, days: 7, drift: 100, erase_within_days: 1 }
    }
}

/// The newest model, and when it was made.
#[derive(Clone, Debug)]
struct Fitted {
    model: Model,
    tick: Tick,
    day: Option<Day>,
    /// Mean squared distance, in millionths of a squared doubling, once the model is published.
    mean: Option<i64>,
}

/// What has to be as it was when a log is taken up again; the model itself is an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    newest: Option<(Tick, Option<Day>, Option<i64>)>,
    erased: Option<Option<Day>>,
}

/// Decides when a fit is due, and makes it.
#[derive(Clone, Debug)]
pub struct Refit {
    policy: Policy,
    settings: SegmentSettings,
    source: Word,
    newest: Option<Fitted>,
    /// The day of the first erasure that no fit without reference has followed yet.
    erased: Option<Option<Day>>,
}

impl Refit {
    /// Nothing fitted yet; models come from `source`.
    #[must_use]
    pub fn new(policy: Policy, settings: SegmentSettings, source: Word) -> Refit {
        Refit { policy, settings, source, newest: None, erased: None }
    }

    /// What has to be as it was when a log is taken up again.
    pub(super) fn state(&self) -> State {
        let newest = self.newest.as_ref().map(|fitted| (fitted.tick, fitted.day, fitted.mean));
        State { newest, erased: self.erased }
    }

    /// Takes up what was; `model` gives the event of a key.
    pub(super) fn restore<E>(
        &mut self,
        state: State,
        model: impl FnOnce(u128) -> Result<Option<Event>, E>,
    ) -> Result<(), E> {
        self.erased = state.erased;
        let Some((tick, day, mean)) = state.newest else { return Ok(()) };
        let (key, _) = model_key(tick);
        if let Some(Event { action: Action::Model(model), .. }) = model(key)? {
            self.newest = Some(Fitted { model, tick, day, mean });
        }
        Ok(())
    }

    /// Looks at the views at `tick` and gives the `model` event that the next tick begins with, if
    /// a fit is due: by the policy, after an erasure, or, at the `end` of the input, because there
    /// is no model yet or an erasure waits for a fit without reference.
    pub fn after(
        &mut self,
        store: &Store,
        tick: Tick,
        at: EventTime,
        erased: bool,
        end: bool,
    ) -> Option<(u128, Event)> {
        let today = store.get(TODAY, &());
        if erased && self.erased.is_none() {
            self.erased = Some(today);
        }
        let fresh = self.erased.is_some_and(|since| end || self.forgotten(since, today));
        if !(fresh || erased && self.newest.is_some() || self.due(store, tick, today, end)) {
            return None;
        }
        let reference = self.newest.as_ref().map(|fitted| &fitted.model);
        let model = fit::fit(&store.rows(CELLS), reference, fresh, &self.settings, tick.0)?;
        if fresh {
            self.erased = None;
        }
        self.newest = Some(Fitted { model: model.clone(), tick, day: today, mean: None });
        let (key, id) = model_key(tick);
        let (source, action) = (self.source, Action::Model(model));
        let event = Event { at, id, source, who: [].into(), action, context: Context::default() };
        Some((key, event))
    }

    /// Whether the bound for forgetting has come.
    fn forgotten(&self, since: Option<Day>, today: Option<Day>) -> bool {
        let days = |day: Option<Day>| day.map_or(0, |day| i64::from(day.0));
        i64::from(self.policy.erase_within_days) <= days(today) - days(since)
            && 0 < days(today) - days(since)
    }

    /// Whether the policy wants a fit.
    fn due(&mut self, store: &Store, tick: Tick, today: Option<Day>, end: bool) -> bool {
        let Policy { ticks, days, drift, .. } = self.policy;
        let Some(newest) = &mut self.newest else {
            // The first model waits for the first trigger, so that it is not made of one profile.
            let ticked = 0 < ticks && ticks <= tick.0;
            return end || ticked || (0 < days && self.enough(store, today));
        };
        if 0 < ticks && ticks <= tick.0.saturating_sub(newest.tick.0) {
            return true;
        }
        if let (Some(day), Some(last)) = (today, newest.day)
            && 0 < days
            && i64::from(days) <= i64::from(day.0) - i64::from(last.0)
        {
            return true;
        }
        let spread = store.get(SPREAD, &()).filter(|spread| 0 < spread.profiles);
        let Some(mean) = spread.map(|spread| spread.inertia / spread.profiles) else {
            return false;
        };
        let before = *newest.mean.get_or_insert(mean);
        let bound = i128::from(before) * (1000 + i128::from(drift)) / 1000;
        0 < drift && bound < i128::from(mean)
    }

    /// Whether there is enough for a first model: more cells than segments.
    fn enough(&self, store: &Store, today: Option<Day>) -> bool {
        let wanted = match self.settings.count {
            SegmentCount::Fixed(count) => count,
            SegmentCount::Silhouette(max) | SegmentCount::Elbow(max) => max,
        };
        today.is_some() && wanted < store.len(CELLS.name)
    }
}

/// The key of the model that was fitted on the views at `tick`, and the event's id.
fn model_key(tick: Tick) -> (u128, EventId) {
    let low = spread(tick.0 ^ 0x6d6f_6465_6c21);
    ((u128::from(spread(!tick.0)) << 64) | u128::from(low), EventId(low))
}
