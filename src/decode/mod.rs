//! Decode: what does one record of a source say, in the one vocabulary?
//!
//! Everything that can be settled by one record alone is settled here: zones, units, decimals,
//! spellings of identifiers, what counts as a cancellation.
//! What takes several records (duplicates, identity, matching a refund to its order) is not.
//!
//! A record is an order to insert, retract or erase, or it is refused with a reason.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod canonical;
pub mod delimited;
pub mod fields;
pub mod number;
mod reader;
pub mod rules;
mod standard;
pub mod time;

use std::borrow::Cow;

use dataflows::{Action, Context, Event, EventId, EventTime, Identifier, Reject, Word};

pub use delimited::{Cancellation, Cancelled, Mapping, Requirement, Rows, WhoColumn};
pub use reader::{Reader, Row};
pub use rules::{Blocked, KindFormat, Rules};

use crate::ledger::Ledger;
use crate::names::{Dictionary, Tag, low};
use crate::source;
use standard::Standard;

/// What a record asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The event holds; one of the same key before it does not any more.
    Put {
        /// The keyed hash of its source and its id.
        key: u128,
        /// The event.
        event: Event,
    },
    /// The event of this key does not hold any more.
    Retract {
        /// The keyed hash of its source and its id.
        key: u128,
    },
    /// The person of this identifier is to be erased.
    Erase(Identifier),
}

/// Why a record is refused.
///
/// # Invariants
///
/// * No value of the record is in it. The reason is a text of this program; the field is a name
///   of the format or of the shop's file, or a key that looks like a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, in a few plain words that go on from the field's name.
    pub reason: &'static str,
    /// The field at fault.
    pub field: Option<Cow<'static, str>>,
    /// The key of the event that the record would have made, where its id could be read.
    pub key: Option<u128>,
}

impl Refusal {
    /// A refusal of the whole record.
    #[must_use]
    pub fn record(reason: &'static str) -> Refusal {
        Refusal { reason, field: None, key: None }
    }

    /// A refusal for the sake of `field`.
    #[must_use]
    pub fn of(field: impl Into<Cow<'static, str>>, reason: &'static str) -> Refusal {
        Refusal { reason, field: Some(field.into()), key: None }
    }
}

/// Why decoding could not begin, or not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The files could not be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A file has a column that the canonical format does not have.
    #[error(
        "`{file}` has a column `{column}` that is no field of the canonical format; `affluent \
         schema` lists the fields, and a source with `fields` maps other columns"
    )]
    UnknownColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// A file has a column twice.
    #[error("`{file}` has the column `{column}` twice")]
    DoubleColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// A file is shorter than what was read of it before.
    #[error(
        "`{file}` lacks {rows} rows that were taken from it before: what has been read must stay, \
         and other rows need a file of another name"
    )]
    Shorter {
        /// The file.
        file: String,
        /// How many rows it lacks.
        rows: u64,
    },
    /// A file lacks a column that the shop's file names.
    #[error("`{file}` has no column `{column}`; it has {columns}")]
    MissingColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The columns that it has.
        columns: String,
    },
    /// A file's first record, which names the columns, cannot be read.
    #[error("the first line of `{file}`, which names the columns, {reason}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A name in the shop's file has the hash of another text.
    #[error("`{0}` has the 64-bit hash of another text; give it another name")]
    Collision(String),
    /// Several files whose line numbers would stand for the same orders or sessions.
    #[error(
        "source `{0}` has several files, whose lines would be the same orders: give each file a \
         source of its own, or map a column to `order` or `session`"
    )]
    SharedLines(String),
}

/// One way of writing records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Our own format as CSV with a header.
    Csv,
    /// Our own format as a JSON object a line.
    Ndjson,
    /// Any delimited file, by what the shop's file says of its columns.
    Delimited(Box<Mapping>),
}

/// What becomes of a record without an id that says exactly what an earlier one said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicates {
    /// Each counts: the second of two equal rows is another event.
    #[default]
    Keep,
    /// They are one event, and the second is a duplicate of the first.
    Drop,
}

/// What the shop's file says of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Its name: part of the identity of its events.
    pub name: String,
    /// Patterns of file names, complete.
    pub files: Vec<String>,
    /// What is cut off the start of a path to make the name of a file in rejects.
    pub roots: Vec<std::path::PathBuf>,
    /// How its records are written.
    pub form: Form,
    /// What becomes of records that repeat an earlier one.
    pub duplicates: Duplicates,
}

/// Turns the records of one source into changes.
#[derive(Debug)]
pub struct Decoder {
    standard: Standard,
    form: FormState,
}

