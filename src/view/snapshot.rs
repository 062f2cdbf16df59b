//! Snapshot: all views at one tick, as files that any tool reads.
//!
//! One CSV file a view, sorted by key, and `manifest.json` with the tick, and of each file its
//! rows, columns and SHA-256. The files are written into a folder beside and moved into place as a
//! whole, so a reader sees the snapshot before or the one after.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use dataflows::{Names, Tick};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Store;

/// Views that are for the engine and not for readers: they name nothing that a reader could use.
const INTERNAL: [&str; 1] = ["owners"];

/// What can go wrong with a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The snapshot is not in place; the one before is.
    #[error("cannot write the snapshot at {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be read.
    #[error("cannot read {}: is it the folder of a snapshot?", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a manifest.
    #[error("{} is not a manifest of this version", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The tick that all views show.
    pub tick: u64,
    /// What a reader has to know of the shop.
    pub shop: About,
    /// The views.
    pub views: BTreeMap<String, Entry>,
}

/// What a reader of a snapshot has to know of the shop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub name: String,
    /// The currency of all amounts.
    pub currency: String,
    /// Digits after the point of an amount.
    pub decimals: u8,
    /// What the numbers of a point are, in order.
    pub features: Vec<String>,
    /// How two items that occur together are scored.
    pub score: String,
    /// How many baskets they must share.
    pub support_min: u64,
    /// How many related items are shown.
    pub top: usize,
}

/// What a snapshot holds of one view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The file, beside the manifest.
    pub file: String,
    /// How many rows.
    pub rows: usize,
    /// The names of the columns; the first `key` of them are the key.
    pub columns: Vec<String>,
    /// How many columns are the key.
    pub key: usize,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// The version of the format.
const FORMAT: u32 = 1;

/// The name of the manifest's file.
pub const MANIFEST: &str = "manifest.json";

/// Writes all views of `store`, which show `tick`, to the folder `path`, in place of what a
/// snapshot before left there.
///
/// # Errors
///
/// If a file cannot be written, or `path` is something other than a snapshot; nothing is replaced.
pub fn write(
    store: &Store,
    names: &dyn Names,
    tick: Tick,
    shop: &About,
    path: &Path,
) -> Result<Manifest, Error> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Write { path, source }
    };
    let occupied = path.exists() && !path.join(MANIFEST).exists();
    if occupied && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        let source = std::io::Error::other("the folder holds something that is not a snapshot");
        return Err(failed(path)(source));
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let aside = path.with_file_name(name);
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(failed(&aside))?;
    }
    std::fs::create_dir_all(&aside).map_err(failed(&aside))?;
    let (shop, views) = (shop.clone(), BTreeMap::new());
    let mut manifest = Manifest { format: FORMAT, tick: tick.0, shop, views };
    for view in store.names().into_iter().filter(|name| !INTERNAL.contains(name)) {
        let entry = write_view(store, names, view, &aside)?;
        manifest.views.insert(view.to_string(), entry);
    }
    let file = aside.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
    std::fs::write(&file, text).map_err(failed(&file))?;
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(failed(path))?;
    }
    std::fs::rename(&aside, path).map_err(failed(path))?;
    Ok(manifest)
}

/// Writes one view's file.
fn write_view(store: &Store, names: &dyn Names, view: &str, aside: &Path) -> Result<Entry, Error> {
    let file = format!("{view}.csv");
    let path = aside.join(&file);
    let failed = |source| Error::Write { path: path.clone(), source };
    let out =
        Digesting { out: BufWriter::new(File::create(&path).map_err(failed)?), sha: Sha256::new() };
    let mut out = csv::Writer::from_writer(out);
    let (columns, key) = store.columns(view);
    let mut result = out.write_record(&columns);
    let mut rows = 0;
    store.each(view, names, &mut |row| {
        rows += 1;
        if result.is_ok() {
            result = out.write_record(row);
        }
    });
    result.map_err(|error| failed(error.into()))?;
    let out = out.into_inner().map_err(|error| failed(error.into_error()))?;
    let Digesting { mut out, sha } = out;
    out.flush().map_err(failed)?;
    let columns = columns.into_iter().map(str::to_string).collect();
    let sha256 = sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Entry { file, rows, columns, key, sha256 })
}

/// Writes and digests.
struct Digesting {
    out: BufWriter<File>,
    sha: Sha256,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// Reads the manifest of the snapshot in the folder `path`.
///
/// # Errors
///
/// If there is none, or it is of another version.
pub fn read(path: &Path) -> Result<Manifest, Error> {
    let path = path.join(MANIFEST);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Error::Read { path: path.clone(), source })?;
    serde_json::from_str(&text).map_err(|source| Error::Manifest { path, source })
}
