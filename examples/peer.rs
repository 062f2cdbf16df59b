//! Peer: the engine as one of the programs of the peer bench.
//!
//! `cargo run --release --example peer -- --input EVENTS.csv --work w5 --bulk 1000000 --out FILE`
//! reads the peer bench's stream, loads its first rows, applies the next in batches, and says how
//! long that took; `--out` writes the result in the form that the bench compares.
//!
//! It is the real engine: ledger, dataflows, publication. A workload switches off the views that it
//! does not need, and nothing else.
//!
//! | work | identifiers of an event | views | a batch is over when |
//! |---|---|---|---|
//! | w1 | cookie, device, e-mail | identity | the tick is published |
//! | w2 | cookie | rfm | the tick is published |
//! | w3 | none | viewed together | and the 20 best of all items in a changed basket are read |
//! | w4 | cookie | features and segments | the tick is published; fits follow the refit policy |
//! | w5 | cookie, device, e-mail | all of these | as w3 and w4 |
//!
//! w4 and w5 fit at the end of the bulk load, inside its time. Reading and decoding the file is
//! `parse_s`, apart from both; the file is read piece by piece as it is needed.
#![expect(clippy::print_stdout, reason = "it prints its figures")]
#![expect(
    clippy::float_arithmetic,
    clippy::as_conversions,
    reason = "figures of a measurement, and the peer bench's own measure of a fit"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use affluent::ledger;
use affluent::view::Store;
use affluent::view::pairs::Pairs;
use affluent::worker::ingest::{ENGINE, Ingest};
use affluent::worker::refit::{Policy, Refit};
use affluent::worker::{Driver, Layout, run};
use clap::Parser;
use dataflows::operator::Index;
use dataflows::{
    Action, Context, Event, EventId, EventTime, IDENTITY, Identifier, Item, Kind, Line, Money,
    OrderId, ProfileId, RFM, SEGMENTS, SegmentCount, SessionKey, Settings, VIEWED_TOGETHER, Word,
    spread,
};
use rustix::time::{ClockId, clock_gettime};

/// How many of an item's neighbours are read.
const NEIGHBOURS: usize = 20;
/// How many rows are decoded at once.
const PIECE: usize = 10_000;

/// Runs one workload of the peer bench.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// The stream.
    #[arg(long)]
    input: PathBuf,
    /// w1 to w5.
    #[arg(long)]
    work: String,
    /// How many rows are loaded at first.
    #[arg(long)]
    bulk: usize,
    /// Size and number of the batches after that.
    #[arg(long, default_value = "1:1000,100:200,1000:49")]
    batches: String,
    /// Where the result goes.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the figures go.
    #[arg(long)]
    stats: Option<PathBuf>,
    /// How many workers.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// How many rows of the bulk load become one tick.
    #[arg(long, default_value_t = 100_000)]
    tick: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let settings = settings(&options.work);
    let given = options.clone();
    let layout = Layout::threads(options.workers);
    let done = run(&layout, settings.clone(), Store::new(false), move |driver| {
        measure(driver, &given, &settings).map_err(|error| error.to_string())
    });
    println!("{}", done?.ok_or("this process does not lead")??);
    Ok(())
}

/// The settings of a workload: the views that it needs, and components without limits.
fn settings(work: &str) -> Settings {
    let mut settings = Settings { rfm_window_days: 0, find_sessions: false, ..Settings::default() };
    for kind in &mut settings.kinds {
        (kind.shared_above, kind.limit) = (None, None);
    }
    settings.segments.count = SegmentCount::Fixed(8);
    let segments = ["rfm", "features", "cells", "segments", "centroids", "spread"];
    let views: &[&[&str]] = match work {
        "w1" => &[&["identity"]],
        "w2" => &[&["rfm"]],
        "w3" => &[&["viewed_together"]],
        "w4" => &[&segments],
        _ => &[&["identity", "viewed_together"], &segments],
    };
    settings.views = views.concat().into_iter().map(str::to_string).collect();
    settings
}

/// Wall and processor time since a start.
#[derive(Clone, Copy)]
struct Watch(Instant, Duration);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "it measures")]
    fn start() -> Watch {
        Watch(Instant::now(), processor())
    }

    /// Seconds on the wall, and of the processors.
    fn read(self) -> [f64; 2] {
        let wall = self.0.elapsed();
        [wall, processor().saturating_sub(self.1)].map(|time| time.as_secs_f64())
    }
}

