//! Tick: where in the log are we?
//!
//! A tick is a position in the log and the only clock that a dataflow can see.
//! It is a type of its own, because confusing it with the time at which an event happened
//! ([`EventTime`](crate::EventTime)) is the characteristic bug of this field.

use differential_dataflow::lattice::Lattice;
use serde::{Deserialize, Serialize};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::Timestamp;
use timely::progress::timestamp::{PathSummary, Refines};

/// A position in the log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick after this one.
    #[must_use]
    pub fn next(self) -> Tick {
        Tick(self.0 + 1)
    }
}

impl std::fmt::Display for Tick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialOrder for Tick {
    fn less_equal(&self, other: &Self) -> bool {
        self <= other
    }
}

impl TotalOrder for Tick {}

impl PathSummary<Tick> for Tick {
    fn results_in(&self, src: &Tick) -> Option<Tick> {
        self.0.checked_add(src.0).map(Tick)
    }

    fn followed_by(&self, other: &Tick) -> Option<Tick> {
        self.0.checked_add(other.0).map(Tick)
    }
}

impl Timestamp for Tick {
    type Summary = Tick;

    fn minimum() -> Tick {
        Tick(0)
    }
}

impl Refines<()> for Tick {
    fn to_inner((): ()) -> Tick {
        Tick(0)
    }

    fn to_outer(self) {}

    fn summarize(_: Tick) {}
}

impl Lattice for Tick {
    fn join(&self, other: &Tick) -> Tick {
        *self.max(other)
    }

    fn meet(&self, other: &Tick) -> Tick {
        *self.min(other)
    }
}
