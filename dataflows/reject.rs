//! Reject: which records were refused, and why?
//!
//! A refused record is an event too, so its row leaves when the record is corrected or retracted.

use crate::event::{EventId, Reject};
use crate::show;
use crate::view::{History, View, optional};

/// The records that are refused at this tick.
pub const REJECTS: View<EventId, Reject> = View::new("rejects", rejects_batch);

show!(EventId, |id, names| { "event" => format!("{:016x}", id.0) });
show!(Reject, |reject, names| {
    "file" => names.word(reject.file.0.get()),
    "line" => reject.line.to_string(),
    "field" => optional(reject.field, names),
    "reason" => names.word(reject.reason.0.get()),
});

fn rejects_batch(_: &History<'_>) -> std::collections::BTreeMap<EventId, Reject> {
    Default::default()
}
