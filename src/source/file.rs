//! File: which records do the files of a pattern hold?
//!
//! Files are read in the order of their names, so that a day a file means days in order.
//! A name that ends in `.gz` is read through gzip.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::framing::Frames;
use super::{Error, Fault, Record, Split};

/// How large the buffers are that stand before a file and behind its gzip decoder.
const BUFFER_BYTES: usize = 1 << 17;

/// How many bytes of all files have been read, as they lie on disk; any thread may ask.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// How many bytes have been read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file that is open, its name for messages, and its records.
type Opened = (PathBuf, String, Frames<Box<dyn io::BufRead + Send>>);

/// The records of the files of a pattern.
pub struct Files {
    /// The files that have not been opened, the next one last.
    left: Vec<PathBuf>,
    /// The file that is being read.
    open: Option<Opened>,
    /// What the names of the files are like.
    patterns: Vec<String>,
    /// The files that have been read, with the bytes and lines used of them, and their bytes then.
    done: BTreeMap<PathBuf, (u64, u64, u64)>,
    /// Whether files may grow.
    follow: bool,
    /// How a line falls into fields.
    split: Split,
    /// What is cut off the start of a path to make a name that is the same on every machine.
    roots: Vec<PathBuf>,
    /// The bytes of all files.
    bytes: u64,
    progress: Progress,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.open.as_ref().map(|(_, name, _)| name);
        f.debug_struct("Files")
            .field("open", &open)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// What reading the next record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file was opened.
    Opened,
    /// A record was read.
    Record,
    /// A record could not be read.
    Fault(Fault),
    /// All files have been read.
    End,
}

impl Files {
    /// The files that match one of `patterns`, each once, in the order of their names.
    ///
    /// A name of a file in messages and rejects is its path without the first of `roots` that it
    /// begins with.
    ///
    /// # Errors
    ///
    /// A pattern is not one, matches nothing, or names a file that cannot be looked at.
    pub fn find(
        patterns: &[String],
        split: Split,
        roots: &[PathBuf],
        progress: Progress,
    ) -> Result<Files, Error> {
        let mut left = matching(patterns)?;
        let mut bytes = 0;
        for path in &left {
            let found = path.metadata().map_err(|source| read_error(path, source))?;
            bytes += found.len();
        }
        left.reverse();
        let (patterns, roots) = (patterns.to_vec(), roots.to_vec());
        let (open, done, follow) = (None, BTreeMap::new(), false);
        Ok(Files { left, open, patterns, done, follow, split, roots, bytes, progress })
    }

    /// Files may grow: of a file that is not zipped, a last line without a line break is left for
    /// [`refresh`](Files::refresh).
    pub fn follow(&mut self) {
        self.follow = true;
    }

    /// Looks for new files, and for old ones that have grown: whether there are any. To be called
    /// when all files have been read.
    ///
    /// # Errors
    ///
    /// A file cannot be looked at.
    pub fn refresh(&mut self) -> Result<bool, Error> {
        for path in matching(&self.patterns)?.into_iter().rev() {
            let length = path.metadata().map_err(|source| read_error(&path, source))?.len();
            let grown = |(_, _, before): &(u64, u64, u64)| *before < length && !zipped(&path);
            if 0 < length && self.done.get(&path).is_none_or(grown) {
                self.left.push(path);
            }
        }
        Ok(!self.left.is_empty())
    }