/// The time that processors have spent for this process.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Loads, applies batches, and gives the figures.
fn measure(
    driver: &mut Driver<'_>,
    options: &Options,
    settings: &Settings,
) -> Result<String, Box<dyn Error>> {
    let mut stream = Stream::open(options)?;
    let segmented = matches!(options.work.as_str(), "w4" | "w5");
    let refit = || Refit::new(Policy::default(), settings.segments.clone(), ENGINE);
    let mut ingest = Ingest::new(segmented.then(refit));
    let (mut bulk, mut parse) = ([0.0; 2], [0.0; 2]);
    let mut rows = Vec::with_capacity(PIECE);
    let (mut at, mut ticked) = (0, 0);
    while at < options.bulk {
        let watch = Watch::start();
        stream.take(PIECE.min(options.bulk - at), &mut rows)?;
        add(&mut parse, watch);
        if rows.is_empty() {
            break;
        }
        at += rows.len();
        let watch = Watch::start();
        feed(&mut ingest, &mut rows)?;
        if options.tick <= at - ticked && at < options.bulk {
            ingest.commit(driver, &[])?;
            ticked = at;
        }
        add(&mut bulk, watch);
    }
    let watch = Watch::start();
    ingest.finish(driver, &[])?;
    add(&mut bulk, watch);
    let latencies = batches(driver, &mut ingest, &mut stream, options, &mut at)?;
    let spread = inertia(driver.store());
    if let Some(path) = &options.out {
        write(&options.work, driver.store(), &stream, &mut BufWriter::new(File::create(path)?))?;
    }
    let figures = format!(
        "{{\"peer\":\"engine\",\"work\":\"{}\",\"bulk_events\":{},\"workers\":{},\"load_tick\":{},\
         \"parse_s\":{:.4},\"parse_cpu_s\":{:.4},\"bulk_s\":{:.4},\"bulk_cpu_s\":{:.4},\
         \"rows_end\":{at},\"inertia\":{spread:.6},\"lat\":{{{}}}}}",
        options.work,
        options.bulk,
        options.workers,
        options.tick,
        parse[0],
        parse[1],
        bulk[0],
        bulk[1],
        latencies.join(",")
    );
    if let Some(path) = &options.stats {
        std::fs::write(path, &figures)?;
    }
    Ok(figures)
}

/// Applies the batches, a tick each, and gives the figures of each size; `at` counts the rows.
fn batches(
    driver: &mut Driver<'_>,
    ingest: &mut Ingest,
    stream: &mut Stream,
    options: &Options,
    at: &mut usize,
) -> Result<Vec<String>, Box<dyn Error>> {
    let reads = matches!(options.work.as_str(), "w3" | "w5");
    let (mut rows, mut latencies) = (Vec::new(), Vec::new());
    for plan in options.batches.split(',') {
        let (size, times) = plan.split_once(':').ok_or("batches are size:number")?;
        let (size, times): (usize, usize) = (size.parse()?, times.parse()?);
        let mut sample = Vec::new();
        for _ in 0..times {
            stream.take(size, &mut rows)?;
            if rows.len() < size {
                break;
            }
            *at += size;
            let watch = Watch::start();
            feed(ingest, &mut rows)?;
            ingest.commit(driver, &[])?;
            if reads {
                read_touched(driver.store());
            }
            sample.push(watch.read());
        }
        latencies.extend(latency(size, &sample));
    }
    Ok(latencies)
}

fn add(total: &mut [f64; 2], watch: Watch) {
    total.iter_mut().zip(watch.read()).for_each(|(total, part)| *total += part);
}

/// The figures of batches of one size.
fn latency(size: usize, sample: &[[f64; 2]]) -> Option<String> {
    let n = sample.len().checked_sub(1)? + 1;
    let figures = [("", 0), ("cpu_", 1)].map(|(name, which)| {
        let mut times: Vec<f64> = sample.iter().map(|times| 1e3 * times[which]).collect();
        times.sort_by(f64::total_cmp);
        let mean = times.iter().sum::<f64>() / n as f64;
        let (p50, p99) = (times[n / 2], times[(n * 99 / 100).min(n - 1)]);
        format!("\"{name}p50_ms\":{p50:.5},\"{name}p99_ms\":{p99:.5},\"{name}mean_ms\":{mean:.5}")
    });
    Some(format!("\"{size}\":{{\"n\":{n},{}}}", figures.join(",")))
}

