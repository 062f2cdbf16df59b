//! Canary: is anything left of somebody who was erased?
//!
//! After an erasure and what writes everything anew, no byte of the directory may show an
//! identifier that nobody has any more, in any form; and a process that starts from the directory
//! must not know its text, nor that of a word that nothing needs.

use std::collections::BTreeSet;
use std::ops::Range;

use dataflows::{Action, Event, Identifier};

use super::Tally;
use super::crash::{Failed, Trial, settings};
use super::history::Act;
use crate::erase::verify::scan;
use crate::names::{Dictionary, SECRET_DEFAULT};
use crate::view::{Store, lock};
use crate::worker::ingest::Ingest;
use crate::worker::{self, Driver, Layout};

/// How many acts a schedule has.
const ACTS: usize = 50;

/// Runs the trials of these seeds.
pub(super) fn canaries(seeds: Range<u64>) -> Result<Tally, worker::Error> {
    let done = worker::run(&Layout::threads(1), settings(), Store::new(false), move |driver| {
        let mut tally = Tally::default();
        for seed in seeds {
            let mut trial = Trial::new(seed, settings());
            let outcome = schedule(&mut trial, driver);
            tally.add(std::mem::take(&mut trial.tally));
            tally.trials += 1;
            if let Err(violation) = outcome {
                tally.violations.push((seed, violation));
            }
        }
        tally
    })?;
    Ok(done.unwrap_or_default())
}

/// One schedule: what was not as promised.
fn schedule(trial: &mut Trial, driver: &mut Driver<'_>) -> Result<(), String> {
    let mut ingest = trial.start(driver).map_err(said)?;
    for _ in 0..ACTS {
        let act = trial.shop.act();
        let erases = matches!(act, Act::Erase(_));
        if act == Act::Reopen {
            drop(ingest);
            ingest = trial.start(driver).map_err(said)?;
            continue;
        }
        trial.act(act, driver, &mut ingest).map_err(said)?;
        if erases {
            trial.act(Act::Commit, driver, &mut ingest).map_err(said)?;
            while ingest.waits() {
                trial.act(Act::Commit, driver, &mut ingest).map_err(said)?;
            }
            trial.act(Act::Rewrite, driver, &mut ingest).map_err(said)?;
            let gone = gone(trial, &ingest).map_err(|error| error.to_string())?;
            drop(ingest);
            look(trial, &gone)?;
            ingest = trial.restart(driver, &|names| forgotten(names, &gone)).map_err(said)?;
            trial.tally.erased += 1;
        }
    }
    Ok(())
}

/// What a failure is, where nothing may fail.
fn said(failed: Failed) -> String {
    match failed {
        Failed::Disk => "the disk failed without a plan".to_owned(),
        Failed::Violation(violation) => violation,
    }
}

/// The identifiers and the words that nothing needs any more.
struct Gone {
    identifiers: Vec<(Identifier, String)>,
    words: Vec<u64>,
}

fn gone(trial: &Trial, ingest: &Ingest) -> Result<Gone, crate::ledger::Error> {
    let events = ingest.events()?;
    let (mut ids, mut words) = (BTreeSet::new(), BTreeSet::new());
    for event in &events {
        let event: &Event = event;
        ids.extend(event.who.iter().copied());
        if let Action::Link(a, b) | Action::Unlink(a, b) = event.action {
            ids.extend([a, b]);
        }
        event.each_word(&mut |word| _ = words.insert(word));
    }
    let names = lock(&trial.names);
    let all = trial.shop.identifiers().iter().filter(|id| !ids.contains(id));
    let text = |id: &Identifier| (*id, names.text_of(*id).unwrap_or_default().to_owned());
    let own = trial.shop.words().iter().map(|word| word.0.get());
    Ok(Gone {
        identifiers: all.map(text).collect(),
        words: own.filter(|word| !words.contains(word)).collect(),
    })
}

/// Looks for identifiers in every byte.
fn look(trial: &Trial, gone: &Gone) -> Result<(), String> {
    let values: Vec<String> = gone.identifiers.iter().map(|(_, text)| text.clone()).collect();
    let keyed = |value: &str| {
        let of = gone.identifiers.iter().filter(|(_, text)| text == value);
        of.map(|(id, _)| id.bits()).collect()
    };
    let traces = scan(&trial.disk, &values, &keyed).map_err(|error| error.to_string())?;
    match traces.first() {
        None => Ok(()),
        Some(trace) => Err(format!("{} bytes in, {} shows {}", trace.at, trace.file, trace.form)),
    }
}

/// Whether a process that has started from the directory alone knows any of it.
fn forgotten(names: &Dictionary, gone: &Gone) -> Result<(), String> {
    for (id, text) in &gone.identifiers {
        if names.text_of(*id).is_some() {
            return Err(format!("the directory still says {text}"));
        }
    }
    let none = Dictionary::new(SECRET_DEFAULT);
    for word in &gone.words {
        if names.text_of_word(*word) != none.text_of_word(*word) {
            return Err("the directory still has the text of a word that nothing needs".to_owned());
        }
    }
    Ok(())
}
