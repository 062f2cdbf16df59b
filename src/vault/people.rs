//! People: how do the keys of persons lie in a file?
//!
//! ```text
//! sector 0   head 16 | epoch u32 | check 16 | zeros | checksum u32
//! sector 1   how many slots are ready u32 | zeros | checksum u32
//! sector 2   the same
//! sector 3   how many slots are to be destroyed u32 | which: u32… | zeros | checksum u32
//! from 2048  slots of 48 bytes: a key, wrapped, and its tag; or zeros, and a mark that says so
//! ```
//!
//! Every byte is under a checksum or a tag. What must not be torn is written twice: the count of
//! slots in two sectors, and what is to be destroyed in a list that is durable before any slot is
//! touched, so that a start finishes it. A slot that is neither whole nor destroyed is damage.

use super::Error;
use super::seal::{KEY_BYTES, TAG_BYTES, seal, sign, unseal};
use crate::storage::{Fields, Format, Unlike, checksum};

/// The file of the keys.
pub const PEOPLE: &str = "keys/people";

/// What it begins with.
const FORMAT: Format = Format { letters: *b"affluppl", version: 1 };

/// The bytes of a sector, and of those under its checksum.
const SECTOR_BYTES: usize = 512;
const SUMMED: usize = SECTOR_BYTES - 4;

/// Where the slots begin.
const SLOTS_AT: usize = 4 * SECTOR_BYTES;

/// The bytes of a slot.
pub(super) const SLOT_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// How many slots can be on the list of those to be destroyed.
pub(super) const LIST_MAX: usize = (SUMMED - 4) / 4;

/// Where each sector is.
pub(super) const COUNTS_AT: [u64; 2] = [512, 1024];
pub(super) const LIST_AT: u64 = 1536;

/// What the file says was not whole.
const DAMAGED: [&str; 2] = [
    "a count of keys/people was not whole and its copy was used; it is mended",
    "the list of keys to destroy was not whole and none was waiting; it is mended",
];

/// The keys that wrap those of persons, and mark the destroyed ones.
#[derive(Clone, Copy)]
pub(super) struct Wrapping {
    pub(super) key: [u8; KEY_BYTES],
    pub(super) mark: [u8; KEY_BYTES],
    /// How often all was written anew.
    pub(super) epoch: u32,
}

/// What a file holds.
pub(super) struct File {
    pub(super) epoch: u32,
    /// The keys; zeros for one that is destroyed.
    pub(super) keys: Vec<[u8; KEY_BYTES]>,
    /// The slots that were to be destroyed, and may be no slots at all any more.
    pub(super) doomed: Vec<u32>,
    /// Whether the counts and the list are as a quiet file has them.
    pub(super) settled: bool,
    /// What was not whole and did no harm.
    pub(super) damaged: Option<&'static str>,
}

/// Where a slot is.
pub(super) fn slot_at(slot: usize) -> u64 {
    let place = slot.saturating_mul(SLOT_BYTES).saturating_add(SLOTS_AT);
    u64::try_from(place).unwrap_or(u64::MAX)
}

/// How many slots a file of this length has, whole or not.
pub(super) fn slots_in(len: u64) -> usize {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    len.saturating_sub(SLOTS_AT).div_ceil(SLOT_BYTES)
}

/// Fills a sector up, and sums it.
fn sector(mut bytes: Vec<u8>) -> Vec<u8> {
    assert!(bytes.len() <= SUMMED, "a sector holds what is written into it");
    bytes.resize(SUMMED, 0);
    bytes.extend(checksum(0, &bytes).to_le_bytes());
    bytes
}

/// What a sector holds; `None` if it is not whole.
fn whole(sector: &[u8]) -> Option<Fields<'_>> {
    let (said, sum) = sector.split_last_chunk::<4>()?;
    (said.len() == SUMMED && *sum == checksum(0, said).to_le_bytes()).then_some(Fields(said))
}

/// The sector of a count.
pub(super) fn count_sector(ready: u32) -> Vec<u8> {
    sector(ready.to_le_bytes().to_vec())
}

/// The sector of a list.
pub(super) fn list_sector(doomed: &[u32]) -> Vec<u8> {
    let len = u32::try_from(doomed.len()).unwrap_or(0);
    sector(std::iter::once(&len).chain(doomed).flat_map(|slot| slot.to_le_bytes()).collect())
}

impl Wrapping {
    fn nonce(&self, slot: u32) -> [u8; 12] {
        super::Nonce(self.epoch, u64::from(slot)).bytes()
    }

    /// What shows that the file was written under this key.
    fn check(&self) -> [u8; 16] {
        let hash = sign(&self.mark, &[&b"check"[..], &self.epoch.to_le_bytes()].concat());
        hash.first_chunk().copied().unwrap_or_default()
    }

    /// Appends a slot: the key wrapped, or, for zeros, the mark of one that was destroyed.
    pub(super) fn wrap(&self, slot: u32, key: &[u8; KEY_BYTES], out: &mut Vec<u8>) {
        if *key != [0; KEY_BYTES] {
            return seal(&self.key, self.nonce(slot), &[], key, out);
        }
        out.extend(key);
        let hash = sign(&self.mark, &self.nonce(slot));
        out.extend(hash.first_chunk::<TAG_BYTES>().copied().unwrap_or_default());
    }

