//! Run: how do a shop's files become views?
//!
//! One thread reads and decodes, a batch of rows at a time; the driver takes the rows to the ledger
//! and decides a tick whenever enough has changed, and one when the input ends.

mod follow;
mod operate;
pub mod summary;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use dataflows::{History, Settings, Tick, Word};

use crate::config::{self, FEATURES, SCORES, Shop};
use crate::decode::{self, Cancelled, Reader};
use crate::durable::{self, Health, Opened, State};
use crate::feed::{Asked, Feed, refit};
use crate::names::Dictionary;
use crate::source::Progress;
use crate::view::Store;
use crate::view::snapshot::{self, About, Manifest};
use crate::worker::recover::Progress as Recovered;
use crate::worker::{self, Driver, Layout};

pub use operate::operate;
pub use summary::Report;

/// How many rows are decoded before they are handed over.
const BATCH_ROWS: usize = 1024;

/// How many batches may wait for the driver.
const BATCHES_MAX: usize = 8;

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The shop's file is wrong; nothing was read.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The input could not be read; no snapshot was written.
    #[error(transparent)]
    Decode(#[from] decode::Error),
    /// The workers could not be started.
    #[error(transparent)]
    Worker(#[from] worker::Error),
    /// The snapshot could not be written; the one before is still there.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// The data directory cannot be used, or not any more.
    #[error(transparent)]
    Durable(#[from] durable::Error),
}

/// The files of a shop, found and not yet read.
#[derive(Debug)]
pub struct Input {
    reader: Reader,
    names: Dictionary,
    opened: Option<Opened>,
}

impl Input {
    /// Finds the files of `shop`.
    ///
    /// # Errors
    ///
    /// A pattern matches no file.
    pub fn open(shop: &Shop) -> Result<Input, Error> {
        let mut names = shop.dictionary();
        let reader = shop.open(&mut names)?;
        Ok(Input { reader, names, opened: None })
    }

    /// Everything is to be durable in this data directory, and goes on from what it holds.
    #[must_use]
    pub fn durable(self, opened: Opened) -> Input {
        Input { opened: Some(opened), ..self }
    }

    /// How many bytes all files have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.reader.bytes()
    }

    /// How far reading has come, for any thread to ask.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.reader.progress()
    }
}

/// How a shop is run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Where the workers run.
    pub layout: Layout,
    /// The last tick that is decided; `None`: as many as the input makes.
    pub at_tick: Option<u64>,
    /// Where the snapshot is written.
    pub snapshot: Option<PathBuf>,
    /// Whether every view is compared with its batch function in the end.
    pub audit: bool,
    /// Goes on after the input's end, with what is added to the files, until this says stop.
    pub follow: Option<Receiver<()>>,
    /// Ends the run before the input's end once it is set: what has been read is decided.
    pub stop: Arc<AtomicBool>,
    /// Is told how the engine is.
    pub health: Health,
}

/// What a run came to.
#[derive(Debug)]
pub struct Done {
    /// The account of its rows and ticks.
    pub report: Report,
    /// All views at the last tick.
    pub store: Store,
    /// What their hashes stand for.
    pub names: Dictionary,
    /// What was written of them last.
    pub manifest: Option<Manifest>,
    /// What the comparison with the batch functions came to.
    pub audit: Vec<Audited>,
}

/// A view that was compared with its batch function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// The view.
    pub view: &'static str,
    /// How many rows it has.
    pub rows: usize,
    /// Where it differs.
    pub difference: Option<String>,
}

/// What the reading thread hands over.
enum Batch {
    Rows(Vec<Asked>),
    /// All that is there has been read.
    End(Cancelled),
}

/// How many rows of each file of a source have been taken before.
type Taken = BTreeMap<(Word, Word), u64>;

/// What a run shares with its threads.
type Shared = Arc<Mutex<Dictionary>>;

