//! Crash: is what was acknowledged there after power was cut at any write?

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use dataflows::identity::owner_batch;
use dataflows::{Action, Event, History, IDENTITY, Identifier, SegmentCount, Settings};

use super::Tally;
use super::history::{Act, Held, Shop};
use super::rescale::{Digests, digests};
use crate::durable::{Durable, Error, Found};
use crate::ledger;
use crate::log::Limits;
use crate::names::{Dictionary, SECRET_DEFAULT};
use crate::storage::{Dice, Model, Plan, Storage};
use crate::view::Store;
use crate::worker::ingest::{ENGINE, Ingest};
use crate::worker::recover::{Listen, Progress, recover};
use crate::worker::refit::{Policy, Refit};
use crate::worker::{self, Driver, Layout};

/// How many acts a trial has at most.
const ACTS: usize = 60;

/// Small, so that a trial changes segments a few times.
const LIMITS: Limits = Limits { segment_bytes: 1500, frame_bytes_max: 1 << 20 };

/// Runs the trials of these seeds.
pub(super) fn crashes(seeds: Range<u64>) -> Result<Tally, worker::Error> {
    let settings = settings();
    let done =
        worker::run(&Layout::threads(1), settings.clone(), Store::new(false), move |driver| {
            let mut tally = Tally::default();
            for seed in seeds {
                let mut trial = Trial::new(seed, settings.clone());
                let outcome = trial.run(driver);
                tally.add(std::mem::take(&mut trial.tally));
                tally.trials += 1;
                if let Err(violation) = outcome {
                    tally.violations.push((seed, violation));
                }
            }
            tally
        })?;
    Ok(done.unwrap_or_default())
}

/// Settings under which much happens in few events.
pub(super) fn settings() -> Settings {
    let mut settings = Settings { rfm_window_days: 9, basket_items_max: 2, ..Settings::default() };
    settings.segments.count = SegmentCount::Fixed(2);
    settings
}

/// Hears nothing.
struct Deaf;

impl Listen for Deaf {
    fn note(&mut self, _: &[u8]) -> Result<(), ledger::Error> {
        Ok(())
    }

    fn progress(&mut self, _: Progress) {}
}

/// A trial.
pub(super) struct Trial {
    settings: Settings,
    dice: Dice,
    pub(super) disk: Model,
    pub(super) names: Arc<Mutex<Dictionary>>,
    pub(super) shop: Shop,
    /// What holds with all that has come.
    held: Held,
    /// What holds at the start of each tick that may be the next one after a crash, and how many
    /// ticks are acknowledged.
    decided: BTreeMap<u64, Held>,
    acknowledged: u64,
    pub(super) tally: Tally,
}

/// Why an act was not done.
pub(super) enum Failed {
    /// The disk has failed: the program ends.
    Disk,
    /// A promise was broken.
    Violation(String),
}

impl From<String> for Failed {
    fn from(violation: String) -> Failed {
        Failed::Violation(violation)
    }
}

impl Trial {
    pub(super) fn new(seed: u64, settings: Settings) -> Trial {
        let mut dictionary = Dictionary::new(SECRET_DEFAULT);
        let shop = Shop::new(seed, &mut dictionary);
        Trial {
            settings,
            dice: Dice::new(seed ^ 0xc0ff_ee00),
            disk: Model::new(seed),
            names: Arc::new(Mutex::new(dictionary)),
            shop,
            held: Held::new(),
            decided: BTreeMap::from([(0, Held::new())]),
            acknowledged: 0,
            tally: Tally::default(),
        }
    }

    /// The trial; what was not as promised.
    fn run(&mut self, driver: &mut Driver<'_>) -> Result<(), String> {
        let mut acts = ACTS;
        while 0 < acts {
            self.plan();
            let mut ingest = match self.start(driver) {
                Ok(ingest) => ingest,
                Err(Failed::Disk) => {
                    self.power();
                    continue;
                }
                Err(Failed::Violation(violation)) => return Err(violation),
            };
            let failed = loop {
                if acts == 0 {
                    break None;
                }
                acts -= 1;
                match self.shop.act() {
                    Act::Reopen => break None,
                    act => {
                        if let Err(failed) = self.act(act, driver, &mut ingest) {
                            break Some(failed);
                        }
                    }
                }
            };
            drop(ingest);
            match failed {
                Some(Failed::Violation(violation)) => return Err(violation),
                Some(Failed::Disk) => self.power(),
                None if self.dice.once_in(2) => self.disk.plan(Plan::default()),
                None => self.power(),
            }
        }
        self.disk.plan(Plan::default());
        match self.start(driver) {
            Ok(_) => Ok(()),
            Err(Failed::Disk) => Err("the disk failed without a plan".to_owned()),
            Err(Failed::Violation(violation)) => Err(violation),
        }
    }

