//! Affluent: how what `dataflows` computes is run.

pub mod ledger;
pub mod view;
pub mod worker;
