//! Identity: which identifiers are one person?
//!
//! A rule on the *set* of events, so that no order of arrival can matter:
//!
//! 1. Every pair of identifiers on one event, or joined by `link`, is a claim: (pair, event time,
//!    event id). A pair is *live* if it has a claim and no `unlink` names it.
//! 2. An identifier that is live-paired with more than [`shared_above`](crate::KindRule) distinct
//!    identifiers of stronger kinds is *shared*: none of its pairs is *active* while that is so.
//!    A pair is active if it is live and neither end is shared.
//! 3. Raw components are those of the active pairs.
//! 4. In a raw component the active pairs are taken in the order (kind of the weaker end, least
//!    (event time, event id) among the pair's claims, the pair itself, smaller end first), and
//!    joined unless the joined group would have more identifiers of a kind than its
//!    [`limit`](crate::KindRule); a pair refused because of that is a row of [`CONFLICTS`], naming
//!    the strongest kind whose limit would be exceeded.
//! 5. The profile's id is the identifier with the smallest (first seen, identifier) among the
//!    profile's identifiers of its strongest kind. First seen is the least event time of the events
//!    that carry the identifier in `who` or name it in a `link`.
//!
//! An identifier has a row exactly if some event carries it in `who` or some `link` names it.
//!
//! An event belongs to the profile of the strongest of its identifiers that is not shared, or of
//! the strongest if all are: see [`Identity::events`].

mod graph;
mod limits;

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;
use serde::{Deserialize, Serialize};

use crate::event::{Action, Event, Identifier, Kind, Place, ProfileId, Who};
use crate::operator::{Bag, Index, by_tick};
use crate::settings::Settings;
use crate::show;
use crate::tick::Tick;
use crate::view::{Diff, Facts, History, Rows, View};

use graph::Graph;

/// The profile of every identifier.
pub const IDENTITY: View<Identifier, ProfileId> = View::new("identity", identity_batch);

/// The pairs of identifiers that were not joined because a limit would have been exceeded.
pub const CONFLICTS: View<Pair, Conflict> = View::new("conflicts", conflicts_batch);

/// Two identifiers, the smaller first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair(pub Identifier, pub Identifier);

/// Why two identifiers were not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Conflict {
    /// The strongest kind of which the joined profile would have had too many.
    pub kind: Kind,
}

show!(Pair, |pair, names| {
    "left" => names.identifier(pair.0),
    "right" => names.identifier(pair.1),
});
show!(Conflict, |conflict, names| { "limit" => names.kind(conflict.kind) });

/// Whose the events of each set of identifiers are, arranged for joins.
pub type Owners<'s> = Arranged<'s, TraceAgent<ValSpine<Who, ProfileId, Tick, Diff>>>;

/// What identity comes to.
#[expect(missing_debug_implementations, reason = "a collection has nothing to show")]
pub struct Identity<'s> {
    /// The rows of [`IDENTITY`].
    pub profiles: Rows<'s, Identifier, ProfileId>,
    /// The rows of [`CONFLICTS`].
    pub conflicts: Rows<'s, Pair, Conflict>,
    /// The profile to which the events with a set of identifiers belong.
    pub events: Rows<'s, Who, ProfileId>,
}

/// Maintains [`IDENTITY`] and [`CONFLICTS`] from events.
///
/// Cost: per event, one search among the events with the same set of identifiers; where the first
/// of them changes, one walk through the raw component of those identifiers.
pub fn identity<'s>(events: Facts<'s, Rc<Event>>, settings: &Rc<Settings>) -> Identity<'s> {
    let settings = Rc::clone(settings);
    let decisions = events.clone().flat_map(|event| match event.action {
        Action::Link(a, b) if a != b => Some(Claim::Link(Pair(a.min(b), a.max(b)), event.place())),
        Action::Unlink(a, b) if a != b => Some(Claim::Unlink(Pair(a.min(b), a.max(b)))),
        _ => None,
    });
    let claims = first_seen(events).map(|(group, place)| Claim::Seen(group, place));
    let mut graph = Graph::default();
    let found = by_tick(
        claims.concat(decisions),
        "identity",
        |_| 0,
        move |updates, changes| {
            graph.tick(&settings, updates, changes);
        },
    );
    Identity {
        profiles: found.clone().flat_map(|found| match found {
            Found::Profile(id, profile) => Some((id, profile)),
            _ => None,
        }),
        conflicts: found.clone().flat_map(|found| match found {
            Found::Conflict(pair, conflict) => Some((pair, conflict)),
            _ => None,
        }),
        events: found.flat_map(|found| match found {
            Found::Owner(who, profile) => Some((who, profile)),
            _ => None,
        }),
    }
}

/// What [`Graph`] is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Claim {
    /// The first event with these identifiers is at this place.
    Seen(Group, Place),
    /// An operator joined a pair at this place.
    Link(Pair, Place),
    /// An operator forbade a pair.
    Unlink(Pair),
}

/// What [`Graph`] finds.
#[derive(Clone, Debug)]
enum Found {
    /// The profile of an identifier.
    Profile(Identifier, ProfileId),
    /// The profile of the events with a set of identifiers.
    Owner(Who, ProfileId),
    /// A pair that was refused.
    Conflict(Pair, Conflict),
}

/// A set of identifiers; its key alone says which.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    who: Who,
    ids: Box<[Identifier]>,
}

impl PartialEq for Group {
    fn eq(&self, other: &Group) -> bool {
        self.who == other.who
    }
}

impl Eq for Group {}

impl PartialOrd for Group {
    fn partial_cmp(&self, other: &Group) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Group {
    fn cmp(&self, other: &Group) -> std::cmp::Ordering {
        self.who.cmp(&other.who)
    }
}

impl Hash for Group {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.who.hash(state);
    }
}

/// The least place at which each set of identifiers was seen.
fn first_seen<'s>(events: Facts<'s, Rc<Event>>) -> Rows<'s, Group, Place> {
    let sights = events.flat_map(|event| {
        let who = event.key()?;
        Some((Group { who, ids: event.who.clone() }, event.place()))
    });
    let mut seen: Index<Who, Bag<Place>> = Index::default();
    by_tick(
        sights,
        "first seen",
        |(group, _)| group.who.0,
        move |updates, changes| {
            for updates in updates.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
                let group = &updates[0].0.0;
                let places = seen.entry(&group.who);
                let old = places.first().copied();
                places.apply(crate::operator::values(updates));
                let new = places.first().copied();
                if new.is_none() {
                    seen.remove(&group.who);
                }
                if old != new {
                    changes.extend(old.map(|old| ((group.clone(), old), -1)));
                    changes.extend(new.map(|new| ((group.clone(), new), 1)));
                }
            }
        },
    )
}

fn identity_batch(_: &History<'_>) -> std::collections::BTreeMap<Identifier, ProfileId> {
    Default::default()
}

fn conflicts_batch(_: &History<'_>) -> std::collections::BTreeMap<Pair, Conflict> {
    Default::default()
}
