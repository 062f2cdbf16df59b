//! Engine: how fast is it, and how large, beside a plain program for the same results?
//!
//! `cargo bench --bench engine -- --events 1000000 --name quiet` measures every subject on the same
//! seeded stream, each in a process of its own, prints a table and files it under `benches/runs/`.
//! The ratios are what to look at: they hold on another machine and under some load.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod common {
    //! What benches share.
    pub(crate) mod generator;
    pub(crate) mod measure;
    pub(crate) mod plain;
    pub(crate) mod random;
    pub(crate) mod report;
}

use std::error::Error;

use clap::Parser;
use common::generator::{Change, Generator, Shape};
use common::measure::{Sample, Spent, Watch, resident};
use common::plain::{Neighbour, Plain, Profile};
use common::report::{Figures, report};
use dataflows::operator::hash;
use dataflows::{Action, Identifier, Item, ProfileId, Settings};

/// What is measured.
trait Engine {
    /// Applies changes, in order; all results are true when it returns.
    ///
    /// What it takes out of `changes` it need not copy.
    fn apply(&mut self, changes: &mut Vec<Change>);

    /// Applies changes of a bulk load: results need to be true only after [`Engine::settle`].
    fn load(&mut self, changes: &mut Vec<Change>) {
        self.apply(changes);
    }

    /// Waits until all that was loaded is in the results.
    fn settle(&mut self) {}

    /// Fits the segments anew, and assigns everybody.
    fn fit(&mut self);

    /// Takes out all events of the person who has `identifier`, and returns how many they were.
    fn erase(&mut self, identifier: Identifier) -> usize;

    /// The profile that has `identifier`, and what it has ordered.
    fn profile(&mut self, identifier: Identifier) -> Option<(ProfileId, Option<Profile>)>;

    /// The `n` items most often together with `item` in a session, by cosine.
    fn related(&mut self, item: Item, n: usize) -> Vec<Neighbour>;
}

impl Engine for Plain {
    fn apply(&mut self, changes: &mut Vec<Change>) {
        Plain::apply(self, changes);
    }

    fn fit(&mut self) {
        Plain::fit(self);
    }

    fn erase(&mut self, identifier: Identifier) -> usize {
        Plain::erase(self, identifier)
    }

    fn profile(&mut self, identifier: Identifier) -> Option<(ProfileId, Option<Profile>)> {
        let owner = self.owner(identifier)?;
        Some((owner, Plain::profile(self, owner)))
    }

    fn related(&mut self, item: Item, n: usize) -> Vec<Neighbour> {
        Plain::related(self, item, n)
    }
}

