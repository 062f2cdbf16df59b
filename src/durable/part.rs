//! Part: how do the events of a checkpoint lie in a file?
//!
//! A header, then one block common to all shards and one for each of 256, each with its length and
//! a checksum over its number and its bytes. Parts are written once and never changed; a checkpoint
//! names those that it is made of, and a part that none names is removed.

use std::io;

use super::Error;
use crate::ledger;
use crate::ledger::journal::part_name;
use crate::ledger::save::SHARDS;
use crate::storage::{File, Storage, checksum};

/// The first bytes of a part.
const MAGIC: &[u8; 8] = b"AFFLPART";

/// The version of the format.
const VERSION: u32 = 1;

/// The bytes of the header: magic, version, number, checksum of these.
const HEADER: usize = 24;

/// The bytes before a block: its length and its checksum.
const HEAD: usize = 8;

/// The longest block.
const BLOCK_BYTES_MAX: usize = 1 << 30;

/// How many blocks a part has.
const BLOCKS: u64 = SHARDS + 1;

/// Writes a part.
#[derive(Debug)]
pub(super) struct Writer {
    file: Box<dyn File>,
    bytes: u64,
    block: u64,
}

/// What a checksum of a block is of.
fn check(block: u64, bytes: &[u8]) -> u32 {
    checksum(checksum(0, &block.to_le_bytes()), bytes)
}

/// The header of a part.
fn header(number: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&number.to_le_bytes());
    let check = checksum(0, &header[..20]);
    header[20..].copy_from_slice(&check.to_le_bytes());
    header
}

impl Writer {
    /// Begins the part of this number.
    pub(super) fn create(storage: &dyn Storage, number: u64) -> io::Result<Writer> {
        storage.make_dir("base")?;
        let mut file = storage.create(&part_name(number))?;
        file.append(&header(number))?;
        Ok(Writer { file, bytes: 24, block: 0 })
    }

    /// Appends a block; gives where its first byte is.
    pub(super) fn block(&mut self, body: &[u8]) -> io::Result<u64> {
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BLOCK_BYTES_MAX);
        let length = length.ok_or_else(|| io::Error::other("a shard has more than a GiB"))?;
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&check(self.block, body).to_le_bytes());
        bytes.extend_from_slice(body);
        self.file.append(&bytes)?;
        let begin = self.bytes + 8;
        self.bytes += 8 + u64::from(length);
        self.block += 1;
        Ok(begin)
    }

    /// Makes the part durable; gives its length.
    pub(super) fn finish(mut self, storage: &dyn Storage) -> io::Result<u64> {
        self.file.sync()?;
        storage.sync_dir("base")?;
        Ok(self.bytes)
    }
}

/// The block of a part that is common to all shards; the others are not read.
///
/// # Errors
///
/// The part is not what was written as far as it was read, or it cannot be read.
pub(super) fn common(storage: &dyn Storage, number: u64, bytes: u64) -> Result<Vec<u8>, Error> {
    let mut at = begin(storage, number, bytes)?;
    let mut body = Vec::new();
    next(storage, (number, bytes), 0, &mut at, &mut body)?;
    Ok(body)
}

/// Calls `block` with every block of a part, and where its first byte is.
///
/// # Errors
///
/// The part is not what was written, or cannot be read; or what `block` failed with.
pub(super) fn read(
    storage: &dyn Storage,
    number: u64,
    bytes: u64,
    mut block: impl FnMut(u64, &[u8]) -> Result<(), ledger::Error>,
) -> Result<(), Error> {
    let mut at = begin(storage, number, bytes)?;
    let mut body = Vec::new();
    for place in 0..BLOCKS {
        let begin = next(storage, (number, bytes), place, &mut at, &mut body)?;
        block(begin, &body)?;
    }
    if at != bytes {
        return Err(damaged(number, "it goes on behind its last block", at));
    }
    Ok(())
}

fn damaged(number: u64, what: &'static str, at: u64) -> Error {
    Error::Damaged { name: part_name(number), at, what }
}

fn unread(number: u64) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { name: part_name(number), source }
}

/// Checks length and header; gives where the first block is.
fn begin(storage: &dyn Storage, number: u64, bytes: u64) -> Result<u64, Error> {
    let name = part_name(number);
    let length = storage.len(&name).map_err(unread(number))?;
    if length != bytes {
        return Err(damaged(number, "it is not as long as the checkpoint says", length));
    }
    let mut head = [0; HEADER];
    storage.read_at(&name, 0, &mut head).map_err(unread(number))?;
    if head != header(number) {
        let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        if head.starts_with(MAGIC) && VERSION < version {
            return Err(Error::Newer { name, version });
        }
        return Err(damaged(number, "its header is not that of a part", 0));
    }
    Ok(24)
}

/// Reads the block at `at`, which has this place in the part, into `body`; gives where its first
/// byte is.
fn next(
    storage: &dyn Storage,
    (number, bytes): (u64, u64),
    place: u64,
    at: &mut u64,
    body: &mut Vec<u8>,
) -> Result<u64, Error> {
    let name = part_name(number);
    let mut head = [0; HEAD];
    if bytes < *at + 8 {
        return Err(damaged(number, "it ends before its last block", *at));
    }
    storage.read_at(&name, *at, &mut head).map_err(unread(number))?;
    let [length, sum] =
        [[head[0], head[1], head[2], head[3]], [head[4], head[5], head[6], head[7]]]
            .map(u32::from_le_bytes);
    if bytes < *at + 8 + u64::from(length) {
        return Err(damaged(number, "a block is longer than the part", *at));
    }
    body.resize(usize::try_from(length).unwrap_or(0), 0);
    storage.read_at(&name, *at + 8, body).map_err(unread(number))?;
    if check(place, body) != sum {
        return Err(damaged(number, "a block's checksum is not that of its bytes", *at));
    }
    let begin = *at + 8;
    *at = begin + u64::from(length);
    Ok(begin)
}
