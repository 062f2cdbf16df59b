//! Durable: what does it cost to lose nothing, and how soon is everything back?
//!
//! `cargo bench --bench durable -- --events 1000000 --name NAME` measures in one run, back to back:
//! acknowledged groups of 1, 10 and 1,000 events beside a loop that only writes and syncs the same
//! bytes in the same groups; a bulk load with checkpoints beside one in memory; recovery, in a
//! process of its own, up to the first answer and until all views are live; and bytes on disk.
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
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use affluent::durable::checkpoint::folder;
use affluent::durable::{Durable, Found};
use affluent::ledger;
use affluent::log::Limits;
use affluent::names::{Dictionary, SECRET_DEFAULT};
use affluent::storage::Disk;
use affluent::vault::{POOL, System};
use affluent::view::Store;
use affluent::view::image::{Images, ReadAt, file_name};
use affluent::worker::ingest::Ingest;
use affluent::worker::recover::{Listen, Progress, recover};
use affluent::worker::{Driver, Layout, run};
use common::generator::{Change, Generator, Op, Shape};
use common::measure::{Sample, Spent, load, machine, resident, rustc};
use dataflows::{RFM, Settings};

/// How many changes of a bulk load become a tick.
const TICK: usize = 100_000;

/// Groups of so many events, and how often each is acknowledged.
const GROUPS: [(usize, usize); 3] = [(1, 1000), (10, 500), (1000, 60)];

/// The four views of the card.
const FOUR: [&str; 4] = ["identity", "rfm", "segments", "viewed_together"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    if let Some(data) = after("--recover") {
        return recovery(Path::new(&data));
    }
    let bench = arguments.iter().any(|argument| argument == "--bench");
    let default = if bench { 1_000_000 } else { 5_000 };
    let events = after("--events").map_or(Ok(default), |text| text.parse::<usize>())?;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("durable-bench");
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder)?;
    let mut text = format!(
        "# Benchmark: a durable directory, {events} events\n\n- versions: affluent {}, {}\n- \
         machine: {}\n- load at the beginning: {}\n\n",
        env!("CARGO_PKG_VERSION"),
        rustc(),
        machine(),
        load()
    );
    let size = if bench { 1 } else { 10 };
    text += &acknowledged(&folder, size)?;
    text += &bulk(&folder, events)?;
    text += &format!("\n- load at the end: {}\n", load());
    println!("{text}");
    if let Some(name) = after("--name") {
        std::fs::write(format!("benches/runs/{name}.md"), &text)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The settings of a shop that keeps some views.
fn settings(views: &[&str]) -> Settings {
    let mut settings = Settings { find_sessions: false, ..Settings::default() };
    settings.views = views.iter().map(|view| (*view).to_owned()).collect();
    settings
}

/// Opens a directory, which is made if it is not there.
fn open(path: &Path, settings: &Settings) -> (Durable, ledger::journal::Journal) {
    let found = Found::find(Arc::new(Disk::new(path)), Box::new(System), POOL);
    let mut opened = found.and_then(|found| found.open(Limits::default())).expect("it opens");
    let names = Arc::new(Mutex::new(Dictionary::new(SECRET_DEFAULT)));
    opened.durable.name(names, settings);
    (opened.durable, opened.journal)
}

/// Hears nothing.
struct Deaf;

impl Listen for Deaf {
    fn note(&mut self, _: &[u8]) -> Result<(), ledger::Error> {
        Ok(())
    }

    fn progress(&mut self, _: Progress) {}
}

/// An engine whose ticks are durable in a directory.
fn durable(driver: &mut Driver<'_>, path: &Path, settings: &Settings) -> Ingest {
    recover(driver, None, open(path, settings), &mut Deaf).expect("it is taken up").ingest
}

/// Many measurements, and their sum.
#[derive(Clone, Debug, Default)]
struct Timed {
    sample: Sample,
    total: Duration,
}

impl Timed {
    fn push(&mut self, spent: Spent) {
        self.total += spent.wall;
        self.sample.push(spent);
    }
}

/// Gives a change to the ledger.
fn put(ingest: &mut Ingest, (op, key, event): Change) {
    match op {
        Op::Insert | Op::Correct => _ = ingest.put(key, event).expect("it is kept"),
        Op::Retract => _ = ingest.retract(key).expect("it is kept"),
    }
}

/// Groups that are acknowledged, without any view of people and with four, beside a loop that only
/// writes and syncs as much.
fn acknowledged(folder: &Path, size: usize) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "| group | bytes | bare ms, p50 / p99 | log alone ms, p50 / p99 | of bare | with four \
         views ms, p50 / p99 | of bare |\n|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (group, times) in GROUPS {
        let times = times / size;
        let mut cells = Vec::new();
        let mut sizes = Vec::new();
        for views in [&["today"][..], &FOUR[..]] {
            let path = folder.join(format!("groups-{group}-{}", views.len()));
            let (sample, bytes) = groups(&path, views, group, times)?;
            if sizes.is_empty() {
                sizes = bytes;
            }
            cells.push(sample);
        }
        let bare = bare(&folder.join(format!("bare-{group}")), &sizes)?;
        let mean = |timed: &Timed| timed.total.as_secs_f64();
        let pair = |sample: &Timed| {
            format!("{:.3} / {:.3}", sample.sample.wall_ms(500), sample.sample.wall_ms(990))
        };
        let per = sizes.iter().sum::<u64>() / sizes.len().max(1) as u64;
        text += &format!(
            "| {group} | {per} | {} | {} | {:.2} | {} | {:.2} |\n",
            pair(&bare),
            pair(&cells[0]),
            mean(&bare) / mean(&cells[0]),
            pair(&cells[1]),
            mean(&bare) / mean(&cells[1]),
        );
    }
    Ok(text)
}

