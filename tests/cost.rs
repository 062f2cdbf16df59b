//! Cost: does a tick cost what changed, and not what has been?
//!
//! Law L6, counted and not timed. The same one-event ticks are fed to the same shop once after
//! 10,000 events and once after 100,000, where the other 90,000 are of other people. Updates are
//! counted for each view, and between all operators. Ticks in which the day turns are left out:
//! they cost what leaves the windows on that day, which is more in a larger shop.

#![expect(dead_code, reason = "the generator serves the benchmarks, too")]

#[path = "../benches/common/generator.rs"]
mod generator;
#[path = "../benches/common/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use affluent::view::Store;
use affluent::worker::ingest::Ingest;
use affluent::worker::{Layout, run};
use dataflows::{
    Action, Context, Event, EventId, EventTime, Feature, Identifier, Model, ModelKind, OrderId,
    SessionKey, Settings, spread,
};
use generator::{Change, Generator, Op, Shape};

/// How many events both shops begin with.
const HISTORY: u64 = 10_000;

/// How many one-event ticks are counted.
const TICKS: usize = 400;

/// A shop with every view and every feature.
fn settings() -> Settings {
    use Feature::{Breadth, Depth, Frequency, OrderValue, Recency, Returns, SessionTime, Spent};
    let mut settings = Settings { rfm_window_days: 30, ..Settings::default() };
    settings.segments.features =
        vec![Recency, Frequency, OrderValue, Spent, Depth, SessionTime, Breadth, Returns];
    settings.segments.reassign_after = 1;
    settings
}

/// Half of the sessions are found and not named, so that both ways are counted.
fn half_named((op, key, mut event): Change) -> Change {
    event.context.session = event.context.session.filter(|key| key.0.get() % 2 == 0);
    (op, key, event)
}

/// The same change of somebody else.
fn of_others((op, key, event): Change) -> Change {
    let other = |id: &Identifier| Identifier::new(id.kind(), !id.bits() << 8);
    let mut who: Vec<_> = event.who.iter().map(other).collect();
    who.sort_unstable();
    let action = match event.action {
        Action::Order { order, lines } => Action::Order { order: OrderId(!order.0), lines },
        other => other,
    };
    let other = |key: SessionKey| NonZeroU64::new(spread(!key.0.get())).map(SessionKey);
    let session = event.context.session.and_then(other);
    let context = Context { session, ..event.context };
    let id = EventId(!event.id.0);
    (op, !key, Event { id, who: who.into(), action, context, ..event })
}

fn feed(ingest: &mut Ingest, (op, key, event): Change) {
    match op {
        Op::Insert | Op::Correct => ingest.put(key, event).expect("in memory"),
        Op::Retract => ingest.retract(key).expect("in memory"),
    };
}

fn model() -> (u128, Event) {
    let centroid = |x: i32| [x * 2000, x * 500, 10_000 + x * 1000, 8000 + x * 2000, 0, 0, 0, 0];
    let centroids = (0..5).map(centroid).collect();
    let model = Model { tick: 1, kind: ModelKind::Fit, centroids };
    let (at, source) = (EventTime(0), affluent::worker::ingest::ENGINE);
    let (action, context) = (Action::Model(model), Context::default());
    (u128::MAX, Event { at, id: EventId(u64::MAX), source, who: [].into(), action, context })
}

/// The updates of each one-event tick after `others` events of other people, by view; "all" counts
/// those between operators.
fn updates(others: u64) -> BTreeMap<&'static str, Vec<u64>> {
    let layout = Layout { counting: true, ..Layout::threads(1) };
    let counted = run(&layout, settings(), Store::new(false), move |driver| {
        let mut ingest = Ingest::new(None);
        let (key, event) = model();
        ingest.put(key, event).expect("in memory");
        let mut own =
            Generator::new(Shape { events: HISTORY, seed: 7 }, &settings()).map(half_named);
        own.by_ref().take(10_000).for_each(|change| feed(&mut ingest, change));
        let others_shape = Shape { events: 10 * HISTORY, seed: 11 };
        let rest = Generator::new(others_shape, &settings()).map(half_named).map(of_others);
        let events = ingest.events().expect("in memory");
        let last = events.iter().map(|event| event.at).max().expect("events");
        // Not later than the own events, so that no day turns.
        let rest = rest.filter(|(_, _, event)| event.at <= last);
        rest.take(usize::try_from(others).expect("small"))
            .for_each(|change| feed(&mut ingest, change));
        ingest.commit(driver, &[]).expect("in memory");
        ingest.commit(driver, &[]).expect("in memory");
        let mut counts: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        for change in own.take(TICKS) {
            feed(&mut ingest, change);
            let views = driver.store().names();
            let of = |view: &&'static str| driver.store().updates(view);
            let (before, moved): (Vec<u64>, _) = (views.iter().map(of).collect(), driver.moved());
            ingest.commit(driver, &[]).expect("in memory");
            let store = driver.store().clone();
            let today = views.iter().position(|view| *view == "today");
            if today.is_some_and(|today| before[today] < store.updates("today")) {
                continue;
            }
            for (view, before) in views.iter().zip(before) {
                counts.entry(view).or_default().push(store.updates(view) - before);
            }
            let moved = u64::try_from(driver.moved() - moved).expect("it grows");
            counts.entry("all").or_default().push(moved);
        }
        counts
    });
    counted.expect("the workers start").expect("this process leads")
}

/// The value below which so many per mille of `counts` lie.
fn quantile(counts: &[u64], permille: usize) -> u64 {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * permille / 1000]
}

#[test]
fn cost_follows_change() {
    let (few, many) = (updates(0), updates(90_000));
    println!("updates of a one-event tick after 10,000 and after 100,000 events: p50, p90, most");
    let mut grown = Vec::new();
    for (view, few) in &few {
        let many = &many[view];
        let of = |counts: &[u64]| [500, 900, 1000].map(|permille| quantile(counts, permille));
        println!("{view:20} {:?} {:?}", of(few), of(many));
        if of(few).iter().zip(of(many)).any(|(few, many)| *few < many) {
            grown.push(*view);
        }
    }
    assert_eq!(grown, [""; 0], "these grow with the history");
}
