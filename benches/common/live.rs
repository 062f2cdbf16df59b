//! Live: the engine itself, as the benches drive it.
//!
//! The real ledger, the real dataflows and the real publication: what a reader sees after a tick is
//! what is read here.

use std::sync::{Arc, Mutex, PoisonError};

use affluent::view::Store;
use affluent::view::pairs::Pairs;
use affluent::worker::ingest::Ingest;
use affluent::worker::{Driver, Layout, run};
use dataflows::score::Score;
use dataflows::{
    Action, BASKETS, CELLS, Context, Event, EventId, EventTime, IDENTITY, Identifier, Item, Model,
    ProfileId, RFM, SEGMENTS, Settings, VIEWED_TOGETHER, Word, fit, related, spread,
};

use super::Engine;
use super::generator::{Change, Op};
use super::plain::{Neighbour, Profile};

/// How many changes of a bulk load become one tick.
const LOAD_TICK: usize = 100_000;

/// The engine between ticks.
#[derive(Debug)]
pub(crate) struct Live<'d, 'w> {
    driver: &'d mut Driver<'w>,
    ingest: Ingest,
    settings: Settings,
    model: Option<Model>,
    latest: EventTime,
}

impl Engine for Live<'_, '_> {
    fn apply(&mut self, changes: &mut Vec<Change>) {
        self.take(changes);
        self.ingest.commit(self.driver, &[]).expect("in memory");
    }

    fn load(&mut self, changes: &mut Vec<Change>) {
        self.take(changes);
        if LOAD_TICK <= self.ingest.pending() {
            self.ingest.commit(self.driver, &[]).expect("in memory");
        }
    }

    fn settle(&mut self) {
        self.ingest.commit(self.driver, &[]).expect("in memory");
    }

    fn fit(&mut self) {
        let cells = self.driver.store().rows(CELLS);
        let tick = self.driver.upper().0;
        let segments = &self.settings.segments;
        let Some(model) = fit::fit(&cells, self.model.as_ref(), false, segments, tick) else {
            return;
        };
        self.model = Some(model.clone());
        let id = EventId(spread(tick));
        let (who, context) = ([].into(), Context::default());
        let action = Action::Model(model);
        let event = Event { at: self.latest, id, source: Word(SOURCE), who, action, context };
        self.ingest.put(u128::from(id.0), event).expect("in memory");
        self.ingest.commit(self.driver, &[]).expect("in memory");
    }

    fn erase(&mut self, identifier: Identifier) -> usize {
        self.ingest.erase(self.driver, &[identifier], &[]).expect("in memory")
    }

    fn profile(&mut self, identifier: Identifier) -> Option<(ProfileId, Option<Profile>)> {
        let store = self.driver.store();
        let owner = store.get(IDENTITY, &identifier)?;
        let row = store.get(RFM, &owner).map(|row| Profile {
            last_order: row.last_order,
            orders: row.orders,
            spent: row.spent,
            segment: store.get(SEGMENTS, &owner).map(|segment| segment.0),
        });
        Some((owner, row))
    }

    fn related(&mut self, item: Item, n: usize) -> Vec<Neighbour> {
        let store = self.driver.store();
        let total = store.get(BASKETS, &related::Basket::Session).unwrap_or(0);
        let total = u64::try_from(total).unwrap_or(0);
        let top = store.with_pairs(VIEWED_TOGETHER, |tables| {
            let own = |table: &Arc<Mutex<Pairs>>| {
                let table = table.lock().unwrap_or_else(PoisonError::into_inner);
                table.top(item, Score::Cosine, 1, total, n)
            };
            tables.iter().map(own).find(|top| !top.is_empty()).unwrap_or_default()
        });
        let near = top.unwrap_or_default().into_iter().map(|near| Neighbour {
            item: near.item,
            score: near.score,
            together: u32::try_from(near.support).unwrap_or(u32::MAX),
        });
        near.collect()
    }
}

/// The source of the models that a bench fits.
const SOURCE: std::num::NonZeroU64 = std::num::NonZeroU64::MIN;

impl Live<'_, '_> {
    /// What the ledger makes of changes, for the next tick.
    fn take(&mut self, changes: &mut Vec<Change>) {
        for (op, key, event) in changes.drain(..) {
            match op {
                Op::Insert | Op::Correct => {
                    self.latest = self.latest.max(event.at);
                    self.ingest.put(key, event).expect("in memory");
                }
                Op::Retract => {
                    self.ingest.retract(key).expect("in memory");
                }
            }
        }
    }
}

/// Runs `work` on an engine with these settings and this many workers.
pub(crate) fn live<T: Send + 'static>(
    settings: Settings,
    workers: usize,
    work: impl FnOnce(&mut dyn Engine) -> T + Send + Sync + 'static,
) -> T {
    let kept = settings.clone();
    let done = run(&Layout::threads(workers), settings, Store::new(false), move |driver| {
        let (ingest, latest) = (Ingest::new(None), EventTime(i64::MIN));
        work(&mut Live { driver, ingest, settings: kept, model: None, latest })
    });
    done.expect("the workers start").expect("this process leads")
}
