//! Recover: what did a crash leave, and is it all that was acknowledged?
//!
//! The log is read from the segment that holds the first tick that is kept, frame by frame, to its
//! end or to the first thing that is wrong. Whether that is a torn end or damage is decided by the
//! newest mark that is known: the superblock's, or that of any frame, also of whole ones after the
//! damage. A good log that ends before the mark has lost what was acknowledged, and is refused;
//! what is wrong at or after it was never acknowledged, and is cut.
//!
//! What is good after the mark is kept. It is written again before it counts: after a sync that
//! failed, the cache still shows it, and a sync alone would say that it is on the disk.

use std::io;

use dataflows::Tick;

use super::frame::{Fault, Walk, salt};
use super::segment::{self, HEADER_BYTES, Header, Segment};
use super::{Error, LOG, Mark, Place, Superblock, count, index};
use crate::storage::Storage;

/// What opening a log has found and done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The end of the log, which is durable.
    pub mark: Mark,
    /// How many whole frames were found after the newest mark; they are kept.
    pub beyond: u64,
    /// What was cut off the end; it was never acknowledged.
    pub cut: Option<Cut>,
    /// Segments of ticks that are no longer kept, which an interrupted compaction had left.
    pub removed: Vec<String>,
}

/// A torn end that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file that ends there now.
    pub file: String,
    /// Where.
    pub offset: u64,
    /// The tick that comes there next.
    pub tick: Tick,
    /// How many bytes were cut, with those of whole files.
    pub bytes: u64,
    /// What was wrong with them.
    pub what: &'static str,
}

/// A log that was read to its end.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) segments: Vec<Segment>,
    pub(super) walk: Walk,
    pub(super) opened: Opened,
}

/// Why reading ended before the last byte.
#[derive(Clone, Copy, Debug)]
struct Stop {
    segment: u64,
    offset: u64,
    /// `None`: the file is not there, and later ones are.
    fault: Option<Fault>,
}

/// A log that is being read.
struct Reading<'a> {
    storage: &'a dyn Storage,
    superblock: &'a Superblock,
    numbers: Vec<u64>,
    walk: Walk,
    segments: Vec<Segment>,
    /// The end of the last good frame.
    end: Place,
    /// The newest mark that is known.
    newest: Place,
    /// Where the good frames at or after it begin.
    beyond: Vec<Place>,
}

/// Reads the log of a directory to its end, and mends what a crash has left.
pub(super) fn recover(storage: &dyn Storage, superblock: &Superblock) -> Result<Found, Error> {
    let (reading, first, stop) = read(storage, superblock)?;
    reading.mend(first, stop)
}

/// Reads the log of a directory to its end, and changes nothing: what would be cut is told.
pub(super) fn look(storage: &dyn Storage, superblock: &Superblock) -> Result<Found, Error> {
    let (reading, _, stop) = read(storage, superblock)?;
    let Reading { numbers, walk, segments, end, beyond, .. } = reading;
    let mut bytes = 0;
    for number in numbers.iter().filter(|number| end.segment() <= **number) {
        let name = segment::name(*number);
        let len = storage.len(&name).map_err(|source| Error::read(name, source))?;
        let good = segments.iter().find(|segment| segment.number == *number);
        bytes += len.saturating_sub(good.map_or(0, |segment| segment.len));
    }
    let cut = stop.filter(|_| 0 < bytes).map(|stop| torn(stop, end, walk.next, bytes));
    let mark = Mark { place: end, chain: walk.chain, upper: walk.next };
    let opened = Opened { mark, beyond: count(beyond.len()), cut, removed: Vec::new() };
    Ok(Found { segments, walk, opened })
}

/// Reads the log of a directory to its end, and refuses damage.
fn read<'a>(
    storage: &'a dyn Storage,
    superblock: &'a Superblock,
) -> Result<(Reading<'a>, u64, Option<Stop>), Error> {
    let Superblock { mark, generation, directory, .. } = *superblock;
    let walk = Walk { salt: salt(directory), chain: mark.chain, next: mark.upper, generation };
    let mut reading = Reading {
        storage,
        superblock,
        numbers: segment::list(storage)?,
        walk,
        segments: Vec::new(),
        end: mark.place,
        newest: mark.place,
        beyond: Vec::new(),
    };
    let first = reading.start()?;
    let stop = reading.run(first)?;
    reading.judge(stop)?;
    Ok((reading, first, stop))
}

