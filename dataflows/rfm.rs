//! RFM: when did a person last order, how often, and for how much?
//!
//! The view holds the *instant* of the last order, never its age: an age would change for everyone
//! at every tick, and the cost of a tick would no longer follow from what changed. Readers
//! subtract.
//!
//! Over the [orders](crate::order) whose day is inside the trailing window
//! ([`window_start`](crate::window_start) of [`TODAY`](crate::TODAY)), by the profile of their
//! `who`: `last_order` is the greatest event time of the open ones, `orders` how many are open,
//! `spent` what all of them come to, gross less refunded. A profile without an open order has no
//! row.
//!
//! Scores: `1 + floor(5·L/n)`, with `n` the number of rows and `L` the number of rows with a
//! strictly smaller value (event time, count, money). `group` is the place in
//! [`Settings::groups`](crate::Settings) of the first that fits, or their number if none does.

mod rank;

use std::hash::Hash;
use std::rc::Rc;

use differential_dataflow::ExchangeData;
use serde::{Deserialize, Serialize};

use crate::day::window;
use crate::event::{Day, EventTime, Money, OrderId, ProfileId};
use crate::identity::Owners;
use crate::operator::{Bag, by_tick, fold, values};
use crate::order::Order;
use crate::settings::Settings;
use crate::show;
use crate::view::{Diff, Facts, Rows, View};

use rank::Ranks;

pub use batch::rfm_batch;
pub(crate) use batch::{TotalBatch, totals_batch};

/// The RFM row of every profile with an order in the window.
pub const RFM: View<ProfileId, Rfm> = View::new("rfm", rfm_batch);

/// Recency, frequency and monetary value, absolute and as scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rfm {
    /// When the last open order was placed.
    pub last_order: EventTime,
    /// How many open orders there are; at least one.
    pub orders: u32,
    /// What the orders come to, refunds taken off.
    pub spent: Money,
    /// The score of `last_order`, 1 to 5.
    pub r: u8,
    /// The score of `orders`, 1 to 5.
    pub f: u8,
    /// The score of `spent`, 1 to 5.
    pub m: u8,
    /// The named group.
    pub group: u8,
}

show!(Rfm, |row, names| {
    "last_order" => names.time(row.last_order),
    "orders" => row.orders.to_string(),
    "spent" => names.money(row.spent),
    "r" => row.r.to_string(),
    "f" => row.f.to_string(),
    "m" => row.m.to_string(),
    "group" => names.group(row.group),
});

/// RFM before the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Purchases {
    /// When the last open order was placed.
    pub last_order: EventTime,
    /// How many open orders there are.
    pub orders: u32,
    /// What all orders came to.
    pub gross: Money,
    /// What of it was given back.
    pub refunded: Money,
}

impl Purchases {
    /// What the orders come to, refunds taken off.
    #[must_use]
    pub fn spent(&self) -> Money {
        Money(self.gross.0.saturating_sub(self.refunded.0))
    }
}

/// A part of what someone bought: of an order, of the orders of a `who`, of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The event time of the last open order.
    pub(crate) last: Option<EventTime>,
    /// How many open orders.
    pub(crate) orders: u32,
    pub(crate) gross: Money,
    pub(crate) refunded: Money,
}

/// Parts, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    /// The last open order of each part.
    last: Bag<Option<EventTime>>,
    orders: i64,
    gross: i64,
    refunded: i64,
}

/// The sum of all parts of each key, as one part.
fn summed<'s, K: ExchangeData + Hash>(
    parts: Facts<'s, (K, Part)>,
    name: &str,
) -> Rows<'s, K, Part> {
    let add = |_: &K, sum: &mut Sum, updates: &[((K, Part), Diff)]| {
        let mut last: Vec<_> = values(updates).map(|(part, diff)| (part.last, diff)).collect();
        last.sort_unstable();
        sum.last.apply(last.iter().map(|(last, diff)| (last, *diff)));
        for (part, diff) in values(updates) {
            let diff = i64::try_from(diff).unwrap_or(0);
            sum.orders += diff * i64::from(part.orders);
            sum.gross += diff * part.gross.0;
            sum.refunded += diff * part.refunded.0;
        }
    };
    fold(parts, name, add, |_, sum| {
        Some(Part {
            last: *sum.last.last()?,
            orders: u32::try_from(sum.orders).unwrap_or(u32::MAX),
            gross: Money(sum.gross),
            refunded: Money(sum.refunded),
        })
    })
}

/// Maintains the purchases of every profile with an open order in the window.
///
/// Cost: per changed order, one search among the orders of the same `who`, then one pass over the
/// sums of the profile's `who`s; when the day turns, the same for the orders that leave.
pub fn purchases<'s>(
    orders: Rows<'s, OrderId, Order>,
    today: Rows<'s, (), Day>,
    owners: Owners<'s>,
    settings: &Settings,
) -> Rows<'s, ProfileId, Purchases> {
    let dated = orders.map(|(_, order)| (order.place.0.day(), order));
    let parts = parts(window(dated, today, settings.rfm_window_days), owners);
    summed(parts, "purchases").flat_map(|(profile, Part { last, orders, gross, refunded })| {
        Some((profile, Purchases { last_order: last?, orders, gross, refunded }))
    })
}

