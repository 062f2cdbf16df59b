//! Image: how is a view kept in a file, to be read without being loaded?
//!
//! ```text
//! block…      len u32 │ CRC32C u32 │ rows…      of a row: shared, len (varints), bytes
//! foot        view, tick, rows, mirrored, SHA-256, and of each block its length and first key
//! tail        magic │ format u32 │ len of the foot u32 │ its CRC32C u32 │ CRC32C of the tail u32
//! ```
//!
//! Rows stand in the order of their keys, as the bytes of the key and then of the row; of these the
//! first `shared` are those of the row before, except in a block, whose first row stands alone.
//! To open an image, its tail and foot are read; to look something up, one block.
//!
//! The digest is over the bytes of all rows in order, so that it is the view's and not the file's:
//! neither the number of workers nor the length of blocks is in it.
//!
//! The image of an undirected pairs view is *mirrored*: it holds each pair a second time with its
//! items exchanged, so that whatever goes with an item stands in one place. A mirror's row is no
//! row of the view: it is neither counted nor digested, and given to nobody who asks for rows.

mod all;
mod read;
mod write;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::ops::{Bound, RangeBounds};

use dataflows::related::{Items, Role};
use dataflows::view::Datum;
use dataflows::{Names, Tick, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::shown;
use read::Sorted;

pub use all::Images;
pub(super) use write::Encoded;
pub use write::Written;

/// The version of the format.
pub const FORMAT: u32 = 1;

/// What an image's tail begins with.
const MAGIC: [u8; 8] = *b"affl.img";

/// How many bytes a tail has.
const TAIL_BYTES: usize = 24;

/// How many bytes stand before a block's rows.
const HEAD_BYTES: usize = 8;

/// From how many bytes on a block is full.
const BLOCK_BYTES: usize = 32 * 1024;

/// The most bytes of a row.
pub const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most bytes of a block: one that is nearly full, and the longest row with its two lengths.
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + ROW_BYTES_MAX + 20;

/// The most bytes of a foot; those of a view of 100 GB are fewer.
const FOOT_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The SHA-256 over the bytes of all rows of a view, in order.
pub type Digest = [u8; 32];

/// The name of the file that holds the image of `view`.
#[must_use]
pub fn file_name(view: &str) -> String {
    format!("{view}.rows")
}

/// Bytes that are read where they are needed.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// How many there are.
    ///
    /// # Errors
    ///
    /// Nobody can say.
    fn size(&self) -> io::Result<u64>;

    /// Fills `out` with those from `offset` on.
    ///
    /// # Errors
    ///
    /// They cannot be read, or there are fewer.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

#[cfg(unix)]
impl ReadAt for std::fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, out, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(start..start.saturating_add(out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A part of an image's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The block with this number.
    Block(usize),
    /// What says where blocks are.
    Foot,
    /// The end.
    Tail,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Block(number) => write!(f, "block {number}"),
            Part::Foot => write!(f, "the foot"),
            Part::Tail => write!(f, "the tail"),
        }
    }
}

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not to be had.
    #[error("cannot read the image of `{view}` at byte {offset}")]
    Read {
        /// The view.
        view: &'static str,
        /// From where on.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not those that were written.
    #[error("the image of `{view}` is damaged in {part}, which begins at byte {offset}: {what}")]
    Damaged {
        /// The view.
        view: &'static str,
        /// Where.
        part: Part,
        /// Where the part begins.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// It was written by another version of the program.
    #[error("the image of `{view}` has format {format}, and this program reads {FORMAT}")]
    Format {
        /// The view.
        view: &'static str,
        /// Its format.
        format: u32,
    },
    /// It is not what is expected at its place.
    #[error("in place of the image of `{view}` at tick {} there is that of `{found}` at tick {}",
        tick.0, at.0)]
    Other {
        /// The view that is expected.
        view: &'static str,
        /// The tick that is expected.
        tick: Tick,
        /// The view that is found.
        found: String,
        /// The tick that is found.
        at: Tick,
    },
}

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Foot {
    view: String,
    tick: u64,
    /// How many rows the view has.
    rows: u64,
    mirrored: bool,
    digest: Digest,
    blocks: Vec<Block>,
}

/// What an image says of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Block {
    /// How many bytes its rows take.
    len: u32,
    /// The key of the first of them.
    first: Vec<u8>,
}

/// A view at one tick, in a file.
///
/// # Invariants
///
/// * What is read is what was written, or an error. Kept by the checksums of tail, foot and
///   blocks; checked by a test that flips every bit.
#[derive(Debug)]
pub struct Image<K, V> {
    view: View<K, V>,
    sorted: Sorted,
    /// Which of the rows in the file are a mirror's.
    mirror: fn(&K) -> bool,
}

impl<K: Datum, V: Datum> Image<K, V> {
    /// Opens the image of `view` at `tick`.
    ///
    /// Cost: two reads: the tail, and the foot, which is a thousandth of the file.
    ///
    /// # Errors
    ///
    /// It is not there, or its foot is damaged.
    pub fn open(view: View<K, V>, tick: Tick, file: Box<dyn ReadAt>) -> Result<Self, Error> {
        let sorted = Sorted::open(view.name, tick, false, file)?;
        Ok(Image { view, sorted, mirror: |_| false })
    }

