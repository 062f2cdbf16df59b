//! Log: what has been accepted, in which order, and is it safe?
//!
//! One tick is one frame is one group of events that is made durable at once. The log knows ticks
//! and bodies, and nothing of what is in them.
//!
//! A frame is acknowledged by [`Log::sync`], and from then on it is there: after a crash, a torn
//! write, a full disk or a failed sync. Each frame carries the [`Mark`] of what was durable before
//! it, so that a later start can tell a torn end, which it cuts, from damage to what was
//! acknowledged, which it refuses, naming the file, the byte and the tick.
//! One case is left: damage to the very last group before a crash, when no superblock has noted it
//! yet, looks like a torn end.
//!
//! [`Directory`] says whose the files are; [`Superblock`] is what it knows of them.

#![deny(clippy::indexing_slicing)]

mod directory;
mod error;
mod frame;
mod outside;
mod read;
mod recover;
mod segment;
mod superblock;

use std::io::ErrorKind;
use std::sync::Arc;

use dataflows::Tick;

use crate::storage::{File, Storage};
use frame::{CHAIN_BYTES, HEAD_BYTES, Walk};
use segment::{HEADER_BYTES, Header, Segment};

pub use directory::{BACKUP, Directory, LOCK};
pub use error::Error;
pub use outside::{Outside, Piece, install, newest, piece, segments, superblocks};
pub use read::{Frames, fetch, file};
pub use recover::{Cut, Opened};
pub use segment::name as segment_name;
pub use superblock::Superblock;

/// The folder of the segments.
pub const LOG: &str = "log";

/// The longest frame, with its head.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The length from which on a segment takes no further frame.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// How many bits of a place are the offset in a file.
const OFFSET_BITS: u32 = 40;

/// Where a byte of the log is: a segment and an offset in its file. Later bytes have later places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

impl Place {
    /// The place of a byte in a segment's file.
    #[must_use]
    pub fn new(segment: u64, offset: u64) -> Place {
        Place(segment << OFFSET_BITS | offset)
    }

    /// The number of the segment.
    #[must_use]
    pub fn segment(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    /// The offset in its file.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.0 & ((1 << OFFSET_BITS) - 1)
    }
}

/// How far the log is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The end of the last durable frame.
    pub place: Place,
    /// The hash of all frames up to there.
    pub chain: [u8; CHAIN_BYTES],
    /// The first tick that is not durable.
    pub upper: Tick,
}

/// One tick of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The tick.
    pub tick: Tick,
    /// What was appended.
    pub body: Vec<u8>,
    /// Where the first byte of the body is.
    pub place: Place,
}

/// How large the log's parts may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The length from which on a segment takes no further frame.
    pub segment_bytes: u64,
    /// The longest frame, with its head; at most [`FRAME_BYTES_MAX`].
    pub frame_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { segment_bytes: SEGMENT_BYTES, frame_bytes_max: FRAME_BYTES_MAX }
    }
}

/// The durable record of every change that the engine has accepted.
///
/// It can be read at every tick from `since` up to, and not including, `upper`.
///
/// # Invariants
///
/// * `since <= upper`. Kept by [`compact`](Log::compact).
/// * A tick below `upper` never changes. Kept by [`append`](Log::append).
/// * What [`sync`](Log::sync) has returned is on disk. Kept by it; checked by
///   `tests/durable_log.rs`.
#[derive(Debug)]
pub struct Log {
    storage: Arc<dyn Storage>,
    directory: [u8; 16],
    limits: Limits,
    /// The first tick that can still be read.
    since: Tick,
    /// The first tick that is not yet decided, and the chain before it.
    walk: Walk,
    /// How far all is durable.
    mark: Mark,
    /// All segments with a header, in order.
    segments: Vec<Segment>,
    /// The number of the segment that is written, and how many of its bytes are in use.
    number: u64,
    len: u64,
    /// Its file, once there is one.
    file: Option<Box<dyn File>>,
    /// Segments that are full and not yet synced.
    behind: Vec<(u64, Box<dyn File>)>,
    /// Whether the file, or the names of files, have changed since the last sync.
    changed: bool,
    named: bool,
    /// Whether the next frame begins a segment.
    rotate: bool,
    /// Set by the first failed sync; every later write repeats it.
    poison: Option<(String, ErrorKind)>,
    /// The frame under construction, kept for its allocation.
    frame: Vec<u8>,
}