/// A form, and what the header of the file says.
#[derive(Debug)]
enum FormState {
    Csv(canonical::Columns),
    Ndjson,
    Delimited(Box<delimited::Mapped>),
}

impl Decoder {
    /// A decoder of `config` under the shop's `rules`.
    ///
    /// # Errors
    ///
    /// The source's name collides with another text.
    pub fn new(
        config: &SourceConfig,
        rules: &Rules,
        names: &mut Dictionary,
    ) -> Result<Decoder, Error> {
        let source =
            names.learn(&config.name).map_err(|_| Error::Collision(config.name.clone()))?;
        let mut standard = Standard::new(rules.clone(), source, config.duplicates);
        let form = match &config.form {
            Form::Csv => FormState::Csv(canonical::Columns::default()),
            Form::Ndjson => FormState::Ndjson,
            Form::Delimited(mapping) => {
                mapping.prepare(&mut standard);
                let mapped = delimited::Mapped::new((**mapping).clone(), &config.name)?;
                FormState::Delimited(Box::new(mapped))
            }
        };
        Ok(Decoder { standard, form })
    }

    /// The word of the source's name.
    #[must_use]
    pub fn source(&self) -> Word {
        self.standard.source
    }

    /// What the receiving clock shows; without one no event time is too far ahead.
    pub fn set_clock(&mut self, now: Option<EventTime>) {
        self.standard.now = now;
    }

    /// How many rows were marked as cancellations, whatever became of them.
    #[must_use]
    pub fn cancelled(&self) -> Cancelled {
        match &self.form {
            FormState::Csv(_) | FormState::Ndjson => Cancelled::default(),
            FormState::Delimited(mapped) => mapped.cancelled(),
        }
    }

    /// Whether the first record of a file names its columns.
    #[must_use]
    pub fn has_header(&self) -> bool {
        match &self.form {
            FormState::Csv(_) => true,
            FormState::Ndjson => false,
            FormState::Delimited(mapped) => mapped.has_header(),
        }
    }

    /// Takes the names of the columns from the first record of `file`.
    ///
    /// # Errors
    ///
    /// A column is unknown, or missing, or there twice.
    pub fn set_header(&mut self, file: &str, record: &source::Record) -> Result<(), Error> {
        match &mut self.form {
            FormState::Csv(columns) => columns.set(file, record),
            FormState::Ndjson => Ok(()),
            FormState::Delimited(mapped) => mapped.set_header(file, record),
        }
    }

    /// What `record` of `file` asks for: first what the record itself says, then what follows
    /// from it for the catalogue.
    ///
    /// # Errors
    ///
    /// The record is refused; nothing of it is to hold.
    pub fn decode(
        &mut self,
        file: &str,
        record: &source::Record,
        names: &mut Dictionary,
    ) -> Result<Vec<Change>, Refusal> {
        let standard = &mut self.standard;
        standard.begin();
        let outcome = match &mut self.form {
            FormState::Csv(columns) => canonical::csv(columns, record, standard, names),
            FormState::Ndjson => canonical::ndjson(record, standard, names),
            FormState::Delimited(mapped) => mapped.decode(file, record, standard, names),
        };
        outcome.map_err(|refusal| Refusal { key: refusal.key.or(standard.key), ..refusal })
    }
}

/// The refusal of a record as an event, and its key.
///
/// Where the record's id could be read the key is [`reject_key`](Ledger::reject_key) of the event's
/// own key, so that the event that corrects the record finds its reject; otherwise it is that of
/// the file and the line.
///
/// # Errors
///
/// A text collides with another; there is then no name for the reject.
pub fn reject_event(
    source: Word,
    file: Word,
    line: u64,
    refusal: &Refusal,
    names: &mut Dictionary,
) -> Result<(u128, Event), crate::names::Collision> {
    let reason = names.learn(refusal.reason)?;
    let field = refusal.field.as_ref().map(|field| names.learn(field)).transpose()?;
    let key = match refusal.key {
        Some(key) => Ledger::reject_key(key),
        None => names.key(Tag::Place, source, &file.0.get().to_le_bytes(), line),
    };
    Ok((key, rejected(key, source, Reject { reason, field, file, line })))
}

/// The event of a reject that is kept under `key`.
///
/// Its event time is the epoch: a refused record must not move the day.
#[must_use]
pub fn rejected(key: u128, source: Word, reject: Reject) -> Event {
    Event {
        at: EventTime(0),
        id: EventId(low(key)),
        source,
        who: Box::default(),
        action: Action::Reject(reject),
        context: Context::default(),
    }
}

#[cfg(test)]
mod tests;
