//! Read: which bytes of an image hold what is looked for, and are they those that were written?

use std::cmp::Ordering;

use dataflows::Tick;

use super::{
    BLOCK_BYTES_MAX, Error, FOOT_BYTES_MAX, FORMAT, Foot, HEAD_BYTES, MAGIC, Part, ROW_BYTES_MAX,
    ReadAt, TAIL_BYTES, decoded,
};

/// An image whose rows are bytes.
#[derive(Debug)]
pub(super) struct Sorted {
    view: &'static str,
    file: Box<dyn ReadAt>,
    pub(super) foot: Foot,
    /// Where each block begins, and where the last one ends: there the foot begins.
    offsets: Vec<u64>,
    size: u64,
}

impl Sorted {
    /// Reads tail and foot.
    pub(super) fn open(
        view: &'static str,
        tick: Tick,
        mirrored: bool,
        file: Box<dyn ReadAt>,
    ) -> Result<Sorted, Error> {
        let size = file.size().map_err(|source| Error::Read { view, offset: 0, source })?;
        let blank = Foot {
            view: String::new(),
            tick: 0,
            rows: 0,
            mirrored,
            digest: [0; 32],
            blocks: Vec::new(),
        };
        let mut sorted = Sorted { view, file, foot: blank, offsets: vec![0], size };
        let (len, sum) = sorted.tail()?;
        let ends = u64::try_from(TAIL_BYTES + len).unwrap_or(u64::MAX);
        let Some(start) = size.checked_sub(ends) else {
            return Err(sorted.damaged(Part::Tail, "the file is shorter than it says"));
        };
        let mut bytes = vec![0; len];
        sorted.fill(start, &mut bytes)?;
        let foot = Some(bytes).filter(|bytes| crc32c::crc32c(bytes) == sum);
        // Until all is well with the foot, it is the one part that is known, and begins there.
        sorted.offsets = vec![start];
        let Some(foot) = foot.and_then(|bytes| decoded::<Foot>(&bytes)) else {
            return Err(sorted.damaged(Part::Foot, "its checksum is that of other bytes"));
        };
        let mut offsets = vec![0];
        let mut end = 0_u64;
        for block in &foot.blocks {
            let head = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
            end = end.saturating_add(u64::from(block.len)).saturating_add(head);
            offsets.push(end);
        }
        if end != start || foot.mirrored != mirrored {
            return Err(sorted.damaged(Part::Foot, "it does not say where the rows are"));
        }
        if foot.view != view || foot.tick != tick.0 {
            let (found, at) = (foot.view, Tick(foot.tick));
            return Err(Error::Other { view, tick, found, at });
        }
        Ok(Sorted { foot, offsets, ..sorted })
    }

    /// Length and checksum of the foot.
    fn tail(&self) -> Result<(usize, u32), Error> {
        let mut tail = [0; TAIL_BYTES];
        let Some(start) = self.size.checked_sub(u64::try_from(TAIL_BYTES).unwrap_or(0)) else {
            return Err(self.damaged(Part::Tail, "the file is too short for one"));
        };
        self.fill(start, &mut tail)?;
        let number = |at: usize| word(tail.get(at..).unwrap_or_default()).unwrap_or(0);
        if !tail.starts_with(&MAGIC) {
            return Err(self.damaged(Part::Tail, "it is not that of an image"));
        }
        if crc32c::crc32c(&tail[..TAIL_BYTES - 4]) != number(TAIL_BYTES - 4) {
            return Err(self.damaged(Part::Tail, "its checksum is that of other bytes"));
        }
        if number(8) != FORMAT {
            return Err(Error::Format { view: self.view, format: number(8) });
        }
        let len = usize::try_from(number(12)).unwrap_or(usize::MAX);
        if FOOT_BYTES_MAX < len {
            return Err(self.damaged(Part::Tail, "it says that the foot is longer than it can be"));
        }
        Ok((len, number(16)))
    }

    /// The error of a damaged part.
    pub(super) fn damaged(&self, part: Part, what: &'static str) -> Error {
        let tail = u64::try_from(TAIL_BYTES).unwrap_or(0);
        let offset = match part {
            Part::Block(number) => self.offsets.get(number).copied(),
            Part::Foot => self.offsets.last().copied(),
            Part::Tail => Some(self.size.saturating_sub(tail)),
        };
        Error::Damaged { view: self.view, part, offset: offset.unwrap_or(0), what }
    }

    fn fill(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let read = self.file.read_at(offset, out);
        read.map_err(|source| Error::Read { view: self.view, offset, source })
    }