impl Log {
    /// Makes the log of a new directory, which has no tick yet.
    ///
    /// # Errors
    ///
    /// Its folder may have been made; it may be tried again.
    pub fn create(
        storage: Arc<dyn Storage>,
        superblock: &Superblock,
        limits: Limits,
    ) -> Result<Log, Error> {
        storage.make_dir(LOG).map_err(|source| Error::write(LOG, source))?;
        storage.sync_dir("").map_err(|source| Error::sync(LOG, source))?;
        Ok(Log::open(storage, superblock, limits)?.0)
    }

    /// Opens the log of a directory; what was never acknowledged and is torn is cut.
    ///
    /// Cost: all that is kept is read once; only the end is written.
    ///
    /// # Errors
    ///
    /// Nothing was written if it says that something is damaged, missing or newer; otherwise what
    /// is torn may have been cut, and opening again goes on with it.
    pub fn open(
        storage: Arc<dyn Storage>,
        superblock: &Superblock,
        limits: Limits,
    ) -> Result<(Log, Opened), Error> {
        let found = recover::recover(&*storage, superblock)?;
        let mark = found.opened.mark;
        let last = found.segments.last();
        let (number, len) = last.map_or((mark.place.segment(), 0), |last| (last.number, last.len));
        let file = match last {
            None => None,
            Some(last) => {
                let name = segment::name(last.number);
                Some(storage.open(&name).map_err(|source| Error::write(name, source))?)
            }
        };
        let log = Log {
            storage,
            directory: superblock.directory,
            limits,
            since: superblock.since,
            walk: found.walk,
            mark,
            segments: found.segments,
            number,
            len,
            file,
            behind: Vec::new(),
            changed: false,
            named: false,
            rotate: false,
            poison: None,
            frame: Vec::new(),
        };
        Ok((log, found.opened))
    }

    /// The first tick that is not in the log.
    #[must_use]
    pub fn upper(&self) -> Tick {
        self.walk.next
    }

    /// The first tick that can still be read.
    #[must_use]
    pub fn since(&self) -> Tick {
        self.since
    }

    /// How far the log is durable.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Where the body of the next frame will begin, whatever its length.
    #[must_use]
    pub fn next_place(&self) -> Place {
        let (number, len) =
            if self.turns() { (self.number + 1, 0) } else { (self.number, self.len) };
        Place::new(number, len.max(count(HEADER_BYTES)) + count(HEAD_BYTES))
    }

    /// The next frame begins a new segment.
    pub fn rotate(&mut self) {
        self.rotate = count(HEADER_BYTES) < self.len;
    }

    /// Whether the next frame begins a new segment.
    fn turns(&self) -> bool {
        let full = self.limits.segment_bytes <= self.len && count(HEADER_BYTES) < self.len;
        full || self.rotate
    }

    /// Writes `body` as the tick `expected`, which must be the next one; it is durable after
    /// [`sync`](Log::sync).
    ///
    /// # Errors
    ///
    /// Nothing was written. [`Error::Full`] and [`Error::Write`] may be tried again with the same
    /// tick; after [`Error::Poisoned`] nothing is ever written.
    pub fn append(&mut self, expected: Tick, body: &[u8]) -> Result<Place, Error> {
        self.healthy()?;
        let upper = self.walk.next;
        if expected != upper {
            return Err(Error::Fenced { expected, upper });
        }
        let bytes = body.len().saturating_add(HEAD_BYTES);
        let most = self.limits.frame_bytes_max.min(FRAME_BYTES_MAX);
        let len = match u32::try_from(body.len()) {
            Ok(len) if bytes <= most => len,
            _ => return Err(Error::TooLarge { bytes, most }),
        };
        let place = self.next_place();
        if self.turns() {
            self.turn();
        }
        let mut out = std::mem::take(&mut self.frame);
        out.clear();
        if self.len == 0 {
            let header = Header {
                directory: self.directory,
                number: self.number,
                first: upper,
                chain: self.walk.chain,
            };
            header.encode(&mut out);
        }
        let chain = frame::encode(&mut out, &self.walk, &self.mark, len, body);
        let written = self.write(&out);
        self.frame = out;
        written?;
        (self.walk.chain, self.walk.next) = (chain, upper.next());
        assert_eq!(place.offset() + u64::from(len), self.len, "a body lies where it was to lie");
        Ok(place)
    }

    /// Leaves the segment at hand; the next one is made by the next write.
    fn turn(&mut self) {
        if let Some(file) = self.file.take().filter(|_| self.changed) {
            self.behind.push((self.number, file));
        }
        (self.number, self.len) = (self.number + 1, 0);
        (self.changed, self.rotate) = (false, false);
    }

