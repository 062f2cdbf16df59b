//! Segment: which file of the log holds which ticks?
//!
//! A segment is a file named by its number. It begins with a header that says which tick comes
//! first and after which chain; frames follow it to the end of the file.

use dataflows::Tick;

use super::frame::{CHAIN_BYTES, Chain, Fault};
use super::{Error, LOG};
use crate::storage::{Format, Storage, Unlike, checksum};

/// What a segment begins with.
pub(super) const FORMAT: Format = Format { letters: *b"afflulog", version: 1 };

/// How many bytes a header has.
pub(super) const HEADER_BYTES: usize = Format::BYTES + 16 + 8 + 8 + CHAIN_BYTES + 4;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The data directory that it belongs to.
    pub(super) directory: [u8; 16],
    /// Its number, which is its name.
    pub(super) number: u64,
    /// The tick of its first frame.
    pub(super) first: Tick,
    /// The chain before its first frame.
    pub(super) chain: Chain,
}

/// A segment of an open log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) first: Tick,
    pub(super) chain: Chain,
    /// How many bytes of the file are in use.
    pub(super) len: u64,
}

/// The name of a segment's file.
#[must_use]
pub fn name(number: u64) -> String {
    format!("{LOG}/{number:016x}.seg")
}

/// The numbers of all segments, in order; other files are none of the log's business.
pub(super) fn list(storage: &dyn Storage) -> Result<Vec<u64>, Error> {
    let names = storage.list(LOG).map_err(|source| Error::read(LOG, source))?;
    let number = |name: &String| {
        let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().filter(|number| name == &format!("{number:016x}.seg"))
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

impl Header {
    /// Its bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend(FORMAT.head());
        out.extend(self.directory);
        out.extend(self.number.to_le_bytes());
        out.extend(self.first.0.to_le_bytes());
        out.extend(self.chain);
        let sum = checksum(0, out.get(start..).unwrap_or_default());
        out.extend(sum.to_le_bytes());
    }

    /// The header that a file begins with.
    ///
    /// # Errors
    ///
    /// [`Error::Newer`] for a newer format; a fault for one that is not whole or not in place.
    pub(super) fn decode(
        bytes: &[u8],
        number: u64,
        directory: [u8; 16],
    ) -> Result<Result<Header, Fault>, Error> {
        let fields = match FORMAT.check(bytes) {
            Ok(fields) => fields,
            Err(Unlike::Newer(version)) => {
                return Err(Error::Newer { file: name(number), version, known: FORMAT.version });
            }
            Err(Unlike::Damaged) => return Ok(Err(Fault::Header)),
        };
        let read = || {
            let mut fields = fields;
            let header = Header {
                directory: fields.take()?,
                number: fields.u64()?,
                first: Tick(fields.u64()?),
                chain: fields.take()?,
            };
            let said = bytes.get(..HEADER_BYTES - 4)?;
            (fields.u32()? == checksum(0, said)).then_some(header)
        };
        Ok(match read() {
            None => Err(Fault::Header),
            Some(header) if header.directory != directory => Err(Fault::Foreign),
            Some(header) if header.number != number => Err(Fault::Misplaced),
            Some(header) => Ok(header),
        })
    }
}
