//! Feature: where does a profile stand in the space that segments are made in?
//!
//! A profile has a point exactly if it has a row in [`RFM`](crate::RFM): segments are of customers.
//! Numbers are thousandths; most are logarithms, so that one unit of distance is one doubling.
//!
//! | feature | from | value |
//! |---|---|---|
//! | recency | `a` = days from the day of `last_order` to [`TODAY`](crate::TODAY), at least 0; 0 without today | 1000 · floor(log2(a + 1)) |
//! | frequency | `orders` of RFM | log2, floored to thousandths ([`doublings`](crate::score::doublings)) |
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
use crate::view::{Diff, Facts, History, Rows, View};

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
/// Cost: per changed part of a profile, one pass over its features; when the day turns, the profiles
/// whose age crosses a doubling.
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

fn features_batch(_: &History<'_>) -> std::collections::BTreeMap<ProfileId, Features> {
    Default::default()
}