    /// Appends to the segment; what is written of it in vain is cut again.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let name = || segment::name(self.number);
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = self.storage.create(&name());
                self.named = true;
                none.insert(file.map_err(|source| Error::write(name(), source))?)
            }
        };
        self.changed = true;
        if let Err(source) = file.append(bytes) {
            if let Err(cut) = file.set_len(self.len) {
                self.poison = Some((name(), cut.kind()));
                return self.healthy();
            }
            return Err(Error::write(name(), source));
        }
        if self.len == 0 {
            let Walk { next: first, chain, .. } = self.walk;
            self.segments.push(Segment { number: self.number, first, chain, len: 0 });
        }
        self.len += count(bytes.len());
        if let Some(segment) = self.segments.last_mut() {
            segment.len = self.len;
        }
        Ok(())
    }

    /// Makes all frames durable, and says how far they go: what is before that is acknowledged.
    ///
    /// # Errors
    ///
    /// The frames since the last sync may be durable or not, and the log is poisoned: it takes
    /// nothing more. Open it anew, which trusts nothing but what it writes again.
    pub fn sync(&mut self) -> Result<Mark, Error> {
        self.healthy()?;
        if let Err((name, source)) = self.sync_all() {
            self.poison = Some((name.clone(), source.kind()));
            return Err(Error::sync(name, source));
        }
        // A mark is the end of a frame, and a segment may have no more than a header.
        if let Some(segment) = self.segments.last().filter(|_| self.mark.upper < self.walk.next) {
            let place = Place::new(segment.number, segment.len);
            self.mark = Mark { place, chain: self.walk.chain, upper: self.walk.next };
        }
        Ok(self.mark)
    }

    fn sync_all(&mut self) -> Result<(), (String, std::io::Error)> {
        for (number, mut file) in self.behind.drain(..) {
            file.sync().map_err(|source| (segment::name(number), source))?;
        }
        if let Some(file) = self.file.as_mut().filter(|_| self.changed) {
            file.sync().map_err(|source| (segment::name(self.number), source))?;
        }
        if self.named {
            self.storage.sync_dir(LOG).map_err(|source| (LOG.into(), source))?;
        }
        (self.changed, self.named) = (false, false);
        Ok(())
    }

    /// Refuses what would write after a failed sync.
    fn healthy(&self) -> Result<(), Error> {
        match &self.poison {
            None => Ok(()),
            Some((file, kind)) => Err(Error::Poisoned { file: file.clone(), kind: *kind }),
        }
    }

    /// The frames from a tick on, durable or not.
    ///
    /// # Errors
    ///
    /// The tick is not in the log, and not the next one; nothing is ever written.
    pub fn read(&self, from: Tick) -> Result<Frames, Error> {
        let (since, upper) = (self.since, self.walk.next);
        if from < since {
            return Err(Error::Compacted { from, since });
        }
        if upper < from {
            return Err(Error::Ahead { tick: from, upper });
        }
        Ok(Frames::new(Arc::clone(&self.storage), &self.segments, self.walk, from))
    }

    /// Gives up the ticks before `since`, removes the segments that hold no others, and names
    /// their files.
    ///
    /// The superblock must say so first, by [`Directory::change`]: a start looks for the ticks from
    /// the superblock's `since` on, and refuses if they are not there.
    ///
    /// # Errors
    ///
    /// Nothing was removed if the tick is [`Error::Ahead`] of what is durable; otherwise some files
    /// may have been, and it may be tried again.
    pub fn compact(&mut self, since: Tick) -> Result<Vec<String>, Error> {
        self.healthy()?;
        let upper = self.mark.upper;
        if upper < since {
            return Err(Error::Ahead { tick: since, upper });
        }
        self.since = self.since.max(since);
        // What is left must begin with something durable: where the mark is, or after it.
        let last = self.mark.place.segment();
        let kept = |segment: &Segment| segment.first <= self.since && segment.number <= last;
        let keeps = self.segments.partition_point(kept);
        let mut removed = Vec::new();
        for segment in self.segments.iter().take(keeps.saturating_sub(1)) {
            let name = segment::name(segment.number);
            match self.storage.remove(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::write(name, error));
                }
                _ => removed.push(name),
            }
        }
        if !removed.is_empty() {
            self.storage.sync_dir(LOG).map_err(|source| Error::sync(LOG, source))?;
        }
        self.segments.drain(..removed.len());
        Ok(removed)
    }
}

/// A place in memory as a place in a file.
fn count(place: usize) -> u64 {
    u64::try_from(place).unwrap_or(u64::MAX)
}

/// A place in a file as a place in memory.
fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may fail")]
mod tests;
