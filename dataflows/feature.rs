//! Feature: where does a profile stand in the space that segments are made in?
//!
//! A profile has a point exactly if it has a row in [`RFM`](crate::RFM): segments are of customers.
//! Numbers are thousandths; most are logarithms, so that one unit of distance is one doubling.
//!
//! | feature | from | value |
//! |---|---|---|
//! | recency | `a` = days from the day of `last_order` to [`TODAY`](crate::TODAY), at least 0; 0 without today | 1000 · floor(log2(a + 1)) |
//! | frequency | `orders` of RFM | log2, floored to thousandths ([`doublings`]) |
//! | order value | `spent / orders` of RFM, rounded towards zero, in small units | `doublings` |
//! | spent | `spent` of RFM, in small units | `doublings` |
//! | depth | `v` = views, `s` = number of the profile's [sessions](crate::session) | `doublings(v + s) − doublings(s)`; 0 without sessions |
//! | session time | `t` = whole seconds of each session, summed | `doublings(1 + t / s)`; 0 without sessions |
//! | breadth | `c` = distinct [catalogue](crate::item) categories among the items on positive lines of all `order` events of the profile | `doublings(1 + c)` |
//! | returns | gross and refunded of the orders in the RFM window | `1000 · refunded / gross`, rounded towards zero, held to 0..1000; 0 where gross is 0 |
//!
//! The places of the point are those of [`SegmentSettings::features`](crate::SegmentSettings); the
//! places beyond are 0. Recency is in whole doublings of calendar days so that it changes only on a
//! `day` event, and then only for those who cross a doubling.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::event::{Action, Attributes, Day, Event, FEATURES_MAX, Item, Point, ProfileId, Word};
use crate::identity::Owners;
use crate::operator::{Bag, beside, fold, hash, values};
use crate::rfm::Purchases;
use crate::score::doublings;
use crate::session::{Session, SessionId};
use crate::settings::{Feature, Settings};
use crate::show;
use crate::view::{Diff, Facts, Rows, View};

pub use batch::features_batch;

/// The point of every profile that has RFM.
pub const FEATURES: View<ProfileId, Features> = View::new("features", features_batch);

/// A point in feature space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Features(pub Point);

show!(Features, |row, names| { "point" => point(&row.0) });

/// A point as text.
#[must_use]
pub fn point(point: &Point) -> String {
    point.map(|value| value.to_string()).join(" ")
}

/// Maintains [`FEATURES`] from what the wanted features are made of; what no wanted feature needs
/// may be left out.
///
/// Cost: per changed part of a profile, one pass over its features; when the day turns, the
/// profiles whose age crosses a doubling.
pub fn features<'s>(
    purchases: Rows<'s, ProfileId, Purchases>,
    today: Rows<'s, (), Day>,
    sessions: Option<Rows<'s, SessionId, Session>>,
    categories: Option<Facts<'s, (ProfileId, Word)>>,
    settings: &Settings,
) -> Rows<'s, ProfileId, Features> {
    let wanted = settings.segments.features.clone();
    let mut parts = purchases.clone().map(|(profile, bought)| (profile, Part::Bought(bought)));
    if wanted.contains(&Feature::Recency) {
        let last = purchases.map(|(profile, bought)| (profile, bought.last_order.day()));
        let ages = recency(last, today);
        parts = parts.concat(ages.map(|(profile, age)| (profile, Part::Age(age))));
    }
    parts = parts.concatenate(sessions.map(|sessions| {
        sessions.flat_map(|(_, row)| {
            let seconds = row.end.0.saturating_sub(row.start.0) / 1_000_000;
            let part = Part::Session { views: row.views, seconds };
            row.profile.map(|profile| (profile, part))
        })
    }));
    parts = parts.concatenate(categories.map(|categories| {
        categories.map(|(profile, category)| (profile, Part::Category(category)))
    }));
    fold(parts, "features", Known::add, move |_, known: &Known| known.row(&wanted))
}

/// The categories of the items that each profile ordered, as often as it did.
///
/// Cost: per order line, one join; per change of a category, the buyers of that item.
pub fn categories<'s>(
    events: Facts<'s, Rc<Event>>,
    items: Rows<'s, Item, Attributes>,
    owners: Owners<'s>,
) -> Facts<'s, (ProfileId, Word)> {
    let ordered = events.flat_map(|event| match (&event.action, event.key()) {
        (Action::Order { lines, .. }, Some(who)) => {
            let lines = lines.iter().filter(|line| 0 < line.quantity);
            lines.map(|line| (line.item, who)).collect()
        }
        _ => Vec::new(),
    });
    let categories = items.flat_map(|(item, told)| told.category.map(|word| (item, word)));
    ordered
        .join_map(categories, |_, who, category| (*who, *category))
        .join_core(owners, |_, category, profile| Some((*profile, *category)))
}

