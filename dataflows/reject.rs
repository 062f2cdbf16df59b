//! Reject: which records were refused, and why?
//!
//! A refused record is an event too, so its row leaves when the record is corrected or retracted.

use std::rc::Rc;

use crate::event::{Action, Event, EventId, Reject};
use crate::show;
use crate::view::{Facts, Rows, View, optional};

pub use batch::rejects_batch;

/// The records that are refused at this tick.
pub const REJECTS: View<EventId, Reject> = View::new("rejects", rejects_batch);

show!(EventId, |id, names| { "event" => format!("{:016x}", id.0) });
show!(Reject, |reject, names| {
    "file" => names.word(reject.file.0.get()),
    "line" => reject.line.to_string(),
    "field" => optional(reject.field, names),
    "reason" => names.word(reject.reason.0.get()),
});

/// Maintains [`REJECTS`] from events.
///
/// Cost: one update per record that is refused or corrected.
pub fn rejects<'s>(events: Facts<'s, Rc<Event>>) -> Rows<'s, EventId, Reject> {
    events.flat_map(|event| match &event.action {
        Action::Reject(reject) => Some((event.id, reject.clone())),
        _ => None,
    })
}

mod batch {
    //! The batch twin of [`reject`](crate::reject).

    use std::collections::BTreeMap;

    use crate::event::{Action, EventId, Reject};
    use crate::view::History;

    /// The meaning of [`REJECTS`](crate::REJECTS).
    pub fn rejects_batch(history: &History<'_>) -> BTreeMap<EventId, Reject> {
        let mut rejects = BTreeMap::new();
        for event in history.events {
            if let Action::Reject(reject) = &event.action {
                rejects.insert(event.id, reject.clone());
            }
        }
        rejects
    }
}
