//! Health: how is the engine, for whoever asks?

use std::fmt;
use std::sync::{Arc, Mutex};

use super::Error;
use crate::view::lock;

/// How the engine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It is being started.
    #[default]
    Starting,
    /// It takes up what lies in the data directory: so many of so many events of the checkpoint,
    /// and so many ticks of the log behind it. Reads are answered from the checkpoint.
    Hydrating {
        /// Events that are loaded.
        events: u64,
        /// Events of the checkpoint.
        of: u64,
        /// Ticks that are replayed.
        ticks: u64,
    },
    /// It takes events, and all views are up to date.
    Live,
    /// It takes no events for this reason, and goes on by itself when that has passed. Reads are
    /// answered.
    Degraded(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Starting => f.write_str("starting"),
            State::Hydrating { events, of, ticks: 0 } => {
                write!(f, "hydrating: {events} of {of} events")
            }
            State::Hydrating { events, ticks, .. } => {
                write!(f, "hydrating: {events} events, {ticks} ticks of the log")
            }
            State::Live => f.write_str("live"),
            State::Degraded(reason) => write!(f, "degraded: {reason}"),
        }
    }
}

/// The state, for any thread to ask.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

impl Health {
    /// How the engine is.
    #[must_use]
    pub fn state(&self) -> State {
        lock(&self.0).clone()
    }

    /// It is like this from now on.
    pub fn set(&self, state: State) {
        *lock(&self.0) = state;
    }

    /// It waits for what an error says.
    pub fn degraded(&self, error: &Error) {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        self.set(State::Degraded(message));
    }
}
