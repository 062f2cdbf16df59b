//! Outside: what can be known of a directory, and done to it, by those who do not hold it?
//!
//! Reading changes nothing, and works beside the process that has the directory. What writes is for
//! directories that nobody uses: one that is being made of a backup, or is being mended.

use std::sync::Arc;

use dataflows::Tick;

use super::directory::{choose, names, overwrite, superblocks_in};
use super::frame::{CHAIN_BYTES, Walk, salt};
use super::read::Frames;
use super::recover::{Cut, look};
use super::segment::{self, HEADER_BYTES, Header, Segment};
use super::superblock::{Bad, NAMES};
use super::{Error, LOG, Mark, Place, Superblock, count};
use crate::storage::Storage;

/// Both superblocks, as far as they are whole.
pub fn superblocks(storage: &dyn Storage) -> [Result<Superblock, Error>; 2] {
    NAMES.map(|file| {
        let bad = |what| Error::Superblock { file, what };
        Superblock::read(storage, file)?.map_err(|error| match error {
            Bad::Missing => bad("is missing"),
            Bad::Damaged => bad("is damaged at byte 0"),
        })
    })
}

/// The superblock that counts, as a start would choose it.
///
/// # Errors
///
/// There is none, or it is not whole, or of a newer format.
pub fn newest(storage: &dyn Storage) -> Result<Superblock, Error> {
    let creating = superblocks_in(&names(storage)?)?;
    choose(storage, creating).map(|(superblock, ..)| superblock)
}

/// Writes both superblocks, durably.
///
/// # Errors
///
/// One may have been written, or both.
pub fn install(storage: &dyn Storage, superblock: &Superblock) -> Result<(), Error> {
    for (file, sequence) in NAMES.into_iter().zip(superblock.sequence..) {
        let superblock = Superblock { sequence, ..*superblock };
        let written = overwrite(storage, file, &superblock.encode());
        written.map_err(|source| Error::write(file, source))?;
    }
    storage.sync_dir("").map_err(|source| Error::write("the data directory", source))
}

/// The numbers of all segments, in order.
///
/// # Errors
///
/// The folder cannot be read.
pub fn segments(storage: &dyn Storage) -> Result<Vec<u64>, Error> {
    segment::list(storage)
}

/// What the bytes of a segment hold, read without regard to any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The tick of its first frame, and the chain before that.
    pub first: (Tick, [u8; CHAIN_BYTES]),
    /// The tick after its last whole frame, and the chain there.
    pub next: (Tick, [u8; CHAIN_BYTES]),
    /// Where its last whole frame ends.
    pub end: u64,
    /// The latest opening of the directory that wrote to it.
    pub generation: u32,
    /// What is wrong there, if it goes on.
    pub fault: Option<&'static str>,
}

/// What `bytes`, which should be the segment `number` of a directory, hold; or what is wrong with
/// the header.
///
/// # Errors
///
/// It is of a newer format.
pub fn piece(
    bytes: &[u8],
    number: u64,
    directory: [u8; 16],
) -> Result<Result<Piece, &'static str>, Error> {
    let header = match Header::decode(bytes, number, directory)? {
        Err(fault) => return Ok(Err(fault.says())),
        Ok(header) => header,
    };
    let Header { first, chain, .. } = header;
    let mut walk = Walk { salt: salt(directory), chain, next: first, generation: u32::MAX };
    let (mut at, mut generation, mut fault) = (HEADER_BYTES, 0, None);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match walk.step(rest) {
            Ok(frame) => {
                generation = generation.max(frame.generation);
                at += frame.len();
            }
            Err(found) => {
                fault = Some(found.says());
                break;
            }
        }
    }
    let next = (walk.next, walk.chain);
    Ok(Ok(Piece { first: (first, chain), next, end: count(at), generation, fault }))
}

/// A log that was read to its end, and not opened.
#[derive(Debug)]
pub struct Outside {
    storage: Arc<dyn Storage>,
    segments: Vec<Segment>,
    walk: Walk,
    mark: Mark,
    torn: Option<Cut>,
    since: Tick,
}

impl Outside {
    /// Reads the log of the directory with this superblock, and changes nothing.
    ///
    /// # Errors
    ///
    /// Something that was acknowledged is damaged or missing.
    pub fn read(storage: Arc<dyn Storage>, superblock: &Superblock) -> Result<Outside, Error> {
        let found = look(&*storage, superblock)?;
        let (mark, torn) = (found.opened.mark, found.opened.cut);
        let since = superblock.since;
        Ok(Outside { storage, segments: found.segments, walk: found.walk, mark, torn, since })
    }

    /// The first tick that is not in the log.
    #[must_use]
    pub fn upper(&self) -> Tick {
        self.walk.next
    }

    /// Where the log ends.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// What is after the last whole frame, and was never acknowledged.
    #[must_use]
    pub fn torn(&self) -> Option<&Cut> {
        self.torn.as_ref()
    }

    /// All frames.
    #[must_use]
    pub fn frames(&self) -> Frames {
        Frames::new(Arc::clone(&self.storage), &self.segments, self.walk, self.since)
    }

    /// Cuts all ticks from `upper` on, and what is torn, durably; gives where the log ends then,
    /// which the superblock has to say before the directory is opened.
    ///
    /// # Errors
    ///
    /// The tick is not in the log, and nothing was cut; or the disk fails, and some may have been.
    pub fn cut(&self, upper: Tick) -> Result<Mark, Error> {
        let (since, last) = (self.since, self.walk.next);
        if upper < since {
            return Err(Error::Compacted { from: upper, since });
        }
        if last < upper {
            return Err(Error::Ahead { tick: upper, upper: last });
        }
        let keeps = self.segments.partition_point(|segment| segment.first < upper).max(1);
        let Some(segment) = self.segments.get(keeps - 1) else { return Ok(self.mark) };
        let numbers = segment::list(&*self.storage)?;
        for number in numbers.iter().rev().filter(|number| segment.number < **number) {
            let name = segment::name(*number);
            self.storage.remove(&name).map_err(|source| Error::write(name, source))?;
        }
        let name = segment::name(segment.number);
        let bytes = self.storage.read(&name).map_err(|source| Error::read(&name, source))?;
        let Segment { first, chain, number, .. } = *segment;
        let mut walk = Walk { chain, next: first, ..self.walk };
        let mut at = HEADER_BYTES;
        while walk.next < upper {
            match walk.step(bytes.get(at..).unwrap_or_default()) {
                Ok(frame) => at += frame.len(),
                Err(fault) => {
                    let (file, offset, tick) = (name, count(at), walk.next);
                    return Err(Error::Damaged { file, offset, tick, what: fault.says() });
                }
            }
        }
        let shorten = || {
            let mut file = self.storage.open(&name)?;
            file.set_len(count(at))?;
            file.sync()?;
            self.storage.sync_dir(LOG)
        };
        shorten().map_err(|source| Error::write(&name, source))?;
        // A mark is the end of a frame, or the beginning of a segment that has none.
        let offset = if at == HEADER_BYTES { 0 } else { count(at) };
        Ok(Mark { place: Place::new(number, offset), chain: walk.chain, upper: walk.next })
    }
}