    /// Goes on in the file that was opened last where its reading ended before, if it did.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn resume(&mut self) -> Result<(), Error> {
        let Some((path, name, _)) = &self.open else { return Ok(()) };
        let Some((used, lines, _)) = self.done.get(path).copied() else { return Ok(()) };
        let frames = self.frames(path, used)?.resumed((used, lines));
        self.open = Some((path.clone(), name.clone(), frames));
        Ok(())
    }

    /// The bytes of all files, as they lie on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files there are, read or not.
    #[must_use]
    pub fn all(&self) -> usize {
        self.done.keys().chain(&self.left).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// How many files have not been opened.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// The name of the file that is open; empty before the first.
    #[must_use]
    pub fn name(&self) -> &str {
        self.open.as_ref().map_or("", |(_, name, _)| name)
    }

    /// Reads the next record into `record`, or opens the next file.
    ///
    /// # Errors
    ///
    /// The file cannot be read; the records before are what it was read for.
    pub fn step(&mut self, record: &mut Record) -> Result<Step, Error> {
        if let Some((path, name, frames)) = &mut self.open {
            let step = frames.next(record);
            match step.map_err(|source| Error::Read { file: name.clone(), source })? {
                Some(Ok(())) => return Ok(Step::Record),
                Some(Err(fault)) => return Ok(Step::Fault(fault)),
                None => {
                    self.done.insert(path.clone(), frames.used());
                }
            }
        }
        let Some(path) = self.left.pop() else {
            self.open = None;
            return Ok(Step::End);
        };
        let frames = self.frames(&path, 0)?;
        self.open = Some((path.clone(), self.short_name(&path), frames));
        Ok(Step::Opened)
    }

    /// The records of the file at `path` from the byte `start` on.
    fn frames(
        &self,
        path: &Path,
        start: u64,
    ) -> Result<Frames<Box<dyn io::BufRead + Send>>, Error> {
        let mut file = File::open(path).map_err(|source| read_error(path, source))?;
        file.seek(SeekFrom::Start(start)).map_err(|source| read_error(path, source))?;
        let file = Counted { file, progress: self.progress.clone() };
        let file = BufReader::with_capacity(BUFFER_BYTES, file);
        let from: Box<dyn io::BufRead + Send> = match zipped(path) {
            true => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        let frames = Frames::new(from, self.split);
        Ok(if self.follow && !zipped(path) { frames.leave_torn() } else { frames })
    }

    /// The name of `path` in messages.
    fn short_name(&self, path: &Path) -> String {
        let short = self.roots.iter().find_map(|root| path.strip_prefix(root).ok());
        short.unwrap_or(path).display().to_string()
    }
}

/// The files that match one of `patterns`, each once, in the order of their names.
fn matching(patterns: &[String]) -> Result<Vec<PathBuf>, Error> {
    let mut left = Vec::new();
    for pattern in patterns {
        let matches = glob::glob(pattern)
            .map_err(|source| Error::Pattern { pattern: pattern.clone(), source })?;
        let before = left.len();
        for path in matches {
            let path = path.map_err(|error| Error::Read {
                file: error.path().display().to_string(),
                source: error.into(),
            })?;
            if !path.is_dir() {
                left.push(path);
            }
        }
        if left.len() == before {
            return Err(Error::NoFile(pattern.clone()));
        }
    }
    left.sort_unstable();
    left.dedup();
    Ok(left)
}

/// Whether the name of a file says that it is zipped.
fn zipped(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

/// The error of a file that cannot be read.
fn read_error(path: &Path, source: io::Error) -> Error {
    Error::Read { file: path.display().to_string(), source }
}

/// A file that counts what is read from it.
struct Counted {
    file: File,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.progress.0.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_are_read_in_the_order_of_their_names_and_through_gzip() {
        let folder = tempfile::tempdir().unwrap();
        let zipped = File::create(folder.path().join("a.txt.gz")).unwrap();
        let mut zip = flate2::write::GzEncoder::new(zipped, flate2::Compression::default());
        zip.write_all(b"first\n").unwrap();
        zip.finish().unwrap();
        std::fs::write(folder.path().join("b.txt"), "second\nthird").unwrap();
        let pattern = folder.path().join("*.txt*").display().to_string();
        let progress = Progress::default();
        let roots = [folder.path().to_owned()];
        let files = Files::find(&[pattern], Split::Line, &roots, progress.clone());
        let mut files = files.unwrap();
        let mut record = Record::default();
        let mut seen = Vec::new();
        loop {
            match files.step(&mut record).unwrap() {
                Step::End => break,
                Step::Record => {
                    seen.push((files.name().to_owned(), record.get(0).unwrap().to_owned()))
                }
                Step::Opened | Step::Fault(_) => {}
            }
        }
        let expected = [("a.txt.gz", "first"), ("b.txt", "second"), ("b.txt", "third")];
        assert_eq!(seen, expected.map(|(file, text)| (file.to_owned(), text.to_owned())));
        assert_eq!(progress.bytes(), files.bytes());
    }

    /// The lines that are there to read.
    fn read(files: &mut Files) -> Vec<(u64, String)> {
        let mut record = Record::default();
        let mut lines = Vec::new();
        loop {
            match files.step(&mut record).unwrap() {
                Step::End => return lines,
                Step::Opened => files.resume().unwrap(),
                Step::Record => lines.push((record.line, record.iter().collect())),
                Step::Fault(fault) => panic!("{}", fault.reason()),
            }
        }
    }

    #[test]
    fn a_file_that_grows_is_read_on_where_its_last_whole_line_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let pattern = folder.path().join("*.txt").display().to_string();
        std::fs::write(&path, "one\n\n\"two,\nthree\"\nfo").unwrap();
        let progress = Progress::default();
        let files = Files::find(&[pattern], Split::Quoted(b','), &[], progress);
        let mut files = files.unwrap();
        files.follow();
        let of = |line, text: &str| (line, text.to_owned());
        assert_eq!(read(&mut files), [of(1, "one"), of(3, "two,\nthree")]);
        assert!(!files.refresh().unwrap());
        // The end of a line, and a quote that is not closed yet.
        std::fs::write(&path, "one\n\n\"two,\nthree\"\nfour\n\"fi\n").unwrap();
        assert!(files.refresh().unwrap());
        assert_eq!(read(&mut files), [of(5, "four")]);
        assert!(!files.refresh().unwrap());
        std::fs::write(&path, "one\n\n\"two,\nthree\"\nfour\n\"fi\nve\"\n").unwrap();
        std::fs::write(folder.path().join("b.txt"), "six\n").unwrap();
        assert!(files.refresh().unwrap());
        assert_eq!(read(&mut files), [of(6, "fi\nve"), of(1, "six")]);
        assert!(!files.refresh().unwrap());
    }

    #[test]
    fn a_pattern_without_a_file_is_an_error() {
        let files =
            |pattern: &str| Files::find(&[pattern.into()], Split::Line, &[], Progress::default());
        assert!(matches!(files("/nowhere/*.csv"), Err(Error::NoFile(_))));
        assert!(matches!(files("/a/***"), Err(Error::Pattern { .. })));
    }
}
