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
//! the strongest if all are: see [`Identity`].

mod graph;
mod limits;

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;
use serde::{Deserialize, Serialize};

use crate::event::{Action, Event, Identifier, Kind, Place, ProfileId, Who};
use crate::operator::{Bag, Index, by_tick, by_tick_unsorted};
use crate::settings::Settings;
use crate::show;
use crate::slab::Slab;
use crate::tick::Tick;
use crate::view::{Diff, Facts, Rows, View};

use graph::Graph;

pub use batch::{
    IdentityBatch, attribution_batch, conflicts_batch, identity_batch, owner_batch, owners_batch,
};

/// The profile of every identifier.
pub const IDENTITY: View<Identifier, ProfileId> = View::new("identity", identity_batch);

/// The pairs of identifiers that were not joined because a limit would have been exceeded.
pub const CONFLICTS: View<Pair, Conflict> = View::new("conflicts", conflicts_batch);

/// The sets of identifiers whose events belong to a profile: what an erasure has to find.
pub const OWNERS: View<Owned, ()> = View::new("owners", owners_batch);

/// A set of identifiers whose events belong to a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owned(pub ProfileId, pub Who);

show!(Owned, |owned, names| {
    "profile" => names.identifier(owned.0.0),
    "who" => format!("{:016x}{:016x}", owned.1.0, owned.1.1),
});

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

/// Maintains [`IDENTITY`] and [`CONFLICTS`] from events, of which the operators' decisions are
/// among the `rare`.
///
/// Cost: per event, one search among the events with the same set of identifiers; where the first
/// of them changes, one walk through the raw component of those identifiers.
pub fn identity<'s>(
    events: Facts<'s, Rc<Event>>,
    rare: Facts<'s, Rc<Event>>,
    settings: &Rc<Settings>,
) -> Identity<'s> {
    let settings = Rc::clone(settings);
    let decisions = rare.flat_map(|event| match event.action {
        Action::Link(a, b) => Some(Claim::Link(Pair(a.min(b), a.max(b)), event.place())),
        Action::Unlink(a, b) if a != b => Some(Claim::Unlink(Pair(a.min(b), a.max(b)))),
        _ => None,
    });
    let claims = first_seen(events).map(|(group, place)| Claim::Seen(group, place));
    let mut graph = Graph::default();
    let found = by_tick(
        claims.concat(decisions),
        "identity",
        // On the last worker, since the first one drives.
        |_| u64::MAX,
        move |_, updates, changes| {
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

/// The identifiers of an event, without an allocation where they are few.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Ids {
    /// As many of these as the number says.
    Few(u8, [Identifier; 3]),
    Many(Box<[Identifier]>),
}

impl Ids {
    fn of(ids: &[Identifier]) -> Ids {
        let mut few = [Identifier::default(); 3];
        match (u8::try_from(ids.len()), few.get_mut(..ids.len())) {
            (Ok(len), Some(places)) => {
                places.copy_from_slice(ids);
                Ids::Few(len, few)
            }
            _ => Ids::Many(ids.into()),
        }
    }

    fn as_slice(&self) -> &[Identifier] {
        match self {
            Ids::Few(len, few) => &few[..usize::from(*len)],
            Ids::Many(many) => many,
        }
    }
}

/// An event with a set of identifiers, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sight {
    who: Who,
    place: Place,
    ids: Ids,
}

/// The sights of one set of identifiers.
#[derive(Debug, Default)]
struct Sights {
    places: Bag<Place>,
    /// The round in which they changed last.
    round: u64,
}

