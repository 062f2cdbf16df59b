//! Session: what did a person do in one sitting?
//!
//! Touches are the events `view`, `add to cart`, `remove from cart`, `order`, `search` and `page`
//! that have a `who` or whose source names the session.
//!
//! * A *named* session is all touches with one [`SessionKey`]. Its profile is that of the touch
//!   with the greatest place among those with a `who`; `None` if there is none.
//! * The other touches, unless [`find_sessions`](crate::Settings) is off, are grouped by (track,
//!   profile of the event): the track is the smallest identifier of the first of
//!   [`session_kinds`](crate::Settings) that the event has, or its strongest identifier if it has
//!   none of them. By place, a new session begins where more than [`session_gap`](crate::Settings)
//!   lies between two touches, and, if [`session_day`](crate::Settings) says so, where their days
//!   differ.
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
use crate::view::{Facts, Rows, View, optional};

use track::State;

pub(crate) use batch::{bought_batch, sittings_batch};
pub use batch::{dwell_batch, sessions_batch};

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
    /// How many distinct items were viewed, put into the cart or ordered (with a positive
    /// quantity).
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
    let (kinds, find) = (settings.session_kinds.clone(), settings.find_sessions);
    let touches = events.flat_map(move |event| {
        let touch = touch(&event)?;
        let track = match event.context.session {
            Some(key) if named => Track::Named(key),
            Some(_) => return None,
            None if !find => return None,
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
        move |_, updates, changes| {
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

mod batch {
    //! The batch twin of [`session`](crate::session).

    use std::collections::{BTreeMap, BTreeSet};
    use std::rc::Rc;

    use crate::event::{Action, Event, Identifier, Item, Line, ProfileId, SessionKey};
    use crate::identity::owner_batch;
    use crate::session::{Dwell, Session, SessionId};
    use crate::settings::Settings;
    use crate::view::History;

    /// The meaning of [`SESSIONS`](crate::SESSIONS).
    pub fn sessions_batch(history: &History<'_>) -> BTreeMap<SessionId, Session> {
        let sittings = sittings_batch(history);
        sittings.0.iter().map(|(id, sitting)| (*id, sitting.session())).collect()
    }

    /// The meaning of [`DWELL`](crate::DWELL).
    pub fn dwell_batch(history: &History<'_>) -> BTreeMap<Item, Dwell> {
        let mut rows: BTreeMap<Item, Dwell> = BTreeMap::new();
        for sitting in sittings_batch(history).0.values() {
            for pair in sitting.touches.windows(2) {
                if let Action::View(item) = pair[0].action {
                    let row = rows.entry(item).or_default();
                    row.visits += 1;
                    row.micros += (pair[1].at.0 - pair[0].at.0).min(history.settings.dwell_max);
                }
            }
        }
        rows
    }

    /// A session with all that happened in it.
    pub(crate) struct SittingBatch {
        /// Whose it was.
        pub(crate) profile: Option<ProfileId>,
        /// What happened, by place; at least one touch.
        pub(crate) touches: Vec<Rc<Event>>,
    }

    /// Every session with all that happened in it.
    pub(crate) struct SittingsBatch(pub(crate) BTreeMap<SessionId, SittingBatch>);

    /// [`SittingsBatch`], once for a history.
    pub(crate) fn sittings_batch(history: &History<'_>) -> Rc<SittingsBatch> {
        history.once(|history| {
            let mut named: BTreeMap<SessionKey, Vec<Rc<Event>>> = BTreeMap::new();
            let mut found: BTreeMap<(Identifier, ProfileId), Vec<Rc<Event>>> = BTreeMap::new();
            for event in history.events.iter().filter(|event| touches_batch(&event.action)) {
                if let Some(key) = event.context.session {
                    named.entry(key).or_default().push(Rc::clone(event));
                } else if let Some(profile) =
                    owner_batch(history, event).filter(|_| history.settings.find_sessions)
                {
                    let track = track_batch(event, history.settings);
                    found.entry((track, profile)).or_default().push(Rc::clone(event));
                }
            }
            let mut sittings = BTreeMap::new();
            for (key, mut touches) in named {
                touches.sort_by_key(|touch| touch.place());
                let profile = touches.iter().rev().find_map(|touch| owner_batch(history, touch));
                sittings.insert(SessionId::Named(key), SittingBatch { profile, touches });
            }
            for ((track, profile), mut touches) in found {
                touches.sort_by_key(|touch| touch.place());
                for sitting in
                    touches.chunk_by(|one, next| !parted_batch(one, next, history.settings))
                {
                    let (profile, touches) = (Some(profile), sitting.to_vec());
                    let id = SessionId::Found(track, touches[0].place());
                    sittings.insert(id, SittingBatch { profile, touches });
                }
            }
            SittingsBatch(sittings)
        })
    }

    /// Whether an action is one of a session.
    fn touches_batch(action: &Action) -> bool {
        let item = matches!(
            action,
            Action::View(_)
                | Action::AddToCart(_)
                | Action::RemoveFromCart(_)
                | Action::Order { .. }
        );
        item || matches!(action, Action::Search(_) | Action::Page(_))
    }

    /// The identifier that tells the browser or device of an event, which has a `who`, apart.
    fn track_batch(event: &Event, settings: &Settings) -> Identifier {
        let smallest = |kind| event.who.iter().filter(|id| id.kind() == kind).min();
        let track = settings.session_kinds.iter().find_map(|kind| smallest(*kind));
        track.or(event.who.iter().min()).copied().unwrap_or_default()
    }

    /// Whether a new session begins between two touches that follow each other.
    fn parted_batch(one: &Event, next: &Event, settings: &Settings) -> bool {
        settings.session_gap < next.at.0 - one.at.0
            || (settings.session_day && one.at.day() != next.at.day())
    }

    /// The items on lines with a positive quantity.
    pub(crate) fn bought_batch(lines: &[Line]) -> BTreeSet<Item> {
        lines.iter().filter(|line| 0 < line.quantity).map(|line| line.item).collect()
    }

    impl SittingBatch {
        /// The items viewed or put into the cart.
        pub(crate) fn seen(&self) -> BTreeSet<Item> {
            let mut items = BTreeSet::new();
            for touch in &self.touches {
                if let Action::View(item) | Action::AddToCart(item) = touch.action {
                    items.insert(item);
                }
            }
            items
        }

        /// The items ordered.
        pub(crate) fn ordered(&self) -> BTreeSet<Item> {
            let mut items = BTreeSet::new();
            for touch in &self.touches {
                if let Action::Order { lines, .. } = &touch.action {
                    items.extend(bought_batch(lines));
                }
            }
            items
        }

        /// How many touches are of this sort.
        fn count(&self, sort: fn(&Action) -> bool) -> u32 {
            let n = self.touches.iter().filter(|touch| sort(&touch.action)).count();
            u32::try_from(n).unwrap_or(u32::MAX)
        }

        /// Its row.
        fn session(&self) -> Session {
            let (first, last) = (&self.touches[0], &self.touches[self.touches.len() - 1]);
            let items = self.seen().union(&self.ordered()).count();
            Session {
                profile: self.profile,
                start: first.at,
                end: last.at,
                touches: self.count(|_| true),
                views: self.count(|action| matches!(action, Action::View(_))),
                pages: self.count(|action| matches!(action, Action::Page(_) | Action::Search(_))),
                items: u32::try_from(items).unwrap_or(u32::MAX),
                entry: match first.action {
                    Action::View(item) => item.0,
                    Action::AddToCart(item) | Action::RemoveFromCart(item) => item.0,
                    Action::Page(word) | Action::Search(word) => word.0.get(),
                    _ => 0,
                },
                device: self.touches.iter().find_map(|touch| touch.context.device),
                country: self.touches.iter().find_map(|touch| touch.context.country),
                hour: first.at.hour(),
                ordered: 0 < self.count(|action| matches!(action, Action::Order { .. })),
            }
        }
    }
}
