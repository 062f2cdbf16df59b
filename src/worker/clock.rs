//! Clock: the one place that may look at the time.

use std::time::Instant;

/// Now, for progress and durations; it never reaches a dataflow.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub fn now() -> Instant {
    Instant::now()
}
