//! affluent: incremental personalization for shops.

pub mod names;
pub mod source;
pub mod decode;
pub mod config;
