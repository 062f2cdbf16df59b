//! Laws: what holds for every view of every shop, at every tick?
//!
//! The number of histories per law is `LAWS_CASES` (default 48), the seed `LAWS_SEED`.
#![expect(clippy::print_stdout, reason = "a law names its seed")]

#[path = "support/history.rs"]
mod history;

use std::collections::BTreeMap;

use affluent::ledger::Outcome;
use affluent::view::{Change as Changed, Store};
use affluent::worker::ingest::{ENGINE, Ingest, day_event};
use affluent::worker::{Driver, Layout, run};
use dataflows::{Action, History, Tick, spread};
use history::{Change, Oracle, Shop, Step, identifiers, key, shop};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// Runs `law` on random shops, from a printed seed, and shrinks the first that breaks it.
fn law(name: &str, law: impl Fn(&Shop) -> Result<(), String>) {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (cases, seed) = (number("LAWS_CASES", 48), number("LAWS_SEED", 20_101_201));
    println!("{name}: {cases} histories from seed {seed}");
    let config = Config {
        cases: u32::try_from(cases).expect("a number of histories that can be run"),
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let result = TestRunner::new_with_rng(config, random)
        .run(&shop(), |shop| law(&shop).map_err(TestCaseError::fail));
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, shop)) => panic!("{name}: {why}\n{shop:#?}"),
        Err(abort) => panic!("{name}: {abort}"),
    }
}

/// The changes of every view.
type Changes = BTreeMap<&'static str, Vec<Changed>>;

/// Runs `drive` on `workers` workers and gives the changes of every view.
fn replay(
    shop: &Shop,
    workers: usize,
    drive: impl FnOnce(&mut Driver<'_>, &Shop) -> Result<(), String> + Send + Sync + 'static,
) -> Result<Changes, String> {
    let store = Store::new(true);
    let (held, given) = (store.clone(), shop.clone());
    let layout = Layout::threads(workers);
    let done = run(&layout, shop.settings.clone(), store, move |driver| drive(driver, &given));
    done.map_err(|error| error.to_string())?.expect("this process leads")?;
    Ok(held.names().into_iter().map(|name| (name, held.changes(name))).collect())
}

/// Feeds a step to the engine.
fn feed(driver: &mut Driver<'_>, ingest: &mut Ingest, oracle: &Oracle, step: &Step) {
    match step {
        Step::Changes(changes) => {
            let mut held = oracle.events.clone();
            for change in changes {
                match change {
                    Change::Put(number, event) => {
                        held.insert(key(*number), event.clone());
                        ingest.put(key(*number), event.clone()).expect("in memory");
                    }
                    Change::Retract(number) => {
                        held.remove(&key(*number));
                        ingest.retract(key(*number)).expect("in memory");
                    }
                    Change::Repeat(number) => {
                        if let Some(event) = held.get(&key(*number)) {
                            let outcome = ingest.put(key(*number), event.clone());
                            assert_eq!(outcome.ok(), Some(Outcome::Duplicate));
                        }
                    }
                }
            }
            ingest.commit(driver, &[]).expect("in memory");
        }
        Step::Erase(number) => {
            ingest.erase(driver, &[identifiers()[*number]], &[]).expect("in memory");
        }
    }
}

/// The `day` events that ingest adds: one for each day that passed all before it.
fn turn(oracle: &mut Oracle, ingest: &Ingest) {
    for event in ingest.events().expect("in memory") {
        if let Action::Day(day) = event.action
            && event.source == ENGINE
        {
            oracle.events.extend([day_event(day)]);
        }
    }
}

/// Feeds all steps, and compares every view with its batch function at every tick.
fn judged(driver: &mut Driver<'_>, shop: &Shop) -> Result<(), String> {
    let (mut ingest, mut oracle) = (Ingest::new(None), Oracle::default());
    for (number, step) in shop.steps.iter().enumerate() {
        feed(driver, &mut ingest, &oracle, step);
        oracle.apply(&shop.settings, step);
        turn(&mut oracle, &ingest);
        let events = oracle.events();
        let history = History::new(&events, &shop.settings);
        for view in driver.store().names() {
            if let Some(difference) = driver.store().difference(view, &history) {
                return Err(format!("{view} after step {number}: {difference}"));
            }
        }
    }
    Ok(())
}

/// Feeds all steps.
fn fed(driver: &mut Driver<'_>, shop: &Shop) -> Result<(), String> {
    let (mut ingest, mut oracle) = (Ingest::new(None), Oracle::default());
    for step in &shop.steps {
        feed(driver, &mut ingest, &oracle, step);
        oracle.apply(&shop.settings, step);
    }
    Ok(())
}

#[test]
fn stream_equals_batch() {
    law("L1 stream = batch, L7 one value per key", |shop| replay(shop, 1, judged).map(drop));
}

#[test]
fn workers_do_not_matter() {
    law("L2 workers 1, 2, 4 give the same changes", |shop| {
        let one = replay(shop, 1, fed)?;
        for workers in [2, 4] {
            let many = replay(shop, workers, fed)?;
            for (view, changes) in &one {
                if many.get(view) != Some(changes) {
                    return Err(format!("{view} differs at {workers} workers"));
                }
            }
        }
        Ok(())
    });
}

/// The rows that changes come to.
fn state(changes: &[Changed]) -> BTreeMap<Vec<u8>, isize> {
    let mut rows = BTreeMap::new();
    for (_, row, diff) in changes {
        *rows.entry(row.clone()).or_default() += diff;
    }
    rows.retain(|_, count| *count != 0);
    rows
}

#[test]
fn order_and_ticks_do_not_matter() {
    law("L3 order and cutting into ticks do not matter", |shop| {
        let straight = replay(shop, 1, fed)?;
        let recut = replay(shop, 1, |driver, shop| {
            // What holds in the end, in another order, one event a tick, then the same in pairs.
            let (mut ingest, mut oracle) = (Ingest::new(None), Oracle::default());
            let mut before = Ingest::new(None);
            for step in &shop.steps {
                if let Step::Changes(changes) = step {
                    for change in changes {
                        if let Change::Put(number, event) = change {
                            before.put(key(*number), event.clone()).expect("in memory");
                        }
                    }
                }
                oracle.apply(&shop.settings, step);
                turn(&mut oracle, &before);
            }
            let mut events: Vec<_> = oracle.events.into_iter().collect();
            events.sort_by_key(|(key, _)| spread(u64::try_from(*key % 1000).unwrap()));
            let single = events.len() / 2;
            for (number, (key, event)) in events.into_iter().enumerate() {
                ingest.put(key, event).expect("in memory");
                if number < single || number % 3 == 0 {
                    ingest.commit(driver, &[]).expect("in memory");
                }
            }
            ingest.commit(driver, &[]).expect("in memory");
            Ok(())
        })?;
        for (view, changes) in &straight {
            let (one, other) = (state(changes), state(&recut[view]));
            if one != other {
                return Err(format!("{view} differs: {} and {} rows", one.len(), other.len()));
            }
        }
        Ok(())
    });
}

#[test]
fn a_tick_is_announced_also_when_it_changed_nothing() {
    let settings = dataflows::Settings::default();
    let ticks = run(&Layout::threads(2), settings, Store::new(false), |driver| {
        let ticks: Vec<Tick> = (0..3).map(|_| driver.tick(Vec::new())).collect();
        ticks
    });
    assert_eq!(ticks.unwrap().unwrap(), [Tick(0), Tick(1), Tick(2)]);
}