    /// The key in a slot, zeros for one that was destroyed; `None` for damage.
    fn unwrap(&self, slot: u32, bytes: &[u8]) -> Option<[u8; KEY_BYTES]> {
        let mut key = Vec::with_capacity(KEY_BYTES);
        if bytes.get(..KEY_BYTES)? == [0; KEY_BYTES] {
            self.wrap(slot, &[0; KEY_BYTES], &mut key);
            return (key == bytes).then_some([0; KEY_BYTES]);
        }
        unseal(&self.key, self.nonce(slot), &[], bytes, &mut key)?;
        key.first_chunk().copied()
    }

    /// The file `ours` with what is damaged of it taken from `theirs`, a whole one of the same
    /// epoch, and the slots that were; `None` if that is not enough.
    pub(super) fn mend(mut self, ours: &[u8], theirs: &[u8]) -> Option<(Vec<u8>, Vec<u32>)> {
        let number = |bytes: &[u8], at: usize, skip: usize| {
            let fields = whole(bytes.get(at..at + SECTOR_BYTES)?)?;
            Fields(fields.0.get(skip..)?).u32()
        };
        let epoch = |bytes: &[u8]| number(bytes, 0, Format::BYTES);
        self.epoch = epoch(theirs)?;
        if epoch(ours).is_some_and(|epoch| epoch != self.epoch) {
            return None;
        }
        let count = |bytes| number(bytes, SECTOR_BYTES, 0).max(number(bytes, 2 * SECTOR_BYTES, 0));
        let ready = count(ours).max(count(theirs))?;
        let slot = |bytes: &[u8], slot: u32| {
            let at = usize::try_from(slot_at(usize::try_from(slot).ok()?)).ok()?;
            let bytes = bytes.get(at..at + SLOT_BYTES)?;
            self.unwrap(slot, bytes)
        };
        let (mut keys, mut brought) = (Vec::new(), Vec::new());
        for number in 0..ready {
            keys.push(match slot(ours, number) {
                Some(key) => key,
                None => {
                    brought.push(number);
                    slot(theirs, number)?
                }
            });
        }
        Some((self.file(&keys), brought))
    }

    /// The file of some keys.
    pub(super) fn file(&self, keys: &[[u8; KEY_BYTES]]) -> Vec<u8> {
        let ready = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let mut head = FORMAT.head().to_vec();
        head.extend(self.epoch.to_le_bytes());
        head.extend(self.check());
        let mut out = sector(head);
        out.extend(count_sector(ready));
        out.extend(count_sector(ready));
        out.extend(list_sector(&[]));
        for (slot, key) in (0..).zip(keys) {
            self.wrap(slot, key, &mut out);
        }
        out
    }

    /// What a file holds.
    pub(super) fn read(mut self, bytes: &[u8]) -> Result<File, Error> {
        let damaged = |offset: u64| Error::Damaged { file: PEOPLE, offset };
        let (head, rest) = bytes.split_at_checked(SECTOR_BYTES).unwrap_or((bytes, &[]));
        FORMAT.check(head).map_err(|unlike| match unlike {
            Unlike::Newer(version) => Error::Newer { file: PEOPLE, version, known: FORMAT.version },
            Unlike::Damaged => damaged(0),
        })?;
        let mut fields = whole(head).ok_or(damaged(0))?;
        fields.take::<{ Format::BYTES }>();
        self.epoch = fields.u32().unwrap_or_default();
        if fields.take() != Some(self.check()) {
            return Err(Error::WrongKey);
        }
        let mut sectors = rest.chunks_exact(SECTOR_BYTES).map(whole);
        let mut next = || sectors.next().flatten();
        let counts = [next(), next()].map(|sector| sector.and_then(|mut fields| fields.u32()));
        let list = next().and_then(|mut fields| {
            let len = fields.u32()?;
            (0..len).map(|_| fields.u32()).collect::<Option<Vec<u32>>>()
        });
        let [a, b] = counts;
        let ready = a.max(b).ok_or(damaged(512))?;
        let doomed = list.clone().unwrap_or_default();
        let mut keys = Vec::new();
        let mut slots = bytes.get(SLOTS_AT..).unwrap_or_default().chunks_exact(SLOT_BYTES);
        for slot in 0..ready {
            let key = slots.next().and_then(|bytes| {
                // A slot on the list may be torn: it is destroyed now.
                let doomed = doomed.contains(&slot).then_some([0; KEY_BYTES]);
                doomed.or_else(|| self.unwrap(slot, bytes))
            });
            keys.push(key.ok_or_else(|| damaged(slot_at(keys.len())))?);
        }
        let damaged = match (a.is_some() && b.is_some(), list.is_some()) {
            (false, _) => DAMAGED.first(),
            (true, false) => DAMAGED.last(),
            (true, true) => None,
        };
        let settled = a == b && list.is_some_and(|list| list.is_empty());
        Ok(File { epoch: self.epoch, keys, doomed, settled, damaged: damaged.copied() })
    }
}
