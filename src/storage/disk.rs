//! Disk: how does a folder of the file system keep what the engine writes?
//!
//! A file is synced with `fdatasync`, which makes its bytes and its length durable; a folder is
//! opened and synced, which makes the names in it durable.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock, statvfs};

use super::{File, Guard, Storage};

/// Files are for their owner only: they hold what people did.
const MODE: u32 = 0o600;

/// How many files are kept open for pieces that are read of them.
const READERS_MAX: usize = 16;

/// Open files by name, the one that was opened last at the end.
type Readers = VecDeque<(String, Arc<fs::File>)>;

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
    /// The files of which pieces were read last, so that each piece costs one call of the system
    /// and not three. All are let go when any name is given to another file.
    readers: Arc<Mutex<Readers>>,
}

impl Disk {
    /// The folder at `root`, which need not be there yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Disk {
        Disk { root: root.into(), readers: Arc::default() }
    }

    /// Where the folder is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of a name, open to be read.
    fn reader(&self, name: &str) -> io::Result<Arc<fs::File>> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = readers.iter().find(|(open, _)| open == name) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(fs::File::open(self.path(name)?)?);
        if READERS_MAX <= readers.len() {
            readers.pop_front();
        }
        readers.push_back((name.to_owned(), Arc::clone(&file)));
        Ok(file)
    }

    /// A name is about to be another file's, or nobody's.
    fn forget(&self) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Copies a file to another folder, durably but for its name; gives how many bytes it has.
    ///
    /// # Errors
    ///
    /// There is one of the name already, or a part of it may have been written.
    pub fn copy(&self, name: &str, to: &Disk) -> io::Result<u64> {
        let mut from = fs::File::open(self.path(name)?)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(MODE);
        let mut file = options.open(to.path(name)?)?;
        let bytes = io::copy(&mut from, &mut file)?;
        file.sync_data()?;
        Ok(bytes)
    }

    /// Gives a file that is never changed a second name in another folder, or copies it where the
    /// file system cannot; whether it was linked, and how many bytes it has.
    ///
    /// # Errors
    ///
    /// There is one of the name already, or a part of a copy may have been written.
    pub fn lend(&self, name: &str, to: &Disk) -> io::Result<(bool, u64)> {
        let (from, linked) = (self.path(name)?, to.path(name)?);
        match fs::hard_link(&from, &linked) {
            Err(error)
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) =>
            {
                Ok((false, self.copy(name, to)?))
            }
            made => {
                made?;
                let file = fs::File::open(&linked)?;
                file.sync_data()?;
                Ok((true, file.metadata()?.len()))
            }
        }
    }

    /// The path of a name, which must not lead out of the folder.
    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if name.is_empty() {
            return Ok(self.root.clone());
        }
        if name.contains(['\\', '\0']) || !name.split('/').all(plain) {
            let says = format!("{name:?} is no name below the data directory");
            return Err(io::Error::new(ErrorKind::InvalidInput, says));
        }
        Ok(self.root.join(name))
    }
}

impl Storage for Disk {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(name)?)
    }

    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.reader(name)?.read_exact_at(out, offset)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path(name)?)?.len())
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name)?.try_exists()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(dir)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let name =
            |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let mut names = entries.map(name).collect::<io::Result<Vec<String>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(MODE);
        Ok(Box::new(DiskFile::open(self.path(name)?, &options)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        Ok(Box::new(DiskFile::open(self.path(name)?, &options)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.forget();
        fs::rename(self.path(from)?, self.path(to)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.path(from)?, self.path(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget();
        fs::remove_file(self.path(name)?)
    }

    fn remove_dir_all(&self, dir: &str) -> io::Result<()> {
        self.forget();
        match fs::remove_dir_all(self.path(dir)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        if !self.root.try_exists()? {
            fs::create_dir_all(&self.root)?;
            // The name of the root is in a folder that `sync_dir` cannot name.
            let above = self.root.parent().filter(|above| !above.as_os_str().is_empty());
            fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        fs::create_dir_all(self.path(dir)?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.path(dir)?)?.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let stat = statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, name: &str) -> io::Result<Guard> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(MODE);
        let file = options.open(self.path(name)?)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }
}

/// A file of a [`Disk`].
#[derive(Debug)]
struct DiskFile {
    path: PathBuf,
    /// Every write to it goes to the end.
    tail: fs::File,
    /// Opened on the first write elsewhere: a file opened to append takes no offset.
    within: Option<fs::File>,
}

impl DiskFile {
    fn open(path: PathBuf, options: &OpenOptions) -> io::Result<DiskFile> {
        let tail = options.open(&path)?;
        Ok(DiskFile { path, tail, within: None })
    }
}

impl File for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tail.write_all(bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.within {
            Some(file) => file,
            none => none.insert(OpenOptions::new().write(true).open(&self.path)?),
        };
        file.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.tail.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.tail.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.tail.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::split;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path().join("data"));
        assert_eq!(disk.list("").unwrap(), Vec::<String>::new());
        disk.make_dir("a/b").unwrap();
        let mut file = disk.create("a/b/one").unwrap();
        file.append(b"hello ").unwrap();
        file.append(b"world").unwrap();
        file.write_at(0, b"H").unwrap();
        file.sync().unwrap();
        assert_eq!(disk.read("a/b/one").unwrap(), b"Hello world");
        file.set_len(5).unwrap();
        file.append(b"!").unwrap();
        assert_eq!((file.len().unwrap(), disk.len("a/b/one").unwrap()), (6, 6));
        let mut out = [0; 2];
        disk.read_at("a/b/one", 4, &mut out).unwrap();
        assert_eq!(&out, b"o!");
        assert!(disk.read_at("a/b/one", 5, &mut out).is_err());
        assert_eq!(disk.create("a/b/one").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(disk.open("a/b/two").unwrap_err().kind(), ErrorKind::NotFound);
        disk.link("a/b/one", "a/two").unwrap();
        disk.rename("a/two", "a/three").unwrap();
        disk.remove("a/b/one").unwrap();
        disk.sync_dir("a").unwrap();
        assert_eq!(disk.list("a").unwrap(), ["b", "three"]);
        assert!(disk.exists("a/three").unwrap() && !disk.exists("a/two").unwrap());
        assert!(0 < disk.free().unwrap());
        disk.remove_dir_all("a").unwrap();
        disk.remove_dir_all("a").unwrap();
        assert!(!disk.exists("a").unwrap());
    }

    #[test]
    fn a_lock_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path());
        let held = disk.lock("LOCK").unwrap();
        assert_eq!(disk.lock("LOCK").unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(held);
        drop(disk.lock("LOCK").unwrap());
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let disk = Disk::new("nowhere");
        for name in ["../a", "/a", "a//b", "a/./b", "a/..", "a\\b", "a\0"] {
            assert_eq!(disk.read(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        }
        assert_eq!(split("a/b/c"), ("a/b", "c"));
        assert_eq!(split("c"), ("", "c"));
    }
}
