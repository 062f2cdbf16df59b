//! Fixture: what happens in a story, tick by tick?
//!
//! A story is a folder a screenful long:
//!
//! * `story.md` says what happens, and at which tick it becomes interesting;
//! * `events.csv` is the canonical format with a column `tick` in front. Consecutive rows with one
//!   tick are that tick; a row with nothing but its tick is a tick in which nothing happens; a row
//!   that erases has a tick of its own;
//! * `views/<view>.csv` holds the changes of a view that are expected: tick, diff, and the columns;
//! * `shop.toml`, if there is one, is the shop's file, without sources.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use dataflows::{Diff, REJECTS, Tick};

use crate::config::{self, Shop};
use crate::decode::{self, Decoder, Duplicates, Form, Row, SourceConfig};
use crate::durable;
use crate::feed::{Asked, Counts, Feed, refit};
use crate::names::Dictionary;
use crate::source::Record;
use crate::view::Store;
use crate::worker::{self, Driver, Layout};

/// The name of the file of events, also in rejects.
const EVENTS: &str = "events.csv";

/// How many values a row may have to be shown whole.
const VALUES_MAX: usize = 4;

/// Why a story cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the story cannot be read.
    #[error("cannot read {}: a story is a folder with story.md and events.csv", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of events is not CSV.
    #[error("{} is not CSV", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// The shop's file is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The columns of the events are wrong.
    #[error(transparent)]
    Decode(#[from] decode::Error),
    /// The workers could not be started.
    #[error(transparent)]
    Worker(#[from] worker::Error),
    /// A tick could not be decided.
    #[error(transparent)]
    Durable(#[from] durable::Error),
    /// The ticks are not those of the story.
    #[error("events.csv:{line}: {reason}")]
    Tick {
        /// The line.
        line: u64,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// What is checked after each tick does not hold.
    #[error("{0}")]
    Check(String),
}

/// One row of the events.
#[derive(Clone, Debug)]
struct Told {
    tick: u64,
    line: u64,
    fields: Vec<String>,
}

/// A story.
#[derive(Clone, Debug)]
pub struct Story {
    /// What happens, in words.
    pub about: String,
    /// The views whose changes are expected, with the texts of their files.
    pub views: BTreeMap<String, String>,
    shop: Shop,
    header: Vec<String>,
    rows: Vec<Told>,
    folder: PathBuf,
}

/// What a story came to.
#[derive(Debug)]
pub struct Played {
    /// All views after the last tick, with all their changes.
    pub store: Store,
    /// What hashes stand for.
    pub names: Dictionary,
    /// What became of the rows.
    pub counts: Counts,
    /// The first tick that was not decided.
    pub upper: Tick,
}

/// What is checked after each tick.
pub type Check = fn(&Driver<'_>, &Feed, &Shop) -> Result<(), String>;

/// A tick, a sign and a row as texts.
pub type Changed = (Tick, Diff, Vec<String>);

impl Story {
    /// Reads the story in `folder`.
    ///
    /// # Errors
    ///
    /// A file is missing or not what it should be.
    pub fn read(folder: &Path) -> Result<Story, Error> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
        };
        let about = text("story.md")?;
        let file = folder.join("shop.toml");
        let shop = match file.exists() {
            true => Shop::load(&file)?,
            false => Shop::parse("", &file.display().to_string(), folder, &|_| None)?,
        };
        let (header, rows) = events(&text(EVENTS)?, &folder.join(EVENTS))?;
        let mut views = BTreeMap::new();
        let listed = std::fs::read_dir(folder.join("views"));
        for entry in listed.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(view) = name.strip_suffix(".csv") {
                views.insert(view.to_owned(), text(&format!("views/{name}"))?);
            }
        }
        Ok(Story { about, views, shop, header, rows, folder: folder.to_owned() })
    }

    /// The same story with the rows of each tick in the order that `by` gives.
    #[must_use]
    pub fn sorted_by<K: Ord>(mut self, by: impl Fn(&[String]) -> K) -> Story {
        self.rows.sort_by_cached_key(|row| (row.tick, by(&row.fields)));
        self
    }

    /// Plays the story on `workers` workers, and checks what is to hold after each tick.
    ///
    /// # Errors
    ///
    /// Its ticks are wrong, or the check fails.
    pub fn play(&self, workers: usize, check: Option<Check>) -> Result<Played, Error> {
        let store = Store::new(true);
        let (story, settings) = (self.clone(), self.shop.settings.clone());
        let layout = Layout::threads(workers);
        let told =
            worker::run(&layout, settings, store.clone(), move |driver| story.tell(driver, check))?;
        let (names, counts, upper) = told.expect("a single process leads")?;
        Ok(Played { store, names, counts, upper })
    }

    /// Feeds the rows to the engine.
    fn tell(
        &self,
        driver: &mut Driver<'_>,
        check: Option<Check>,
    ) -> Result<(Dictionary, Counts, Tick), Error> {
        let mut names = self.shop.dictionary();
        let config = SourceConfig {
            name: "story".into(),
            files: Vec::new(),
            roots: Vec::new(),
            form: Form::Csv,
            duplicates: Duplicates::Keep,
        };
        let mut decoder = Decoder::new(&config, &self.shop.rules, &mut names)?;
        let header: Vec<&str> = self.header.iter().map(String::as_str).collect();
        decoder.set_header(EVENTS, &Record::of(1, &header))?;
        let collision = |_| Error::Check("a text has the 64-bit hash of another".into());
        let file = names.learn(EVENTS).map_err(collision)?;
        let mut feed = Feed::new(Some(refit(&self.shop)), &mut names).map_err(collision)?;
        let checked = |driver: &Driver<'_>, feed: &Feed| match check {
            Some(check) => check(driver, feed, &self.shop).map_err(Error::Check),
            None => Ok(()),
        };
        for row in &self.rows {
            while driver.upper() < Tick(row.tick) {
                feed.commit(driver)?;
                checked(driver, &feed)?;
            }
            let before = driver.upper();
            if Tick(row.tick) < before {
                let reason = format!("tick {} is over: the next is {}", row.tick, driver.upper().0);
                return Err(Error::Tick { line: row.line, reason });
            }
            if row.fields.iter().all(|field| field.trim().is_empty()) {
                continue;
            }
            let fields: Vec<&str> = row.fields.iter().map(String::as_str).collect();
            let outcome = decoder.decode(EVENTS, &Record::of(row.line, &fields), &mut names);
            let asked = Row { source: decoder.source(), file, line: row.line, outcome };
            let asked = Asked::of(asked, &mut names).map_err(collision)?;
            feed.row(driver, asked)?;
            if driver.upper() != before {
                if driver.upper() != before.next() {
                    let reason = "an erasure is a tick of its own; give it the tick after those of \
                                  the rows and of the model before it";
                    return Err(Error::Tick { line: row.line, reason: reason.into() });
                }
                checked(driver, &feed)?;
            }
        }
        if let Some(last) = self.rows.last()
            && driver.upper() <= Tick(last.tick)
        {
            feed.commit(driver)?;
            checked(driver, &feed)?;
        }
        Ok((names, feed.counts(), driver.upper()))
    }

    /// The file of the changes of `view`, as it should be after what was `played`.
    #[must_use]
    pub fn expected(played: &Played, view: &str) -> String {
        let mut out = csv::Writer::from_writer(Vec::new());
        let (columns, _) = played.store.columns(view);
        // Writing to memory cannot fail.
        _ = out.write_record(["tick", "diff"].into_iter().chain(columns));
        for (tick, diff, row) in played.store.shown_changes(view, &played.names) {
            let start = [tick.0.to_string(), format!("{diff:+}")];
            _ = out.write_record(start.iter().chain(&row));
        }
        String::from_utf8(out.into_inner().unwrap_or_default()).unwrap_or_default()
    }

    /// Where the file of the changes of `view` is.
    #[must_use]
    pub fn view_file(&self, view: &str) -> PathBuf {
        self.folder.join("views").join(format!("{view}.csv"))
    }

    /// The story as text: its rows, and the changes of its views (with `all`, of every view), tick
    /// by tick.
    ///
    /// # Errors
    ///
    /// It cannot be played.
    pub fn replay(&self, workers: usize, all: bool) -> Result<String, Error> {
        let played = self.play(workers, None)?;
        let shown = |view: &str| {
            all || self.views.is_empty() || view == REJECTS.name || self.views.contains_key(view)
        };
        let views: Vec<&str> =
            played.store.names().into_iter().filter(|view| shown(view)).collect();
        type Rows = Vec<(Diff, Vec<String>)>;
        let mut changes: BTreeMap<(Tick, &str), Rows> = BTreeMap::new();
        for view in &views {
            for (tick, diff, row) in played.store.shown_changes(view, &played.names) {
                changes.entry((tick, view)).or_default().push((diff, row));
            }
        }
        let mut text = self.about.trim_end().to_owned() + "\n";
        for tick in (0..played.upper.0).map(Tick) {
            _ = writeln!(text, "\ntick {}", tick.0);
            for row in self.rows.iter().filter(|row| row.tick == tick.0) {
                let said = self.header.iter().zip(&row.fields).filter(|(_, said)| !said.is_empty());
                let said: Vec<_> = said.map(|(name, said)| format!("{name}={said}")).collect();
                let said = if said.is_empty() { "nothing happens".into() } else { said.join("  ") };
                _ = writeln!(text, "  > {said}");
            }
            for ((_, view), rows) in changes.range((tick, "")..(tick.next(), "")) {
                let (columns, key) = played.store.columns(view);
                _ = writeln!(text, "  {view}");
                for (diff, row) in rows {
                    _ = writeln!(text, "    {}", change(*diff, row, &columns, key));
                }
            }
        }
        Ok(text)
    }
}

