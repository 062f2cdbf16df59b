//! Session: what did a person do in one sitting?
//!
//! Touches are the events `view`, `add to cart`, `remove from cart`, `order`, `search` and `page`
//! that have a `who` or whose source names the session.
//!
//! * A *named* session is all touches with one [`SessionKey`]. Its profile is that of the touch
//!   with the greatest place among those with a `who`; `None` if there is none.
//! * The other touches are grouped by (track, profile of the event): the track is the smallest
//!   identifier of the first of [`session_kinds`](crate::Settings) that the event has, or its
//!   strongest identifier if it has none of them. By place, a new session begins where more than
//!   [`session_gap`](crate::Settings) lies between two touches, and, if
//!   [`session_day`](crate::Settings) says so, where their days differ.
//!
//! Device and country are those of the touch with the least place that has one. `entry` is what the
//! first touch showed: an item, a page or a search; 0 for anything else.
//!
//! Dwell: a `view` that is followed by another touch in its session is a visit to the item, and
//! lasts until that touch, at most [`dwell_max`](crate::Settings).

use serde::{Deserialize, Serialize};

use crate::event::{EventTime, Identifier, Item, Place, ProfileId, SessionKey, Word};
use crate::show;
use crate::view::{History, View, optional};

/// Every session.
pub const SESSIONS: View<SessionId, Session> = View::new("sessions", sessions_batch);

/// How long each item is looked at.
pub const DWELL: View<Item, Dwell> = View::new("dwell", dwell_batch);

/// Which session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SessionId {
    /// The source named it.
    Named(SessionKey),
    /// It began on this track with the event at this place.
    Found(Identifier, Place),
}

/// One sitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    /// Whose it was.
    pub profile: Option<ProfileId>,
    /// The first touch.
    pub start: EventTime,
    /// The last touch.
    pub end: EventTime,
    /// How many touches.
    pub touches: u32,
    /// How many of them were views of an item.
    pub views: u32,
    /// How many of them were pages or searches.
    pub pages: u32,
    /// How many distinct items were viewed, put into the cart or ordered (with a positive quantity).
    pub items: u32,
    /// What the first touch showed: the hash of an item, a page or a search term, or 0.
    pub entry: u64,
    /// The kind of device.
    pub device: Option<Word>,
    /// The country.
    pub country: Option<Word>,
    /// The hour of the day, in UTC, of the first touch.
    pub hour: u8,
    /// Whether an order was placed.
    pub ordered: bool,
}

/// How long an item is looked at.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Dwell {
    /// How many visits.
    pub visits: i64,
    /// How long they were together, in microseconds.
    pub micros: i64,
}

show!(SessionId, |id, names| {
    "session" => match id {
        SessionId::Named(key) => names.word(key.0.get()),
        SessionId::Found(track, (at, event)) => {
            format!("{}@{}/{:016x}", names.identifier(*track), names.time(*at), event.0)
        }
    },
});
show!(Session, |row, names| {
    "profile" => row.profile.map(|profile| names.identifier(profile.0)).unwrap_or_default(),
    "start" => names.time(row.start),
    "end" => names.time(row.end),
    "touches" => row.touches.to_string(),
    "views" => row.views.to_string(),
    "pages" => row.pages.to_string(),
    "items" => row.items.to_string(),
    "entry" => if row.entry == 0 { String::new() } else { names.word(row.entry) },
    "device" => optional(row.device, names),
    "country" => optional(row.country, names),
    "hour" => row.hour.to_string(),
    "ordered" => row.ordered.to_string(),
});
show!(Dwell, |row, names| {
    "visits" => row.visits.to_string(),
    "seconds" => format!("{}.{:06}", row.micros / 1_000_000, row.micros % 1_000_000),
});

fn sessions_batch(_: &History<'_>) -> std::collections::BTreeMap<SessionId, Session> {
    Default::default()
}

fn dwell_batch(_: &History<'_>) -> std::collections::BTreeMap<Item, Dwell> {
    Default::default()
}
