//! Engine: how fast is it, and how large, beside a plain program for the same results?
//!
//! `cargo bench --bench engine -- --events 1000000 --name quiet` measures every subject on the same
//! seeded stream, each in a process of its own, prints a table and files it under `benches/runs/`.
//! The ratios are what to look at: they hold on another machine and under some load.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod common {
    //! What benches share.
    pub(crate) mod generator;
    pub(crate) mod live;
    pub(crate) mod measure;
    pub(crate) mod plain;
    pub(crate) mod random;
    pub(crate) mod report;

    pub(crate) use super::Engine;
}

use std::error::Error;

use clap::Parser;
use common::generator::{Change, Generator, Shape};
use common::live::live;
use common::measure::{Sample, Spent, Watch, resident};
use common::plain::{Neighbour, Plain, Profile};
use common::report::{Figures, report};
use dataflows::operator::hash;
use dataflows::{Action, Identifier, Item, ProfileId, Settings};

/// What is measured.
pub(crate) trait Engine {
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

/// A subject: what it keeps, and on how many workers.
#[derive(Clone, Copy, Debug)]
struct Subject {
    name: &'static str,
    keeps: Keeps,
    workers: usize,
}

/// What a subject keeps.
#[derive(Clone, Copy, Debug)]
enum Keeps {
    /// The plain program: four results.
    Plain,
    /// The engine with these views.
    Views(&'static [&'static [&'static str]]),
    /// The engine with every view.
    All,
}

/// Whose is an identifier, and an event?
const IDENTITY: &[&str] = &["identity", "owners"];
/// When did a profile last order, how often, for how much?
const RFM: &[&str] = &["rfm"];
/// Which profiles are alike?
const SEGMENTS: &[&str] = &["features", "cells", "segments", "centroids", "spread"];
/// What goes with an item?
const RELATED: &[&str] = &["viewed_together", "basket_items", "baskets"];

const fn subject(name: &'static str, keeps: Keeps, workers: usize) -> Subject {
    Subject { name, keeps, workers }
}

/// The four results of the plain program.
macro_rules! four_and {
    ($($views:expr),*) => { Keeps::Views(&[IDENTITY, RFM, SEGMENTS, RELATED, $($views),*]) };
}

/// All subjects; ratios are to the first.
const SUBJECTS: &[Subject] = &[
    subject("plain", Keeps::Plain, 1),
    subject("four views", four_and!(), 1),
    subject("four views, 2 workers", four_and!(), 2),
    subject("identity", Keeps::Views(&[IDENTITY]), 1),
    subject("identity + rfm", Keeps::Views(&[IDENTITY, RFM]), 1),
    subject("identity + segments", Keeps::Views(&[IDENTITY, SEGMENTS]), 1),
    subject("related", Keeps::Views(&[RELATED]), 1),
    subject("all views", Keeps::All, 1),
    subject("four + conflicts", four_and!(&["conflicts"]), 1),
    subject("four + profiles", four_and!(&["profiles"]), 1),
    subject("four + sessions", four_and!(&["sessions"]), 1),
    subject("four + dwell", four_and!(&["dwell"]), 1),
    subject("four + bought together", four_and!(&["bought_together"]), 1),
    subject("four + viewed then bought", four_and!(&["viewed_then_bought"]), 1),
    subject("four + popular", four_and!(&["popular"]), 1),
];

impl Subject {
    /// Runs `work` on it.
    fn run(self, work: impl FnOnce(&mut dyn Engine) -> Figures + Send + Sync + 'static) -> Figures {
        let mut settings = Settings::default();
        match self.keeps {
            Keeps::Plain => return work(&mut Plain::new(&settings)),
            Keeps::Views(views) => {
                settings.views = views.concat().into_iter().map(str::to_string).collect();
                // The stream's source names its sessions.
                settings.find_sessions = views.concat().contains(&"sessions");
            }
            Keeps::All => {}
        }
        live(settings, self.workers, work)
    }

    /// Whether it has all results of the plain program.
    fn complete(self) -> bool {
        match self.keeps {
            Keeps::Views(views) => 4 <= views.len(),
            Keeps::Plain | Keeps::All => true,
        }
    }

    /// Whether it only tells what a further view costs.
    fn further(self) -> bool {
        matches!(self.keeps, Keeps::Views(views) if 4 < views.len())
    }
}

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
        let subject = SUBJECTS.iter().find(|subject| subject.name == name);
        print!("{}", measure(*subject.ok_or("no such subject")?, options.events, options.seed));
        return Ok(());
    }
    if !options.bench {
        options.events = options.events.min(5_000);
    }
    let (events, seed) = (options.events, options.seed);
    let wanted = |name: &str| {
        options.only.is_empty()
            || name == SUBJECTS[0].name
            || options.only.iter().any(|n| n == name)
    };
    let (mut columns, mut further) = (Vec::new(), Vec::new());
    for subject in SUBJECTS.iter().filter(|subject| wanted(subject.name)) {
        // A process of its own: memory and processor time are this subject's alone.
        let arguments = ["--events", &events.to_string(), "--seed", &seed.to_string()];
        let mut child = std::process::Command::new(std::env::current_exe()?);
        let output = child.args(arguments).args(["--subject", subject.name]).output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {text}", subject.name).into());
        }
        let figures = Figures::parse(&String::from_utf8(output.stdout)?);
        let columns = if subject.further() { &mut further } else { &mut columns };
        columns.push((subject.name, figures));
    }
    let text = report(&columns, &further, &[("events", events), ("seed", seed)]);
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
fn measure(subject: Subject, events: u64, seed: u64) -> Figures {
    let stream = Generator::new(Shape { events, seed }, &Settings::default());
    let before = resident();
    subject.run(move |engine| {
        let (mut stream, mut figures) = (stream, Figures::default());
        let samples = load(engine, &mut stream, events, &mut figures);
        figures.memory(resident().saturating_sub(before), events);
        if subject.further() {
            return figures;
        }
        let (fit, ()) = Spent::on(|| engine.fit());
        figures.spent("fit", fit);
        ticks(engine, &mut stream, &mut figures);
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
        if subject.complete() {
            reads(engine, &samples, &mut figures);
        }
        figures
    })
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