impl Reading<'_> {
    /// The number of the segment that holds the first tick that is kept.
    fn start(&mut self) -> Result<u64, Error> {
        let Superblock { mark, since, .. } = *self.superblock;
        let mut lowest = None;
        for number in self.numbers.iter().rev().copied() {
            lowest = Some((number, self.header(number)?));
            let Some((_, Ok(header))) = lowest else { continue };
            if header.first <= since {
                let follows = header.first == mark.upper && header.chain == mark.chain;
                if mark.place.segment() < number && !follows {
                    return Err(Error::missing(mark.place.segment(), since));
                }
                if number <= mark.place.segment() {
                    (self.walk.next, self.walk.chain) = (header.first, header.chain);
                    self.end = Place::new(number, 0);
                }
                return Ok(number);
            }
        }
        match lowest {
            // Nothing was acknowledged that the superblock knows of.
            _ if mark.place.offset() == 0 => Ok(mark.place.segment()),
            Some((number, Err(fault))) if number <= mark.place.segment() => {
                Err(damaged(number, 0, since, fault.says()))
            }
            Some((number, Ok(_))) if number <= mark.place.segment() => {
                Err(Error::missing(number.saturating_sub(1), since))
            }
            _ => Err(Error::missing(mark.place.segment(), since)),
        }
    }

    fn header(&self, number: u64) -> Result<Result<Header, Fault>, Error> {
        let name = segment::name(number);
        let len = self.storage.len(&name).map_err(|source| Error::read(&name, source))?;
        let mut bytes = vec![0; HEADER_BYTES.min(index(len))];
        let read = self.storage.read_at(&name, 0, &mut bytes);
        read.map_err(|source| Error::read(&name, source))?;
        Header::decode(&bytes, number, self.superblock.directory)
    }

    /// Reads segment after segment; says where that ends before the last byte.
    fn run(&mut self, first: u64) -> Result<Option<Stop>, Error> {
        for number in first.. {
            if self.numbers.binary_search(&number).is_err() {
                let later = self.numbers.last().is_some_and(|last| number < *last);
                let stop = Stop { segment: number, offset: 0, fault: None };
                return Ok(later.then_some(stop));
            }
            let bytes = self.bytes(number)?;
            if let Err((offset, fault)) = self.segment(number, &bytes)? {
                return Ok(Some(Stop { segment: number, offset, fault: Some(fault) }));
            }
        }
        Ok(None)
    }

    fn bytes(&self, number: u64) -> Result<Vec<u8>, Error> {
        let name = segment::name(number);
        self.storage.read(&name).map_err(|source| Error::read(name, source))
    }

    /// Reads one segment to its end, or to what is wrong.
    fn segment(&mut self, number: u64, bytes: &[u8]) -> Result<Result<(), (u64, Fault)>, Error> {
        let header = match Header::decode(bytes, number, self.superblock.directory)? {
            Err(fault) => return Ok(Err((0, fault))),
            Ok(header) => header,
        };
        let Walk { next: first, chain, .. } = self.walk;
        if (header.first, header.chain) != (first, chain) {
            return Ok(Err((0, Fault::Follows)));
        }
        let mut at = HEADER_BYTES;
        self.segments.push(Segment { number, first, chain, len: count(at) });
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let frame = match self.walk.step(rest) {
                Err(fault) => return Ok(Err((count(at), fault))),
                Ok(frame) => frame,
            };
            self.know(frame.mark);
            self.beyond.push(Place::new(number, count(at)));
            at += frame.len();
            self.reach(Place::new(number, count(at)))?;
        }
        Ok(Ok(()))
    }

    /// A mark is known.
    fn know(&mut self, mark: Place) {
        if self.newest < mark {
            self.newest = mark;
            self.beyond.retain(|place| mark <= *place);
        }
    }

    /// The log is good up to a place.
    fn reach(&mut self, place: Place) -> Result<(), Error> {
        let Superblock { mark, .. } = *self.superblock;
        let before = std::mem::replace(&mut self.end, place);
        if let Some(segment) = self.segments.last_mut() {
            segment.len = place.offset();
        }
        let passed = before < mark.place && mark.place <= place;
        let same = (place, self.walk.chain, self.walk.next) == (mark.place, mark.chain, mark.upper);
        if passed && !same {
            let what = "the log is not the one that MANIFEST.a and MANIFEST.b know";
            return Err(damaged(place.segment(), before.offset(), self.walk.next, what));
        }
        if place <= self.newest {
            self.beyond.clear();
        }
        Ok(())
    }

    /// Refuses a log whose good part ends before what was acknowledged.
    fn judge(&mut self, stop: Option<Stop>) -> Result<(), Error> {
        let tick = self.walk.next;
        if let Some(Stop { segment, offset, fault }) = stop {
            // No crash makes these.
            if let Some(fault @ (Fault::Future | Fault::Foreign | Fault::Misplaced)) = fault {
                return Err(damaged(segment, offset, tick, fault.says()));
            }
            for number in self.numbers.iter().filter(|number| segment <= **number) {
                let from = if *number == segment { offset } else { 0 };
                let bytes = self.bytes(*number)?;
                let mark = self.walk.search(bytes.get(index(from)..).unwrap_or_default());
                self.newest = self.newest.max(mark.unwrap_or_default());
            }
        }
        if self.newest <= self.end {
            return Ok(());
        }
        let within = self.end.segment() == self.newest.segment() && self.end.offset() != 0;
        match stop {
            Some(Stop { segment, offset, fault: Some(fault) })
                if !within || segment == self.end.segment() =>
            {
                Err(damaged(segment, offset, tick, fault.says()))
            }
            Some(Stop { segment, fault: None, .. }) if !within => {
                Err(Error::missing(segment, tick))
            }
            None if !within => {
                let read = u64::from(!self.segments.is_empty());
                Err(Error::missing(self.end.segment() + read, tick))
            }
            _ => {
                let what = "the file ends before what was acknowledged";
                Err(damaged(self.end.segment(), self.end.offset(), tick, what))
            }
        }
    }

    /// Cuts what is torn, and makes durable what is left.
    fn mend(self, first: u64, stop: Option<Stop>) -> Result<Found, Error> {
        let Reading { storage, numbers, walk, segments, end, newest, beyond, .. } = self;
        let (mut bytes, mut changed, mut removed) = (0, false, Vec::new());
        let last = segments.last().map_or(0, |segment| segment.number);
        for number in
            numbers.iter().rev().filter(|number| last.max(first.saturating_sub(1)) < **number)
        {
            let name = segment::name(*number);
            bytes += storage.len(&name).map_err(|source| Error::read(&name, source))?;
            storage.remove(&name).map_err(|source| Error::write(name, source))?;
            changed = true;
        }
        for segment in segments.iter().filter(|segment| newest.segment() <= segment.number) {
            let from = if segment.number == newest.segment() { newest.offset() } else { 0 };
            let torn = settle(storage, segment, from)
                .map_err(|source| Error::write(segment::name(segment.number), source))?;
            changed |= torn.is_some();
            bytes += torn.unwrap_or(0);
        }
        if changed {
            storage.sync_dir(LOG).map_err(|source| Error::sync(LOG, source))?;
        }
        // Only now is what follows them durable.
        for number in numbers.iter().filter(|number| **number < first) {
            let name = segment::name(*number);
            storage.remove(&name).map_err(|source| Error::write(&name, source))?;
            removed.push(name);
        }
        if !removed.is_empty() {
            storage.sync_dir(LOG).map_err(|source| Error::sync(LOG, source))?;
        }
        let tick = walk.next;
        let cut = stop.filter(|_| 0 < bytes).map(|stop| torn(stop, end, tick, bytes));
        let mark = Mark { place: end, chain: walk.chain, upper: tick };
        let opened = Opened { mark, beyond: count(beyond.len()), cut, removed };
        Ok(Found { segments, walk, opened })
    }
}

