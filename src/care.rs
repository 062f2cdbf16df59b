//! Care: how are data directories looked after from the command line?

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use affluent::config::Shop;
use affluent::durable::erased::Erasures;
use affluent::durable::{self, Look};
use affluent::run::about;
use affluent::show::{self, Pictures, Question, answer};
use affluent::storage::{Disk, Storage};
use affluent::tend::backup::{Backed, backup};
use affluent::tend::check::check;
use affluent::tend::repair::repair;
use affluent::tend::restore::{Restored, restore};
use affluent::tend::{self, Finding};
use affluent::text::many;
use dataflows::Tick;
use rustix::fs::{Access, access};

use crate::args::{BackupArgs, CheckArgs, RepairArgs, RestoreArgs};

/// Less room than this on the disk is said.
const ROOM_BYTES: u64 = 64 << 20;

/// Why a directory was not looked after, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It could not be looked after.
    #[error(transparent)]
    Tend(#[from] tend::Error),
    /// It cannot be read.
    #[error(transparent)]
    Durable(#[from] durable::Error),
    /// There is no answer.
    #[error(transparent)]
    Show(#[from] show::Error),
    /// There is no checkpoint.
    #[error(
        "{data} has no checkpoint yet: the first comes when a run ends, or after 32 MiB of log"
    )]
    Young {
        /// The directory.
        data: String,
    },
    /// The newest checkpoint may show somebody who was erased.
    #[error(
        "somebody was erased at tick {erased}, after the newest checkpoint, at tick {checkpoint}, \
         which is therefore not shown: the end of a run writes the next one (`affluent run \
         SHOP.toml --data DIR`)"
    )]
    Erased {
        /// The erasure.
        erased: u64,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// A file beside the directory cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: String,
        /// What the operating system reports.
        source: std::io::Error,
    },
}

/// Ticks in a sentence.
fn ticks(of: &[Tick]) -> String {
    let ticks: Vec<String> = of.iter().map(|tick| tick.0.to_string()).collect();
    match ticks.len() {
        0 => "no checkpoint".to_owned(),
        1 => format!("a checkpoint at tick {}", ticks.concat()),
        _ => format!("checkpoints at ticks {}", ticks.join(" and ")),
    }
}

/// Bytes in a sentence.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// Makes a backup, and says what it holds.
pub(crate) fn backed(args: &BackupArgs) -> Result<String, Error> {
    let (data, to) = (args.data.display(), args.to.display());
    let Backed { last, checkpoints, linked, copied, again } = backup(&args.data, &args.to)?;
    let last =
        last.map_or("before its first tick".to_owned(), |last| format!("at tick {}", last.0));
    let mut says = format!(
        "{to} holds {data} as it was {last}, with {}.\n\
         {} linked ({}), {} copied ({}); every checksum was compared.\n",
        ticks(&checkpoints),
        many(linked.0, "file", "files"),
        size(linked.1),
        many(copied.0, "file", "files"),
        size(copied.1),
    );
    if 0 < again {
        let times = many(again, "time", "times");
        says += &format!("It began again {times}, because the directory had changed.\n");
    }
    says += &format!(
        "The list of the erased is not in it: keep {data}/erased apart, and give it to \
         `affluent restore`.\n"
    );
    Ok(says)
}

/// Makes a directory of a backup, and says what it holds.
pub(crate) fn restored(args: &RestoreArgs) -> Result<String, Error> {
    let erased = match &args.erased {
        None => Erasures::default(),
        Some(file) => {
            let read = std::fs::read(file);
            let file = file.display().to_string();
            Erasures::parse(&read.map_err(|source| Error::Read { file, source })?)?
        }
    };
    let data = args.data.display();
    let tick = args.tick.map(Tick);
    let Restored { last, checkpoints, erasures, keys, hidden } =
        restore(&args.backup, &args.data, &erased, tick)?;
    let mut says = format!(
        "{data} is {} as it was at tick {}, with {}.\n",
        args.backup.display(),
        last.0,
        ticks(&checkpoints)
    );
    says += &match erasures {
        0 => "Nobody had to be erased again.\n".to_owned(),
        _ => format!(
            "{} of after that tick done again: {} destroyed.\n",
            many(erasures, "erasure", "erasures"),
            many(keys, "key", "keys")
        ),
    };
    if hidden {
        says += "Some of the checkpoints' views may show somebody who was erased: none is shown \
                 until the next run has written everything anew.\n";
    }
    says += &format!("Go on with `affluent run SHOP.toml --data {data}`.\n");
    Ok(says)
}

/// Repairs a directory: whether all is well now, and what was done.
pub(crate) fn repaired(args: &RepairArgs) -> Result<(bool, String), Error> {
    let repaired = repair(&args.data, &args.from)?;
    let mut says = String::new();
    for done in &repaired.done {
        says += &format!("{done}\n");
    }
    for left in &repaired.left {
        says += &format!("still wrong: {left}\n");
    }
    let data = args.data.display();
    says += &match (repaired.done.len(), repaired.left.len()) {
        (0, 0) => format!("Nothing in {data} is damaged or missing.\n"),
        (_, 0) => format!("{data} is whole again.\n"),
        (_, left) => format!(
            "{} left that this backup cannot mend: try another, or `affluent restore` it to a new \
             folder.\n",
            many(left, "fault is", "faults are")
        ),
    };
    Ok((repaired.left.is_empty(), says))
}