/// A row: an event that holds from now on, or one that does no longer.
type Row = (u128, Option<Event>);

/// Gives rows to the ledger.
fn feed(ingest: &mut Ingest, rows: &mut Vec<Row>) -> Result<(), ledger::Error> {
    for (key, event) in rows.drain(..) {
        match event {
            Some(event) => ingest.put(key, event)?,
            None => ingest.retract(key)?,
        };
    }
    Ok(())
}

/// Calls `read` with every worker's table of pairs.
fn each_pairs(store: &Store, mut read: impl FnMut(&Pairs)) {
    store.with_pairs(VIEWED_TOGETHER, |tables| {
        for table in tables {
            let table: &Mutex<Pairs> = table;
            read(&table.lock().unwrap_or_else(PoisonError::into_inner));
        }
    });
}

/// Reads what is best with every item of the baskets that the last tick changed.
fn read_touched(store: &Store) {
    each_pairs(store, |pairs| {
        for item in pairs.touched() {
            std::hint::black_box(best(pairs, item));
        }
    });
}

/// The items that go best with `item` in the peer bench's order: the squared number of baskets with
/// both by that of baskets with the other, then the item.
fn best(pairs: &Pairs, item: Item) -> Vec<(f64, Item)> {
    let score = |both: u32, other: u32| f64::from(both) * f64::from(both) / f64::from(other);
    let mut best: Vec<(f64, Item)> = Vec::with_capacity(4 * NEIGHBOURS);
    let rank = |a: &(f64, Item), b: &(f64, Item)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let mut least = f64::NEG_INFINITY;
    for (other, both, baskets) in pairs.neighbours(item) {
        let score = score(both, baskets);
        if least <= score {
            best.push((score, other));
            if best.len() == best.capacity() {
                best.select_nth_unstable_by(NEIGHBOURS - 1, rank);
                best.truncate(NEIGHBOURS);
                least = best[NEIGHBOURS - 1].0;
            }
        }
    }
    best.sort_unstable_by(rank);
    best.truncate(NEIGHBOURS);
    best
}

/// The peer bench's measure of the segments: the mean squared distance to the middle of the
/// segment, each number less its mean and by its deviation; 0 without segments.
fn inertia(store: &Store) -> f64 {
    let segments = store.rows(SEGMENTS);
    let point = |(profile, segment)| {
        let row = store.get(RFM, profile)?;
        let days = row.last_order.0 as f64 / 86_400e6;
        let logs = [f64::from(row.orders), row.spent.0.max(0) as f64].map(f64::ln_1p);
        Some((segment, [days, logs[0], logs[1]]))
    };
    let mut points: Vec<_> = segments.iter().filter_map(point).collect();
    let n = points.len() as f64;
    for d in 0..3 {
        let mean = points.iter().map(|(_, point)| point[d]).sum::<f64>() / n;
        let variance = points.iter().map(|(_, point)| (point[d] - mean).powi(2)).sum::<f64>() / n;
        for (_, point) in &mut points {
            point[d] = (point[d] - mean) / variance.max(1e-12).sqrt();
        }
    }
    let mut sums: BTreeMap<_, (f64, [f64; 3])> = BTreeMap::new();
    for (segment, point) in &points {
        let (count, sum) = sums.entry(*segment).or_default();
        *count += 1.0;
        sum.iter_mut().zip(point).for_each(|(sum, x)| *sum += x);
    }
    let distance = |(segment, point): &(_, [f64; 3])| {
        let (count, sum) = &sums[segment];
        sum.iter().zip(point).map(|(sum, x)| (x - sum / count).powi(2)).sum::<f64>()
    };
    points.iter().map(distance).sum::<f64>() / n.max(1.0)
}

