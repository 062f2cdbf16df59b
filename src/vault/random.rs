//! Random: where do keys come from, if nobody may foresee them?

use std::fmt::Debug;
use std::io;

use crate::storage::Dice;

/// A source of random bytes.
pub trait Random: Debug + Send {
    /// Fills `out`.
    ///
    /// # Errors
    ///
    /// There is no randomness; what `out` holds must not be used.
    fn fill(&mut self, out: &mut [u8]) -> io::Result<()>;
}

/// The randomness of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Random for System {
    fn fill(&mut self, out: &mut [u8]) -> io::Result<()> {
        getrandom::fill(out).map_err(io::Error::other)
    }
}

/// For modelled disks only: whoever knows the seed knows the keys.
impl Random for Dice {
    fn fill(&mut self, out: &mut [u8]) -> io::Result<()> {
        Dice::fill(self, out);
        Ok(())
    }
}
