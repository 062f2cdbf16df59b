//! Segment: which profiles are alike?
//!
//! **A model is an input.** Training is not incremental, so it does not happen in the dataflow: a
//! pure function ([`fit`](crate::fit)) of the [`CELLS`] makes a model, the model enters as an
//! event, and the assignment to it is what is kept here.
//!
//! * [`CELLS`]: the points of [`FEATURES`](crate::FEATURES) divided by the side of a cell, rounded
//!   down; each cell has the count and the exact sums of its points.
//! * The *newest* model is the `model` event with the greatest (`Model::tick`, event id); the
//!   *model before* is the next. A model without centroids counts as none.
//! * [`SEGMENTS`]: each profile with features has the number of the nearest centroid of the newest
//!   model, by squared distance, of equal ones the smallest number. No rows without a model.
//! * With `hysteresis` above 0 and a model before: let `p` be the number of its nearest centroid.
//!   If the newest model has a centroid `p`, the profile has `p` unless
//!   `dist(p) − dist(nearest) > hysteresis`, where `dist` is the integer square root of the squared
//!   distance to a centroid of the newest model.
//! * With `reassign_after` above 0 and a model before: a profile with fewer events than that
//!   (events with a `who` that [belong](crate::identity) to it) whose event time is later than the
//!   newest model event's has `p`, whatever else holds.
//! * [`CENTROIDS`]: the centroids of the newest model. [`SPREAD`]: over the profiles with features,
//!   their number and the sum of the squared distances to the nearest centroid of the newest model.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::event::{Action, Event, EventId, EventTime, FEATURES_MAX, Model, Point, ProfileId};
use crate::feature::{Features, point};
use crate::identity::Owners;
use crate::operator::{Bag, beside, fold, hash, values};
use crate::settings::{SegmentSettings, Settings};
use crate::show;
use crate::view::{Diff, Facts, Rows, View};

pub use batch::{cells_batch, centroids_batch, segments_batch, spread_batch};

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

/// What segments come to.
#[expect(missing_debug_implementations, reason = "a collection has nothing to show")]
pub struct Segments<'s> {
    /// The rows of [`SEGMENTS`].
    pub rows: Rows<'s, ProfileId, Segment>,
    /// The rows of [`CENTROIDS`].
    pub centroids: Rows<'s, Segment, Centroid>,
    /// The rows of [`SPREAD`].
    pub spread: Rows<'s, (), Spread>,
}

/// Maintains [`CELLS`] from features.
///
/// Cost: per changed point, one look-up.
pub fn cells<'s>(
    features: Rows<'s, ProfileId, Features>,
    settings: &Settings,
) -> Rows<'s, Cell, CellSum> {
    let side = settings.segments.cell.max(1);
    let points = features
        .map(move |(_, Features(point))| (Cell(point.map(|value| value.div_euclid(side))), point));
    let add = |_: &Cell, sum: &mut CellSum, updates: &[((Cell, Point), Diff)]| {
        for (point, diff) in values(updates) {
            let diff = i64::try_from(diff).unwrap_or(0);
            sum.profiles += diff;
            sum.sums.iter_mut().zip(point).for_each(|(sum, x)| *sum += diff * i64::from(*x));
        }
    };
    fold(points, "cells", add, |_, sum| (0 < sum.profiles).then_some(*sum))
}

/// Maintains [`SEGMENTS`], [`CENTROIDS`] and [`SPREAD`] from features and the models among the
/// `rare` events.
///
/// Cost: per changed point, one pass over the centroids; when a model comes, one pass over all
/// profiles, and an update for each whose segment changes.
pub fn segments<'s>(
    events: Facts<'s, Rc<Event>>,
    rare: Facts<'s, Rc<Event>>,
    features: Rows<'s, ProfileId, Features>,
    owners: Owners<'s>,
    settings: &Settings,
) -> Segments<'s> {
    let models = rare.flat_map(|event| match &event.action {
        Action::Model(model) if !model.centroids.is_empty() => {
            Some((model.tick, event.id, event.at, model.clone()))
        }
        _ => None,
    });
    let mut data = features.map(|(profile, features)| (profile, Note::Stands(features.0)));
    if 0 < settings.segments.reassign_after {
        let seen = events.flat_map(|event| event.key().map(|who| (who, event.at)));
        let seen = seen.join_core(owners, |_, at, profile| Some((*profile, Note::Seen(*at))));
        data = data.concat(seen);
    }
    let settings = settings.segments.clone();
    let shard = |(profile, _): &(ProfileId, Note)| hash(profile);
    let found = beside(
        data,
        models.clone(),
        "segments",
        shard,
        move |shard: &mut Shard, notes, models, changes| {
            shard.tick(&settings, notes, models, changes);
        },
    );
    let centroids = fold(
        models.map(|model| ((), model)),
        "centroids",
        |(), models: &mut Bag<Ranked>, updates| models.apply(values(updates)),
        |(), models| models.last().map(|(_, _, _, model)| model.centroids.clone()),
    );
    let distances = found.clone().flat_map(|found| match found {
        Found::Distance(distance) => Some(((), distance)),
        Found::Row(..) => None,
    });
    Segments {
        rows: found.flat_map(|found| match found {
            Found::Row(profile, segment) => Some((profile, segment)),
            Found::Distance(_) => None,
        }),
        centroids: centroids.flat_map(|((), centroids)| {
            (0..).map(Segment).zip(centroids.into_iter().map(Centroid))
        }),
        spread: fold(
            distances,
            "spread",
            |(), sum: &mut Spread, updates| {
                for (distance, diff) in values(updates) {
                    let diff = i64::try_from(diff).unwrap_or(0);
                    sum.profiles += diff;
                    sum.inertia += diff * distance;
                }
            },
            |(), sum| (0 < sum.profiles).then_some(*sum),
        ),
    }
}