/// Locks the dictionary.
fn lock(names: &Mutex<Dictionary>) -> MutexGuard<'_, Dictionary> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `shop` over `input`: `None` in a process that does not lead its cluster.
///
/// `caught_up` is called with the account whenever all that is there has been read and, where the
/// plan says so, a snapshot of it is in place.
///
/// # Errors
///
/// The input cannot be read to its end, or the snapshot not written.
pub fn run(
    shop: &Shop,
    input: Option<Input>,
    plan: Plan,
    caught_up: impl Fn(&Report) + Send + Sync + 'static,
) -> Result<Option<Done>, Error> {
    let settings = shop.settings.clone();
    let store = Store::new(false);
    let Some(Input { mut reader, names, opened }) = input.filter(|_| plan.layout.leads()) else {
        worker::run(&plan.layout, settings, store, |_| ())?;
        return Ok(None);
    };
    if plan.follow.is_some() {
        reader.follow();
    }
    let names = Arc::new(Mutex::new(names));
    let (sender, batches) = bounded(BATCHES_MAX);
    let (shared, follow) = (Arc::clone(&names), plan.follow.clone());
    let (start, started) = bounded::<Taken>(1);
    let reading = std::thread::spawn(move || {
        // Where the driver is gone before it knows what to read there is nothing to read.
        let Ok(taken) = started.recv() else { return };
        reader.skip(taken);
        read(reader, &shared, follow.as_ref(), &sender);
    });
    let layout = plan.layout.clone();
    let names_of_course = Arc::clone(&names);
    let course = Course { shop: shop.clone(), plan, names: names_of_course, opened, start };
    let outcome = worker::run(&layout, settings, store.clone(), move |driver| {
        course.drive(driver, batches, &caught_up)
    });
    // The driver has dropped its end of the channel, so the reader is at its end too.
    drop(reading.join());
    let Some(driven) = outcome? else { return Ok(None) };
    let Driven { report, manifest, audit } = driven?;
    let names = Arc::try_unwrap(names).map_or_else(
        |shared| lock(&shared).clone(),
        |own| own.into_inner().unwrap_or_else(PoisonError::into_inner),
    );
    Ok(Some(Done { report, store, names, manifest, audit }))
}

/// Reads and decodes until the input ends, or nobody listens any more.
fn read(
    mut reader: Reader,
    names: &Mutex<Dictionary>,
    follow: Option<&Receiver<()>>,
    out: &Sender<Result<Batch, decode::Error>>,
) {
    loop {
        // The lock is let go before anything is sent: the driver takes it too.
        let rows = batch(&mut reader, &mut lock(names));
        match rows {
            Ok(rows) if !rows.is_empty() => {
                if out.send(Ok(Batch::Rows(rows))).is_err() {
                    return;
                }
            }
            Ok(_) => {
                if out.send(Ok(Batch::End(reader.cancelled()))).is_err() {
                    return;
                }
                match follow.map(|stop| follow::wait(&mut reader, stop)) {
                    Some(Ok(true)) => {}
                    Some(Err(error)) => return drop(out.send(Err(error))),
                    None | Some(Ok(false)) => return,
                }
            }
            Err(error) => return drop(out.send(Err(error))),
        }
    }
}

/// The next rows; none at the end of the input.
fn batch(reader: &mut Reader, names: &mut Dictionary) -> Result<Vec<Asked>, decode::Error> {
    let mut rows = Vec::with_capacity(BATCH_ROWS);
    while rows.len() < BATCH_ROWS {
        let Some(row) = reader.next_row(names)? else { break };
        let asked = Asked::of(row, names);
        rows.push(asked.map_err(|_| decode::Error::Collision("a reason for a reject".into()))?);
    }
    Ok(rows)
}

/// What the driver of a run knows.
struct Course {
    shop: Shop,
    plan: Plan,
    names: Shared,
    opened: Option<Opened>,
    /// Tells the reading thread where to begin.
    start: Sender<Taken>,
}

/// What the driver hands back.
struct Driven {
    report: Report,
    manifest: Option<Manifest>,
    audit: Vec<Audited>,
}

