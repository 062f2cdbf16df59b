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

use serde::{Deserialize, Serialize};

use crate::event::{Identifier, Kind, ProfileId};
use crate::show;
use crate::view::{History, View};

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

fn identity_batch(_: &History<'_>) -> std::collections::BTreeMap<Identifier, ProfileId> {
    Default::default()
}

fn conflicts_batch(_: &History<'_>) -> std::collections::BTreeMap<Pair, Conflict> {
    Default::default()
}
