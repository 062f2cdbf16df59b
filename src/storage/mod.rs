//! Storage: where do bytes go that must outlive the program?
//!
//! All that is durable is written through the trait [`Storage`], of which there are two kinds:
//! [`Disk`] is a folder of the real file system, and [`Model`] is a disk in memory that can lose
//! power, fail, tear and reorder what was never synced, from a seed. What holds on the model in a
//! hundred thousand crashes is what the log promises of the disk.
//!
//! Names are relative, with `/` between folders; the root is the empty name.
//!
//! What a caller may rely on, and no more:
//!
//! * The bytes of a file are durable once [`File::sync`] has returned.
//! * A name is durable once [`Storage::sync_dir`] of its folder has returned, and for a rename from
//!   one folder to another, of both.
//! * A file whose sync has failed is unknown: a later sync that succeeds says nothing about the
//!   bytes of the one that failed. Only writing them again and syncing that does.

mod disk;
mod format;
mod model;

use std::any::Any;
use std::fmt::Debug;
use std::io;

pub use disk::Disk;
pub use format::{Fields, Format, Unlike, checksum};
pub use model::{Dice, Model, Plan, power_is_cut};

/// A guard that holds a lock until it is dropped.
pub type Guard = Box<dyn Any + Send + Sync>;

/// A folder with all below it.
pub trait Storage: Debug + Send + Sync {
    /// All bytes of a file.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Fills `out` with the bytes of a file from `offset` on.
    ///
    /// # Errors
    ///
    /// There is no such file, it cannot be read, or it ends before `out` is full.
    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// How many bytes a file has.
    ///
    /// # Errors
    ///
    /// There is no such file.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Whether there is a file or a folder of this name.
    ///
    /// # Errors
    ///
    /// The disk cannot say.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// The names of all files and folders in a folder, sorted; none if there is no such folder.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes a new, empty file.
    ///
    /// # Errors
    ///
    /// There is one already, or it cannot be made; nothing was written.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Opens a file that is there, to write to it.
    ///
    /// # Errors
    ///
    /// There is no such file, or it may not be written; nothing was written.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Gives a file or a folder another name, in place of the file that had it.
    ///
    /// # Errors
    ///
    /// Nothing was renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Gives a file a second name.
    ///
    /// # Errors
    ///
    /// There is something of the new name already, or it cannot be made; nothing was linked.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Nothing was removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes a folder with all in it; nothing happens if there is none.
    ///
    /// # Errors
    ///
    /// A part may have been removed.
    fn remove_dir_all(&self, dir: &str) -> io::Result<()>;

    /// Makes a folder and those above it; nothing happens if it is there.
    ///
    /// # Errors
    ///
    /// Folders above it may have been made.
    fn make_dir(&self, dir: &str) -> io::Result<()>;

    /// Makes the names in a folder durable: what was created, renamed, linked and removed there.
    ///
    /// # Errors
    ///
    /// Any of it may be durable or not.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// How many bytes can still be written.
    ///
    /// # Errors
    ///
    /// The disk cannot say.
    fn free(&self) -> io::Result<u64>;

    /// Takes the lock of a file, which is made if it is not there, until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if another holds it, in this process or in any other; or the
    /// file cannot be made.
    fn lock(&self, name: &str) -> io::Result<Guard>;
}

/// A file that can be written.
#[expect(clippy::len_without_is_empty, reason = "the length is asked of the disk, and may fail")]
pub trait File: Debug + Send {
    /// Writes `bytes` after the last byte.
    ///
    /// # Errors
    ///
    /// A part may have been written. [`io::ErrorKind::StorageFull`] if the disk has no room.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes `bytes` from `offset` on, over what is there.
    ///
    /// # Errors
    ///
    /// A part may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or fills it up with zeros, to `len` bytes.
    ///
    /// # Errors
    ///
    /// The file is as it was.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Makes all bytes of the file and its length durable.
    ///
    /// # Errors
    ///
    /// Whatever has changed since the last sync may be durable or not, and a later sync that
    /// succeeds does not say: write it again, or trust nothing.
    fn sync(&mut self) -> io::Result<()>;

    /// How many bytes the file has.
    ///
    /// # Errors
    ///
    /// The disk cannot say.
    fn len(&self) -> io::Result<u64>;
}

/// The folder of a name, and the last part of it.
#[must_use]
pub fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}