/// The sums of orders by `who`, each with its profile.
///
/// Cost: per changed order, one search among the orders of the same `who`; per `who` that changes
/// hands, one update.
pub(crate) fn parts<'s>(
    orders: Facts<'s, Order>,
    owners: Owners<'s>,
) -> Facts<'s, (ProfileId, Part)> {
    let parts = orders.flat_map(|order| {
        let Order { who, place, gross, refunded, open } = order;
        let last = open.then_some(place.0);
        who.map(|who| (who, Part { last, orders: u32::from(open), gross, refunded }))
    });
    summed(parts, "purchases of who").join_core(owners, |_, part, profile| Some((*profile, *part)))
}

/// Maintains [`RFM`] from purchases.
///
/// Cost: per changed profile, a search in three orders; where a quintile's edge moves, the profiles
/// whose score changes.
pub fn rfm<'s>(
    purchases: Rows<'s, ProfileId, Purchases>,
    settings: &Rc<Settings>,
) -> Rows<'s, ProfileId, Rfm> {
    let mut ranks = Ranks::new(Rc::clone(settings));
    by_tick(purchases, "rfm", |_| 0, move |_, updates, changes| ranks.tick(updates, changes))
}

mod batch {
    //! The batch twin of [`rfm`](crate::rfm).

    use std::collections::BTreeMap;
    use std::rc::Rc;

    use crate::TODAY;
    use crate::event::{EventTime, Money, ProfileId};
    use crate::identity::attribution_batch;
    use crate::order::{money_batch, orders_batch};
    use crate::rfm::Rfm;
    use crate::settings::{Group, window_start};
    use crate::view::History;

    /// The meaning of [`RFM`](crate::RFM).
    pub fn rfm_batch(history: &History<'_>) -> BTreeMap<ProfileId, Rfm> {
        let totals = &totals_batch(history).0;
        let recency = RanksBatch::of(totals.values().map(|total| total.last_order));
        let frequency = RanksBatch::of(totals.values().map(|total| total.orders));
        let monetary = RanksBatch::of(totals.values().map(TotalBatch::spent));
        let mut rows = BTreeMap::new();
        for (profile, total) in totals {
            let (last_order, orders, spent) = (total.last_order, total.orders, total.spent());
            let r = recency.score(&last_order);
            let f = frequency.score(&orders);
            let m = monetary.score(&spent);
            let group = group_batch(&history.settings.groups, r, f, m);
            rows.insert(*profile, Rfm { last_order, orders, spent, r, f, m, group });
        }
        rows
    }

    /// What a profile's orders in the window come to.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct TotalBatch {
        /// When the last open order was placed.
        pub(crate) last_order: EventTime,
        /// How many are open.
        pub(crate) orders: u32,
        /// What all were.
        pub(crate) gross: i128,
        /// What was given back.
        pub(crate) refunded: i128,
    }

    impl TotalBatch {
        /// What is left.
        pub(crate) fn spent(&self) -> Money {
            money_batch(self.gross - self.refunded)
        }
    }

    /// The totals of every profile with an open order in the window.
    pub(crate) struct TotalsBatch(pub(crate) BTreeMap<ProfileId, TotalBatch>);

    /// [`TotalsBatch`], once for a history.
    pub(crate) fn totals_batch(history: &History<'_>) -> Rc<TotalsBatch> {
        history.once(|history| {
            let today = (TODAY.batch)(history).get(&()).copied();
            let start = window_start(today, history.settings.rfm_window_days);
            let profiles = attribution_batch(history);
            let mut totals = BTreeMap::new();
            for order in orders_batch(history).values() {
                let Some(who) = order.who else { continue };
                let at = order.place.0;
                if start.is_some_and(|start| at.day() < start) {
                    continue;
                }
                let never = TotalBatch {
                    last_order: EventTime(i64::MIN),
                    orders: 0,
                    gross: 0,
                    refunded: 0,
                };
                let total: &mut TotalBatch = totals.entry(profiles[&who]).or_insert(never);
                total.gross += i128::from(order.gross.0);
                total.refunded += i128::from(order.refunded.0);
                if order.open {
                    total.orders += 1;
                    total.last_order = at.max(total.last_order);
                }
            }
            totals.retain(|_, total| 0 < total.orders);
            TotalsBatch(totals)
        })
    }

    /// All values of one column, sorted.
    struct RanksBatch<T>(Vec<T>);

    impl<T: Ord> RanksBatch<T> {
        /// The ranks among `values`.
        fn of(values: impl Iterator<Item = T>) -> RanksBatch<T> {
            let mut sorted: Vec<T> = values.collect();
            sorted.sort();
            RanksBatch(sorted)
        }

        /// One more than the fifth of the values, of five, that are strictly smaller.
        fn score(&self, value: &T) -> u8 {
            let smaller = self.0.partition_point(|other| other < value);
            u8::try_from(1 + 5 * smaller / self.0.len()).unwrap_or(5)
        }
    }

    /// The first group that fits, or their number.
    fn group_batch(groups: &[Group], r: u8, f: u8, m: u8) -> u8 {
        let within = |score: u8, range: (u8, u8)| range.0 <= score && score <= range.1;
        let fits = |group: &Group| within(r, group.r) && within(f, group.f) && within(m, group.m);
        let place = groups.iter().position(fits).unwrap_or(groups.len());
        u8::try_from(place).unwrap_or(u8::MAX)
    }
}
