//! Trials: does the engine keep its promises when everything goes wrong?
//!
//! `TRIALS` sets how many random shops there are, `TRIALS_SEED` the first seed.

use affluent::trial;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn what_was_acknowledged_is_there_after_every_crash() {
    let (trials, first) = (number("TRIALS", 300), number("TRIALS_SEED", 20_101_201));
    let tally = trial::crashes(first..first + trials).unwrap();
    println!("{tally}");
    for (seed, violation) in tally.violations.iter().take(10) {
        println!("seed {seed}: {violation}");
    }
    assert!(tally.violations.is_empty());
}
