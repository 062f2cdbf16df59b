//! Reader: what do all the files of a shop ask for, row by row?

use std::collections::{BTreeMap, VecDeque};

use dataflows::{EventTime, Word};

use super::delimited::Cancelled;
use super::{Change, Decoder, Error, Form, Refusal, Rules, SourceConfig};
use crate::names::Dictionary;
use crate::source::{Files, Progress, Record, Split, Step};

/// One row of a file, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The source.
    pub source: Word,
    /// The file.
    pub file: Word,
    /// The line on which the row begins; the first of a file is 1.
    pub line: u64,
    /// What the row asks for, or why it is refused.
    ///
    /// The first change is the row's own; those behind it follow for the catalogue.
    /// A row that is a whole session is an event for each of its items.
    pub outcome: Result<Vec<Change>, Refusal>,
}

/// One source: its decoder, its files, and its name if its lines number orders, so that it can
/// have one file only.
#[derive(Debug)]
struct Open {
    decoder: Decoder,
    files: Files,
    single: Option<String>,
}

/// Reads the rows of all sources: one source after the other, and in each the files by name.
///
/// # Invariants
///
/// * Every row of every file comes out once, accepted or refused. Blank lines and headers are
///   not rows.
#[derive(Debug)]
pub struct Reader {
    /// The sources that have not been finished; the one at hand is the first.
    sources: VecDeque<Open>,
    /// Those that have been.
    finished: Vec<Open>,
    record: Record,
    /// The file at hand.
    file: Word,
    bytes: u64,
    progress: Progress,
    /// How many rows of each file of a source are not to come out again.
    taken: BTreeMap<(Word, Word), u64>,
}

impl Reader {
    /// Finds the files of `sources`; none is opened yet.
    ///
    /// # Errors
    ///
    /// A pattern matches no file, or a name collides with another text.
    pub fn open(
        sources: &[SourceConfig],
        rules: &Rules,
        names: &mut Dictionary,
    ) -> Result<Reader, Error> {
        let progress = Progress::default();
        let mut opened = VecDeque::new();
        let mut bytes = 0;
        for config in sources {
            let split = match &config.form {
                Form::Csv => Split::Quoted(b','),
                Form::Ndjson => Split::Line,
                Form::Delimited(mapping) => mapping.split,
            };
            let files = Files::find(&config.files, split, &config.roots, progress.clone())?;
            let single = match &config.form {
                Form::Delimited(mapping) => mapping.numbers_lines().then(|| config.name.clone()),
                Form::Csv | Form::Ndjson => None,
            };
            if let Some(name) = single.as_ref().filter(|_| 1 < files.left()) {
                return Err(Error::SharedLines(name.clone()));
            }
            bytes += files.bytes();
            opened.push_back(Open { decoder: Decoder::new(config, rules, names)?, files, single });
        }
        let file = names.word_of("");
        let (record, finished) = (Record::default(), Vec::new());
        let taken = BTreeMap::new();
        Ok(Reader { sources: opened, finished, record, file, bytes, progress, taken })
    }

    /// The first rows of these files, by source and file, were taken before and do not come out
    /// again. They are read all the same: what counts repeats has to have seen them.
    pub fn skip(&mut self, taken: BTreeMap<(Word, Word), u64>) {
        self.taken = taken;
    }

    /// Files may grow, and new ones may come: see [`refresh`](Reader::refresh).
    pub fn follow(&mut self) {
        for open in &mut self.sources {
            open.files.follow();
        }
    }

    /// Looks for what has been added to the files since they were read to their end: whether there
    /// is anything.
    ///
    /// # Errors
    ///
    /// A file cannot be looked at, or has come beside one whose lines number its orders.
    pub fn refresh(&mut self) -> Result<bool, Error> {
        let mut finished = Vec::new();
        for mut open in std::mem::take(&mut self.finished) {
            let more = open.files.refresh()?;
            if let Some(name) = open.single.as_ref().filter(|_| 1 < open.files.all()) {
                return Err(Error::SharedLines(name.clone()));
            }
            if more { self.sources.push_back(open) } else { finished.push(open) }
        }
        self.finished = finished;
        Ok(!self.sources.is_empty())
    }

    /// How far it has come, for any thread to ask.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// How many bytes all files have, as they lie on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many rows were marked as cancellations in the sources that are finished.
    #[must_use]
    pub fn cancelled(&self) -> Cancelled {
        let mut all = Cancelled::default();
        for cancelled in self.finished.iter().map(|open| open.decoder.cancelled()) {
            all.rows += cancelled.rows;
            all.orders += cancelled.orders;
        }
        all
    }

    /// What the receiving clock shows; without one no event time is too far ahead.
    pub fn set_clock(&mut self, now: Option<EventTime>) {
        for open in &mut self.sources {
            open.decoder.set_clock(now);
        }
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or its header does not fit; the rows before have come out.
    pub fn next_row(&mut self, names: &mut Dictionary) -> Result<Option<Row>, Error> {
        while let Some(Open { decoder, files, .. }) = self.sources.front_mut() {
            let record = &mut self.record;
            let outcome = match files.step(record)? {
                Step::End => {
                    let source = decoder.source();
                    let short =
                        |((of, _), rows): &(&(Word, Word), &u64)| *of == source && 0 < **rows;
                    if let Some(((_, file), rows)) = self.taken.iter().find(short) {
                        let file = names.text_of_word(file.0.get()).unwrap_or_default().to_owned();
                        return Err(Error::Shorter { file, rows: *rows });
                    }
                    self.finished.extend(self.sources.pop_front());
                    continue;
                }
                Step::Opened => {
                    let name = files.name().to_owned();
                    self.file = names.learn(&name).map_err(|_| Error::Collision(name.clone()))?;
                    if decoder.has_header() {
                        match files.step(record)? {
                            Step::Record => decoder.set_header(&name, record)?,
                            Step::Fault(fault) => {
                                return Err(Error::Header { file: name, reason: fault.reason() });
                            }
                            // An empty file; a file that was opened has no other meaning.
                            Step::End | Step::Opened => {
                                return Err(Error::Header { file: name, reason: "is not there" });
                            }
                        }
                    }
                    files.resume()?;
                    continue;
                }
                Step::Fault(fault) => Err(Refusal::record(fault.reason())),
                Step::Record => decoder.decode(files.name(), record, names),
            };
            let source = decoder.source();
            match self.taken.get_mut(&(source, self.file)) {
                Some(rows) if 0 < *rows => *rows -= 1,
                _ => {
                    let (file, line) = (self.file, self.record.line);
                    return Ok(Some(Row { source, file, line, outcome }));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_can_have_a_thread_of_its_own() {
        fn sends<T: Send>() {}
        sends::<Reader>();
    }
}
