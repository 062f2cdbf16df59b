//! Trials: does the engine keep its promises when everything goes wrong?
//!
//! `TRIALS` sets how many random shops there are of each kind, `TRIALS_SEED` the first seed;
//! `affluent trial` runs more of them.

use affluent::trial::{Kind, trials};

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Runs trials, by default so many.
fn run(kind: Kind, many: u64) {
    let (many, first) = (number("TRIALS", many), number("TRIALS_SEED", 20_101_201));
    let tally = trials(kind, first..first + many, 2, &|_| ()).expect("workers start");
    eprintln!("{kind}: {tally}");
    for (seed, violation) in tally.violations.iter().take(10) {
        eprintln!("seed {seed}: {violation}");
    }
    assert!(tally.violations.is_empty());
}

#[test]
fn what_was_acknowledged_is_there_after_every_crash() {
    run(Kind::Crash, 300);
}

#[test]
fn the_number_of_workers_does_not_matter_after_a_restart() {
    run(Kind::Rescale, 6);
}

#[test]
fn nothing_is_left_of_somebody_who_was_erased() {
    run(Kind::Canary, 20);
}
