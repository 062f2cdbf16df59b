//! Source: where do records come from, and where does each of them stand?
//!
//! A source knows files and lines, and how a line falls into fields.
//! What the fields mean is the business of `decode`.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod file;
mod framing;

pub use file::{Files, Progress, Step};
pub use framing::{Fault, Split};

/// The longest record that is read, in bytes; a longer one is refused.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The most lines that one record may take; behind a quote that is never closed as many are read
/// twice.
pub const RECORD_LINES_MAX: u64 = 256;

/// One record: its fields, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The line on which it begins; the first of a file is 1.
    pub line: u64,
    /// All fields, end to end.
    text: String,
    /// Where each field ends.
    ends: Vec<usize>,
}

impl Record {
    /// The record of `fields`.
    #[must_use]
    pub fn of(line: u64, fields: &[&str]) -> Record {
        let mut record = Record { line, ..Record::default() };
        for field in fields {
            record.text.push_str(field);
            record.ends.push(record.text.len());
        }
        record
    }

    /// How many fields it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The field at `place`, if there are as many.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        let start = match place {
            0 => 0,
            _ => *self.ends.get(place - 1)?,
        };
        self.text.get(start..end)
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// All fields, end to end, and where each ends: together they say what the record says.
    #[must_use]
    pub fn parts(&self) -> (&str, &[usize]) {
        (&self.text, &self.ends)
    }
}

/// Why files could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pattern of file names is not one.
    #[error("`{pattern}` is not a pattern of file names: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// No file has such a name.
    #[error("no file matches `{0}`")]
    NoFile(String),
    /// The operating system, or the gzip decoder, reports an error.
    #[error("`{file}` could not be read")]
    Read {
        /// The file.
        file: String,
        /// What was reported.
        source: std::io::Error,
    },
}