/// The least place at which each set of identifiers was seen.
///
/// It sees every event, so it neither sorts nor allocates for one.
fn first_seen<'s>(events: Facts<'s, Rc<Event>>) -> Rows<'s, Group, Place> {
    let sights = events.flat_map(|event| {
        let (who, place) = (event.key()?, event.place());
        Some(Sight { who, place, ids: Ids::of(&event.who) })
    });
    let mut number: Index<Who, u32> = Index::default();
    let mut seen: Slab<Sights> = Slab::default();
    let mut touched: Vec<(usize, u32, Option<Place>)> = Vec::new();
    let mut round = 0;
    by_tick_unsorted(
        sights,
        "first seen",
        |sight| sight.who.0,
        move |_, updates, changes| {
            round += 1;
            // What comes goes first, so that nothing leaves before it came.
            for coming in [true, false] {
                for (at, (Sight { who, place, .. }, diff)) in updates.iter().enumerate() {
                    if (0 < *diff) != coming {
                        continue;
                    }
                    let known = number.get(who).copied();
                    let own = known.unwrap_or_else(|| {
                        let new = seen.insert(Sights::default());
                        number.insert(*who, new);
                        new
                    });
                    let sights = &mut seen[own];
                    if sights.round != round {
                        sights.round = round;
                        touched.push((at, own, sights.places.first().copied()));
                    }
                    sights.places.change(*place, *diff);
                }
            }
            for (at, own, old) in touched.drain(..) {
                let Sight { who, ids, .. } = &updates[at].0;
                let new = seen[own].places.first().copied();
                if new.is_none() {
                    number.remove(who);
                    seen.remove(own);
                }
                let group = || Group { who: *who, ids: ids.as_slice().into() };
                if old != new {
                    changes.extend(old.map(|old| ((group(), old), -1)));
                    changes.extend(new.map(|new| ((group(), new), 1)));
                }
            }
        },
    )
}

mod batch {
    //! The batch twin of [`identity`](crate::identity).

    use std::collections::{BTreeMap, BTreeSet};

    use crate::event::{Action, Event, EventTime, Identifier, Kind, Place, ProfileId, Who};
    use crate::identity::{Conflict, Owned, Pair};
    use crate::settings::Settings;
    use crate::view::History;

    /// The meaning of [`IDENTITY`](crate::IDENTITY).
    pub fn identity_batch(history: &History<'_>) -> BTreeMap<Identifier, ProfileId> {
        history.once(decide_batch).profiles.clone()
    }

    /// The meaning of [`CONFLICTS`](crate::CONFLICTS).
    pub fn conflicts_batch(history: &History<'_>) -> BTreeMap<Pair, Conflict> {
        history.once(decide_batch).conflicts.clone()
    }

    /// The profile that an event belongs to; `None` for an event of nobody.
    #[must_use]
    pub fn owner_batch(history: &History<'_>, event: &Event) -> Option<ProfileId> {
        let identity = history.once(decide_batch);
        let trusted = event.who.iter().filter(|id| !identity.shared.contains(id)).min();
        let spokesman = trusted.or(event.who.iter().min())?;
        Some(identity.profiles[spokesman])
    }

    /// The meaning of [`OWNERS`](crate::OWNERS).
    pub fn owners_batch(history: &History<'_>) -> BTreeMap<Owned, ()> {
        let owners = attribution_batch(history).into_iter();
        owners.map(|(who, profile)| (Owned(profile, who), ())).collect()
    }

    /// The profile of every set of identifiers that some event carries.
    #[must_use]
    pub fn attribution_batch(history: &History<'_>) -> BTreeMap<Who, ProfileId> {
        let mut profiles = BTreeMap::new();
        for event in history.events {
            if let (Some(who), Some(profile)) = (event.key(), owner_batch(history, event)) {
                profiles.insert(who, profile);
            }
        }
        profiles
    }

    /// All that identity decides.
    #[derive(Debug)]
    pub struct IdentityBatch {
        /// The profile of every identifier.
        pub profiles: BTreeMap<Identifier, ProfileId>,
        /// The pairs that a limit kept apart.
        pub conflicts: BTreeMap<Pair, Conflict>,
        /// The identifiers that are seen with too many stronger ones to say anything.
        pub shared: BTreeSet<Identifier>,
    }

    /// Decides identity, in the order of the rule.
    fn decide_batch(history: &History<'_>) -> IdentityBatch {
        let seen = first_seen_batch(history);
        let live = live_pairs_batch(history);
        let shared = shared_batch(&live, history.settings);
        let mut active: Vec<(Kind, Place, Pair)> = Vec::new();
        for (pair, place) in live {
            if !shared.contains(&pair.0) && !shared.contains(&pair.1) {
                active.push((pair.1.kind(), place, pair));
            }
        }
        // Raw components do not disturb each other, so one pass over all pairs decides every one.
        active.sort_unstable();
        let mut groups = GroupsBatch::apart(seen.keys().copied());
        let mut conflicts = BTreeMap::new();
        for (_, _, pair) in active {
            if let Some(kind) = groups.join(pair, history.settings) {
                conflicts.insert(pair, Conflict { kind });
            }
        }
        let mut profiles = BTreeMap::new();
        for members in groups.members {
            let Some(face) = members.iter().copied().min_by_key(|id| (id.kind(), seen[id], *id))
            else {
                continue;
            };
            profiles.extend(members.into_iter().map(|id| (id, ProfileId(face))));
        }
        IdentityBatch { profiles, conflicts, shared }
    }

