//! Day: what is today?
//!
//! The greatest day of the `day` events. Ingest adds one when an accepted event's day passes it.

use crate::event::Day;
use crate::show;
use crate::view::{History, View};

/// Today; no row before the first `day` event.
pub const TODAY: View<(), Day> = View::new("today", today_batch);

show!(Day, |day, names| { "today" => names.day(*day) });

fn today_batch(_: &History<'_>) -> std::collections::BTreeMap<(), Day> {
    Default::default()
}
