//! Read: what does the log hold, tick by tick?

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;

use dataflows::Tick;

use super::frame::{Fault, HEAD_BYTES, Walk};
use super::segment::{self, HEADER_BYTES, Segment};
use super::{Error, Frame, Place, count, index};
use crate::storage::Storage;

/// The frames of a log from a tick on, up to what was there when they were asked for.
///
/// Each is checked again when it is read. A segment is in memory at a time.
#[derive(Debug)]
pub struct Frames {
    storage: Arc<dyn Storage>,
    /// The segments that are still to be read.
    segments: VecDeque<Segment>,
    walk: Walk,
    from: Tick,
    /// The segment at hand.
    number: u64,
    bytes: Vec<u8>,
    at: usize,
}

impl Frames {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        segments: &[Segment],
        walk: Walk,
        from: Tick,
    ) -> Frames {
        let first = segments.partition_point(|segment| segment.first <= from).saturating_sub(1);
        let segments = segments.iter().skip(first).copied().collect();
        Frames { storage, segments, walk, from, number: 0, bytes: Vec::new(), at: 0 }
    }

    /// Reads the next segment.
    fn load(&mut self, segment: Segment) -> Result<(), Error> {
        let Segment { number, first, chain, len } = segment;
        let name = segment::name(number);
        self.bytes = self.storage.read(&name).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::missing(number, first),
            _ => Error::read(name, source),
        })?;
        (self.number, self.at) = (number, HEADER_BYTES);
        (self.walk.next, self.walk.chain) = (first, chain);
        // More may have been appended since.
        self.bytes.truncate(index(len));
        Ok(())
    }

    fn damaged(&self, fault: Fault) -> Error {
        Error::Damaged {
            file: segment::name(self.number),
            offset: count(self.at),
            tick: self.walk.next,
            what: fault.says(),
        }
    }

    /// The next frame, whichever tick it is of.
    fn step(&mut self) -> Result<Option<Frame>, Error> {
        while self.bytes.len() <= self.at {
            let Some(segment) = self.segments.pop_front() else { return Ok(None) };
            self.load(segment)?;
            if count(self.bytes.len()) < segment.len {
                self.at = self.bytes.len();
                return Err(self.damaged(Fault::Short));
            }
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match self.walk.step(rest) {
            Err(fault) => Err(self.damaged(fault)),
            Ok(frame) => {
                let place = Place::new(self.number, count(self.at + HEAD_BYTES));
                self.at += frame.len();
                Ok(Some(Frame { tick: frame.tick, body: frame.body.to_vec(), place }))
            }
        }
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, Error>;

    fn next(&mut self) -> Option<Result<Frame, Error>> {
        loop {
            match self.step() {
                Ok(Some(frame)) if frame.tick < self.from => {}
                Ok(frame) => return frame.map(Ok),
                Err(error) => {
                    // What follows damage is not read.
                    self.segments.clear();
                    self.at = self.bytes.len();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The file that a place is in.
#[must_use]
pub fn file(place: Place) -> String {
    segment::name(place.segment())
}

/// Reads `len` bytes at a place in a body into `out`, in place of what it holds.
///
/// The bytes are not checked: the checksum is of the whole frame. Whoever asks for a piece checks
/// it by its own seal.
///
/// Cost: one read.
///
/// # Errors
///
/// There is no such place, or it cannot be read; nothing is ever written.
pub fn fetch(
    storage: &dyn Storage,
    place: Place,
    len: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.clear();
    out.resize(len, 0);
    let name = segment::name(place.segment());
    let read = storage.read_at(&name, place.offset(), out);
    read.map_err(|source| Error::read(name, source))
}