/// The age of each profile's last order, in whole doublings of days.
fn recency<'s>(
    last: Rows<'s, ProfileId, Day>,
    today: Rows<'s, (), Day>,
) -> Rows<'s, ProfileId, i32> {
    let today = today.map(|((), day)| day);
    let shard = |(profile, _): &(ProfileId, Day)| hash(profile);
    beside(last, today, "recency", shard, |state: &mut Ages, last, turns, changes| {
        let before = state.today.last().copied();
        for ((profile, day), diff) in last {
            let profiles = state.days.entry(*day).or_default();
            if 0 < *diff {
                profiles.insert(*profile)
            } else {
                profiles.remove(profile)
            };
            if profiles.is_empty() {
                state.days.remove(day);
            }
            changes.push(((*profile, age(before, *day)), *diff));
        }
        state.today.apply(turns.iter().map(|(day, diff)| (day, *diff)));
        let now = state.today.last().copied();
        for day in crossing(before, now, &state.days) {
            let (old, new) = (age(before, day), age(now, day));
            for profile in state.days.get(&day).into_iter().flatten().filter(|_| old != new) {
                changes.push(((*profile, old), -1));
                changes.push(((*profile, new), 1));
            }
        }
    })
}

/// What a shard of [`recency`] holds.
#[derive(Default)]
struct Ages {
    today: Bag<Day>,
    /// The profiles by the day of their last order.
    days: BTreeMap<Day, BTreeSet<ProfileId>>,
}

/// The days whose age may cross a doubling when today moves from `before` to `now`.
fn crossing(
    before: Option<Day>,
    now: Option<Day>,
    days: &BTreeMap<Day, BTreeSet<ProfileId>>,
) -> BTreeSet<Day> {
    let (Some(Day(from)), Some(Day(to))) = (before.min(now), before.max(now)) else {
        return if before == now { BTreeSet::new() } else { days.keys().copied().collect() };
    };
    if from == to {
        return BTreeSet::new();
    }
    // The age of a day is at least 2^k - 1 from the day that lies as much later.
    let edges = (0..=30).map(|k| (1_i32 << k) - 1);
    let between = edges.flat_map(|age| {
        let day = |today: i32| Day(today.saturating_sub(age));
        days.range(day(from)..=day(to)).map(|(day, _)| *day)
    });
    between.collect()
}

/// The recency feature of a last order on `day`.
fn age(today: Option<Day>, day: Day) -> i32 {
    let days = today.map_or(0, |today| today.0.saturating_sub(day.0)).max(0);
    1000 * i32::try_from(days.saturating_add(1).ilog2()).unwrap_or(0)
}

/// What a feature is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Part {
    Bought(Purchases),
    Age(i32),
    Session { views: u32, seconds: i64 },
    Category(Word),
}

/// All that the features of a profile are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    bought: Bag<Purchases>,
    age: Bag<i32>,
    sessions: i64,
    views: i64,
    seconds: i64,
    categories: BTreeMap<Word, Diff>,
}

impl Known {
    fn add<K>(_: &K, known: &mut Known, updates: &[((K, Part), Diff)]) {
        for (part, change) in values(updates) {
            let diff = i64::try_from(change).unwrap_or(0);
            match *part {
                Part::Bought(bought) => known.bought.change(bought, change),
                Part::Age(age) => known.age.change(age, change),
                Part::Session { views, seconds } => {
                    known.sessions += diff;
                    known.views += diff * i64::from(views);
                    known.seconds += diff * seconds;
                }
                Part::Category(category) => {
                    let count = known.categories.entry(category).or_default();
                    *count += change;
                    if *count == 0 {
                        known.categories.remove(&category);
                    }
                }
            }
        }
    }

    fn row(&self, wanted: &[Feature]) -> Option<Features> {
        let bought = self.bought.last()?;
        let mut point = [0; FEATURES_MAX];
        for (value, feature) in point.iter_mut().zip(wanted) {
            *value = self.value(*feature, bought);
        }
        Some(Features(point))
    }

    fn value(&self, feature: Feature, bought: &Purchases) -> i32 {
        let spent = bought.spent().0;
        match feature {
            Feature::Recency => self.age.last().copied().unwrap_or(0),
            Feature::Frequency => doublings(i64::from(bought.orders)),
            Feature::OrderValue => doublings(spent / i64::from(bought.orders.max(1))),
            Feature::Spent => doublings(spent),
            Feature::Depth => doublings(self.views + self.sessions) - doublings(self.sessions),
            Feature::SessionTime if self.sessions == 0 => 0,
            Feature::SessionTime => doublings(1 + self.seconds / self.sessions),
            Feature::Breadth => doublings(
                i64::try_from(self.categories.len()).unwrap_or(i64::MAX).saturating_add(1),
            ),
            Feature::Returns => {
                let given_back = i128::from(bought.refunded.0) * 1000;
                let share = given_back.checked_div(i128::from(bought.gross.0)).unwrap_or(0);
                i32::try_from(share.clamp(0, 1000)).unwrap_or(0)
            }
        }
    }
}

