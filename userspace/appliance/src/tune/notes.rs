//! What was there before the first change, on disk.
//!
//! One JSON file an interface. Promises: it is replaced as a whole (a new file, synced, renamed), a
//! place that is in it is never noted again, and notes of another boot are not believed: nothing that
//! `tune` changes outlives one.

use super::Place;
use crate::host::Host;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The version of the file's shape.
const VERSION: u32 = 1;

/// What was at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What was there.
    pub before: String,
}

/// The notes about one interface and what of the host was changed for it.
#[derive(Debug)]
pub struct Notes {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    boot: String,
    notes: Vec<Note>,
}

/// Why notes cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// The file or its folder cannot be read, written or removed.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not hold notes.
    #[error("{path}: expected notes of version {VERSION}: {source}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// The file is of another version of Wirebook.
    #[error(
        "{path}: expected notes of version {VERSION}, found {found}: undo with the version that wrote them"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl Notes {
    /// Reads the notes about an interface from a folder, or begins new ones.
    ///
    /// # Errors
    /// [`NotesError`], where there is a file that cannot be read or understood.
    pub fn open(host: &Host, folder: &Path, interface: &str) -> Result<Self, NotesError> {
        let path = folder.join(format!("{interface}.json"));
        let boot = host.sysctl("kernel/random/boot_id").unwrap_or_default();
        let fresh = Content { version: VERSION, boot: boot.clone(), notes: Vec::new() };
        let content = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh,
            Err(source) => return Err(NotesError::File { path, source }),
            Ok(text) => match serde_json::from_str::<Content>(&text) {
                Err(source) => return Err(NotesError::Content { path, source }),
                Ok(found) if found.version != VERSION => {
                    return Err(NotesError::Version { path, found: found.version });
                }
                Ok(found) if found.boot != boot => fresh,
                Ok(found) => found,
            },
        };
        Ok(Self { path, content })
    }

    /// The notes, the first first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Note> {
        self.content.notes.iter()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.content.notes.is_empty()
    }

    /// Notes what is at these places, unless it has been noted before, and writes the file.
    pub(super) fn remember(&mut self, found: Vec<(Place, String)>) -> Result<(), NotesError> {
        let known = self.content.notes.len();
        for (place, before) in found {
            if !self.content.notes.iter().any(|note| note.place == place) {
                self.content.notes.push(Note { place, before });
            }
        }
        match self.content.notes.len() > known {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// Removes the file.
    pub(super) fn remove(&mut self) -> Result<(), NotesError> {
        self.content.notes.clear();
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(error)),
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<(), NotesError> {
        let written = || -> io::Result<()> {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let new = self.path.with_extension("json.new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(&self.content)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(folder)?.sync_all()
        };
        written().map_err(|error| self.error(error))
    }

    fn error(&self, source: io::Error) -> NotesError {
        NotesError::File { path: self.path.clone(), source }
    }
}