/// Checks a shop's file, which was read, and a directory: whether all is well, and what to say.
pub(crate) fn checked(mut shop: Shop, args: &CheckArgs) -> Result<(bool, String), Error> {
    let mut says = format!("{} is well.\n", args.shop.display());
    let Some(data) = &args.data else { return Ok((true, says)) };
    let storage: Arc<dyn Storage> = Arc::new(Disk::new(data));
    if let Ok(vault) = affluent::vault::Vault::look(Arc::clone(&storage)) {
        shop.secret_or(vault.secret());
    }
    let mut checked = check(&storage, Some(&|| shop.dictionary()));
    checked.findings.extend(around(data, &storage));
    for finding in &checked.findings {
        says += &format!("{}: {finding}\n", if finding.grave { "fault" } else { "note" });
    }
    let faults = checked.grave().count();
    let [segments, parts, images] = checked.files;
    let last = checked.last.map_or(String::new(), |last| format!(", up to tick {}", last.0));
    says += &format!(
        "{}: {} read in {}, {} and {}{last}; {}.\n",
        data.display(),
        size(checked.bytes),
        many(segments, "segment", "segments"),
        many(parts, "part", "parts"),
        many(images, "image", "images"),
        match faults {
            0 => "it is well".to_owned(),
            _ => many(faults, "fault", "faults"),
        }
    );
    if checked.grave().any(|finding| !finding.what.contains("use the")) {
        let data = data.display();
        says += &format!("`affluent repair --data {data} --from BACKUP` mends it from a backup.\n");
    }
    Ok((faults == 0, says))
}

/// Who else may read the files, whether they can be written, and how much room is left.
fn around(data: &Path, storage: &Arc<dyn Storage>) -> Vec<Finding> {
    let note =
        |file: &str, what: String| Finding { file: file.to_owned(), at: None, what, grave: false };
    let mut findings = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in storage.list(&folder).unwrap_or_default() {
            let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let Ok(meta) = std::fs::metadata(data.join(&name)) else { continue };
            let mode = meta.permissions().mode();
            if meta.is_dir() {
                folders.push(name);
            } else if mode & 0o077 != 0 {
                let says = format!("others may use it (mode {:o}): chmod 600", mode & 0o777);
                findings.push(note(&name, says));
            }
        }
    }
    if let Err(error) = access(data, Access::WRITE_OK) {
        let error = std::io::Error::from(error);
        findings.push(note("", format!("{} cannot be written: {error}", data.display())));
    }
    if let Ok(room) = storage.free()
        && room < ROOM_BYTES
    {
        findings.push(note("", format!("only {} of room are left on the disk", size(room))));
    }
    findings
}

/// The answer of a directory's newest checkpoint.
pub(crate) fn shown(mut shop: Shop, data: &Path, question: &Question) -> Result<String, Error> {
    let storage: Arc<dyn Storage> = Arc::new(Disk::new(data));
    let newest = || Look::open(Arc::clone(&storage));
    loop {
        let look = newest()?;
        let answered = answered(&mut shop, data, question, &look);
        let moved =
            answered.is_err() && newest()?.superblock().checkpoint != look.superblock().checkpoint;
        // A checkpoint came while this one was read.
        if !moved {
            return answered;
        }
    }
}

fn answered(
    shop: &mut Shop,
    data: &Path,
    question: &Question,
    look: &Look,
) -> Result<String, Error> {
    let Some(newest) = look.checkpoints().last().map(|newest| newest.tick) else {
        return Err(Error::Young { data: data.display().to_string() });
    };
    shop.secret_or(look.journal()?.vault().secret());
    let mut names = shop.dictionary();
    look.learn(&mut names)?;
    let images = look.images().map_err(show::Error::from)?;
    let Some(images) = images else {
        return Err(Error::Young { data: data.display().to_string() });
    };
    let about = about(shop);
    let answer = answer(&Pictures { images: &images, names: &names, shop: &about }, question);
    // After all was read: whoever is erased from now on was there when it was asked.
    let erasures = Erasures::read(&**look.storage())?;
    if let Some(erasure) = erasures.shown_at(newest) {
        return Err(Error::Erased { erased: erasure.tick.0, checkpoint: newest.0 });
    }
    let mut answer = answer?;
    let newer = look.superblock().mark.upper.0.saturating_sub(newest.0 + 1);
    if 0 < newer {
        answer += &format!(
            "\nThe log holds at least {} more.\n",
            match newer {
                1 => "1 tick".to_owned(),
                _ => format!("{newer} ticks"),
            }
        );
    }
    Ok(answer)
}
