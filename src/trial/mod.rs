//! Trial: does the engine keep its promises when everything goes wrong?
//!
//! A trial is a random shop on a modelled disk. Events come, are corrected, retracted and erased,
//! checkpoints are written, and at some write power is cut, a sync fails, or the disk is full. Then
//! the program starts again, and what it says must be what a plain map of the acknowledged events
//! says: the events, and every view by its batch function. A seed says all of it, and a failure
//! names its seed.

mod crash;
mod history;

use std::fmt;

pub use crash::crashes;

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
        self.violations.extend(other.violations);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} trials: power cut {} times, {} syncs failed, disk full {} times; {} ticks \
             acknowledged, {} starts compared; {} violations",
            self.trials,
            self.cuts,
            self.failed_syncs,
            self.full,
            self.acknowledged,
            self.starts,
            self.violations.len()
        )
    }
}