    /// Decides what will go wrong until the next start.
    fn plan(&mut self) {
        let mut plan = Plan::default();
        match self.dice.below(10) {
            0..6 => plan.cut = Some(u64::try_from(self.dice.below(160)).unwrap_or(0)),
            6 => plan.fail_sync = Some(u64::try_from(self.dice.below(30)).unwrap_or(0)),
            7 => plan.capacity = Some(u64::try_from(self.dice.below(90_000)).unwrap_or(0)),
            _ => {}
        }
        self.disk.plan(plan);
    }

    /// Power is cut, and comes back.
    fn power(&mut self) {
        self.tally.cuts += 1;
        self.disk = self.disk.crash(self.dice.roll());
    }

    /// Some acts on a disk that does not fail, after which everything is decided: the digests of
    /// all views, which must be those of `before` when it begins.
    pub(super) fn stretch(
        &mut self,
        driver: &mut Driver<'_>,
        acts: usize,
        before: Option<&Digests>,
    ) -> Result<Digests, String> {
        let said = |failed| match failed {
            Failed::Disk => "the disk failed without a plan".to_owned(),
            Failed::Violation(violation) => violation,
        };
        let mut ingest = self.start(driver).map_err(said)?;
        if before.is_some_and(|before| *before != digests(driver.store())) {
            return Err("a view has other bytes than before".to_owned());
        }
        for _ in 0..acts {
            let act = self.shop.act();
            self.act(act, driver, &mut ingest).map_err(said)?;
        }
        self.commit(driver, &mut ingest).map_err(said)?;
        Ok(digests(driver.store()))
    }

    /// Starts the program, and compares all that it says with what was acknowledged.
    pub(super) fn start(&mut self, driver: &mut Driver<'_>) -> Result<Ingest, Failed> {
        self.restart(driver, &|_| Ok(()))
    }

    /// [`start`](Trial::start), with a look at what it knows by name from the directory alone.
    pub(super) fn restart(
        &mut self,
        driver: &mut Driver<'_>,
        known: &dyn Fn(&Dictionary) -> Result<(), String>,
    ) -> Result<Ingest, Failed> {
        let storage: Arc<dyn Storage> = Arc::new(self.disk.clone());
        let random = Box::new(Dice::new(self.dice.roll()));
        let found = Found::find(storage, random, 16).map_err(|error| self.judge(&error))?;
        let mut opened = found.open(LIMITS).map_err(|error| self.judge(&error))?;
        // What a new process knows by name it knows from the directory.
        *crate::view::lock(&self.names) = Dictionary::new(SECRET_DEFAULT);
        opened.durable.name(Arc::clone(&self.names), &self.settings);
        self.be_patient(&mut opened.durable);
        driver.begin_anew();
        let refit = Refit::new(
            Policy { ticks: 3, days: 0, drift: 0, erase_within_days: 1 },
            self.settings.segments.clone(),
            ENGINE,
        );
        let opened = (opened.durable, opened.journal);
        let recovered = recover(driver, Some(refit), opened, &mut Deaf);
        let recovered = recovered.map_err(|error| self.judge(&error))?;
        let ingest = recovered.ingest;
        self.compare(driver, &ingest)?;
        known(&crate::view::lock(&self.names))?;
        // What decoders learn again when the program goes on.
        Shop::learn_all(&mut crate::view::lock(&self.names));
        Ok(ingest)
    }

    /// Whether the disk has failed, or the program says something that it must not.
    fn judge(&mut self, error: &Error) -> Failed {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(error);
        let mut disk = false;
        while let Some(error) = cause {
            disk |= error.is::<std::io::Error>();
            message = format!("{message}: {error}");
            cause = error.source();
        }
        if error.is_sync() {
            self.tally.failed_syncs += 1;
            disk = true;
        }
        if error.is_full() {
            self.tally.full += 1;
        }
        if disk { Failed::Disk } else { Failed::Violation(message) }
    }

    /// Makes room when the disk is full.
    fn be_patient(&self, durable: &mut Durable) {
        let (disk, mut times) = (self.disk.clone(), 0);
        durable.wait_with(Box::new(move |full| {
            times += usize::from(full.is_some());
            disk.plan(Plan::default());
            times < 3
        }));
    }