    /// When each identifier was first carried by an event or named by a link.
    fn first_seen_batch(history: &History<'_>) -> BTreeMap<Identifier, EventTime> {
        let mut seen: BTreeMap<Identifier, EventTime> = BTreeMap::new();
        for event in history.events {
            let mut named = event.who.to_vec();
            if let Action::Link(left, right) = event.action {
                named.extend([left, right]);
            }
            for id in named {
                let first = seen.entry(id).or_insert(event.at);
                *first = event.at.min(*first);
            }
        }
        seen
    }

    /// Every pair that is claimed and not unlinked, with the least place of its claims.
    fn live_pairs_batch(history: &History<'_>) -> BTreeMap<Pair, Place> {
        let mut claims: BTreeMap<Pair, Place> = BTreeMap::new();
        let mut unlinked: BTreeSet<Pair> = BTreeSet::new();
        for event in history.events {
            let mut claimed = Vec::new();
            for (i, left) in event.who.iter().enumerate() {
                claimed.extend(event.who[i + 1..].iter().map(|right| pair_batch(*left, *right)));
            }
            match event.action {
                Action::Link(left, right) => claimed.push(pair_batch(left, right)),
                Action::Unlink(left, right) => _ = unlinked.insert(pair_batch(left, right)),
                _ => {}
            }
            for pair in claimed {
                let first = claims.entry(pair).or_insert(event.place());
                *first = event.place().min(*first);
            }
        }
        claims.retain(|pair, _| pair.0 != pair.1 && !unlinked.contains(pair));
        claims
    }

    /// Two identifiers in order.
    fn pair_batch(left: Identifier, right: Identifier) -> Pair {
        Pair(left.min(right), left.max(right))
    }

    /// The identifiers in more live pairs with stronger ones than their kind may be.
    fn shared_batch(live: &BTreeMap<Pair, Place>, settings: &Settings) -> BTreeSet<Identifier> {
        let mut stronger: BTreeMap<Identifier, u32> = BTreeMap::new();
        for Pair(left, right) in live.keys() {
            if left.kind() < right.kind() {
                *stronger.entry(*right).or_default() += 1;
            }
        }
        let too_many =
            |id: Identifier, n: u32| settings.shared_above(id.kind()).is_some_and(|k| k < n);
        stronger.into_iter().filter(|(id, n)| too_many(*id, *n)).map(|(id, _)| id).collect()
    }

    /// Identifiers in groups that only ever grow together.
    struct GroupsBatch {
        /// The group that each identifier is in.
        place: BTreeMap<Identifier, usize>,
        /// Who is in each group; nobody once it has been joined to another.
        members: Vec<Vec<Identifier>>,
        /// How many of each kind are in each group.
        kinds: Vec<BTreeMap<Kind, u32>>,
    }

    impl GroupsBatch {
        /// Every identifier in a group of its own.
        fn apart(ids: impl Iterator<Item = Identifier>) -> GroupsBatch {
            let members: Vec<Vec<Identifier>> = ids.map(|id| vec![id]).collect();
            let kinds = members.iter().map(|ids| BTreeMap::from([(ids[0].kind(), 1)])).collect();
            let place = members.iter().enumerate().map(|(group, ids)| (ids[0], group)).collect();
            GroupsBatch { place, members, kinds }
        }

        /// Joins the groups of a pair, or names the strongest kind of which there would be too
        /// many.
        fn join(&mut self, pair: Pair, settings: &Settings) -> Option<Kind> {
            let (mut small, mut large) = (self.place[&pair.0], self.place[&pair.1]);
            if small == large {
                return None;
            }
            let mut kinds = self.kinds[large].clone();
            for (kind, n) in &self.kinds[small] {
                *kinds.entry(*kind).or_default() += n;
            }
            for (kind, n) in &kinds {
                if settings.limit(*kind).is_some_and(|limit| limit < *n) {
                    return Some(*kind);
                }
            }
            if self.members[large].len() < self.members[small].len() {
                (small, large) = (large, small);
            }
            // Moving the smaller group keeps the moves of an identifier logarithmic.
            for id in std::mem::take(&mut self.members[small]) {
                self.place.insert(id, large);
                self.members[large].push(id);
            }
            self.kinds[large] = kinds;
            None
        }
    }
}
