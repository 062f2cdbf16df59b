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

mod track;

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::event::{
    Action, Event, EventTime, Identifier, Item, Place, ProfileId, SessionKey, Who, Word, spread,
};
use crate::identity::Owners;
use crate::operator::{Index, by_tick, fold, hash, values};
use crate::related::Touched;
use crate::settings::Settings;
use crate::show;
use crate::view::{Facts, History, Rows, View, optional};

use track::State;

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

/// What sessions come to.
#[expect(missing_debug_implementations, reason = "a collection has nothing to show")]
pub struct Sessions<'s> {
    /// The rows of [`SESSIONS`].
    pub rows: Rows<'s, SessionId, Session>,
    /// The rows of [`DWELL`].
    pub dwell: Rows<'s, Item, Dwell>,
    /// The items of the sessions that the source did not name, by basket.
    pub baskets: Facts<'s, (u64, Touched)>,
}

/// Maintains [`SESSIONS`] and [`DWELL`] from events and their owners.
///
/// Without `named`, sessions that the source names are left out: their baskets need no rows.
///
/// Cost: per touch, one pass over the sessions next to it; per `who` that changes its profile, one
/// over its track.
pub fn sessions<'s>(
    events: Facts<'s, Rc<Event>>,
    owners: Owners<'s>,
    settings: &Rc<Settings>,
    named: bool,
) -> Sessions<'s> {
    let settings = Rc::clone(settings);
    let kinds = settings.session_kinds.clone();
    let touches = events.flat_map(move |event| {
        let touch = touch(&event)?;
        let track = match event.context.session {
            Some(key) if named => Track::Named(key),
            Some(_) => return None,
            None => {
                let of = |kind| event.who.iter().find(|id| id.kind() == kind);
                Track::Found(*kinds.iter().find_map(|kind| of(*kind)).or(event.who.first())?)
            }
        };
        Some((track, touch))
    });
    let owned = touches
        .clone()
        .flat_map(|(track, touch)| touch.who.map(|who| (who, track)))
        .join_core(owners, |who, track, profile| Some((*track, Note::Owner(*who, *profile))));
    let notes = owned.concat(touches.map(|(track, touch)| (track, Note::Touch(touch))));
    let mut tracks: Index<Track, State> = Index::default();
    let found = by_tick(
        notes,
        "sessions",
        |(track, _)| hash(track),
        move |updates, changes| {
            for group in updates.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
                let track = group[0].0.0;
                let state = tracks.entry(&track);
                state.tick(&settings, track, group, changes);
                if state.empty() {
                    tracks.remove(&track);
                }
            }
        },
    );
    let visits = found.clone().flat_map(|found| match found {
        Found::Dwell(item, visit) => Some((item, visit)),
        _ => None,
    });
    Sessions {
        rows: found.clone().flat_map(|found| match found {
            Found::Row(id, row) => Some((id, row)),
            _ => None,
        }),
        dwell: fold(
            visits,
            "dwell",
            |_, sum: &mut Dwell, updates| {
                for (visit, diff) in values(updates) {
                    let diff = i64::try_from(diff).unwrap_or(0);
                    sum.visits += diff * visit.visits;
                    sum.micros += diff * visit.micros;
                }
            },
            |_, sum| (0 < sum.visits).then_some(*sum),
        ),
        baskets: found.flat_map(|found| match found {
            Found::Touched(basket, touched) => Some((basket, touched)),
            _ => None,
        }),
    }
}

impl SessionId {
    /// The number of the session's basket.
    fn basket(&self) -> u64 {
        match self {
            SessionId::Named(key) => key.0.get(),
            SessionId::Found(track, place) => spread(hash(&(track, place))),
        }
    }
}

/// Where touches belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Track {
    /// The source says so.
    Named(SessionKey),
    /// They share an identifier.
    Found(Identifier),
}

/// What a track is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Note {
    /// Events with these identifiers are this profile's.
    Owner(Who, ProfileId),
    /// A touch happened.
    Touch(Touch),
}

/// What is found on a track.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// A session.
    Row(SessionId, Session),
    /// A visit to an item.
    Dwell(Item, Dwell),
    /// An item of a session's basket.
    Touched(u64, Touched),
}

/// What kind of touch it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Touching {
    Viewed,
    Carted,
    Removed,
    Ordered,
    Paged,
}

/// A touch, by place first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Touch {
    place: Place,
    who: Option<Who>,
    touching: Touching,
    /// The item, page or search term; 0 for an order.
    shown: u64,
    device: Option<Word>,
    country: Option<Word>,
    /// The items ordered.
    bought: Box<[Item]>,
}

impl Touch {
    fn viewed(&self) -> bool {
        self.touching == Touching::Viewed
    }

    fn carted(&self) -> bool {
        self.touching == Touching::Carted
    }

    fn ordered(&self) -> bool {
        self.touching == Touching::Ordered
    }

    fn paged(&self) -> bool {
        self.touching == Touching::Paged
    }
}

/// The touch that an event is, if it is one.
fn touch(event: &Event) -> Option<Touch> {
    let (touching, shown) = match &event.action {
        Action::View(item) => (Touching::Viewed, item.0),
        Action::AddToCart(item) => (Touching::Carted, item.0),
        Action::RemoveFromCart(item) => (Touching::Removed, item.0),
        Action::Order { .. } => (Touching::Ordered, 0),
        Action::Page(word) | Action::Search(word) => (Touching::Paged, word.0.get()),
        _ => return None,
    };
    let bought = match &event.action {
        Action::Order { lines, .. } => {
            lines.iter().filter(|line| 0 < line.quantity).map(|line| line.item).collect()
        }
        _ => Box::default(),
    };
    let (who, context) = (event.key(), &event.context);
    let (device, country) = (context.device, context.country);
    Some(Touch { place: event.place(), who, touching, shown, device, country, bought })
}

fn sessions_batch(_: &History<'_>) -> std::collections::BTreeMap<SessionId, Session> {
    Default::default()
}

fn dwell_batch(_: &History<'_>) -> std::collections::BTreeMap<Item, Dwell> {
    Default::default()
}
