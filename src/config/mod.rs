//! Config: what has the shop decided, in its file `shop.toml`?
//!
//! `reference.toml`, which [`REFERENCE`] holds, lists every key with its meaning and its default.
//! A file with one source and nothing else is complete.
//! A message about the file names the file, the line, the column, the key and the way out.

mod file;
mod settings;
mod source;

use std::ops::Range;
use std::path::{Path, PathBuf};

use dataflows::Settings;
use dataflows::score::Score;
use jiff::tz::TimeZone;

use crate::decode::{self, Reader, Rules, SourceConfig};
use crate::names::{Dictionary, Format, SECRET_DEFAULT};

pub use settings::{FEATURES, SCORES};

/// Every key of a shop's file with its meaning and its default, as a shop's file.
pub const REFERENCE: &str = include_str!("reference.toml");

/// What a shop has decided.
#[derive(Clone, PartialEq, Eq)]
pub struct Shop {
    /// Its name.
    pub name: String,
    /// The code of its currency.
    pub currency: String,
    /// Digits after the point of the smallest amount.
    pub decimals: u8,
    /// Where its local times are local.
    pub zone: TimeZone,
    /// The key of all hashes.
    pub secret: [u8; 16],
    /// What its results mean.
    pub settings: Settings,
    /// How related items are read.
    pub related: Related,
    /// When segments are fitted.
    pub refit: Refit,
    /// How files are run.
    pub run: Run,
    /// How identifiers and money are written.
    pub rules: Rules,
    /// Where its records come from.
    pub sources: Vec<SourceConfig>,
}

impl std::fmt::Debug for Shop {
    /// Says everything but the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shop { name, currency, decimals, zone, settings, .. } = self;
        let Shop { related, refit, run, rules, sources, .. } = self;
        f.debug_struct("Shop")
            .field("name", name)
            .field("currency", currency)
            .field("decimals", decimals)
            .field("zone", zone)
            .field("settings", settings)
            .field("related", related)
            .field("refit", refit)
            .field("run", run)
            .field("rules", rules)
            .field("sources", sources)
            .finish_non_exhaustive()
    }
}

/// How related items are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Related {
    /// How two items that occur together are scored.
    pub score: Score,
    /// How many baskets they must share.
    pub support_min: u64,
    /// How many are shown.
    pub top: usize,
}

/// When segments are fitted; 0 is never, for each reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refit {
    /// Every so many ticks.
    pub ticks: u64,
    /// Every so many days that turn.
    pub days: u32,
    /// When the inertia has drifted by this many thousandths.
    pub drift: u32,
    /// A fit without reference follows an erasure within so many hours.
    pub erase_within_hours: u32,
}

/// How files are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many events make a tick.
    pub tick_events: usize,
}

/// Why a shop's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("`{file}` could not be read")]
    Read {
        /// The file.
        file: String,
        /// What the operating system reports.
        source: std::io::Error,
    },
    /// Something in the file is wrong.
    #[error("{file}:{line}:{column}: {message}")]
    Wrong {
        /// The file.
        file: String,
        /// The line, the first being 1.
        line: usize,
        /// The column in characters, the first being 1.
        column: usize,
        /// What is wrong, and the way out.
        message: String,
    },
    /// The environment's secret is not one.
    #[error("the environment's AFFLUENT_SECRET is not 32 hexadecimal digits; correct or unset it")]
    Secret,
}

/// What is wrong, and where in the text.
#[derive(Debug)]
struct Fault {
    span: Range<usize>,
    message: String,
}

/// A fault at `span`.
fn fault<T>(span: Range<usize>, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { span, message: message.into() })
}

/// Looks up a variable of the environment.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Shop {
    /// Reads a shop's file, and the variables of the environment that it names.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or something in it is wrong: the message says where, and what to
    /// do.
    pub fn load(path: &Path) -> Result<Shop, Error> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| Error::Read { file: file.clone(), source })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Shop::parse(&text, &file, &folder, &|name| std::env::var(name).ok())
    }

    /// What `text` says, which is the content of `file` in `folder`.
    ///
    /// # Errors
    ///
    /// Something in it is wrong.
    pub fn parse(
        text: &str,
        file: &str,
        folder: &Path,
        environment: Environment<'_>,
    ) -> Result<Shop, Error> {
        let wrong = |fault: Fault| {
            let (line, column) = place(text, fault.span.start);
            Error::Wrong { file: file.to_owned(), line, column, message: fault.message }
        };
        let parsed: file::ShopFile = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            wrong(Fault { span, message: with_suggestion(error.message()) })
        })?;
        let mut shop = settings::shop(&parsed).map_err(wrong)?;
        if let Some(secret) = environment("AFFLUENT_SECRET") {
            shop.secret = settings::secret(&secret).ok_or(Error::Secret)?;
        }
        let place = Place { folder: folder.to_owned(), environment };
        shop.sources = source::sources(&parsed, &shop, &place).map_err(wrong)?;
        Ok(shop)
    }

    /// Uses `secret` if neither the shop's file nor the environment gives one.
    pub fn secret_or(&mut self, secret: [u8; 16]) {
        if self.secret == SECRET_DEFAULT {
            self.secret = secret;
        }
    }

    /// The shop's dictionary, empty.
    #[must_use]
    pub fn dictionary(&self) -> Dictionary {
        Dictionary::new(self.secret).with_format(Format::new(&self.settings, self.decimals))
    }

    /// Finds the files of all sources, to be read row by row.
    ///
    /// # Errors
    ///
    /// A pattern matches no file.
    pub fn open(&self, names: &mut Dictionary) -> Result<Reader, decode::Error> {
        Reader::open(&self.sources, &self.rules, names)
    }
}

/// Where a shop's file stands.
struct Place<'a> {
    folder: PathBuf,
    environment: Environment<'a>,
}

/// The line and column of the byte at `offset`.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}

/// The parser's message; where it lists the keys that it knows, with the one that was meant.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match quoted.next() {
        Some(wrong) if message.starts_with("unknown") => {
            let known: Vec<&str> = quoted.collect();
            format!("{message}{}", suggestion(wrong, &known))
        }
        _ => message.to_owned(),
    }
}

/// `; did you mean …?`, if one of `known` is near enough to `wrong`.
fn suggestion(wrong: &str, known: &[&str]) -> String {
    let distances = known.iter().map(|known| (edits(wrong, known), *known));
    match distances.min() {
        Some((distance, nearest)) if distance <= 2.max(wrong.len() / 3) => {
            format!("; did you mean `{nearest}`?")
        }
        _ => String::new(),
    }
}

/// How many letters must be added, dropped or replaced to make `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            let replaced = corner + usize::from(letter != *other);
            (corner, *cell) = (above, replaced.min(above + 1).min(left + 1));
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
