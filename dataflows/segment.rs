//! Segment: which profiles are alike?
//!
//! **A model is an input.** Training is not incremental, so it does not happen in the dataflow: a
//! pure function ([`fit`](crate::fit)) of the [`CELLS`] makes a model, the model enters as an event,
//! and the assignment to it is what is kept here.
//!
//! * [`CELLS`]: the points of [`FEATURES`](crate::FEATURES) divided by the side of a cell, rounded
//!   down; each cell has the count and the exact sums of its points.
//! * The *newest* model is the `model` event with the greatest (`Model::tick`, event id); the *model
//!   before* is the next. A model without centroids counts as none.
//! * [`SEGMENTS`]: each profile with features has the number of the nearest centroid of the newest
//!   model, by squared distance, of equal ones the smallest number. No rows without a model.
//! * With `hysteresis` above 0 and a model before: let `p` be the number of its nearest centroid. If
//!   the newest model has a centroid `p`, the profile has `p` unless
//!   `dist(p) − dist(nearest) > hysteresis`, where `dist` is the integer square root of the squared
//!   distance to a centroid of the newest model.
//! * With `reassign_after` above 0 and a model before: a profile with fewer events than that
//!   (events with a `who` that [belong](crate::identity) to it) whose event time is later than the
//!   newest model event's has `p`, whatever else holds.
//! * [`CENTROIDS`]: the centroids of the newest model. [`SPREAD`]: over the profiles with features,
//!   their number and the sum of the squared distances to the nearest centroid of the newest model.

use serde::{Deserialize, Serialize};

use crate::event::{FEATURES_MAX, Point, ProfileId};
use crate::feature::point;
use crate::show;
use crate::view::{History, View};

/// The segment of every profile that has features.
pub const SEGMENTS: View<ProfileId, Segment> = View::new("segments", segments_batch);

/// The grid over feature space: a weighted summary that a fit is made from.
pub const CELLS: View<Cell, CellSum> = View::new("cells", cells_batch);

/// The middle of each segment, in the newest model.
pub const CENTROIDS: View<Segment, Centroid> = View::new("centroids", centroids_batch);

/// How far the profiles are from their centroids; no row without a model or without profiles.
pub const SPREAD: View<(), Spread> = View::new("spread", spread_batch);

/// The number of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Segment(pub u8);

/// A cell of the grid: each feature divided by the side of a cell, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell(pub Point);

/// What is in a cell.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct CellSum {
    /// How many profiles.
    pub profiles: i64,
    /// The sum of their points.
    pub sums: [i64; FEATURES_MAX],
}

/// The middle of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Centroid(pub Point);

/// How far the profiles are from their centroids.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Spread {
    /// How many profiles.
    pub profiles: i64,
    /// The sum of their squared distances, in millionths of a squared doubling.
    pub inertia: i64,
}

show!(Segment, |row, names| { "segment" => row.0.to_string() });
show!(Cell, |cell, names| { "cell" => point(&cell.0) });
show!(CellSum, |row, names| {
    "profiles" => row.profiles.to_string(),
    "sums" => row.sums.map(|sum| sum.to_string()).join(" "),
});
show!(Centroid, |row, names| { "point" => point(&row.0) });
show!(Spread, |row, names| {
    "profiles" => row.profiles.to_string(),
    "inertia" => row.inertia.to_string(),
});

fn segments_batch(_: &History<'_>) -> std::collections::BTreeMap<ProfileId, Segment> {
    Default::default()
}

fn cells_batch(_: &History<'_>) -> std::collections::BTreeMap<Cell, CellSum> {
    Default::default()
}

fn centroids_batch(_: &History<'_>) -> std::collections::BTreeMap<Segment, Centroid> {
    Default::default()
}

fn spread_batch(_: &History<'_>) -> std::collections::BTreeMap<(), Spread> {
    Default::default()
}