/// What is to be said of a torn end.
fn torn(stop: Stop, end: Place, tick: Tick, bytes: u64) -> Cut {
    let what = stop.fault.map_or("a segment before it was never written", Fault::says);
    Cut { file: segment::name(end.segment()), offset: end.offset(), tick, bytes, what }
}

/// Cuts a segment at its last good frame, and writes what is good after `from` again; gives how
/// many bytes were cut, or `None` if there was nothing to do.
fn settle(storage: &dyn Storage, segment: &Segment, from: u64) -> io::Result<Option<u64>> {
    let name = segment::name(segment.number);
    let torn = storage.len(&name)?.saturating_sub(segment.len);
    if torn == 0 && segment.len <= from {
        return Ok(None);
    }
    let mut file = storage.open(&name)?;
    if 0 < torn {
        file.set_len(segment.len)?;
    }
    let mut bytes = vec![0; index(segment.len.saturating_sub(from))];
    if !bytes.is_empty() {
        storage.read_at(&name, from, &mut bytes)?;
        file.write_at(from, &bytes)?;
    }
    file.sync()?;
    Ok(Some(torn))
}

/// The refusal of damage.
fn damaged(segment: u64, offset: u64, tick: Tick, what: &'static str) -> Error {
    Error::Damaged { file: segment::name(segment), offset, tick, what }
}