    /// The name of the view.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.view.name
    }

    /// How many rows the view has.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.sorted.foot.rows).unwrap_or(usize::MAX)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tick that it shows.
    #[must_use]
    pub fn tick(&self) -> Tick {
        Tick(self.sorted.foot.tick)
    }

    /// The digest of all rows, as it was written.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.sorted.foot.digest
    }

    /// The value of `key`.
    ///
    /// Cost: one block is read.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is damaged.
    pub fn get(&self, key: &K) -> Result<Option<V>, Error> {
        let found = self.range((Bound::Included(key), Bound::Included(key))).next();
        Ok(found.transpose()?.map(|(_, row)| row))
    }

    /// The rows whose keys are in `range`, in order; they end with the first error.
    ///
    /// Cost: one block is read and held at a time.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = Result<(K, V), Error>> {
        let rows = self.stored(range);
        rows.filter(|row| !row.as_ref().is_ok_and(|(key, _)| (self.mirror)(key)))
    }

    /// The rows in the file whose keys are in `range`, a mirror's among them.
    fn stored(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = Result<(K, V), Error>> {
        let place = move |bytes: &[u8]| Some(place(&range, &prefix(bytes)?));
        let mut scan = self.sorted.scan(place);
        std::iter::from_fn(move || scan.next(decoded).transpose())
    }
}

impl Image<Items, i64> {
    /// Opens the image of a view of pairs that have `roles`.
    ///
    /// # Errors
    ///
    /// As [`Image::open`].
    pub fn open_pairs(
        view: View<Items, i64>,
        roles: [Role; 2],
        tick: Tick,
        file: Box<dyn ReadAt>,
    ) -> Result<Self, Error> {
        let mirrored = roles[0] == roles[1];
        let sorted = Sorted::open(view.name, tick, mirrored, file)?;
        let mirror: fn(&Items) -> bool = if mirrored { |pair| pair.1 < pair.0 } else { |_| false };
        Ok(Image { view, sorted, mirror })
    }
}

/// Where `key` is, seen from `range`.
fn place<K: Ord>(range: &impl RangeBounds<K>, key: &K) -> Ordering {
    let before = match range.start_bound() {
        Bound::Included(start) => key < start,
        Bound::Excluded(start) => key <= start,
        Bound::Unbounded => false,
    };
    let after = match range.end_bound() {
        Bound::Included(end) => end < key,
        Bound::Excluded(end) => end <= key,
        Bound::Unbounded => false,
    };
    if before {
        Ordering::Less
    } else if after {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// What `bytes` begin with.
fn prefix<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().map(|(found, _)| found)
}

/// What `bytes` are, all of them.
fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(row, _)| row)
}

/// Says where the key with these bytes is, seen from what is looked for; `None` if it is no key.
type Place<'a> = &'a dyn Fn(&[u8]) -> Option<Ordering>;

/// What can be done with an image without knowing its types.
trait AnyImage: fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn sorted(&self) -> &Sorted;
    fn columns(&self) -> (Vec<&'static str>, usize);
    /// Calls `row` with the rows of the view, or those of its mirror, that are at `place`.
    fn each(
        &self,
        place: Place<'_>,
        mirror: bool,
        names: &dyn Names,
        row: &mut dyn FnMut(&[String]),
    ) -> Result<(), Error>;
    fn verify(&self) -> Result<(), Error>;
}

impl<K: Datum, V: Datum> AnyImage for Image<K, V> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn sorted(&self) -> &Sorted {
        &self.sorted
    }

    fn columns(&self) -> (Vec<&'static str>, usize) {
        let mut columns = Vec::new();
        K::columns(&mut |column| columns.push(column));
        let keys = columns.len();
        V::columns(&mut |column| columns.push(column));
        (columns, keys)
    }

    fn each(
        &self,
        place: Place<'_>,
        mirror: bool,
        names: &dyn Names,
        row: &mut dyn FnMut(&[String]),
    ) -> Result<(), Error> {
        let mut scan = self.sorted.scan(place);
        while let Some((key, value)) = scan.next(decoded::<(K, V)>)? {
            if (self.mirror)(&key) == mirror {
                row(&shown(&key, &value, names));
            }
        }
        Ok(())
    }

    fn verify(&self) -> Result<(), Error> {
        let (mut sha, mut rows, mut last) = (Sha256::new(), 0_u64, None);
        let mut scan = self.sorted.scan(|_| Some(Ordering::Equal));
        // A row that is not above the one before is as wrong as one that cannot be read.
        let mut checked = |bytes: &[u8]| {
            let (key, _) = decoded::<(K, V)>(bytes)?;
            if !(self.mirror)(&key) {
                sha.update(bytes);
                rows += 1;
            }
            let ascending = last.as_ref().is_none_or(|last| *last < key);
            last = Some(key);
            ascending.then_some(())
        };
        while scan.next(&mut checked)?.is_some() {}
        let foot = &self.sorted.foot;
        if rows != foot.rows {
            return Err(self.sorted.damaged(Part::Foot, "it counts other rows than there are"));
        }
        if Digest::from(sha.finalize()) != foot.digest {
            return Err(self.sorted.damaged(Part::Foot, "its digest is that of other rows"));
        }
        Ok(())
    }
}