mod batch {
    //! The batch twin of [`feature`](crate::feature).

    use std::collections::{BTreeMap, BTreeSet};

    use crate::event::{Action, Day, FEATURES_MAX, ProfileId, Word};
    use crate::feature::Features;
    use crate::identity::owner_batch;
    use crate::rfm::{TotalBatch, totals_batch};
    use crate::score::doublings;
    use crate::session::bought_batch;
    use crate::settings::Feature;
    use crate::view::History;
    use crate::{ITEMS, SESSIONS, TODAY};

    /// The meaning of [`FEATURES`](crate::FEATURES).
    pub fn features_batch(history: &History<'_>) -> BTreeMap<ProfileId, Features> {
        let today = (TODAY.batch)(history).get(&()).copied();
        let browsing = browsing_batch(history);
        let breadth = breadth_batch(history);
        let mut rows = BTreeMap::new();
        for (profile, total) in &totals_batch(history).0 {
            let browsing = browsing.get(profile).copied().unwrap_or_default();
            let mut point = [0; FEATURES_MAX];
            for (place, feature) in point.iter_mut().zip(&history.settings.segments.features) {
                *place = match feature {
                    Feature::Recency => recency_batch(total, today),
                    Feature::Frequency => doublings(i64::from(total.orders)),
                    Feature::OrderValue => doublings(total.spent().0 / i64::from(total.orders)),
                    Feature::Spent => doublings(total.spent().0),
                    Feature::Depth => browsing.depth(),
                    Feature::SessionTime => browsing.time(),
                    Feature::Breadth => {
                        let categories = breadth.get(profile).map_or(0, BTreeSet::len);
                        doublings(1 + i64::try_from(categories).unwrap_or(i64::MAX - 1))
                    }
                    Feature::Returns => returns_batch(total),
                };
            }
            rows.insert(*profile, Features(point));
        }
        rows
    }

    /// Whole doublings of the calendar days since the last order.
    fn recency_batch(total: &TotalBatch, today: Option<Day>) -> i32 {
        let last = i64::from(total.last_order.day().0);
        let days = today.map_or(0, |today| i64::from(today.0) - last).max(0);
        1000 * i32::try_from((days + 1).ilog2()).unwrap_or(0)
    }

    /// The share of the money of all orders that was given back.
    fn returns_batch(total: &TotalBatch) -> i32 {
        let share = (1000 * total.refunded).checked_div(total.gross).unwrap_or(0);
        i32::try_from(share.clamp(0, 1000)).unwrap_or(0)
    }

    /// What the sessions of a profile come to.
    #[derive(Clone, Copy, Default)]
    struct BrowsingBatch {
        /// How many there are.
        sessions: i64,
        /// How many views are in them.
        views: i64,
        /// How many whole seconds they last.
        seconds: i64,
    }

    impl BrowsingBatch {
        /// Views per session.
        fn depth(self) -> i32 {
            if self.sessions == 0 {
                return 0;
            }
            doublings(self.views + self.sessions) - doublings(self.sessions)
        }

        /// Seconds per session.
        fn time(self) -> i32 {
            self.seconds.checked_div(self.sessions).map_or(0, |seconds| doublings(1 + seconds))
        }
    }

    /// What the sessions of every profile come to.
    fn browsing_batch(history: &History<'_>) -> BTreeMap<ProfileId, BrowsingBatch> {
        let mut rows: BTreeMap<ProfileId, BrowsingBatch> = BTreeMap::new();
        for session in (SESSIONS.batch)(history).values() {
            let Some(profile) = session.profile else { continue };
            let row = rows.entry(profile).or_default();
            row.sessions += 1;
            row.views += i64::from(session.views);
            row.seconds += (session.end.0 - session.start.0) / 1_000_000;
        }
        rows
    }

    /// The categories that every profile has ordered from.
    fn breadth_batch(history: &History<'_>) -> BTreeMap<ProfileId, BTreeSet<Word>> {
        let catalogue = (ITEMS.batch)(history);
        let mut rows: BTreeMap<ProfileId, BTreeSet<Word>> = BTreeMap::new();
        for event in history.events {
            let Action::Order { lines, .. } = &event.action else { continue };
            let Some(profile) = owner_batch(history, event) else { continue };
            for item in bought_batch(lines) {
                let category = catalogue.get(&item).and_then(|attributes| attributes.category);
                rows.entry(profile).or_default().extend(category);
            }
        }
        rows
    }
}
