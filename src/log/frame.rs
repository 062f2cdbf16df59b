//! Frame: is this what was written, and does it follow what came before?
//!
//! A frame is whole if its checksum is that of its bytes, and in its place if its chain is the hash
//! of the chain before it and of all it holds. The checksum begins with one of the directory's id:
//! a frame of another directory is none of this one, wherever it comes from.
//!
//! ```text
//! len u32 | checksum u32 | chain 16 | tick u64 | generation u32 | mark: place u64, chain 16 | body
//! ```

use dataflows::Tick;
use sha2::{Digest, Sha256};

use super::{FRAME_BYTES_MAX, Mark, Place};
use crate::storage::{Fields, checksum};

/// How many bytes of a hash are kept.
pub(super) const CHAIN_BYTES: usize = 16;

/// The hash of all frames up to one.
pub(super) type Chain = [u8; CHAIN_BYTES];

/// How many bytes a frame has before its body.
pub(super) const HEAD_BYTES: usize = 4 + 4 + CHAIN_BYTES + 8 + 4 + 8 + CHAIN_BYTES;

/// Where in a frame that begins which is under the checksum and the chain.
const CHAIN_AT: usize = 8;
const TICK_AT: usize = CHAIN_AT + CHAIN_BYTES;

/// What is wrong with a frame or a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file ends within the frame.
    Short,
    /// The checksum is another.
    Checksum,
    /// It does not follow the frame before it.
    Chain,
    /// It is of a later opening than the superblock knows.
    Future,
    /// The header of the segment is not whole.
    Header,
    /// The segment is of another directory.
    Foreign,
    /// The segment has another name.
    Misplaced,
    /// The segment does not follow the one before it.
    Follows,
}

impl Fault {
    /// The fault in a few plain words.
    pub(super) fn says(self) -> &'static str {
        match self {
            Fault::Short => "the file ends within a frame",
            Fault::Checksum => "the frame has another checksum",
            Fault::Chain => "the frame does not follow the one before it",
            Fault::Future => "the frame is newer than MANIFEST.a and MANIFEST.b know",
            Fault::Header => "the header of the segment is not whole",
            Fault::Foreign => "the segment belongs to another data directory",
            Fault::Misplaced => "the segment has the name of another",
            Fault::Follows => "the segment does not follow the one before it",
        }
    }
}

/// The chain before the first frame of a directory.
pub(super) fn origin(directory: [u8; 16]) -> Chain {
    let hash = Sha256::new_with_prefix(b"affluent log").chain_update(directory).finalize();
    cut(&hash)
}

/// What the checksums of a directory begin with.
pub(super) fn salt(directory: [u8; 16]) -> u32 {
    checksum(0, &directory)
}

/// A frame whose checksum is right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parsed<'a> {
    pub(super) chain: Chain,
    pub(super) tick: Tick,
    pub(super) generation: u32,
    /// The end of the last frame that was durable when it was written.
    pub(super) mark: Place,
    pub(super) body: &'a [u8],
    /// What the chain is the hash of, besides the chain before.
    hashed: [&'a [u8]; 2],
}

/// Appends a frame to `out`, and gives the chain after it.
pub(super) fn encode(out: &mut Vec<u8>, walk: &Walk, mark: &Mark, len: u32, body: &[u8]) -> Chain {
    let start = out.len();
    out.extend(len.to_le_bytes());
    out.extend([0; TICK_AT - 4]);
    out.extend(walk.next.0.to_le_bytes());
    out.extend(walk.generation.to_le_bytes());
    out.extend(mark.place.0.to_le_bytes());
    out.extend(mark.chain);
    out.extend_from_slice(body);
    let frame = out.get_mut(start..).unwrap_or_default();
    let (head, rest) = frame.split_at_mut(TICK_AT);
    let chain = walk.after([&len.to_le_bytes(), rest]);
    let sum = checksum(checksum(checksum(walk.salt, &len.to_le_bytes()), &chain), rest);
    let filled = sum.to_le_bytes().into_iter().chain(chain);
    head.iter_mut().skip(4).zip(filled).for_each(|(to, from)| *to = from);
    chain
}

