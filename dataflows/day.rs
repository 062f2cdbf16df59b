//! Day: what is today?
//!
//! The greatest day of the `day` events. Ingest adds one when an accepted event's day passes it.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::rc::Rc;

use differential_dataflow::ExchangeData;

use crate::event::{Action, Day, Event};
use crate::operator::{Bag, beside, fold, hash, values};
use crate::settings::window_start;
use crate::show;
use crate::view::{Diff, Facts, Rows, View};

pub use batch::today_batch;

/// Today; no row before the first `day` event.
pub const TODAY: View<(), Day> = View::new("today", today_batch);

show!(Day, |day, names| { "today" => names.day(*day) });

/// Maintains [`TODAY`] from events.
///
/// Cost: per `day` event, one search among them.
pub fn today<'s>(events: Facts<'s, Rc<Event>>) -> Rows<'s, (), Day> {
    let days = events.flat_map(|event| match event.action {
        Action::Day(day) => Some(((), day)),
        _ => None,
    });
    fold(
        days,
        "today",
        |(), days: &mut Bag<Day>, updates| days.apply(values(updates)),
        |(), days| days.last().copied(),
    )
}

/// Those of `facts` whose day is inside the window of `days` that ends today.
///
/// Cost: per fact, one search; when the day turns, the facts of the days that leave or enter.
pub fn window<'s, D>(
    facts: Facts<'s, (Day, D)>,
    today: Rows<'s, (), Day>,
    days: u32,
) -> Facts<'s, D>
where
    D: ExchangeData + Hash,
{
    if days == 0 {
        return facts.map(|(_, fact)| fact);
    }
    let today = today.map(|((), day)| day);
    let shard = |(_, fact): &(Day, D)| hash(fact);
    beside(facts, today, "window", shard, move |state: &mut Window<D>, facts, turns, changes| {
        let start = window_start(state.today.last().copied(), days);
        for ((day, fact), diff) in facts {
            let held = state.days.entry(*day).or_default();
            let count = held.entry(fact.clone()).or_default();
            *count += diff;
            if *count == 0 {
                held.remove(fact);
            }
            if held.is_empty() {
                state.days.remove(day);
            }
            if start <= Some(*day) {
                changes.push((fact.clone(), *diff));
            }
        }
        if turns.is_empty() {
            return;
        }
        state.today.apply(turns.iter().map(|(day, diff)| (day, *diff)));
        let moved = window_start(state.today.last().copied(), days);
        if start == moved {
            return;
        }
        let (leaves, between) = match (start, moved) {
            (old, new) if old < new => {
                (true, old.unwrap_or(Day(i32::MIN))..new.unwrap_or_default())
            }
            (old, new) => (false, new.unwrap_or(Day(i32::MIN))..old.unwrap_or_default()),
        };
        for (fact, count) in state.days.range(between).flat_map(|(_, held)| held) {
            changes.push((fact.clone(), if leaves { -count } else { *count }));
        }
    })
}

/// What a shard of a [`window`] holds.
struct Window<D> {
    /// The `day` events' days.
    today: Bag<Day>,
    /// All facts by day, inside the window and outside.
    days: BTreeMap<Day, BTreeMap<D, Diff>>,
}

impl<D> Default for Window<D> {
    fn default() -> Self {
        Window { today: Bag::default(), days: BTreeMap::new() }
    }
}

mod batch {
    //! The batch twin of [`day`](crate::day).

    use std::collections::BTreeMap;

    use crate::event::{Action, Day};
    use crate::view::History;

    /// The meaning of [`TODAY`](crate::TODAY).
    pub fn today_batch(history: &History<'_>) -> BTreeMap<(), Day> {
        let mut today = BTreeMap::new();
        for event in history.events {
            if let Action::Day(day) = event.action {
                let greatest = today.entry(()).or_insert(day);
                *greatest = day.max(*greatest);
            }
        }
        today
    }
}
