//! Trial: does the engine keep its promises when everything goes wrong?
//!
//! A trial is a random shop on a modelled disk. Events come, are corrected, retracted and erased,
//! checkpoints are written, and at some write power is cut, a sync fails, or the disk is full. Then
//! the program starts again, and what it says must be what a plain map of the acknowledged events
//! says: the events, and every view by its batch function. A seed says all of it, and a failure
//! names its seed.

mod canary;
mod crash;
mod history;
mod rescale;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::worker;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Power is cut, a sync fails, the disk is full.
    Crash,
    /// A directory is taken up with other numbers of workers.
    Rescale,
    /// Traces of erased people are looked for.
    Canary,
}

/// All kinds, by name.
const KINDS: [(&str, Kind); 3] =
    [("crash", Kind::Crash), ("rescale", Kind::Rescale), ("canary", Kind::Canary)];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = KINDS.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let known = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        let names = KINDS.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| format!("there are the trials {names}"))
    }
}

/// How many trials share the dataflows of one worker before they are made anew.
const TOGETHER: u64 = 500;

/// Runs the trials of these seeds, `workers` at a time; `told` hears how many are done.
///
/// # Errors
///
/// The workers could not be started.
pub fn trials(
    kind: Kind,
    seeds: Range<u64>,
    workers: usize,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Tally, worker::Error> {
    let (next, done) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let run = || -> Result<Tally, worker::Error> {
        let mut tally = Tally::default();
        loop {
            let first = next.fetch_add(TOGETHER, Ordering::Relaxed);
            if seeds.end <= first {
                return Ok(tally);
            }
            let some = first..seeds.end.min(first + TOGETHER);
            let many = some.end - some.start;
            tally.add(match kind {
                Kind::Crash => crash::crashes(some)?,
                Kind::Rescale => rescale::rescales(some)?,
                Kind::Canary => canary::canaries(some)?,
            });
            told(done.fetch_add(many, Ordering::Relaxed) + many);
        }
    };
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.max(1)).map(|_| scope.spawn(run)).collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => tally.add(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    })?;
    tally.violations.sort_unstable();
    Ok(tally)
}

/// What trials came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many trials there were.
    pub trials: u64,
    /// How often power was cut.
    pub cuts: u64,
    /// How many syncs failed.
    pub failed_syncs: u64,
    /// How often the disk was full.
    pub full: u64,
    /// How often the engine was started again and compared.
    pub starts: u64,
    /// Ticks that were acknowledged.
    pub acknowledged: u64,
    /// People who were erased and looked for.
    pub erased: u64,
    /// What was not as promised: the seed, and what.
    pub violations: Vec<(u64, String)>,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: Tally) {
        self.trials += other.trials;
        self.cuts += other.cuts;
        self.failed_syncs += other.failed_syncs;
        self.full += other.full;
        self.starts += other.starts;
        self.acknowledged += other.acknowledged;
        self.erased += other.erased;
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trials", self.trials)?;
        let told = [
            (self.cuts, "times power was cut"),
            (self.failed_syncs, "failed syncs"),
            (self.full, "times the disk was full"),
            (self.acknowledged, "ticks acknowledged"),
            (self.starts, "starts compared"),
            (self.erased, "people erased and looked for"),
        ];
        for (many, what) in told.into_iter().filter(|(many, _)| 0 < *many) {
            write!(f, ", {many} {what}")?;
        }
        write!(f, "; {} violations", self.violations.len())
    }
}