/// A change as text: its sign, its key, and of a long value only what is not nothing.
fn change(diff: Diff, row: &[String], columns: &[&str], key: usize) -> String {
    let sign = if diff < 0 { '-' } else { '+' };
    let keys = row.get(..key).unwrap_or_default().join(", ");
    let values = columns.iter().zip(row).skip(key);
    let long = VALUES_MAX < columns.len() - key;
    let values = values.filter(|(_, value)| !long || !matches!(value.as_str(), "" | "0"));
    let values: Vec<_> = values.map(|(column, value)| format!("{column}={value}")).collect();
    format!("{sign} {keys}  {}", values.join("  ")).trim_end().to_owned()
}

/// The names of the columns, without the tick, and the rows of a file of events.
fn events(text: &str, path: &Path) -> Result<(Vec<String>, Vec<Told>), Error> {
    let failed = |source| Error::Csv { path: path.to_owned(), source };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(failed)?.clone();
    let wrong = |line: u64, reason: &str| Error::Tick { line, reason: reason.to_owned() };
    if header.get(0) != Some("tick") {
        return Err(wrong(1, "the first column is not `tick`"));
    }
    let header = header.iter().skip(1).map(str::to_owned).collect();
    let mut rows: Vec<Told> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let line = record.position().map_or(0, csv::Position::line);
        let tick = record.get(0).and_then(|tick| tick.parse().ok());
        let tick = tick.ok_or_else(|| wrong(line, "`tick` is not a whole number"))?;
        if rows.last().is_some_and(|last| tick < last.tick) {
            return Err(wrong(line, "`tick` is less than that of the row before"));
        }
        let fields = record.iter().skip(1).map(str::to_owned).collect();
        rows.push(Told { tick, line, fields });
    }
    Ok((header, rows))
}