/// A model, by age.
type Ranked = (u64, EventId, EventTime, Model);

/// What a profile's segment depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Note {
    /// Where it stands.
    Stands(Point),
    /// When something happened.
    Seen(EventTime),
}

/// What follows for a profile.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// Its segment.
    Row(ProfileId, Segment),
    /// Its squared distance to the nearest centroid.
    Distance(i64),
}

/// A profile of a shard.
#[derive(Default)]
struct Standing {
    point: Bag<Point>,
    seen: Bag<EventTime>,
    /// What is published: segment and squared distance.
    published: Option<(Segment, i64)>,
}

/// What a shard holds.
#[derive(Default)]
struct Shard {
    profiles: BTreeMap<ProfileId, Standing>,
    models: Bag<Ranked>,
}

impl Shard {
    fn tick(
        &mut self,
        settings: &SegmentSettings,
        notes: &[((ProfileId, Note), Diff)],
        models: &[(Ranked, Diff)],
        changes: &mut Vec<(Found, Diff)>,
    ) {
        self.models.apply(models.iter().map(|(model, diff)| (model, *diff)));
        for ((profile, note), diff) in notes {
            let standing = self.profiles.entry(*profile).or_default();
            match note {
                Note::Stands(point) => standing.point.change(*point, *diff),
                Note::Seen(at) => standing.seen.change(*at, *diff),
            }
        }
        let mut newest = self.models.values().iter().rev();
        let (newest, before) = (newest.next(), newest.next());
        let mut publish = |profile: &ProfileId, standing: &mut Standing| {
            let new = newest.and_then(|newest| {
                assignment(settings, standing.point.last()?, &standing.seen, newest, before)
            });
            let old = std::mem::replace(&mut standing.published, new);
            for (found, diff) in [(old, -1), (new, 1)] {
                let Some((segment, distance)) = found.filter(|_| old != new) else { continue };
                if old.map(|old| old.0) != new.map(|new| new.0) {
                    changes.push((Found::Row(*profile, segment), diff));
                }
                changes.push((Found::Distance(distance), diff));
            }
        };
        if models.is_empty() {
            for profiles in notes.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
                let profile = profiles[0].0.0;
                let Some(standing) = self.profiles.get_mut(&profile) else { continue };
                publish(&profile, standing);
                if standing.point.is_empty() && standing.seen.is_empty() {
                    self.profiles.remove(&profile);
                }
            }
        } else {
            self.profiles.iter_mut().for_each(|(profile, standing)| publish(profile, standing));
            self.profiles.retain(|_, held| !held.point.is_empty() || !held.seen.is_empty());
        }
    }
}

/// The segment of a profile, and its squared distance to the nearest centroid.
fn assignment(
    settings: &SegmentSettings,
    point: &Point,
    seen: &Bag<EventTime>,
    newest: &Ranked,
    before: Option<&Ranked>,
) -> Option<(Segment, i64)> {
    let (_, _, trained, Model { centroids, .. }) = newest;
    let (nearest, distance) = nearest(point, centroids)?;
    let damped = 0 < settings.hysteresis || 0 < settings.reassign_after;
    let before = before.filter(|_| damped);
    let kept =
        before.and_then(|(_, _, _, model)| self::nearest(point, &model.centroids)).map(|p| p.0);
    let stays = kept.is_some_and(|kept| {
        let later = seen.values().len() - seen.values().partition_point(|at| at <= trained);
        if u32::try_from(later).is_ok_and(|later| later < settings.reassign_after) {
            return true;
        }
        let root = |distance: i64| distance.max(0).isqrt();
        let own = centroids.get(usize::from(kept)).map(|centroid| squared(point, centroid));
        0 < settings.hysteresis
            && own.is_some_and(|own| root(own) - root(distance) <= i64::from(settings.hysteresis))
    });
    let number = kept.filter(|_| stays).unwrap_or(nearest);
    Some((Segment(number), distance))
}

/// The number of the nearest of `centroids`, the smallest of equal ones, and its squared distance.
#[must_use]
pub fn nearest(point: &Point, centroids: &[Point]) -> Option<(u8, i64)> {
    let distances =
        centroids.iter().zip(0_u8..).map(|(centroid, number)| (squared(point, centroid), number));
    distances.min().map(|(distance, number)| (number, distance))
}

