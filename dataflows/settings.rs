//! Settings: what may a shop decide about the meaning of its results?
//!
//! Settings are part of what a result means: a batch function is given them with the events.

use crate::event::{DAY_MICROS, Kind};

/// What holds for one kind of identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindRule {
    /// The name of the kind, as it stands in events.
    pub name: String,
    /// An identifier of this kind that is seen with more than this many distinct identifiers of
    /// stronger kinds is shared, and makes no claim. `None`: never shared.
    pub shared_above: Option<u32>,
    /// How many identifiers of this kind one profile may have. `None`: any number.
    pub limit: Option<u32>,
}

/// A named group of RFM scores: all three must lie in their ranges, ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The range of the recency score.
    pub r: (u8, u8),
    /// The range of the frequency score.
    pub f: (u8, u8),
    /// The range of the monetary score.
    pub m: (u8, u8),
}

/// A number about a profile that segments can be made from; see [`feature`](crate::feature).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Days since the last order, on a log scale of whole doublings.
    Recency,
    /// Orders in the window, on a log scale.
    Frequency,
    /// What an order in the window comes to on average, on a log scale.
    OrderValue,
    /// What all orders in the window come to, on a log scale.
    Spent,
    /// Views per session, on a log scale.
    Depth,
    /// Seconds per session, on a log scale.
    SessionTime,
    /// Distinct categories among the items ordered, on a log scale.
    Breadth,
    /// The share of the money of all orders that was given back, in thousandths.
    Returns,
}

/// How many segments there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentCount {
    /// This many, from 2 to 32.
    Fixed(usize),
    /// The number from 2 to this with the greatest silhouette.
    Silhouette(usize),
    /// The number from 2 to this at which the inertia bends most.
    Elbow(usize),
}

/// What holds for segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSettings {
    /// How many segments.
    pub count: SegmentCount,
    /// The features they are made from, at most [`FEATURES_MAX`](crate::FEATURES_MAX).
    pub features: Vec<Feature>,
    /// The side of a cell of the grid, in thousandths.
    pub cell: i32,
    /// How many deterministic seedings a fit tries.
    pub restarts: usize,
    /// Among candidates whose inertia is within this many thousandths of the least, the one
    /// nearest to the reference wins.
    pub refit_gain: u32,
    /// A profile leaves the number that the model before gave it only for a centroid that is
    /// nearer by more than this distance, in thousandths. 0: always the nearest.
    pub hysteresis: i32,
    /// With fewer than this many events later than the newest model, a profile keeps the number
    /// that the model before gives. 0: the newest model decides at once.
    pub reassign_after: u32,
}

/// What a shop decides about the meaning of its results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The views to keep; empty means all.
    pub views: Vec<String>,
    /// The kinds of identifiers, the strongest first; a [`Kind`] is a place in this list.
    pub kinds: Vec<KindRule>,
    /// How many days an order counts for RFM, today included; 0 means for ever.
    pub rfm_window_days: u32,
    /// The named groups in order: the first that fits wins.
    pub groups: Vec<Group>,
    /// The name of the group of those whom none of `groups` fits.
    pub group_default: String,
    /// Whether sessions are found where the source does not name them.
    pub find_sessions: bool,
    /// The kinds of identifiers that tell browsers and devices apart: the events of a session that
    /// the source did not name share the first of these kinds that they have.
    pub session_kinds: Vec<Kind>,
    /// A session ends when nothing happens for longer than this, in microseconds.
    pub session_gap: i64,
    /// Whether a session also ends at midnight UTC.
    pub session_day: bool,
    /// What is counted at most as the dwell on one item, in microseconds.
    pub dwell_max: i64,
    /// How many items of a basket count for co-occurrence.
    pub basket_items_max: usize,
    /// How many days an event counts for popularity, today included; 0 means for ever.
    pub popular_days: u32,
    /// Whether refunds that name no order are matched to order lines.
    pub match_refunds: bool,
    /// What holds for segments.
    pub segments: SegmentSettings,
}

impl Settings {
    /// Whether the view `name` is kept.
    #[must_use]
    pub fn keeps(&self, name: &str) -> bool {
        self.views.is_empty() || self.views.iter().any(|view| view == name)
    }

    /// How many stronger identifiers an identifier of `kind` may be seen with before it is shared.
    #[must_use]
    pub fn shared_above(&self, kind: Kind) -> Option<u32> {
        self.kinds.get(usize::from(kind.0)).and_then(|rule| rule.shared_above)
    }

    /// How many identifiers of `kind` a profile may have.
    #[must_use]
    pub fn limit(&self, kind: Kind) -> Option<u32> {
        self.kinds.get(usize::from(kind.0)).and_then(|rule| rule.limit)
    }

    /// The kind named `name`.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<Kind> {
        let place = self.kinds.iter().position(|rule| rule.name == name)?;
        u8::try_from(place).ok().map(Kind)
    }
}

impl Default for Settings {
    fn default() -> Settings {
        let kind =
            |name: &str, shared_above, limit| KindRule { name: name.into(), shared_above, limit };
        let group = |name: &str, r, f, m| Group { name: name.into(), r, f, m };
        Settings {
            views: Vec::new(),
            kinds: vec![
                kind("user", None, Some(1)),
                kind("email", Some(1), None),
                kind("phone", Some(2), None),
                kind("card", Some(3), None),
                kind("device", Some(3), None),
                kind("cookie", Some(3), None),
                kind("address", Some(5), None),
            ],
            rfm_window_days: 365,
            groups: vec![
                group("champions", (5, 5), (5, 5), (5, 5)),
                group("can't lose", (1, 2), (4, 5), (4, 5)),
                group("loyal", (3, 5), (4, 5), (2, 5)),
                group("potential loyalist", (4, 5), (2, 3), (1, 5)),
                group("new", (5, 5), (1, 1), (1, 5)),
                group("promising", (4, 4), (1, 1), (1, 5)),
                group("need attention", (3, 3), (2, 5), (1, 5)),
                group("about to sleep", (3, 3), (1, 1), (1, 5)),
                group("at risk", (1, 2), (2, 5), (2, 5)),
                group("hibernating", (2, 2), (1, 5), (1, 5)),
            ],
            group_default: "lost".into(),
            find_sessions: true,
            session_kinds: vec![Kind(5), Kind(4)],
            session_gap: 30 * 60 * 1_000_000,
            session_day: false,
            dwell_max: 10 * 60 * 1_000_000,
            basket_items_max: 100,
            popular_days: 30,
            match_refunds: true,
            segments: SegmentSettings {
                count: SegmentCount::Fixed(5),
                features: vec![Feature::Recency, Feature::Frequency, Feature::Spent],
                cell: 250,
                restarts: 16,
                refit_gain: 10,
                hysteresis: 0,
                reassign_after: 0,
            },
        }
    }
}

/// How many days a window of `days` reaches back from `today`: the first day inside, if any bound.
///
/// A window of 0 days, and a shop in which no day has turned yet, have no bound.
#[must_use]
pub fn window_start(today: Option<crate::event::Day>, days: u32) -> Option<crate::event::Day> {
    let today = today.filter(|_| 0 < days)?;
    let back = i32::try_from(days - 1).unwrap_or(i32::MAX);
    Some(crate::event::Day(today.0.saturating_sub(back)))
}

/// The start of a day as event time.
#[must_use]
pub fn day_start(day: crate::event::Day) -> crate::event::EventTime {
    crate::event::EventTime(i64::from(day.0) * DAY_MICROS)
}
