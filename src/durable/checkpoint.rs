//! Checkpoint: what does the directory know at one tick, so that the log before it can go?
//!
//! A checkpoint is a folder `ckpt/<tick>` with a file `checkpoint`, which names the parts that hold
//! the events, and the published views as images, all at that tick. It is written aside, synced,
//! renamed, and then named in the superblock: it is there as a whole or not at all.

use dataflows::Tick;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::storage::{Storage, checksum};

/// The version of the format.
pub const VERSION: u32 = 1;

/// The first line of a checkpoint's file.
const TITLE: &str = "affluent checkpoint";

/// What a checkpoint is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The tick at which all of it is.
    pub tick: Tick,
    /// How many events hold.
    pub events: u64,
    /// How many keys of people have ever been somebody's.
    pub keys: u32,
    /// The digest of the settings that the views are of, in hexadecimal digits.
    pub settings: String,
    /// The parts that hold them, in order: a later one goes on from those before.
    pub parts: Vec<Part>,
    /// The views.
    pub views: Vec<Image>,
}

/// A part of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number, which is its file's name.
    pub number: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// A view of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The view.
    pub view: String,
    /// How many rows it has.
    pub rows: u64,
    /// How many bytes its file has.
    pub bytes: u64,
    /// The SHA-256 of its rows, in hexadecimal digits.
    pub digest: String,
}

/// The folder of the checkpoint at `tick`.
#[must_use]
pub fn folder(tick: Tick) -> String {
    format!("ckpt/{:020}", tick.0)
}

impl Checkpoint {
    /// Its file's bytes: a line with the version, one with the checksum of what follows, and JSON.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let json = serde_json::to_string_pretty(self).expect("a checkpoint can be written as JSON");
        let check = checksum(0, json.as_bytes());
        format!("{TITLE} {VERSION}\n{check:08x}\n{json}\n").into_bytes()
    }

    /// Reads the checkpoint at `tick`.
    ///
    /// # Errors
    ///
    /// It is not what was written, is of a newer format, or cannot be read.
    pub fn read(storage: &dyn Storage, tick: Tick) -> Result<Checkpoint, Error> {
        let name = format!("{}/checkpoint", folder(tick));
        let bytes =
            storage.read(&name).map_err(|source| Error::Io { name: name.clone(), source })?;
        let damaged = |what| Error::Damaged { name: name.clone(), at: 0, what };
        let text = String::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let mut lines = text.splitn(3, '\n');
        let version = lines.next().and_then(|line| line.strip_prefix(TITLE));
        let version: u32 = version
            .and_then(|version| version.trim().parse().ok())
            .ok_or_else(|| damaged("its first line is not that of a checkpoint"))?;
        if VERSION < version {
            return Err(Error::Newer { name, version });
        }
        let [check, json] = [lines.next().unwrap_or_default(), lines.next().unwrap_or_default()];
        let json = json.strip_suffix('\n').ok_or_else(|| damaged("its end is missing"))?;
        if version == 0 {
            return Err(damaged("its first line is not that of a checkpoint"));
        }
        if check != format!("{:08x}", checksum(0, json.as_bytes())) {
            return Err(damaged("its checksum is not that of its text"));
        }
        let read: Checkpoint =
            serde_json::from_str(json).map_err(|_| damaged("it is not of the known form"))?;
        if read.tick != tick {
            return Err(damaged("it is of another tick"));
        }
        Ok(read)
    }
}
