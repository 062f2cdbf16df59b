//! Bytes: what may a file hold after the power was cut?
//!
//! A write goes to the cache, which every reader sees, and is kept until a sync takes it to the
//! disk. When power is cut, what was kept may be there in whole, in part, in another order or not
//! at all; what was synced is there.

use super::dice::Dice;

/// The size of the pieces that a disk writes whole, except at the end of a file.
const SECTOR_BYTES: usize = 512;

/// A change of a file that is not yet on the disk.
#[derive(Clone, Debug)]
enum Change {
    /// Bytes were written at a place.
    Write(usize, Vec<u8>),
    /// The file was cut, or filled up with zeros.
    Len(usize),
}

/// The bytes of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    /// What a reader sees.
    pub(super) cache: Vec<u8>,
    /// What is surely on the disk.
    pub(super) disk: Vec<u8>,
    /// What has changed since.
    pending: Vec<Change>,
}

impl Bytes {
    /// A file that is on the disk.
    pub(super) fn durable(bytes: Vec<u8>) -> Bytes {
        Bytes { cache: bytes.clone(), disk: bytes, pending: Vec::new() }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.cache, offset, bytes);
        self.pending.push(Change::Write(offset, bytes.to_vec()));
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.cache.resize(len, 0);
        self.pending.push(Change::Len(len));
    }

    /// Takes all changes to the disk.
    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write(offset, bytes) => put(&mut self.disk, offset, &bytes),
                Change::Len(len) => self.disk.resize(len, 0),
            }
        }
    }

    /// Takes some changes to the disk and forgets the others: a sync has failed.
    ///
    /// A reader still sees them, unless the cache is given up, too. A later sync knows nothing of
    /// them, as on Linux.
    pub(super) fn fail_sync(&mut self, dice: &mut Dice) {
        self.disk = self.remains(dice);
        self.pending.clear();
        if dice.once_in(3) {
            self.cache.clone_from(&self.disk);
        }
    }

    /// What is on the disk if power is cut now.
    pub(super) fn remains(&self, dice: &mut Dice) -> Vec<u8> {
        let mut disk = self.disk.clone();
        if self.pending.is_empty() {
            return disk;
        }
        match dice.below(6) {
            0 => {}
            1 => disk.clone_from(&self.cache),
            2 | 3 => self.remains_in_order(&mut disk, dice),
            _ => self.remains_at_random(&mut disk, dice),
        }
        disk
    }

    /// The first changes, and a part of the next, cut at any byte.
    fn remains_in_order(&self, disk: &mut Vec<u8>, dice: &mut Dice) {
        let whole = dice.below(self.pending.len() + 1);
        for change in self.pending.iter().take(whole) {
            match change {
                Change::Write(offset, bytes) => put(disk, *offset, bytes),
                Change::Len(len) => disk.resize(*len, 0),
            }
        }
        if let Some(Change::Write(offset, bytes)) = self.pending.get(whole) {
            put(disk, *offset, &bytes[..dice.below(bytes.len() + 1)]);
        }
    }

    /// Any pieces of any changes; in the holes are zeros, or what lay on the disk before.
    fn remains_at_random(&self, disk: &mut Vec<u8>, dice: &mut Dice) {
        let (odds, old) = (2 + dice.below(4), dice.once_in(3));
        let grow = |disk: &mut Vec<u8>, len: usize, dice: &mut Dice| {
            let start = disk.len();
            if start < len {
                disk.resize(len, 0);
                if old {
                    dice.fill(&mut disk[start..]);
                }
            }
        };
        for change in &self.pending {
            let (mut offset, mut bytes) = match change {
                Change::Write(offset, bytes) => (*offset, bytes.as_slice()),
                Change::Len(len) if dice.once_in(2) => {
                    disk.truncate(*len);
                    grow(disk, *len, dice);
                    continue;
                }
                Change::Len(_) => continue,
            };
            while !bytes.is_empty() {
                let (piece, rest) =
                    bytes.split_at(bytes.len().min(SECTOR_BYTES - offset % SECTOR_BYTES));
                if !dice.once_in(odds) {
                    grow(disk, offset, dice);
                    put(disk, offset, piece);
                }
                offset += piece.len();
                bytes = rest;
            }
            // The length is written apart from the bytes.
            if dice.once_in(odds) {
                grow(disk, offset, dice);
            }
        }
    }
}

/// Writes `bytes` into `file` at a place, and zeros before it where the file ends earlier.
fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() == offset {
        file.extend_from_slice(bytes);
        return;
    }
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