/// Writes the result of a workload.
fn write(work: &str, store: &Store, stream: &Stream, out: &mut impl Write) -> std::io::Result<()> {
    let identity = store.rows(IDENTITY);
    let mut least: BTreeMap<ProfileId, &str> = BTreeMap::new();
    for (identifier, profile) in &identity {
        let name = stream.name(*identifier);
        let label = least.entry(*profile).or_insert(name);
        *label = name.min(label);
    }
    match work {
        "w1" => {
            for (identifier, profile) in &identity {
                writeln!(out, "{},{}", stream.name(*identifier), least[profile])?;
            }
        }
        "w3" => {
            let mut all = BTreeMap::new();
            each_pairs(store, |pairs| {
                all.extend(pairs.items().map(|item| (item, best(pairs, item))));
            });
            for (item, best) in all {
                for (rank, (score, other)) in (1..).zip(best) {
                    writeln!(out, "{},{rank},{},{score:.6}", item.0, other.0)?;
                }
            }
        }
        "w4" => {
            for (profile, segment) in store.rows(SEGMENTS) {
                writeln!(out, "{},{}", least[&profile], segment.0)?;
            }
        }
        _ => {
            for (profile, row) in store.rows(RFM) {
                let at = row.last_order.0 / 1000;
                writeln!(out, "{},{at},{},{}", least[&profile], row.orders, row.spent.0)?;
            }
        }
    }
    out.flush()
}

/// The file, read piece by piece.
struct Stream {
    reader: csv::Reader<File>,
    record: csv::StringRecord,
    /// Which identifiers an event carries.
    cookie_only: bool,
    nobody: bool,
    names: Index<Identifier, Box<str>>,
    /// Whether the result needs the names.
    named: bool,
}

impl Stream {
    fn open(options: &Options) -> Result<Stream, csv::Error> {
        let reader =
            csv::ReaderBuilder::new().buffer_capacity(1 << 20).from_path(&options.input)?;
        let work = options.work.as_str();
        Ok(Stream {
            reader,
            record: csv::StringRecord::new(),
            cookie_only: matches!(work, "w2" | "w4"),
            nobody: work == "w3",
            names: Index::default(),
            named: options.out.is_some(),
        })
    }

    /// Decodes the next `n` rows, or as many as there are.
    fn take(&mut self, n: usize, rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
        rows.clear();
        while rows.len() < n && self.reader.read_record(&mut self.record)? {
            let row = self.row()?;
            rows.push(row);
        }
        Ok(())
    }

    fn row(&mut self) -> Result<Row, Box<dyn Error>> {
        let record = std::mem::take(&mut self.record);
        let number: u64 = record[0].parse()?;
        let key = (u128::from(spread(!number)) << 64) | u128::from(spread(number));
        let event = if &record[1] == "D" { None } else { Some(self.event(&record, number)?) };
        self.record = record;
        Ok((key, event))
    }

    fn event(&mut self, record: &csv::StringRecord, number: u64) -> Result<Event, Box<dyn Error>> {
        let item = Item(record[8].parse()?);
        let action = match &record[3] {
            "view" => Action::View(item),
            "cart" => Action::AddToCart(item),
            "purchase" => {
                let price = Money(record[10].parse()?);
                let line = Line { item, quantity: record[9].parse()?, price };
                Action::Order { order: OrderId(spread(number)), lines: vec![line] }
            }
            _ => Action::Identify(Vec::new()),
        };
        // The kinds of the default settings: e-mail, device, cookie.
        let mut who = Vec::with_capacity(3);
        for (kind, column) in [(1, 6), (4, 5), (5, 4)] {
            let wanted = !self.nobody && (kind == 5 || !self.cookie_only);
            if wanted && !record[column].is_empty() {
                who.push(self.identifier(Kind(kind), &record[column]));
            }
        }
        let session = NonZeroU64::new(spread(record[7][1..].parse::<u64>()? + 1)).map(SessionKey);
        let at = EventTime(1000 * record[2].parse::<i64>()?);
        let context = Context { session, ..Context::default() };
        let (id, source) = (EventId(spread(number)), Word(NonZeroU64::MIN));
        Ok(Event { at, id, source, who: who.into(), action, context })
    }

    /// The identifier of a name.
    fn identifier(&mut self, kind: Kind, name: &str) -> Identifier {
        let mut hash = u64::from(kind.0);
        for byte in name.bytes() {
            hash = spread(hash ^ u64::from(byte)).rotate_left(7);
        }
        let bits = (u128::from(spread(hash)) << 64) | u128::from(spread(!hash));
        let identifier = Identifier::new(kind, bits);
        if self.named && self.names.get(&identifier).is_none() {
            self.names.insert(identifier, name.into());
        }
        identifier
    }

    /// The name of an identifier.
    fn name(&self, identifier: Identifier) -> &str {
        self.names.get(&identifier).map_or("", |name| name)
    }
}
