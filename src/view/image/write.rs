//! Write: how does a view get into a file?

use std::io::{self, Write};

use dataflows::Tick;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    BLOCK_BYTES, Block, Digest, FOOT_BYTES_MAX, FORMAT, Foot, HEAD_BYTES, MAGIC, ROW_BYTES_MAX,
    TAIL_BYTES,
};
use crate::view::{Store, lock};

/// The bytes of a row.
pub(in crate::view) struct Encoded<'a> {
    /// Those of the key, and then of the row.
    pub(super) bytes: &'a [u8],
    /// How many are the key's.
    pub(super) key: usize,
    /// Whether it is a mirror's.
    pub(super) mirror: bool,
}

impl<'a> Encoded<'a> {
    /// The row of `key`, in `bytes`, which it overwrites.
    pub(in crate::view) fn of(
        key: &impl Serialize,
        row: &impl Serialize,
        mirror: bool,
        bytes: &'a mut Vec<u8>,
    ) -> io::Result<Encoded<'a>> {
        bytes.clear();
        let buffer = postcard::to_extend(key, std::mem::take(bytes)).map_err(io::Error::other)?;
        let key = buffer.len();
        *bytes = postcard::to_extend(row, buffer).map_err(io::Error::other)?;
        Ok(Encoded { bytes, key, mirror })
    }
}

/// What was written of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many rows.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The digest of the rows.
    pub digest: Digest,
}

impl Store {
    /// Writes the image of the view `name`, which shows `tick`: the same bytes at any number of
    /// workers.
    ///
    /// Nothing is held but a block and the keys that blocks begin with, and of a pairs view the
    /// neighbours of one item.
    ///
    /// # Errors
    ///
    /// There is no such view, or `out` fails; part of the image may have been written.
    pub fn image(&self, name: &str, tick: Tick, out: &mut dyn Write) -> io::Result<Written> {
        let views = lock(&self.views);
        let view = views.get(name).ok_or(io::ErrorKind::NotFound)?;
        let mut writer = Writer::new(out);
        view.encoded(true, &mut |row| writer.push(&row))?;
        writer.finish(name, tick, view.mirrored())
    }

    /// The digest that the image of the view `name` would have; `None` if there is no such view.
    ///
    /// Cost: one pass over the rows, whose bytes are made and digested.
    #[must_use]
    pub fn digest(&self, name: &str) -> Option<Digest> {
        let mut sha = Sha256::new();
        let digested = lock(&self.views).get(name)?.encoded(false, &mut |row| {
            sha.update(row.bytes);
            Ok(())
        });
        digested.ok().map(|()| sha.finalize().into())
    }
}

/// Packs rows into blocks.
pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
    /// The block under construction, with room for its head.
    block: Vec<u8>,
    /// The row before.
    last: Vec<u8>,
    blocks: Vec<Block>,
    sha: Sha256,
    rows: u64,
    bytes: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Writer<'a> {
        Writer {
            out,
            block: Vec::with_capacity(HEAD_BYTES + 2 * BLOCK_BYTES),
            last: Vec::new(),
            blocks: Vec::new(),
            sha: Sha256::new(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Takes the next row.
    pub(super) fn push(&mut self, row: &Encoded<'_>) -> io::Result<()> {
        let bytes = row.bytes;
        if ROW_BYTES_MAX < bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a row is too long"));
        }
        if !row.mirror {
            self.sha.update(bytes);
            self.rows += 1;
        }
        if self.block.is_empty() {
            self.block.resize(HEAD_BYTES, 0);
            self.last.clear();
            self.blocks.push(Block { len: 0, first: bytes[..row.key].to_vec() });
        }
        let pairs = self.last.iter().zip(bytes);
        let shared = pairs.take_while(|(before, now)| before == now).count();
        varint(&mut self.block, shared);
        varint(&mut self.block, bytes.len() - shared);
        self.block.extend_from_slice(&bytes[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&bytes[shared..]);
        if HEAD_BYTES + BLOCK_BYTES <= self.block.len() { self.flush() } else { Ok(()) }
    }

    /// Writes the block under construction.
    fn flush(&mut self) -> io::Result<()> {
        let Some((head, rows)) = self.block.split_at_mut_checked(HEAD_BYTES) else {
            return Ok(());
        };
        let len = u32::try_from(rows.len()).map_err(io::Error::other)?;
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..].copy_from_slice(&crc32c::crc32c(rows).to_le_bytes());
        if let Some(block) = self.blocks.last_mut() {
            block.len = len;
        }
        self.out.write_all(&self.block)?;
        self.bytes += u64::try_from(self.block.len()).unwrap_or(0);
        self.block.clear();
        Ok(())
    }

    /// Writes what says where everything is.
    pub(super) fn finish(mut self, view: &str, tick: Tick, mirrored: bool) -> io::Result<Written> {
        self.flush()?;
        let Writer { out, blocks, sha, rows, .. } = self;
        let digest: Digest = sha.finalize().into();
        let (view, tick) = (view.to_owned(), tick.0);
        let foot = Foot { view, tick, rows, mirrored, digest, blocks };
        let foot = postcard::to_stdvec(&foot).map_err(io::Error::other)?;
        if FOOT_BYTES_MAX < foot.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a view has too many rows"));
        }
        out.write_all(&foot)?;
        let tail = tail(&foot)?;
        out.write_all(&tail)?;
        let more = foot.len() + tail.len();
        let bytes = self.bytes + u64::try_from(more).unwrap_or(0);
        Ok(Written { rows, bytes, digest })
    }
}

/// The tail behind `foot`.
pub(super) fn tail(foot: &[u8]) -> io::Result<[u8; TAIL_BYTES]> {
    let len = u32::try_from(foot.len()).map_err(io::Error::other)?;
    let mut tail = [0; TAIL_BYTES];
    tail[..8].copy_from_slice(&MAGIC);
    tail[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    tail[12..16].copy_from_slice(&len.to_le_bytes());
    tail[16..20].copy_from_slice(&crc32c::crc32c(foot).to_le_bytes());
    let sum = crc32c::crc32c(&tail[..20]);
    tail[20..].copy_from_slice(&sum.to_le_bytes());
    Ok(tail)
}

/// Appends `number`, seven bits a byte, the lowest first; all but the last byte have the eighth.
fn varint(to: &mut Vec<u8>, mut number: usize) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            to.push(low & 0x7f);
            return;
        }
        to.push(low | 0x80);
    }
}