/// The squared distance of two points.
#[must_use]
pub fn squared(a: &Point, b: &Point) -> i64 {
    a.iter().zip(b).map(|(a, b)| (i64::from(*a) - i64::from(*b)).pow(2)).sum()
}

mod batch {
    //! The batch twin of [`segment`](crate::segment).

    use std::collections::BTreeMap;

    use crate::FEATURES;
    use crate::event::{Action, EventId, EventTime, Point, ProfileId};
    use crate::identity::owner_batch;
    use crate::segment::{Cell, CellSum, Centroid, Segment, Spread};
    use crate::view::History;

    /// The meaning of [`CELLS`](crate::CELLS).
    pub fn cells_batch(history: &History<'_>) -> BTreeMap<Cell, CellSum> {
        let side = history.settings.segments.cell;
        let mut cells: BTreeMap<Cell, CellSum> = BTreeMap::new();
        for features in (FEATURES.batch)(history).values() {
            let cell =
                cells.entry(Cell(features.0.map(|value| value.div_euclid(side)))).or_default();
            cell.profiles += 1;
            for (sum, value) in cell.sums.iter_mut().zip(features.0) {
                *sum += i64::from(value);
            }
        }
        cells
    }

    /// The meaning of [`SEGMENTS`](crate::SEGMENTS).
    pub fn segments_batch(history: &History<'_>) -> BTreeMap<ProfileId, Segment> {
        let settings = &history.settings.segments;
        let mut models = models_batch(history);
        let Some(newest) = models.pop() else { return BTreeMap::new() };
        let before = models.pop();
        let later = events_after_batch(history, newest.at);
        let mut rows = BTreeMap::new();
        for (profile, features) in (FEATURES.batch)(history) {
            let mut number = newest.nearest(&features.0);
            if let Some(before) = &before {
                let old = before.nearest(&features.0);
                let later = later.get(&profile).copied().unwrap_or(0);
                if later < settings.reassign_after {
                    number = old;
                } else if 0 < settings.hysteresis && old < newest.centroids.len() {
                    let distance = |n| newest.distance(n, &features.0).isqrt();
                    if distance(old) - distance(number) <= i128::from(settings.hysteresis) {
                        number = old;
                    }
                }
            }
            rows.insert(profile, segment_batch(number));
        }
        rows
    }

    /// The meaning of [`CENTROIDS`](crate::CENTROIDS).
    pub fn centroids_batch(history: &History<'_>) -> BTreeMap<Segment, Centroid> {
        let mut rows = BTreeMap::new();
        if let Some(newest) = models_batch(history).pop() {
            for (number, centroid) in newest.centroids.into_iter().enumerate() {
                rows.insert(segment_batch(number), Centroid(centroid));
            }
        }
        rows
    }

    /// The meaning of [`SPREAD`](crate::SPREAD).
    pub fn spread_batch(history: &History<'_>) -> BTreeMap<(), Spread> {
        let Some(newest) = models_batch(history).pop() else { return BTreeMap::new() };
        let (mut profiles, mut inertia) = (0, 0);
        for features in (FEATURES.batch)(history).values() {
            profiles += 1;
            inertia += newest.distance(newest.nearest(&features.0), &features.0);
        }
        let inertia = i64::try_from(inertia).unwrap_or(i64::MAX);
        let row = (0 < profiles).then_some(((), Spread { profiles, inertia }));
        row.into_iter().collect()
    }

    /// A model with at least one centroid.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct ModelBatch {
        /// The tick that it was fitted on.
        tick: u64,
        /// The event that it came with.
        id: EventId,
        /// When that was.
        at: EventTime,
        /// The middle of each segment.
        centroids: Vec<Point>,
    }

    /// All models, the newest last.
    fn models_batch(history: &History<'_>) -> Vec<ModelBatch> {
        let mut models = Vec::new();
        for event in history.events {
            if let Action::Model(model) = &event.action
                && !model.centroids.is_empty()
            {
                let (tick, centroids) = (model.tick, model.centroids.clone());
                models.push(ModelBatch { tick, id: event.id, at: event.at, centroids });
            }
        }
        models.sort();
        models
    }

    impl ModelBatch {
        /// The number of the nearest centroid; of equally near ones, the smallest.
        fn nearest(&self, point: &Point) -> usize {
            (0..self.centroids.len())
                .min_by_key(|number| self.distance(*number, point))
                .unwrap_or(0)
        }

        /// The squared distance to the centroid `number`.
        fn distance(&self, number: usize, point: &Point) -> i128 {
            let mut squares = 0;
            for (middle, value) in self.centroids[number].iter().zip(point) {
                squares += (i128::from(*middle) - i128::from(*value)).pow(2);
            }
            squares
        }
    }

    /// The segment of this number.
    fn segment_batch(number: usize) -> Segment {
        Segment(u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// How many events of each profile are later than `at`.
    fn events_after_batch(history: &History<'_>, at: EventTime) -> BTreeMap<ProfileId, u32> {
        let mut counts = BTreeMap::new();
        for event in history.events.iter().filter(|event| at < event.at) {
            if let Some(profile) = owner_batch(history, event) {
                *counts.entry(profile).or_default() += 1;
            }
        }
        counts
    }
}