/// The frame at the start of `bytes`, if its checksum is right.
pub(super) fn parse(bytes: &[u8], salt: u32) -> Result<Parsed<'_>, Fault> {
    let mut fields = Fields(bytes);
    let len = fields.u32().ok_or(Fault::Short)?;
    let sum = fields.u32().ok_or(Fault::Short)?;
    let end = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(HEAD_BYTES);
    if FRAME_BYTES_MAX < end {
        return Err(Fault::Checksum);
    }
    let frame = bytes.get(..end).ok_or(Fault::Short)?;
    let summed = frame.get(CHAIN_AT..).unwrap_or_default();
    let said = frame.get(..4).unwrap_or_default();
    if checksum(checksum(salt, said), summed) != sum {
        return Err(Fault::Checksum);
    }
    let mut fields = Fields(summed);
    let mut read = || {
        Some(Parsed {
            chain: fields.take()?,
            tick: Tick(fields.u64()?),
            generation: fields.u32()?,
            mark: Place(fields.u64()?),
            body: frame.get(HEAD_BYTES..)?,
            hashed: [said, frame.get(TICK_AT..)?],
        })
    };
    read().ok_or(Fault::Short)
}

impl Parsed<'_> {
    /// How many bytes the frame has.
    pub(super) fn len(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }
}

/// Where a reader or a writer stands between two frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) salt: u32,
    /// The chain so far.
    pub(super) chain: Chain,
    /// The tick of the next frame.
    pub(super) next: Tick,
    /// The opening of the directory that writes, or the last that may have written.
    pub(super) generation: u32,
}

impl Walk {
    /// The chain after a frame.
    fn after(&self, hashed: [&[u8]; 2]) -> Chain {
        let mut hash = Sha256::new_with_prefix(self.chain);
        hashed.into_iter().for_each(|part| hash.update(part));
        cut(&hash.finalize())
    }

    /// Goes over the frame at the start of `bytes`.
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Parsed<'a>, Fault> {
        let frame = parse(bytes, self.salt)?;
        if frame.tick != self.next || frame.chain != self.after(frame.hashed) {
            return Err(Fault::Chain);
        }
        if self.generation < frame.generation {
            return Err(Fault::Future);
        }
        (self.chain, self.next) = (frame.chain, frame.tick.next());
        Ok(frame)
    }

    /// The newest mark in any whole frame of `bytes`, wherever it begins, at or after this place.
    ///
    /// Cost: a look at every byte; it is asked only where something is damaged.
    pub(super) fn search(&self, bytes: &[u8]) -> Option<Place> {
        let (mut newest, mut at) = (None, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| HEAD_BYTES <= rest.len()) {
            let frame = self.likely(rest).then(|| parse(rest, self.salt).ok()).flatten();
            newest = newest.max(frame.map(|frame| frame.mark));
            at += frame.map_or(1, |frame| frame.len());
        }
        newest
    }

    /// Whether a frame that comes later can begin so: a cheap look before the checksum.
    fn likely(&self, bytes: &[u8]) -> bool {
        let mut fields = Fields(bytes);
        let len = fields.u32().and_then(|len| usize::try_from(len).ok());
        fields.0 = bytes.get(TICK_AT..).unwrap_or_default();
        let (tick, generation) = (fields.u64(), fields.u32());
        len.is_some_and(|len| len <= bytes.len() - HEAD_BYTES)
            && tick.is_some_and(|tick| self.next.0 <= tick)
            && generation.is_some_and(|generation| generation <= self.generation)
    }
}

/// The first bytes of a hash.
fn cut(hash: &[u8]) -> Chain {
    hash.first_chunk().copied().unwrap_or_default()
}
