//! Clock: the one place that may look at the time.

use std::time::Instant;

/// Now, for progress and durations; it never reaches a dataflow.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub fn now() -> Instant {
    Instant::now()
}

/// The machine's time in seconds since the Unix epoch, for what people are told; it never reaches
/// a dataflow.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that may")]
pub fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
