//! Rescale: does the number of workers matter when a directory is taken up again?

use std::collections::BTreeMap;
use std::ops::Range;

use super::Tally;
use super::crash::{Trial, settings};
use crate::view::Store;
use crate::worker::{self, Layout};

/// The numbers of workers, one after the other.
const WORKERS: [usize; 4] = [1, 2, 4, 1];

/// How many acts there are between two.
const ACTS: usize = 25;

/// The digests of all views.
pub(super) type Digests = BTreeMap<&'static str, [u8; 32]>;

/// The digests of all views of a store.
pub(super) fn digests(store: &Store) -> Digests {
    store.names().into_iter().filter_map(|view| Some((view, store.digest(view)?))).collect()
}

/// Runs the trials of these seeds.
pub(super) fn rescales(seeds: Range<u64>) -> Result<Tally, worker::Error> {
    let mut tally = Tally::default();
    for seed in seeds {
        let mut kept = Some(Trial::new(seed, settings()));
        let mut before: Option<Digests> = None;
        for workers in WORKERS {
            let (layout, Some(mut trial)) = (Layout::threads(workers), kept.take()) else { break };
            let done = worker::run(&layout, settings(), Store::new(false), move |driver| {
                let digests = trial.stretch(driver, ACTS, before.as_ref());
                (trial, digests)
            })?;
            let Some((back, digests)) = done else { break };
            kept = Some(back);
            match digests {
                Ok(digests) => before = Some(digests),
                Err(violation) => {
                    tally.violations.push((seed, format!("{workers} workers: {violation}")));
                    break;
                }
            }
        }
        tally.add(kept.map(|trial| trial.tally).unwrap_or_default());
        tally.trials += 1;
    }
    Ok(tally)
}
