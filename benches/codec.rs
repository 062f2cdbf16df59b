//! Codec: what does keeping decoded events in a cache cost, by each codec?
//!
//! `cargo bench --bench codec --features abomonation` prints one line a codec, for 200,000 events
//! of the generated stream; another number of events can be given after `--`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::float_arithmetic, clippy::as_conversions, reason = "figures are for people")]

#[expect(dead_code, reason = "this bench needs a part of what benches share")]
mod common {
    //! What benches share.
    pub(crate) mod generator;
    pub(crate) mod measure;
    pub(crate) mod random;
}

use std::error::Error;

use affluent::cache::{Codec, load, store};
use common::generator::{Generator, Op, Shape};
use common::measure::{Spent, machine, rustc};
use dataflows::{Event, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    let events = given.unwrap_or(200_000);
    let changes = Generator::new(Shape { events, seed: 1 }, &Settings::default());
    let changes = changes.filter(|(op, ..)| *op == Op::Insert);
    let events: Vec<(u128, Event)> =
        changes.take(usize::try_from(events)?).map(|(_, key, event)| (key, event)).collect();
    println!("{} events; {}; {}", events.len(), machine(), rustc());
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("events.cache");
    for codec in Codec::ALL {
        let (encoding, bytes) = Spent::on(|| codec.encode(&events));
        let (storing, stored) = Spent::on(|| store(&path, *codec, &events));
        stored?;
        let (loading, loaded) = Spent::on(|| load(&path, *codec));
        assert!(loaded? == events, "a codec gives back what it was given");
        let each = |spent: Spent| spent.wall.as_secs_f64() * 1e9 / events.len() as f64;
        println!(
            "{codec:?}: {:.0} bytes an event; {:.0} ns to encode, {:.0} ns to store, {:.0} ns to \
             load an event",
            bytes.len() as f64 / events.len() as f64,
            each(encoding),
            each(storing),
            each(loading),
        );
    }
    Ok(())
}
