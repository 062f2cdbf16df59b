//! Backup: how is a directory copied while a process goes on writing to it?
//!
//! What never changes (parts, checkpoints, segments that are full) gets a second name where the
//! file system can; the segment that is written is copied after the superblock was read, so that it
//! goes at least as far, and the keys after that, so that none is missing. If a checkpoint came
//! meanwhile, files have gone, and it begins again. All is written aside and verified before it
//! gets its name; the list of the erased is left out, because it is what a backup must be told.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dataflows::Tick;

use super::check::{FOLDER, check, files_of};
use super::{Error, Finding};
use crate::durable::{Look, checkpoint};
use crate::log::{self, BACKUP, Superblock};
use crate::storage::{Disk, Storage};
use crate::vault::{DIRECTORY_KEY, PEOPLE};

/// How often it begins again because the directory has changed.
const TRIES: usize = 20;

/// What a backup has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backed {
    /// The last tick.
    pub last: Option<Tick>,
    /// The ticks of the checkpoints.
    pub checkpoints: Vec<Tick>,
    /// How many files were linked, and how many bytes these have.
    pub linked: (usize, u64),
    /// How many files were copied, and how many bytes these have.
    pub copied: (usize, u64),
    /// How often it began again.
    pub again: usize,
}

/// Copies the directory at `data`, which may be in use, to a new folder.
///
/// Cost: the bytes are read once, to be verified; most are not written.
///
/// # Errors
///
/// There is no backup, and nothing of it is left.
pub fn backup(data: &Path, to: &Path) -> Result<Backed, Error> {
    if to.try_exists().map_err(Error::io(to))? {
        return Err(Error::Taken { path: to.to_owned() });
    }
    let path = aside(to);
    let (from, copy) = (Disk::new(data), Disk::new(&path));
    let known = || log::newest(&from).map(|known| (known.directory, known.checkpoint, known.since));
    clear(&path)?;
    let mut again = 0;
    let backed = loop {
        let before = known()?;
        let outcome = make(&from, &copy).and_then(|backed| verified(&copy, backed));
        let changed = known()? != before;
        match outcome {
            Ok(backed) if !changed => break Backed { again, ..backed },
            Err(error) if TRIES <= again || (!changed && 2 <= again) => {
                clear(&path)?;
                return Err(error);
            }
            Ok(_) | Err(_) => clear(&path)?,
        }
        again += 1;
    };
    rename(&path, to)?;
    Ok(backed)
}

/// Where a folder is made before it has its name.
pub(super) fn aside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".aside");
    to.with_file_name(name)
}

/// Removes what lies aside, if it is ours.
pub(super) fn clear(aside: &Path) -> Result<(), Error> {
    let ours = aside.join(BACKUP).exists();
    let empty = std::fs::read_dir(aside).is_ok_and(|mut inside| inside.next().is_none());
    match aside.try_exists().map_err(Error::io(aside))? {
        true if ours || empty => std::fs::remove_dir_all(aside).map_err(Error::io(aside)),
        true => Err(Error::Taken { path: aside.to_owned() }),
        false => Ok(()),
    }
}

/// Gives a folder its name, durably.
pub(super) fn rename(aside: &Path, to: &Path) -> Result<(), Error> {
    let above = to.parent().filter(|above| !above.as_os_str().is_empty());
    let rename = || {
        std::fs::rename(aside, to)?;
        std::fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()
    };
    rename().map_err(Error::io(to))
}

/// A directory that is being copied.
struct Copying<'a> {
    from: &'a Disk,
    to: &'a Disk,
    backed: Backed,
}

fn make(from: &Disk, to: &Disk) -> Result<Backed, Error> {
    let look = Look::open(Arc::new(from.clone()))?;
    begin(to)?;
    let mut copying = Copying { from, to, backed: Backed::default() };
    for checkpoint in look.checkpoints() {
        copying.folders(&format!("{}/views", checkpoint::folder(checkpoint.tick)))?;
        for name in files_of(checkpoint) {
            copying.lend(&name)?;
        }
    }
    let segments = log::segments(from)?;
    for (place, number) in segments.iter().enumerate() {
        let name = log::segment_name(*number);
        if place + 1 < segments.len() { copying.lend(&name)? } else { copying.copy(&name)? }
    }
    copying.copy(DIRECTORY_KEY)?;
    copying.copy(PEOPLE)?;
    let superblock = look.superblock();
    log::install(to, superblock)?;
    for folder in ["base", "ckpt", "keys", FOLDER, ""] {
        to.sync_dir(folder).map_err(Error::io(to.root()))?;
    }
    Ok(copying.backed)
}

/// Makes the folders of a new directory, and says that it is a backup, which nothing opens.
pub(super) fn begin(to: &Disk) -> Result<(), Error> {
    let says = b"A backup of a data directory: `affluent restore` makes a directory of it.\n";
    let begin = || {
        to.make_dir("")?;
        let mut file = to.create(BACKUP)?;
        file.append(says)?;
        file.sync()?;
        ["base", "ckpt", "keys", FOLDER].iter().try_for_each(|folder| to.make_dir(folder))
    };
    begin().map_err(Error::io(to.root()))
}

impl Copying<'_> {
    fn folders(&self, name: &str) -> Result<(), Error> {
        self.to.make_dir(name).map_err(Error::io(&self.to.root().join(name)))
    }

    fn lend(&mut self, name: &str) -> Result<(), Error> {
        // Both checkpoints name the parts that they share.
        if self.to.exists(name).map_err(Error::io(&self.to.root().join(name)))? {
            return Ok(());
        }
        let lent = self.from.lend(name, self.to);
        let (linked, bytes) = lent.map_err(Error::io(&self.from.root().join(name)))?;
        let backed = &mut self.backed;
        let to = if linked { &mut backed.linked } else { &mut backed.copied };
        (to.0, to.1) = (to.0 + 1, to.1 + bytes);
        Ok(())
    }

    fn copy(&mut self, name: &str) -> Result<(), Error> {
        let copied = self.from.copy(name, self.to);
        let bytes = copied.map_err(Error::io(&self.from.root().join(name)))?;
        let to = &mut self.backed.copied;
        (to.0, to.1) = (to.0 + 1, to.1 + bytes);
        Ok(())
    }
}

/// Reads all of a copy.
fn verified(copy: &Disk, backed: Backed) -> Result<Backed, Error> {
    let storage: Arc<dyn Storage> = Arc::new(copy.clone());
    let checked = check(&storage, None);
    if let Some(finding) = checked.grave().next().cloned() {
        let way = "the directory itself is damaged: `affluent check` says where";
        return Err(Error::Unsound { finding, way });
    }
    let checkpoints = checked.checkpoints.clone();
    for tick in &checkpoints {
        let folder = checkpoint::folder(*tick);
        for name in [format!("{folder}/views"), folder] {
            copy.sync_dir(&name).map_err(Error::io(&copy.root().join(&name)))?;
        }
    }
    Ok(Backed { last: checked.last, checkpoints, ..backed })
}

/// The superblock of a backup, and what it has to say against being used.
pub(super) fn sound(storage: &Arc<dyn Storage>) -> Result<Superblock, Error> {
    let checked = check(storage, None);
    let finding: Option<Finding> = checked.grave().next().cloned();
    match finding {
        Some(finding) => {
            let way = "the backup itself is damaged: take an older one";
            Err(Error::Unsound { finding, way })
        }
        None => Ok(log::newest(&**storage)?),
    }
}
