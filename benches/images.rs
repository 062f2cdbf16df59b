//! Images: what does keeping views in files cost, and reading them from there?
//!
//! `cargo bench --bench images` keeps all views of a million events of the generated stream, or of
//! as many as are given after `--`, and prints one line a large view and one for all.
//! The ratios are to the same rows as plain postcard in a buffered file.
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
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use affluent::view::Store;
use affluent::view::image::{Images, ReadAt, file_name};
use affluent::view::pairs::Pairs;
use affluent::worker::ingest::Ingest;
use affluent::worker::{Layout, run};
use common::generator::{Generator, Op, Shape};
use common::measure::{Spent, machine, rustc};
use dataflows::related::{Basket, Items, Role};
use dataflows::score::Score;
use dataflows::view::{Datum, Visit};
use dataflows::{BASKETS, Item, Settings, Tick, VIEWED_TOGETHER, View, views};

/// How many changes become a tick.
const TICK: usize = 100_000;
/// The tick of the images.
const SHOWN: Tick = Tick(1);
/// How many keys of a view are looked up.
const READS: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    let trial = !std::env::args().any(|argument| argument == "--bench");
    let events: u64 = given.unwrap_or(if trial { 5_000 } else { 1_000_000 });
    println!("{events} events; {}; {}", machine(), rustc());
    run(&Layout::threads(1), Settings::default(), Store::new(false), move |driver| {
        let stream = Generator::new(Shape { events, seed: 7 }, &Settings::default());
        let mut ingest = Ingest::new(None);
        for (op, key, event) in stream.take(usize::try_from(events).unwrap_or(usize::MAX)) {
            match op {
                Op::Insert | Op::Correct => _ = ingest.put(key, event),
                Op::Retract => _ = ingest.retract(key),
            }
            if TICK <= ingest.pending() {
                ingest.commit(driver, &[]).expect("in memory");
            }
        }
        ingest.commit(driver, &[]).expect("in memory");
        let folder = tempfile::tempdir().expect("a folder can be made");
        measure(driver.store(), folder.path()).expect("files can be written and read");
    })?;
    Ok(())
}

/// What one view, or all of them, came to.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    rows: u64,
    bytes: u64,
    plain_bytes: u64,
    write: Duration,
    plain_write: Duration,
    digest: Duration,
    verify: Duration,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.plain_bytes += other.plain_bytes;
        self.write += other.write;
        self.plain_write += other.plain_write;
        self.digest += other.digest;
        self.verify += other.verify;
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = |bytes: u64| bytes as f64 / self.rows.max(1) as f64;
        let times = |spent: Duration| spent.as_secs_f64() / self.plain_write.as_secs_f64();
        let plain = self.plain_bytes.max(1) as f64;
        write!(
            f,
            "{} rows, {:.1} bytes each (plain {:.1}: {:.2} times); to write {:.2} s ({:.2} times \
             plain), to digest {:.2} times, to verify {:.2} times",
            self.rows,
            each(self.bytes),
            each(self.plain_bytes),
            self.bytes as f64 / plain,
            self.write.as_secs_f64(),
            times(self.write),
            times(self.digest),
            times(self.verify),
        )
    }
}

/// Writes and reads every view.
fn measure(store: &Store, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut writing = Writing { store, folder, figures: Vec::new() };
    views(&mut writing);
    let find = |view| {
        let file = File::open(folder.join(file_name(view)))?;
        Ok(Some(Box::new(file) as Box<dyn ReadAt>))
    };
    let (opening, images) = Spent::on(|| Images::open(SHOWN, find));
    let images = images?;
    let mut all = Figures::default();
    for (view, mut figures) in writing.figures {
        let (verify, verified) = Spent::on(|| images.verify(view));
        verified?;
        figures.verify = verify.wall;
        if 1_000 <= figures.rows {
            println!("{view:<19} {figures}");
        }
        all += figures;
    }
    println!("{:<19} {all}", "all views");
    println!("to open {} images: {:?}", images.names().len(), opening.wall);
    let mut reading = Reading { store, images: &images, spent: [Duration::ZERO; 2], reads: 0 };
    views(&mut reading);
    let reads = u32::try_from(reading.reads.max(1))?;
    let [image, memory] = reading.spent.map(|spent| spent / reads);
    println!("to look a key up: {image:?} from an image, {memory:?} from memory");
    related(store, &images)
}