impl Course {
    /// Takes all rows to the engine.
    fn drive(
        mut self,
        driver: &mut Driver<'_>,
        batches: Receiver<Result<Batch, decode::Error>>,
        caught_up: &dyn Fn(&Report),
    ) -> Result<Driven, Error> {
        let (mut feed, taken_up) = self.take_up(driver)?;
        let (mut report, mut manifest) = (Report { taken_up, ..Report::default() }, None);
        for batch in &batches {
            match batch? {
                Batch::Rows(rows) => {
                    for row in rows {
                        if self.full(driver) {
                            break;
                        }
                        feed.row(driver, row)?;
                        let full = feed.ingest().is_full();
                        if full || self.shop.run.tick_events <= feed.pending() {
                            feed.commit(driver)?;
                        }
                    }
                    if self.stopped() {
                        feed.commit(driver)?;
                    } else if !self.full(driver) {
                        continue;
                    }
                }
                Batch::End(cancelled) => {
                    let nothing_new = 0 < driver.upper().0
                        && feed.pending() == 0
                        && report.counts == feed.counts();
                    if nothing_new && manifest.is_some() {
                        continue;
                    }
                    report.cancelled = cancelled;
                    if self.plan.at_tick == Some(driver.upper().0) {
                        feed.commit(driver)?;
                    } else {
                        feed.finish(driver)?;
                    }
                }
            }
            report.note(&feed, driver);
            if let Some(path) = &self.plan.snapshot {
                let (tick, about) = (Tick(report.tick), about(&self.shop));
                let names = lock(&self.names);
                manifest = Some(snapshot::write(driver.store(), &*names, tick, &about, path)?);
            }
            caught_up(&report);
            if self.full(driver) || self.stopped() {
                break;
            }
        }
        feed.close(driver)?;
        let audit = match self.plan.audit {
            true => audit(driver, &feed, &self.shop.settings)?,
            false => Vec::new(),
        };
        Ok(Driven { report, manifest, audit })
    }

    /// Takes up what the data directory holds, if there is one, and lets reading begin.
    fn take_up(&mut self, driver: &mut Driver<'_>) -> Result<(Feed, Option<Recovered>), Error> {
        let feed = Feed::new(Some(refit(&self.shop)), &mut lock(&self.names));
        let unnamed = |_| decode::Error::Collision("a reason for a reject".into());
        let mut feed = feed.map_err(unnamed)?;
        let mut taken_up = None;
        if let Some(mut opened) = self.opened.take() {
            opened.durable.name(Arc::clone(&self.names), &self.shop.settings);
            let health = &self.plan.health;
            taken_up = Some(feed.recover(driver, refit(&self.shop), opened, health)?);
            feed.erase_within(self.shop.refit.erase_within_hours);
        }
        self.plan.health.set(State::Live);
        drop(self.start.send(feed.taken().clone()));
        Ok((feed, taken_up))
    }

    /// Whether somebody wants it to end.
    fn stopped(&self) -> bool {
        self.plan.stop.load(Ordering::Relaxed)
    }

    /// Whether the last tick that is wanted has been decided.
    fn full(&self, driver: &Driver<'_>) -> bool {
        self.plan.at_tick.is_some_and(|last| last < driver.upper().0)
    }
}

/// Compares every view with its batch function.
///
/// # Errors
///
/// The events cannot be read from the data directory.
pub fn audit(
    driver: &Driver<'_>,
    feed: &Feed,
    settings: &Settings,
) -> Result<Vec<Audited>, durable::Error> {
    let events: Vec<Rc<_>> = feed.ingest().events()?;
    let history = History::new(&events, settings);
    let compared = driver.store().names().into_iter().map(|view| Audited {
        view,
        rows: driver.store().len(view),
        difference: driver.store().difference(view, &history),
    });
    Ok(compared.collect())
}

/// What a reader of a snapshot has to know of `shop`.
#[must_use]
pub fn about(shop: &Shop) -> About {
    let name = |feature| {
        let known = FEATURES.iter().find(|(_, known)| *known == feature);
        known.map_or(String::new(), |(name, _)| (*name).to_owned())
    };
    let score = SCORES.iter().find(|(_, score)| *score == shop.related.score);
    About {
        name: shop.name.clone(),
        currency: shop.currency.clone(),
        decimals: shop.decimals,
        features: shop.settings.segments.features.iter().copied().map(name).collect(),
        score: score.map_or(String::new(), |(name, _)| (*name).to_owned()),
        support_min: shop.related.support_min,
        top: shop.related.top,
    }
}
