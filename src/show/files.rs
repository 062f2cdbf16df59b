//! Files: what do the CSV files of a snapshot say?

use std::path::{Path, PathBuf};

use super::{Error, Row, Source};
use crate::view::snapshot::{self, About, Manifest};

/// The files of a snapshot; a question is a pass over a file.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    manifest: Manifest,
}

impl Files {
    /// Those in the folder `path`.
    ///
    /// # Errors
    ///
    /// There is no snapshot.
    pub fn open(path: &Path) -> Result<Files, Error> {
        Ok(Files { path: path.to_owned(), manifest: snapshot::read(path)? })
    }
}

impl Source for Files {
    fn tick(&self) -> u64 {
        self.manifest.tick
    }

    fn shop(&self) -> &About {
        &self.manifest.shop
    }

    fn each(&self, view: &str, row: &mut dyn FnMut(Row)) -> Result<(), Error> {
        let Some(entry) = self.manifest.views.get(view) else { return Ok(()) };
        let path = self.path.join(&entry.file);
        let failed = |source| Error::Read { path: path.clone(), source };
        for read in csv::Reader::from_path(&path).map_err(failed)?.deserialize() {
            row(read.map_err(failed)?);
        }
        Ok(())
    }
}