/// Acknowledges groups, and gives the bytes of each.
fn groups(
    path: &Path,
    views: &[&str],
    group: usize,
    times: usize,
) -> Result<(Timed, Vec<u64>), Box<dyn Error>> {
    let settings = settings(views);
    let (path, own) = (path.to_owned(), settings.clone());
    let done = run(&Layout::threads(1), settings, Store::new(false), move |driver| {
        let mut ingest = durable(driver, &path, &own);
        let events = (20_000 + group * times) as u64;
        let mut stream = Generator::new(Shape { events, seed: 7 }, &own);
        // What is there already, so that groups meet a shop and not an empty room.
        for change in stream.by_ref().take(20_000) {
            put(&mut ingest, change);
        }
        ingest.commit(driver, &[]).expect("it is durable");
        let (mut sample, mut sizes) = (Timed::default(), Vec::new());
        for _ in 0..times {
            let changes: Vec<Change> = stream.by_ref().take(group).collect();
            let before = ingest.durable().map_or(0, Durable::log_bytes);
            let (spent, ()) = Spent::on(|| {
                for change in changes {
                    put(&mut ingest, change);
                }
                ingest.commit(driver, &[]).expect("it is durable");
            });
            sample.push(spent);
            sizes.push(ingest.durable().map_or(0, Durable::log_bytes) - before);
        }
        (sample, sizes)
    })?;
    done.ok_or_else(|| "no worker leads".into())
}

/// Writes and syncs as many bytes in as many groups.
fn bare(path: &Path, sizes: &[u64]) -> Result<Timed, Box<dyn Error>> {
    let mut file = File::options().append(true).create(true).open(path)?;
    let mut sample = Timed::default();
    for size in sizes {
        let bytes = vec![7; usize::try_from(*size)?];
        let (spent, done) = Spent::on(|| -> std::io::Result<()> {
            file.write_all(&bytes)?;
            file.sync_data()
        });
        done?;
        sample.push(spent);
    }
    Ok(sample)
}

/// A bulk load in memory and one that is durable, with its checkpoints, and what recovery takes.
fn bulk(folder: &Path, events: usize) -> Result<String, Box<dyn Error>> {
    let settings = settings(&FOUR);
    let own = settings.clone();
    let memory = run(&Layout::threads(1), settings.clone(), Store::new(false), move |driver| {
        Spent::on(|| load_all(driver, &mut Ingest::new(None), events, &own).0).0
    })?;
    let (path, own) = (folder.join("bulk"), settings.clone());
    let data = path.clone();
    let loaded = run(&Layout::threads(1), settings.clone(), Store::new(false), move |driver| {
        let mut ingest = durable(driver, &path, &own);
        let before = ingest.ledger().bytes();
        let (spent, (checkpoints, number)) =
            Spent::on(|| load_all(driver, &mut ingest, events, &own));
        let close = Spent::on(|| ingest.checkpoint(driver, false, &[]).expect("it is written")).0;
        let ledger = (ingest.ledger().bytes() - before) / ingest.ledger().len().max(1);
        (spent, checkpoints, number, close, ledger, ingest.ledger().len(), resident())
    })?;
    let (Some(memory), Some(loaded)) = (memory, loaded) else {
        return Err("no worker leads".into());
    };
    let (spent, checkpoints, number, close, ledger, held, steady) = loaded;
    let ms = |spent: &Spent| 1e3 * spent.wall.as_secs_f64();
    let processor = |spent: &Spent| 1e3 * spent.processor.as_secs_f64();
    let mut text = format!(
        "\n| bulk load | in memory | durable | share |\n|---|---:|---:|---:|\n| wall ms | {:.0} | \
         {:.0} | {:.2} |\n| processor ms | {:.0} | {:.0} | {:.2} |\n",
        ms(&memory),
        ms(&spent),
        ms(&memory) / ms(&spent),
        processor(&memory),
        processor(&spent),
        processor(&memory) / processor(&spent),
    );
    text += &format!(
        "\n- checkpoints while it loaded: {number}, {:.0} ms, {:.1} % of the time; one at the end: \
         {:.0} ms\n- bytes in memory an event for the ledger: {ledger}\n- bytes on disk an event: \
         log {:.0}, events of checkpoints {:.0}, views of checkpoints {:.0}, keys {:.0}\n",
        ms(&checkpoints),
        100.0 * ms(&checkpoints) / ms(&spent),
        ms(&close),
        share(&data.join("log"), held),
        share(&data.join("base"), held),
        share(&data.join("ckpt"), held),
        share(&data.join("keys"), held),
    );
    text += &format!("- memory when it had loaded: {} MB\n", steady / 1_000_000);
    text += &replay(&data, held)?;
    Ok(text)
}

