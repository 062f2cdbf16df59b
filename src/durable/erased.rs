//! Erased: who must never come back, and whose bytes are still to be written over?
//!
//! The file names nobody: it holds keyed hashes of sets of identifiers, which only the directory's
//! own key can make. It is written before the keys of the people are destroyed, and it is kept
//! apart from backups: a directory restored from one is told what was erased since.

use std::io;

use dataflows::Tick;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::storage::{Storage, checksum};

/// The file.
pub const FILE: &str = "erased";

/// The version of the format.
const VERSION: u32 = 1;

/// The first line of the file.
const TITLE: &str = "affluent erased";

/// One erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The tick from which on no view has anything of the people.
    pub tick: Tick,
    /// When, in seconds since the Unix epoch.
    pub at: u64,
    /// The sets of identifiers that were erased, as keyed hashes in hexadecimal digits.
    pub people: Vec<String>,
    /// Whether nothing of them is in the directory any more.
    pub done: bool,
}

/// All erasures of a directory, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasures(pub Vec<Erasure>);

impl Erasures {
    /// Reads the file; none if there is none.
    ///
    /// # Errors
    ///
    /// It is damaged, of a newer format, or cannot be read.
    pub fn read(storage: &dyn Storage) -> Result<Erasures, Error> {
        let bytes = match storage.read(FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Erasures::default()),
            Err(source) => return Err(Error::Io { name: FILE.to_owned(), source }),
        };
        Erasures::parse(&bytes)
    }

    /// What the bytes of such a file say.
    ///
    /// # Errors
    ///
    /// They are damaged, or of a newer format.
    pub fn parse(bytes: &[u8]) -> Result<Erasures, Error> {
        let damaged = |at: usize, what| {
            let at = u64::try_from(at).unwrap_or(u64::MAX);
            Error::Damaged { name: FILE.to_owned(), at, what }
        };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged(0, "it is not text"))?;
        let mut lines = text.split_terminator('\n');
        let version = lines.next().and_then(|line| line.strip_prefix(TITLE));
        let version: u32 = version
            .and_then(|version| version.strip_prefix(' ')?.parse().ok())
            .ok_or_else(|| damaged(0, "its first line is not that of a list of erasures"))?;
        if VERSION < version {
            return Err(Error::Newer { name: FILE.to_owned(), version });
        }
        let sum = lines.next().unwrap_or_default();
        let rest = text.splitn(3, '\n').nth(2).unwrap_or_default();
        if version == 0 || sum != format!("{:08x}", checksum(0, rest.as_bytes())) {
            return Err(damaged(0, "its checksum is not that of its text"));
        }
        let erasures = lines.map(|line| {
            serde_json::from_str(line).map_err(|_| damaged(0, "a line is not an erasure"))
        });
        erasures.collect::<Result<_, _>>().map(Erasures)
    }

    /// The bytes of the file.
    fn bytes(&self) -> Vec<u8> {
        let lines = self.0.iter().map(|erasure| {
            serde_json::to_string(erasure).expect("an erasure can be written as JSON") + "\n"
        });
        let lines: String = lines.collect();
        format!("{TITLE} {VERSION}\n{:08x}\n{lines}", checksum(0, lines.as_bytes())).into_bytes()
    }

    /// Writes the file in place of the one before, durably.
    ///
    /// # Errors
    ///
    /// The one before is still there.
    pub fn write(&self, storage: &dyn Storage) -> Result<(), Error> {
        let write = || -> io::Result<()> {
            let aside = "erased.aside";
            if storage.exists(aside)? {
                storage.remove(aside)?;
            }
            let mut file = storage.create(aside)?;
            file.append(&self.bytes())?;
            file.sync()?;
            storage.rename(aside, FILE)?;
            storage.sync_dir("")
        };
        write().map_err(|source| Error::Io { name: FILE.to_owned(), source })
    }

    /// Notes an erasure, as far as it is not noted yet; whether it was not.
    pub fn add(&mut self, tick: Tick, at: u64, people: Vec<String>) -> bool {
        let Some(noted) = self.0.iter_mut().find(|erasure| erasure.tick == tick) else {
            self.0.push(Erasure { tick, at, people, done: false });
            return true;
        };
        // The first tick of a restored directory may erase somebody, too.
        let new = |person: &String| !noted.people.contains(person);
        let fresh: Vec<String> = people.into_iter().filter(new).collect();
        if fresh.is_empty() {
            return false;
        }
        noted.people.extend(fresh);
        (noted.at, noted.done) = (noted.at.min(at), false);
        true
    }

    /// An erasure whose people a checkpoint at `tick` may still show.
    #[must_use]
    pub fn shown_at(&self, tick: Tick) -> Option<&Erasure> {
        self.0.iter().find(|erasure| tick < erasure.tick && !erasure.done)
    }

    /// When the first of those happened whose bytes are still to be written over.
    #[must_use]
    pub fn waiting(&self) -> Option<u64> {
        self.0.iter().filter(|erasure| !erasure.done).map(|erasure| erasure.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Model;

    #[test]
    fn what_is_noted_is_read_and_every_flipped_bit_is_noticed() {
        let disk = Model::new(1);
        let mut erasures = Erasures::default();
        assert!(erasures.add(Tick(7), 100, vec!["ab".into()]));
        assert!(!erasures.add(Tick(7), 200, vec!["ab".into()]));
        assert!(erasures.add(Tick(9), 50, vec!["cd".into(), "ef".into()]));
        erasures.write(&disk).unwrap();
        assert_eq!(Erasures::read(&disk).unwrap(), erasures);
        assert_eq!(erasures.waiting(), Some(50));
        let bytes = erasures.bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Erasures::parse(&flipped).is_err(), "bit {bit}");
        }
    }
}
