//! Cache: where do decoded events wait, so that a shop's files are decoded once?
//!
//! A cache file is written once by this program and read by this program; it is no exchange format
//! and no log.
//! It holds a header, which says by which codec, and the SHA-256 of the events' bytes, which is
//! checked before a byte of them is decoded.
//!
//! There are two codecs behind the same two functions.
//! [`Codec::Compact`] is postcard through serde, and the default.
//! `Codec::Memory`, behind the feature `abomonation`, is the events as they lie in memory: it is
//! off by default because that crate is unsound by its own advisory, RUSTSEC-2021-0120.

#![deny(clippy::indexing_slicing)]

#[cfg(feature = "abomonation")]
mod flat;
#[cfg(feature = "abomonation")]
mod memory;

use std::path::{Path, PathBuf};

use dataflows::Event;
use sha2::{Digest, Sha256};

/// How events become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// Postcard through serde: small, and the same on every machine.
    Compact,
    /// As they lie in memory: read only by the very program that wrote it.
    #[cfg(feature = "abomonation")]
    Memory,
}

impl Codec {
    /// All that this program was built with.
    pub const ALL: &[Codec] = &[
        Codec::Compact,
        #[cfg(feature = "abomonation")]
        Codec::Memory,
    ];

    /// Its name in a header, of eight letters.
    fn name(self) -> [u8; 8] {
        match self {
            Codec::Compact => *b"compact ",
            #[cfg(feature = "abomonation")]
            Codec::Memory => *b"memory  ",
        }
    }

    /// The bytes of `events`.
    ///
    /// Cost: one pass over the events.
    ///
    /// # Panics
    ///
    /// Never: it writes to memory, which takes everything.
    #[must_use]
    pub fn encode(self, events: &[(u128, Event)]) -> Vec<u8> {
        match self {
            Codec::Compact => {
                postcard::to_stdvec(events).expect("every event can be written to memory")
            }
            #[cfg(feature = "abomonation")]
            Codec::Memory => memory::encode(&flat::flatten(events)),
        }
    }

    /// The events of `bytes`; `None` if they are none.
    ///
    /// `Codec::Memory` is handed only what [`load`] has checked: private, therefore.
    fn decode(self, bytes: &[u8]) -> Option<Vec<(u128, Event)>> {
        match self {
            Codec::Compact => match postcard::take_from_bytes(bytes) {
                Ok((events, [])) => Some(events),
                _ => None,
            },
            #[cfg(feature = "abomonation")]
            Codec::Memory => flat::events(memory::decode(bytes)?),
        }
    }
}

/// Why a cache file cannot be used; decode the shop's files again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("the cache {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not in place; one that was there before is untouched.
    #[error("the cache {} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not begin as a cache of this version of the program does.
    #[error("{} is no cache of this version", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Another codec wrote it, or, where that matters, another build of this program.
    #[error("the cache {} was written by another codec or another build", path.display())]
    Codec {
        /// The file.
        path: PathBuf,
    },
    /// Its bytes are not those that were written.
    #[error("the cache {} is damaged: its bytes have another digest", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// How every cache file begins: what it is, and the version of its format.
const MAGIC: [u8; 16] = *b"affluent cache 1";

/// How long a digest is.
const DIGEST_BYTES: usize = 32;

/// What a file of `codec` must begin with.
fn header(codec: Codec) -> Vec<u8> {
    let build: [u8; DIGEST_BYTES] = match codec {
        Codec::Compact => [0; DIGEST_BYTES],
        #[cfg(feature = "abomonation")]
        Codec::Memory => program(),
    };
    [MAGIC.as_slice(), &codec.name(), &build].concat()
}

/// The digest of the running program's file: memory is read only by the build that wrote it.
#[cfg(feature = "abomonation")]
fn program() -> [u8; DIGEST_BYTES] {
    static PROGRAM: std::sync::OnceLock<[u8; DIGEST_BYTES]> = std::sync::OnceLock::new();
    *PROGRAM.get_or_init(|| {
        let file = std::env::current_exe().and_then(std::fs::read);
        Sha256::digest(file.unwrap_or_default()).into()
    })
}

/// Writes `events` to the file `path`, in place of what was there.
///
/// # Errors
///
/// If it cannot be written; what was there before is untouched.
pub fn store(path: &Path, codec: Codec, events: &[(u128, Event)]) -> Result<(), Error> {
    let body = codec.encode(events);
    let digest: [u8; DIGEST_BYTES] = Sha256::digest(&body).into();
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    std::fs::write(&aside, [header(codec).as_slice(), &digest, &body].concat())
        .and_then(|()| std::fs::rename(&aside, path))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// The events of the file `path`, which [`store`] wrote with the same codec.
///
/// # Errors
///
/// If it is no such file, or not the bytes that were written; nothing of it was decoded then.
pub fn load(path: &Path, codec: Codec) -> Result<Vec<(u128, Event)>, Error> {
    let path = path.to_owned();
    let file = match std::fs::read(&path) {
        Ok(file) => file,
        Err(source) => return Err(Error::Read { path, source }),
    };
    let expected = header(codec);
    if !file.starts_with(&MAGIC) {
        return Err(Error::Foreign { path });
    }
    let Some(rest) = file.strip_prefix(expected.as_slice()) else {
        return Err(Error::Codec { path });
    };
    match rest.split_at_checked(DIGEST_BYTES) {
        Some((digest, body)) if Sha256::digest(body).as_slice() == digest => {
            codec.decode(body).ok_or(Error::Damaged { path })
        }
        _ => Err(Error::Damaged { path }),
    }
}