/// Loads all events; the time of checkpoints, and how many there were.
fn load_all(
    driver: &mut Driver<'_>,
    ingest: &mut Ingest,
    events: usize,
    settings: &Settings,
) -> (Spent, usize) {
    let (mut spent, mut number) = (Spent::default(), 0);
    let stream = Generator::new(Shape { events: events as u64, seed: 7 }, settings);
    for change in stream.take(events) {
        put(ingest, change);
        if TICK <= ingest.pending() {
            ingest.commit(driver, &[]).expect("it is durable");
            if ingest.checkpoint_is_due(false) {
                let written = || ingest.checkpoint(driver, false, &[]).expect("it is written");
                spent += Spent::on(written).0;
                number += 1;
            }
        }
    }
    ingest.commit(driver, &[]).expect("it is durable");
    (spent, number)
}

/// The bytes of all files below a folder, an event.
fn share(folder: &Path, events: usize) -> f64 {
    fn bytes(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let of = |entry: std::fs::DirEntry| match entry.path().is_dir() {
            true => bytes(&entry.path()),
            false => entry.metadata().map_or(0, |meta| meta.len()),
        };
        entries.map(of).sum()
    }
    bytes(folder) as f64 / events.max(1) as f64
}

/// What recovery takes in a process of its own, beside a replay of the raw events.
fn replay(data: &Path, events: usize) -> Result<String, Box<dyn Error>> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let output = command.arg("--recover").arg(data).output()?;
    let mut text = String::from_utf8(output.stdout)?;
    let settings = settings(&FOUR);
    let own = settings.clone();
    let raw = run(&Layout::threads(1), settings, Store::new(false), move |driver| {
        let mut ingest = Ingest::new(None);
        let stream = Generator::new(Shape { events: events as u64, seed: 7 }, &own);
        let changes: Vec<Change> = stream.take(events).collect();
        Spent::on(|| {
            for (place, change) in changes.into_iter().enumerate() {
                put(&mut ingest, change);
                if place % 1000 == 999 {
                    ingest.commit(driver, &[]).expect("in memory");
                }
            }
        })
        .0
    })?;
    let raw = raw.ok_or("no worker leads")?;
    text += &format!(
        "- the raw events in memory, in ticks of 1,000: {:.0} ms\n",
        1e3 * raw.wall.as_secs_f64()
    );
    Ok(text)
}

/// Takes a directory up, and prints what that took.
fn recovery(data: &Path) -> Result<(), Box<dyn Error>> {
    let settings = settings(&FOUR);
    let (first, found) = Spent::on(|| -> Result<Found, Box<dyn Error>> {
        let found = Found::find(Arc::new(Disk::new(data)), Box::new(System), POOL)?;
        let newest = found.newest().ok_or("there is no checkpoint")?.tick;
        let views = data.join(folder(newest)).join("views");
        let images = Images::open(newest, |view| {
            let path = views.join(file_name(view));
            let file = path.exists().then(|| File::open(path)).transpose()?;
            Ok(file.map(|file| Box::new(file) as Box<dyn ReadAt>))
        })?;
        let image = File::open(views.join(file_name(RFM.name)))?;
        let image = affluent::view::image::Image::open(RFM, newest, Box::new(image))?;
        image.range(..).next().ok_or("there is no customer")??;
        drop(images);
        Ok(found)
    });
    let found = found?;
    let own = settings.clone();
    let live = run(&Layout::threads(1), settings, Store::new(false), move |driver| {
        let (opening, opened) = Spent::on(|| found.open(Limits::default()));
        let mut opened = opened.expect("it opens");
        let names = Arc::new(Mutex::new(Dictionary::new(SECRET_DEFAULT)));
        opened.durable.name(names, &own);
        let opened = (opened.durable, opened.journal);
        let (spent, done) = Spent::on(|| recover(driver, None, opened, &mut Deaf));
        let done = done.expect("it is taken up");
        (opening, spent, done.progress, done.compared, resident())
    })?;
    let (opening, spent, progress, compared, steady) = live.ok_or("no worker leads")?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: usize =
        peak.and_then(|text| text.trim().split(' ').next()?.parse().ok()).unwrap_or(0);
    let ms = |wall: Duration| 1e3 * wall.as_secs_f64();
    println!(
        "- recovery: first answer after {:.1} ms; the log is read after {:.0} ms; live after \
         {:.0} ms more, with {} events of the checkpoint and {} ticks behind it; views compared: \
         {compared}",
        ms(first.wall),
        ms(first.wall + opening.wall),
        ms(spent.wall),
        progress.events.1,
        progress.frames,
    );
    println!(
        "- memory while recovering: {} MB at the most, {} MB when live: {:.2}",
        peak / 1000,
        steady / 1_000_000,
        1e3 * peak as f64 / steady as f64 * 1.024
    );
    Ok(())
}