/// A name and how to make what it names.
type Subject = (&'static str, fn(&Settings) -> Box<dyn Engine>);

/// All subjects; ratios are to the first.
const SUBJECTS: &[Subject] = &[("plain", |settings| Box::new(Plain::new(settings)))];

/// How many changes a tick has in steady state, and how many such ticks are measured.
const TICKS: [(usize, usize); 4] = [(1, 1_000), (10, 500), (100, 200), (1_000, 50)];
/// How many changes a bulk load hands over at once.
const LOAD_CHANGES: usize = 10_000;
/// How many results are read and compared.
const READS: u64 = 1_000;
/// How many neighbours are read.
const NEIGHBOURS: usize = 20;

/// Measures the engine beside a plain program.
#[derive(Debug, Parser)]
struct Options {
    /// How many events are loaded before the steady state.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Where the generator starts.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// What the filed run is called.
    #[arg(long, default_value = "engine")]
    name: String,
    /// Only these subjects, beside the first.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measures one subject in this process, and prints bare figures.
    #[arg(long, hide = true)]
    subject: Option<String>,
    /// Given by `cargo bench`; without it a small trial is run, and not filed.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::parse();
    if let Some(name) = &options.subject {
        let subject = SUBJECTS.iter().find(|(known, _)| known == name);
        let (_, make) = subject.ok_or("no such subject")?;
        print!("{}", measure(*make, options.events, options.seed));
        return Ok(());
    }
    if !options.bench {
        options.events = options.events.min(5_000);
    }
    let (events, seed) = (options.events, options.seed);
    let wanted = |name: &str| {
        options.only.is_empty() || name == SUBJECTS[0].0 || options.only.iter().any(|n| n == name)
    };
    let mut columns = Vec::new();
    for (name, _) in SUBJECTS.iter().filter(|(name, _)| wanted(name)) {
        // A process of its own: memory and processor time are this subject's alone.
        let arguments = ["--events", &events.to_string(), "--seed", &seed.to_string()];
        let mut child = std::process::Command::new(std::env::current_exe()?);
        let output = child.args(arguments).args(["--subject", name]).output()?;
        if !output.status.success() {
            return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        columns.push((*name, Figures::parse(&String::from_utf8(output.stdout)?)));
    }
    let text = report(&columns, &[("events", events), ("seed", seed)]);
    println!("{text}");
    if options.bench {
        let day = jiff::ZonedDateTime::now().strftime("%Y-%m-%d").to_string();
        let file = format!("{}/benches/runs/{day}-{}.md", env!("CARGO_MANIFEST_DIR"), options.name);
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/runs"))?;
        std::fs::write(file, text)?;
    }
    Ok(())
}

/// Takes all measurements of one subject.
fn measure(make: fn(&Settings) -> Box<dyn Engine>, events: u64, seed: u64) -> Figures {
    let settings = Settings::default();
    let mut figures = Figures::default();
    let mut stream = Generator::new(Shape { events, seed }, &settings);
    let before = resident();
    let mut engine = make(&settings);
    let samples = load(&mut *engine, &mut stream, events, &mut figures);
    figures.memory(resident().saturating_sub(before), events);
    let (fit, ()) = Spent::on(|| engine.fit());
    figures.spent("fit", fit);
    ticks(&mut *engine, &mut stream, &mut figures);
    for (person, permille, n) in [("median", 500, 50), ("99th percentile", 990, 20)] {
        let mut erasures = Sample::default();
        let mut gone = 0;
        for identifier in stream.typical(permille, n) {
            let (spent, events) = Spent::on(|| engine.erase(identifier));
            erasures.push(spent);
            gone += events;
        }
        figures.sample(&format!("erase a person, {person}"), &erasures);
        figures.count(&format!("events erased, {person}"), gone);
    }
    reads(&mut *engine, &samples, &mut figures);
    figures
}

/// Something to read afterwards.
type Known = (Identifier, Option<Item>);

/// Loads the first events; returns some identifiers and items that were among them.
fn load(
    engine: &mut dyn Engine,
    stream: &mut Generator,
    events: u64,
    figures: &mut Figures,
) -> Vec<Known> {
    let mut known = Vec::new();
    let mut generating = Spent::default();
    let mut changes = Vec::with_capacity(LOAD_CHANGES);
    let total = Watch::start();
    let mut left = usize::try_from(events).unwrap_or(usize::MAX);
    let every = usize::try_from(events / READS).unwrap_or(0).max(1);
    while 0 < left {
        // The engine's own threads may work meanwhile: only this thread's time is taken off.
        let watch = Watch::start_thread();
        changes.clear();
        changes.extend(stream.by_ref().take(LOAD_CHANGES.min(left)));
        left -= changes.len();
        known.extend(changes.iter().step_by(every).filter_map(of_interest));
        generating += watch.read();
        engine.load(&mut changes);
    }
    engine.settle();
    figures.bulk(total.read().without(generating), events);
    known
}

/// An identifier and an item of a change.
fn of_interest((_, _, event): &Change) -> Option<Known> {
    let item = match &event.action {
        Action::View(item) | Action::AddToCart(item) => Some(*item),
        _ => None,
    };
    Some((*event.who.last()?, item))
}

/// Measures ticks in steady state.
fn ticks(engine: &mut dyn Engine, stream: &mut Generator, figures: &mut Figures) {
    let mut changes = Vec::new();
    // Whatever the load left to be done is not part of the steady state.
    for _ in 0..100 {
        changes.extend(stream.next());
        engine.apply(&mut changes);
        changes.clear();
    }
    for (size, times) in TICKS {
        let mut sample = Sample::default();
        for _ in 0..times {
            changes.extend(stream.by_ref().take(size));
            let (spent, ()) = Spent::on(|| engine.apply(&mut changes));
            sample.push(spent);
            changes.clear();
        }
        figures.sample(&format!("tick of {size}"), &sample);
    }
}

/// Measures reads; the digest of what was read tells whether subjects agree.
fn reads(engine: &mut dyn Engine, known: &[Known], figures: &mut Figures) {
    let (mut profiles, mut items) = (Sample::default(), Sample::default());
    let mut digest = 0;
    for &(identifier, item) in known {
        let (spent, row) = Spent::on(|| engine.profile(identifier));
        profiles.push(spent);
        let orders =
            row.and_then(|(_, row)| row).map(|row| (row.last_order, row.orders, row.spent));
        digest = hash(&(digest, row.map(|(owner, _)| owner), orders));
        let Some(item) = item else { continue };
        let (spent, near) = Spent::on(|| engine.related(item, NEIGHBOURS));
        items.push(spent);
        for Neighbour { item, score, together } in near {
            digest = hash(&(digest, item, score, together));
        }
    }
    figures.sample("read a profile", &profiles);
    figures.sample("read related items", &items);
    figures.digest(digest);
}
