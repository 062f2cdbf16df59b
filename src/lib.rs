//! affluent: incremental personalization for shops.
//!
//! Every published result, at every tick, is what a batch job over the same events would have
//! given, after late events, corrections and erasures too, at a cost that follows what changed.
//!
//! What is computed is the business of the crate `dataflows`; this one says how it runs.

pub mod config;
pub mod decode;
pub mod names;
pub mod source;