    /// Reads the block `number`, with its head, into `to`.
    fn block(&self, number: usize, to: &mut Vec<u8>) -> Result<(), Error> {
        let (block, offset) = (&self.foot.blocks[number], self.offsets[number]);
        let damaged = |what| self.damaged(Part::Block(number), what);
        let len = usize::try_from(block.len).unwrap_or(usize::MAX);
        if BLOCK_BYTES_MAX < len {
            return Err(damaged("it is longer than a block can be"));
        }
        to.resize(HEAD_BYTES + len, 0);
        self.fill(offset, to)?;
        let (head, rows) = to.split_at(HEAD_BYTES);
        if word(head) != Some(block.len) {
            return Err(damaged("it has another length"));
        }
        if word(&head[4..]) != Some(crc32c::crc32c(rows)) {
            return Err(damaged("its checksum is that of other bytes"));
        }
        Ok(())
    }

    /// Goes through the rows that are at `place`, that is, where it says [`Ordering::Equal`].
    ///
    /// Cost: one block is read and held at a time.
    pub(super) fn scan<F: Fn(&[u8]) -> Option<Ordering>>(&self, place: F) -> Scan<'_, F> {
        Scan {
            sorted: self,
            place,
            block: None,
            bytes: Vec::new(),
            at: 0,
            row: Vec::new(),
            over: false,
        }
    }
}

/// The first four bytes as a number.
fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Rows, one after another.
pub(super) struct Scan<'a, F> {
    sorted: &'a Sorted,
    place: F,
    /// The block that is read, if one is.
    block: Option<usize>,
    /// Its head and its rows.
    bytes: Vec<u8>,
    /// Where the next row begins.
    at: usize,
    /// The last row.
    row: Vec<u8>,
    /// Whether nothing more comes.
    over: bool,
}

impl<F: Fn(&[u8]) -> Option<Ordering>> Scan<'_, F> {
    /// The next row, as `read` makes it of its bytes; nothing comes after an error.
    pub(super) fn next<T>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        while !self.over {
            // Until all is well with the row.
            self.over = true;
            if !self.advance()? {
                break;
            }
            match (self.place)(&self.row) {
                Some(Ordering::Less) => self.over = false,
                Some(Ordering::Equal) => {
                    let found = read(&self.row).ok_or_else(|| self.damaged(UNREADABLE))?;
                    self.over = false;
                    return Ok(Some(found));
                }
                Some(Ordering::Greater) => break,
                None => return Err(self.damaged(UNREADABLE)),
            }
        }
        Ok(None)
    }

    fn damaged(&self, what: &'static str) -> Error {
        self.sorted.damaged(Part::Block(self.block.unwrap_or(0)), what)
    }

    /// Takes the next row; false if there is none.
    fn advance(&mut self) -> Result<bool, Error> {
        if self.block.is_none() || self.bytes.len() <= self.at {
            let number = match self.block {
                Some(number) => number + 1,
                None => self.start()?,
            };
            self.block = Some(number);
            let Some(first) = self.sorted.foot.blocks.get(number).map(|block| &block.first) else {
                return Ok(false);
            };
            if (self.place)(first) == Some(Ordering::Greater) {
                return Ok(false);
            }
            self.sorted.block(number, &mut self.bytes)?;
            self.at = HEAD_BYTES;
            self.row.clear();
            self.take().ok_or_else(|| self.damaged(UNREADABLE))?;
            if !self.row.starts_with(first) {
                return Err(self.damaged("it begins with another row than the foot says"));
            }
            return Ok(true);
        }
        self.take().ok_or_else(|| self.damaged(UNREADABLE))?;
        Ok(true)
    }

    /// The block in which the first row at the place is, if there is one.
    fn start(&self) -> Result<usize, Error> {
        let blocks = &self.sorted.foot.blocks;
        let (mut from, mut to) = (0, blocks.len());
        while from < to {
            let middle = from.midpoint(to);
            match (self.place)(&blocks[middle].first) {
                Some(Ordering::Less) => from = middle + 1,
                Some(_) => to = middle,
                None => return Err(self.sorted.damaged(Part::Foot, "it holds what is no key")),
            }
        }
        Ok(from.saturating_sub(1))
    }

    /// Makes the row of the bytes that come next.
    fn take(&mut self) -> Option<()> {
        let [shared, len] = [self.varint()?, self.varint()?];
        if self.row.len() < shared || ROW_BYTES_MAX < shared.checked_add(len)? {
            return None;
        }
        let end = self.at.checked_add(len)?;
        let rest = self.bytes.get(self.at..end)?;
        self.row.truncate(shared);
        self.row.extend_from_slice(rest);
        self.at = end;
        Some(())
    }

    /// The number that comes next.
    fn varint(&mut self) -> Option<usize> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(number).ok();
            }
            shift += 7;
            if 28 < shift {
                return None;
            }
        }
    }
}

/// What is wrong with bytes that are no row.
const UNREADABLE: &str = "it holds what is no row, or rows out of order";
