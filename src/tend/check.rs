//! Check: is every byte of a directory as it was written?
//!
//! Nothing is changed, and no lock is taken: a process that has the directory goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use dataflows::Tick;

use super::Finding;
use crate::durable::checkpoint::{Checkpoint, folder};
use crate::durable::erased::{self, Erasures};
use crate::durable::{self, Stored, hex, kept};
use crate::ledger::Ledger;
use crate::ledger::journal::{Journal, part_name, place_in_part};
use crate::log::{self, LOG, Outside, Place, Superblock};
use crate::names::Dictionary;
use crate::storage::Storage;
use crate::vault::{PEOPLE, Vault};
use crate::view::image::{Images, file_name};

/// How often a directory is read again because it has changed.
const TRIES: usize = 5;

/// What a directory is made of, as far as it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// The last tick.
    pub last: Option<Tick>,
    /// The ticks of the checkpoints.
    pub checkpoints: Vec<Tick>,
    /// How many segments, parts and images were read.
    pub files: [usize; 3],
    /// How many bytes these have.
    pub bytes: u64,
}

impl Checked {
    /// What makes the directory useless.
    pub fn grave(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.grave)
    }
}

/// Reads all of a directory; with `names` it must be theirs.
///
/// Cost: every byte is read, and every key unwrapped.
#[must_use]
pub fn check(storage: &Arc<dyn Storage>, names: Option<&dyn Fn() -> Dictionary>) -> Checked {
    let known = || log::newest(&**storage).ok();
    let mut checked = Checked::default();
    for again in 0..TRIES {
        let before = known();
        checked = Checked::default();
        checked.directory(storage, names);
        // A checkpoint came while it was read, and old files went.
        let gone = again == 0 && checked.grave().any(|finding| finding.what.contains("missing"));
        if checked.grave().next().is_none() || (before == known() && !gone) {
            break;
        }
    }
    checked
}