/// Reads what goes with items.
fn related(store: &Store, images: &Images) -> Result<(), Box<dyn Error>> {
    let total = u64::try_from(store.get(BASKETS, &Basket::Session).unwrap_or(0))?;
    let tables = store.with_pairs(VIEWED_TOGETHER, <[_]>::to_vec).ok_or("it is kept")?;
    let table = lock(&tables[0]);
    let items: Vec<Item> = table.items().step_by(50).take(READS / 4).collect();
    let top = |pairs: &Pairs, item| pairs.top(item, Score::Cosine, 1, total, 20);
    let (memory, wanted) =
        Spent::on(|| items.iter().map(|item| top(&table, *item)).collect::<Vec<_>>());
    let (image, found) = Spent::on(|| {
        let top = |item: &Item| images.top(VIEWED_TOGETHER, *item, Score::Cosine, 1, total, 20);
        items.iter().map(top).collect::<Result<Vec<_>, _>>()
    });
    assert!(found? == wanted, "both say the same");
    let reads = u32::try_from(items.len().max(1))?;
    let (image, memory) = (image.wall / reads, memory.wall / reads);
    println!("to read what goes with an item: {image:?} from images, {memory:?} from memory");
    Ok(())
}

/// The table, whoever panicked.
fn lock(table: &std::sync::Mutex<Pairs>) -> std::sync::MutexGuard<'_, Pairs> {
    table.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes views.
struct Writing<'a> {
    store: &'a Store,
    folder: &'a Path,
    figures: Vec<(&'static str, Figures)>,
}

impl Writing<'_> {
    fn write<K: Datum, V: Datum>(
        &mut self,
        view: View<K, V>,
        rows: &std::collections::BTreeMap<K, V>,
    ) -> Result<(), Box<dyn Error>> {
        let path = self.folder.join("plain");
        let (plain, plain_bytes) = Spent::on(|| -> Result<u64, Box<dyn Error>> {
            let mut out = BufWriter::with_capacity(32 * 1024, File::create(&path)?);
            let (mut bytes, mut buffer) = (0, Vec::new());
            for row in rows {
                buffer.clear();
                buffer = postcard::to_extend(&row, buffer)?;
                out.write_all(&buffer)?;
                bytes += u64::try_from(buffer.len())?;
            }
            out.flush()?;
            Ok(bytes)
        });
        let mut file = File::create(self.folder.join(file_name(view.name)))?;
        let (write, written) = Spent::on(|| self.store.image(view.name, SHOWN, &mut file));
        let written = written?;
        let (digest, digested) = Spent::on(|| self.store.digest(view.name));
        assert_eq!(digested, Some(written.digest), "{}", view.name);
        self.figures.push((
            view.name,
            Figures {
                rows: written.rows,
                bytes: written.bytes,
                plain_bytes: plain_bytes?,
                write: write.wall,
                plain_write: plain.wall,
                digest: digest.wall,
                verify: Duration::ZERO,
            },
        ));
        Ok(())
    }
}

impl Visit for Writing<'_> {
    fn rows<K: Datum, V: Datum>(&mut self, view: View<K, V>) {
        self.write(view, &self.store.rows(view)).expect("files can be written");
    }

    fn pairs(&mut self, view: View<Items, i64>, _: [Role; 2]) {
        self.write(view, &self.store.pair_rows(view)).expect("files can be written");
    }
}

/// Looks keys up.
struct Reading<'a> {
    store: &'a Store,
    images: &'a Images,
    /// In images, and in memory.
    spent: [Duration; 2],
    reads: usize,
}

impl Visit for Reading<'_> {
    fn rows<K: Datum, V: Datum>(&mut self, view: View<K, V>) {
        let rows = self.store.rows(view);
        let keys: Vec<&K> = rows.keys().step_by(rows.len() / READS + 1).collect();
        let get = |key: &&K| self.images.get(view, key).expect("it can be read");
        let (image, found) = Spent::on(|| keys.iter().map(get).collect::<Vec<_>>());
        let get = |key: &&K| self.store.get(view, key);
        let (memory, wanted) = Spent::on(|| keys.iter().map(get).collect::<Vec<_>>());
        assert!(found == wanted, "{}", view.name);
        self.spent[0] += image.wall;
        self.spent[1] += memory.wall;
        self.reads += keys.len();
    }

    fn pairs(&mut self, _: View<Items, i64>, _: [Role; 2]) {}
}
