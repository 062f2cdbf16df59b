//! Recover: how does the engine take up where its log ends?
//!
//! The events of the newest checkpoint are loaded, a hundred thousand to a tick; then every view
//! that they give must have the digest that the checkpoint says. The log behind it is replayed in
//! ticks as large, and what else has to be as it was comes with each frame.

use std::collections::BTreeSet;

use dataflows::Tick;

use super::ingest::{Ingest, State};
use super::refit::Refit;
use super::{Driver, clock};
use crate::durable::{Durable, Error};
use crate::ledger::Update;
use crate::ledger::journal::Journal;
use crate::ledger::{self, Ledger};

/// How many updates make a tick while events are loaded.
const LOAD_UPDATES: usize = 100_000;

/// How far recovery has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events of the checkpoint, and how many of them are loaded.
    pub events: (u64, u64),
    /// Frames of the log behind it that are replayed.
    pub frames: u64,
}

/// What recovery came to.
#[derive(Debug)]
pub struct Recovered {
    /// What turns changes into ticks, as it was.
    pub ingest: Ingest,
    /// How far it came.
    pub progress: Progress,
    /// Whether all views were compared with their digests in the checkpoint.
    pub compared: bool,
}

/// Who wants to know of the notes in the log, and how far it has come.
pub trait Listen {
    /// A note that lies in the log, in the order of ticks.
    ///
    /// # Errors
    ///
    /// The note is none that was written.
    fn note(&mut self, note: &[u8]) -> Result<(), ledger::Error>;

    /// It has come so far.
    fn progress(&mut self, progress: Progress);
}

/// Loads what lies in `durable` into the dataflows.
///
/// # Errors
///
/// The directory is damaged, of another shop or another program; nothing was changed in it.
pub fn recover(
    driver: &mut Driver<'_>,
    refit: Option<Refit>,
    (durable, journal): (Durable, Journal),
    listen: &mut dyn Listen,
) -> Result<Recovered, Error> {
    let mut loading = Loading {
        ledger: Ledger::on_disk(journal),
        durable,
        updates: Vec::new(),
        state: None,
        progress: Progress::default(),
        passed: 0,
    };
    let compared = loading.base(driver, listen)?;
    loading.tail(driver, listen)?;
    let Loading { mut ledger, mut durable, state, progress, .. } = loading;
    ledger.replayed();
    durable.ready();
    let ingest = Ingest::recovered(driver, refit, (ledger, durable), state)?;
    Ok(Recovered { ingest, progress, compared })
}

/// The state that is being loaded.
struct Loading {
    ledger: Ledger,
    durable: Durable,
    updates: Vec<Update>,
    state: Option<(Tick, State)>,
    progress: Progress,
    /// How many records of people who were erased have been passed over.
    passed: usize,
}

impl Loading {
    /// Loads the newest checkpoint; whether its views were compared.
    fn base(&mut self, driver: &mut Driver<'_>, listen: &mut dyn Listen) -> Result<bool, Error> {
        let Some(checkpoint) = self.durable.newest().cloned() else { return Ok(false) };
        let load = u64::try_from(LOAD_UPDATES).unwrap_or(u64::MAX);
        let ticks = checkpoint.events.div_ceil(load).clamp(1, checkpoint.tick.0 + 1);
        driver.skip_to(Tick(checkpoint.tick.0 + 1 - ticks));
        self.progress.events.0 = checkpoint.events;
        if let Some(journal) = self.ledger.journal_mut() {
            journal.keys_were(checkpoint.keys);
        }
        let names = self.durable.names();
        for part in &checkpoint.parts {
            let (ledger, updates) = (&mut self.ledger, &mut self.updates);
            let (state, passed) = (&mut self.state, &mut self.passed);
            let progress = &mut self.progress;
            self.durable.read_part(part, &mut |place, block| {
                let applied = ledger.apply(block, place, &mut names.lock(), updates)?;
                *passed += applied.passed;
                if !applied.state.is_empty() {
                    *state = Some((checkpoint.tick, State::parse(&applied.state)?));
                }
                progress.events.1 = u64::try_from(ledger.len()).unwrap_or(0);
                listen.progress(*progress);
                if LOAD_UPDATES <= updates.len() && driver.upper() < checkpoint.tick {
                    driver.tick(std::mem::take(updates));
                }
                Ok(())
            })?;
        }
        if let Some((_, state)) = &self.state {
            listen.note(&state.note)?;
        }
        driver.skip_to(checkpoint.tick);
        driver.tick(std::mem::take(&mut self.updates));
        self.ledger.loaded();
        Ok(self.passed == 0 && self.durable.compare(driver.store())?)
    }

    /// Replays the log behind it.
    fn tail(&mut self, driver: &mut Driver<'_>, listen: &mut dyn Listen) -> Result<(), Error> {
        let names = self.durable.names();
        let (mut gone, mut erased) = (Vec::new(), BTreeSet::new());
        let mut last = None;
        for frame in self.durable.tail()? {
            let frame = frame?;
            let (ledger, updates) = (&mut self.ledger, &mut self.updates);
            let applied = ledger.apply(&frame.body, frame.place, &mut names.lock(), updates)?;
            let state = State::parse(&applied.state)?;
            listen.note(&state.note)?;
            self.state = Some((frame.tick, state));
            gone.push((frame.tick, applied.gone));
            erased.extend(applied.erased);
            self.progress.frames += 1;
            listen.progress(self.progress);
            if LOAD_UPDATES <= updates.len() {
                driver.skip_to(frame.tick);
                driver.tick(std::mem::take(updates));
            }
            last = Some(frame.tick);
        }
        if let Some(last) = last.filter(|last| driver.upper() <= *last) {
            driver.skip_to(last);
            driver.tick(std::mem::take(&mut self.updates));
        }
        let all = (gone.as_slice(), &erased);
        self.durable.finish_erasures(&mut self.ledger, all, clock::unix_seconds())
    }
}

impl Ingest {
    /// What was, with the fit that is due after its last tick.
    fn recovered(
        driver: &Driver<'_>,
        refit: Option<Refit>,
        (ledger, durable): (Ledger, Durable),
        state: Option<(Tick, State)>,
    ) -> Result<Ingest, ledger::Error> {
        let mut ingest = Ingest::on_disk(refit, ledger, durable);
        if let Some((tick, state)) = state {
            ingest.restore(state)?;
            ingest.fit(driver, tick);
        }
        Ok(ingest)
    }
}
