//! Popular: what is looked at and bought these days?
//!
//! Per item over the events whose day is inside the trailing window
//! ([`window_start`](crate::window_start) of [`TODAY`](crate::TODAY) over
//! [`popular_days`](crate::Settings)): `view` events, `add to cart` events, lines of `order` events
//! with a positive quantity, and the sum of those quantities. An item with none has no row.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::day::window;
use crate::event::{Action, Day, Event, Item};
use crate::operator::{fold, values};
use crate::settings::Settings;
use crate::show;
use crate::view::{Facts, Rows, View};

pub use batch::popular_batch;

/// The popularity of every item seen in the window.
pub const POPULAR: View<Item, Popularity> = View::new("popular", popular_batch);

/// How often an item was met.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Popularity {
    /// How often it was looked at.
    pub views: i64,
    /// How often it was put into a cart.
    pub carts: i64,
    /// On how many order lines it was.
    pub orders: i64,
    /// How many of it were ordered.
    pub units: i64,
}

show!(Popularity, |row, names| {
    "views" => row.views.to_string(),
    "carts" => row.carts.to_string(),
    "orders" => row.orders.to_string(),
    "units" => row.units.to_string(),
});

/// Maintains [`POPULAR`] from events.
///
/// Cost: one update per event with an item; when the day turns, one per item and kind of event on
/// the days that leave.
pub fn popular<'s>(
    events: Facts<'s, Rc<Event>>,
    today: Rows<'s, (), Day>,
    settings: &Settings,
) -> Rows<'s, Item, Popularity> {
    let met = events.flat_map(|event| {
        let day = event.at.day();
        met(&event).into_iter().map(move |met| (day, met))
    });
    let add = |_: &Item, sum: &mut Popularity, updates: &[((Item, Met), isize)]| {
        for (met, diff) in values(updates) {
            let diff = i64::try_from(diff).unwrap_or(0);
            match met {
                Met::Viewed => sum.views += diff,
                Met::Carted => sum.carts += diff,
                Met::Ordered(units) => {
                    sum.orders += diff;
                    sum.units += diff * i64::from(*units);
                }
            }
        }
    };
    let none = Popularity::default();
    fold(window(met, today, settings.popular_days), "popular", add, move |_, sum| {
        (*sum != none).then_some(*sum)
    })
}

/// How an item was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Met {
    Viewed,
    Carted,
    /// So many of it were ordered on one line.
    Ordered(i32),
}

/// The items of an event, and how they were met.
fn met(event: &Event) -> Vec<(Item, Met)> {
    match &event.action {
        Action::View(item) => vec![(*item, Met::Viewed)],
        Action::AddToCart(item) => vec![(*item, Met::Carted)],
        Action::Order { lines, .. } => {
            let lines = lines.iter().filter(|line| 0 < line.quantity);
            lines.map(|line| (line.item, Met::Ordered(line.quantity))).collect()
        }
        _ => Vec::new(),
    }
}

mod batch {
    //! The batch twin of [`popular`](crate::popular).

    use std::collections::BTreeMap;

    use crate::TODAY;
    use crate::event::{Action, Item};
    use crate::popular::Popularity;
    use crate::settings::window_start;
    use crate::view::History;

    /// The meaning of [`POPULAR`](crate::POPULAR).
    pub fn popular_batch(history: &History<'_>) -> BTreeMap<Item, Popularity> {
        let today = (TODAY.batch)(history).get(&()).copied();
        let start = window_start(today, history.settings.popular_days);
        let mut rows: BTreeMap<Item, Popularity> = BTreeMap::new();
        for event in history.events {
            if start.is_some_and(|start| event.at.day() < start) {
                continue;
            }
            match &event.action {
                Action::View(item) => rows.entry(*item).or_default().views += 1,
                Action::AddToCart(item) => rows.entry(*item).or_default().carts += 1,
                Action::Order { lines, .. } => {
                    for line in lines.iter().filter(|line| 0 < line.quantity) {
                        let row = rows.entry(line.item).or_default();
                        row.orders += 1;
                        row.units += i64::from(line.quantity);
                    }
                }
                _ => {}
            }
        }
        rows
    }
}
