//! Affluent: how is a shop personalized incrementally?
//!
//! Every published result, at every tick, is what a batch job over the same events would have
//! given, after late events, corrections and erasures too, at a cost that follows what changed.
//!
//! What is computed is the business of the crate [`dataflows`]; this one says how it runs.
//! In the order in which an event meets them: [`source`] reads records, [`decode`] makes events of
//! them and [`names`] keeps what their hashes stand for, [`ledger`] says which events hold,
//! [`worker`] takes all dataflows from tick to tick, and [`view`] is what readers see.
//! [`feed`] accounts for every row on its way there; [`run`] does all of it for the files of a shop
//! and [`fixture`] for a story; [`show`] answers from a snapshot, in the [`text`] of people.

pub mod cache;
pub mod config;
pub mod decode;
pub mod feed;
pub mod fixture;
pub mod ledger;
pub mod names;
pub mod run;
pub mod show;
pub mod source;
pub mod text;
pub mod view;
pub mod worker;