    /// Compares the events and all views with what was acknowledged.
    fn compare(&mut self, driver: &Driver<'_>, ingest: &Ingest) -> Result<(), String> {
        self.tally.starts += 1;
        let upper = driver.upper().0;
        let Some(decided) = self.decided.get(&upper) else {
            return Err(format!(
                "{} ticks were acknowledged, and {upper} are there",
                self.acknowledged
            ));
        };
        self.held = decided.clone();
        self.acknowledged = upper;
        self.decided = BTreeMap::from([(upper, self.held.clone())]);
        let all = ingest.events().map_err(|error| error.to_string())?;
        let own: Vec<&Event> =
            all.iter().map(|event| &**event).filter(|event| event.source != ENGINE).collect();
        let mut expected: Vec<&Event> = self.held.values().collect();
        expected.sort_unstable_by_key(|event| event.id);
        if own != expected {
            return Err(format!(
                "at tick {upper} {} events hold, not {}",
                own.len(),
                expected.len()
            ));
        }
        let engine = all.iter().filter(|event| event.source == ENGINE).cloned();
        let events: Vec<Rc<Event>> =
            expected.into_iter().cloned().map(Rc::new).chain(engine).collect();
        let history = History::new(&events, &self.settings);
        for view in driver.store().names() {
            if let Some(difference) = driver.store().difference(view, &history) {
                return Err(format!("at tick {upper} {view}: {difference}"));
            }
        }
        Ok(())
    }

    /// Does an act.
    pub(super) fn act(
        &mut self,
        act: Act,
        driver: &mut Driver<'_>,
        ingest: &mut Ingest,
    ) -> Result<(), Failed> {
        match act {
            Act::Put(key, event) => {
                let put = ingest.put(key, event.clone());
                put.map_err(|error| self.judge(&error.into()))?;
                self.held.insert(key, event);
            }
            Act::Retract(key) => {
                ingest.retract(key).map_err(|error| self.judge(&error.into()))?;
                self.held.remove(&key);
            }
            Act::Commit => self.commit(driver, ingest)?,
            Act::Erase(identifier) => self.erase(identifier, driver, ingest)?,
            Act::Checkpoint | Act::Rewrite if ingest.waits() => self.commit(driver, ingest)?,
            Act::Checkpoint | Act::Rewrite => {
                let whole = act == Act::Rewrite;
                if whole {
                    self.expect(self.held.clone());
                }
                if ingest.checkpoint_is_due(true) {
                    let done = ingest.checkpoint(driver, whole, &[]);
                    done.map_err(|error| self.judge(&error))?;
                }
                self.acknowledge(driver);
            }
            Act::Reopen => {}
        }
        Ok(())
    }

    /// With the next tick, this holds.
    fn expect(&mut self, held: Held) {
        self.decided.insert(self.acknowledged + 1, held);
    }

    /// All ticks up to now are acknowledged.
    fn acknowledge(&mut self, driver: &Driver<'_>) {
        let upper = driver.upper().0;
        self.tally.acknowledged += upper - self.acknowledged;
        self.acknowledged = upper;
        self.decided.retain(|tick, _| upper <= *tick);
    }

    fn commit(&mut self, driver: &mut Driver<'_>, ingest: &mut Ingest) -> Result<(), Failed> {
        self.expect(self.held.clone());
        ingest.commit(driver, &[]).map_err(|error| self.judge(&error))?;
        self.acknowledge(driver);
        Ok(())
    }

    fn erase(
        &mut self,
        identifier: Identifier,
        driver: &mut Driver<'_>,
        ingest: &mut Ingest,
    ) -> Result<(), Failed> {
        if ingest.waits() {
            self.commit(driver, ingest)?;
        }
        let before: Vec<Rc<Event>> = ingest.events().map_err(|error| self.judge(&error.into()))?;
        let history = History::new(&before, &self.settings);
        let identity = (IDENTITY.batch)(&history);
        let mut left = self.held.clone();
        if let Some(profile) = identity.get(&identifier).copied() {
            left.retain(|_, event| match event.action {
                Action::Link(a, b) | Action::Unlink(a, b) => {
                    ![a, b].iter().any(|id| identity.get(id) == Some(&profile))
                }
                _ => owner_batch(&history, event) != Some(profile),
            });
        }
        let erased = ingest.take_out(driver, &[identifier]);
        let erased = erased.map_err(|error| self.judge(&error.into()))?;
        if erased.events == 0 {
            return Ok(());
        }
        self.held = left;
        self.expect(self.held.clone());
        ingest.commit_erasure(driver, &[]).map_err(|error| self.judge(&error))?;
        self.acknowledge(driver);
        Ok(())
    }
}
