//! Superblock: what must be known before the log can be read?
//!
//! Two files hold it in turn, so that one is whole whatever happens to the other while it is
//! written. It is smaller than a sector, and its length never changes.

use dataflows::Tick;

use super::frame::{CHAIN_BYTES, origin};
use super::{Error, Mark, Place};
use crate::storage::{Format, Storage, Unlike, checksum};

/// What a superblock begins with.
const FORMAT: Format = Format { letters: *b"afflusup", version: 1 };

/// The names of the two files.
pub(super) const NAMES: [&str; 2] = ["MANIFEST.a", "MANIFEST.b"];

/// How many bytes a superblock has; those that no field takes are zeros.
const BYTES: usize = 128;

/// How many bytes come before its checksum.
const SUMMED: usize = BYTES - 4;

/// What is known of a data directory before anything else is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// The directory's own name: random, and in every segment.
    pub directory: [u8; 16],
    /// How often the directory has been opened; no two openings share a number.
    pub generation: u32,
    /// How often a superblock was written: the higher of the two counts.
    pub sequence: u64,
    /// The end of the log that was durable when this was written; the log may go further.
    pub mark: Mark,
    /// The tick of the newest checkpoint.
    pub checkpoint: Option<Tick>,
    /// The first tick that can still be read from the log.
    pub since: Tick,
    /// How often the persons' keys were written anew.
    pub key_epoch: u32,
}

/// What a file that should hold a superblock holds instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// There is no such file.
    Missing,
    /// It is not whole.
    Damaged,
}

impl Superblock {
    /// The superblock of a new directory.
    #[must_use]
    pub fn new(directory: [u8; 16]) -> Superblock {
        let place = Place::new(1, 0);
        Superblock {
            directory,
            generation: 1,
            sequence: 0,
            mark: Mark { place, chain: origin(directory), upper: Tick(0) },
            checkpoint: None,
            since: Tick(0),
            key_epoch: 0,
        }
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        assert!(self.since <= self.mark.upper, "no tick is given up before it is durable");
        let mut out = Vec::with_capacity(BYTES);
        out.extend(FORMAT.head());
        out.extend(self.directory);
        out.extend(self.generation.to_le_bytes());
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.mark.place.0.to_le_bytes());
        out.extend(self.mark.chain);
        out.extend(self.mark.upper.0.to_le_bytes());
        out.push(u8::from(self.checkpoint.is_some()));
        out.extend(self.checkpoint.unwrap_or_default().0.to_le_bytes());
        out.extend(self.since.0.to_le_bytes());
        out.extend(self.key_epoch.to_le_bytes());
        out.resize(SUMMED, 0);
        out.extend(checksum(0, &out).to_le_bytes());
        out
    }

    /// The superblock of a file.
    pub(super) fn decode(bytes: &[u8], file: &str) -> Result<Result<Superblock, Bad>, Error> {
        let fields = match FORMAT.check(bytes) {
            Ok(fields) => fields,
            Err(Unlike::Newer(version)) => {
                return Err(Error::Newer { file: file.into(), version, known: FORMAT.version });
            }
            Err(Unlike::Damaged) => return Ok(Err(Bad::Damaged)),
        };
        let read = || {
            let mut fields = fields;
            let superblock = Superblock {
                directory: fields.take()?,
                generation: fields.u32()?,
                sequence: fields.u64()?,
                mark: Mark {
                    place: Place(fields.u64()?),
                    chain: fields.take::<CHAIN_BYTES>()?,
                    upper: Tick(fields.u64()?),
                },
                checkpoint: match (fields.take::<1>()?, fields.u64()?) {
                    ([0], _) => None,
                    (_, tick) => Some(Tick(tick)),
                },
                since: Tick(fields.u64()?),
                key_epoch: fields.u32()?,
            };
            let (said, sum) = bytes.split_at_checked(SUMMED)?;
            (sum == checksum(0, said).to_le_bytes()).then_some(superblock)
        };
        Ok(read().ok_or(Bad::Damaged))
    }

    /// The superblock of one of the two files.
    pub(super) fn read(
        storage: &dyn Storage,
        file: &str,
    ) -> Result<Result<Superblock, Bad>, Error> {
        match storage.read(file) {
            Ok(bytes) => Superblock::decode(&bytes, file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Err(Bad::Missing)),
            Err(source) => Err(Error::read(file, source)),
        }
    }
}