impl Checked {
    fn add(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn directory(&mut self, storage: &Arc<dyn Storage>, names: Option<&dyn Fn() -> Dictionary>) {
        let known = log::newest(&**storage);
        for superblock in log::superblocks(&**storage) {
            if let Err(error) = superblock {
                let finding = Finding::of_log(&error);
                // One of the two is enough, but for one that a newer program wrote.
                let grave = known.is_err();
                self.add(Finding { grave, ..finding });
            }
        }
        let vault = Vault::look(Arc::clone(storage));
        match &vault {
            Err(error) => self.add(Finding::of_vault(error)),
            Ok(vault) => {
                if let Some(damaged) = vault.damaged() {
                    self.add(Finding::note(PEOPLE, None, damaged));
                }
            }
        }
        if let Err(error) = Erasures::read(&**storage) {
            self.add(Finding { file: erased::FILE.to_owned(), ..Finding::of(&error) });
        }
        match known {
            Err(error) if self.grave().next().is_none() => self.add(Finding::of_log(&error)),
            Err(_) => {}
            Ok(superblock) => {
                self.log(storage, &superblock);
                self.checkpoints(storage, &superblock);
                if self.grave().next().is_none()
                    && let Err(error) = self.people(storage, &superblock)
                {
                    self.add(Finding { file: PEOPLE.to_owned(), ..Finding::of(&error) });
                }
                if let (Ok(vault), Some(names)) = (vault, names) {
                    self.secret(storage, &superblock, vault, names());
                }
            }
        }
    }

    fn log(&mut self, storage: &Arc<dyn Storage>, superblock: &Superblock) {
        let numbers = match log::segments(&**storage) {
            Ok(numbers) => numbers,
            Err(error) => return self.add(Finding::of_log(&error)),
        };
        let first = self.findings.len();
        match Outside::read(Arc::clone(storage), superblock) {
            Err(error) => self.add(Finding::of_log(&error)),
            Ok(outside) => {
                self.last = outside.upper().0.checked_sub(1).map(Tick);
                if let Some(torn) = outside.torn() {
                    let says = format!(
                        "{} bytes were never acknowledged ({}); the next run cuts them",
                        torn.bytes, torn.what
                    );
                    self.add(Finding::note(&torn.file, torn.offset, says));
                }
            }
        }
        let last = numbers.last().copied();
        for number in numbers {
            let name = log::segment_name(number);
            let bytes = match storage.read(&name) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.add(Finding::unread(name, &error));
                    continue;
                }
            };
            self.files[0] += 1;
            self.bytes += u64::try_from(bytes.len()).unwrap_or(0);
            let told = self.findings.iter().skip(first).any(|finding| finding.file == name);
            match log::piece(&bytes, number, superblock.directory) {
                // The last one was judged with the log.
                _ if told || last == Some(number) => {}
                Err(error) => self.add(Finding::of_log(&error)),
                Ok(Err(what)) => self.add(Finding::grave(name, 0, what)),
                Ok(Ok(piece)) => {
                    if let Some(what) = piece.fault {
                        self.add(Finding::grave(name, piece.end, what));
                    }
                }
            }
        }
    }

    fn checkpoints(&mut self, storage: &Arc<dyn Storage>, superblock: &Superblock) {
        let ticks = match kept(&**storage, superblock) {
            Ok(ticks) => ticks,
            Err(error) => return self.add(Finding::of(&error)),
        };
        let mut parts = BTreeSet::new();
        for tick in ticks {
            let checkpoint = match Checkpoint::read(&**storage, tick) {
                Ok(checkpoint) => checkpoint,
                Err(error) => {
                    self.add(Finding::of(&error));
                    continue;
                }
            };
            self.checkpoints.push(tick);
            for part in &checkpoint.parts {
                if parts.insert((part.number, part.bytes)) {
                    let read = durable::read_part(&**storage, *part, &mut |_, _| Ok(()));
                    match read {
                        Err(error) => self.add(Finding::of(&error)),
                        Ok(()) => self.bytes += part.bytes,
                    }
                }
            }
            self.images(storage, &checkpoint);
        }
        self.files[1] = parts.len();
    }

    fn images(&mut self, storage: &Arc<dyn Storage>, checkpoint: &Checkpoint) {
        for image in &checkpoint.views {
            let name = format!("{}/views/{}", folder(checkpoint.tick), file_name(&image.view));
            let mut known = false;
            let opened = Images::open(checkpoint.tick, |view| {
                let (storage, name) = (Arc::clone(storage), name.clone());
                let same = view == image.view;
                known |= same;
                Ok(same.then(|| Stored { storage, name }.boxed()))
            });
            self.files[2] += 1;
            self.bytes += image.bytes;
            match opened.and_then(|images| images.verify(&image.view).map(|()| images)) {
                Err(error) => self.add(Finding::of_image(&name, &error)),
                Ok(_) if !known => {
                    self.add(Finding::note(name, None, "is of a view that this program lacks"));
                }
                Ok(images) => {
                    let digest = images.digest(&image.view).map(|digest| hex(&digest));
                    if digest.as_deref() != Some(&image.digest) {
                        let says = "its digest is not that of the checkpoint";
                        self.add(Finding::grave(name, 0, says));
                    }
                }
            }
        }
    }

    /// Whether there is a key for everybody of whom something is said.
    fn people(
        &self,
        storage: &Arc<dyn Storage>,
        superblock: &Superblock,
    ) -> Result<(), durable::Error> {
        // The keys are read after it is known how far the log goes: none of it can be without.
        let frames = Outside::read(Arc::clone(storage), superblock)?.frames();
        let vault = Vault::look(Arc::clone(storage))?;
        let journal = Journal::new(Arc::clone(storage), vault, u32::MAX, Place(0));
        for tick in &self.checkpoints {
            for part in Checkpoint::read(&**storage, *tick)?.parts {
                journal.people(&durable::common(&**storage, part)?)?;
            }
        }
        for frame in frames {
            journal.people(&frame?.body)?;
        }
        Ok(())
    }

    /// Whether the directory was written under the shop's secret.
    fn secret(
        &mut self,
        storage: &Arc<dyn Storage>,
        superblock: &Superblock,
        vault: Vault,
        mut names: Dictionary,
    ) {
        let journal = Journal::new(Arc::clone(storage), vault, u32::MAX, Place(0));
        let mut ledger = Ledger::on_disk(journal);
        let mut read = || -> Result<(), durable::Error> {
            let Some(tick) = superblock.checkpoint else {
                let frames = Outside::read(Arc::clone(storage), superblock)?.frames();
                for frame in frames.take(1) {
                    let frame = frame?;
                    ledger.apply(&frame.body, frame.place, &mut names, &mut Vec::new())?;
                }
                return Ok(());
            };
            for part in Checkpoint::read(&**storage, tick)?.parts {
                let place = place_in_part(part.number, 0);
                let common = durable::common(&**storage, part)?;
                ledger.apply(&common, place, &mut names, &mut Vec::new())?;
            }
            Ok(())
        };
        // Damage is told already.
        if let Err(durable::Error::Ledger(crate::ledger::Error::Secret) | durable::Error::Secret) =
            read()
        {
            let says = "was written under another secret: use the shop's file it was made with";
            self.add(Finding::grave("", None, format!("the data directory {says}")));
        }
    }
}

/// All files that checkpoints and superblock name, but for the log.
#[must_use]
pub fn files_of(checkpoint: &Checkpoint) -> Vec<String> {
    let folder = folder(checkpoint.tick);
    let parts = checkpoint.parts.iter().map(|part| part_name(part.number));
    let views = checkpoint.views.iter();
    let views = views.map(|view| format!("{folder}/views/{}", file_name(&view.view)));
    parts.chain(views).chain([format!("{folder}/checkpoint")]).collect()
}

/// The folder of the log.
pub(super) const FOLDER: &str = LOG;
