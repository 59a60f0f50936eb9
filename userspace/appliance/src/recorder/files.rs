//! Files by the hour, each new: what an earlier run wrote is never appended to or overwritten.

use jiff::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use wirebook_model::UnixNanos;

const HOUR_NS: u64 = 3_600_000_000_000;

/// A file that is being written.
pub(super) trait Output: Write + Send {
    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// fsync(2)'s.
    fn sync(&self) -> io::Result<()>;
}

impl Output for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes a new file: the host's disk, or a test's slow or full one.
pub(super) type Disk = fn(&Path) -> io::Result<Box<dyn Output>>;

/// The host's disk; a file that is there already is an error.
pub(super) fn host_disk(path: &Path) -> io::Result<Box<dyn Output>> {
    Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
}

/// Hours since the UNIX epoch.
pub(super) fn hour_of(ts: UnixNanos) -> u64 {
    ts / HOUR_NS
}

/// The files of one writer: `FOLDER/2026-11-23T14.STEM.EXTENSION`.
#[derive(Clone, Debug)]
pub(super) struct HourlyFiles {
    pub(super) folder: PathBuf,
    pub(super) stem: String,
    pub(super) extension: &'static str,
}

impl HourlyFiles {
    /// Makes the file of an hour; where there is one already, the next free number goes into the
    /// name: `2026-11-23T14.STEM.1.EXTENSION`.
    pub(super) fn create(&self, disk: Disk, hour: u64) -> io::Result<Box<dyn Output>> {
        fs::create_dir_all(&self.folder)?;
        let hour = hour_text(hour);
        let Self { folder, stem, extension } = self;
        let mut name = format!("{hour}.{stem}.{extension}");
        for number in 1_u32.. {
            match disk(&folder.join(name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    name = format!("{hour}.{stem}.{number}.{extension}");
                }
                made => return made,
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }
}

fn hour_text(hour: u64) -> String {
    let seconds = i64::try_from(hour.saturating_mul(HOUR_NS / 1_000_000_000)).unwrap_or(i64::MAX);
    let start = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    start.strftime("%Y-%m-%dT%H").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_its_name_and_no_file_is_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (stem, extension) = ("shard-0".to_owned(), "dbn.zst");
        let files = HourlyFiles { folder: folder.path().join("c"), stem, extension };
        let hour = hour_of(1_795_442_399_999_999_999);
        for text in ["first", "second", "third"] {
            files.create(host_disk, hour).unwrap().write_all(text.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join("c").join(name)).unwrap();
        assert_eq!(read("2026-11-23T13.shard-0.dbn.zst"), "first");
        assert_eq!(read("2026-11-23T13.shard-0.1.dbn.zst"), "second");
        assert_eq!(read("2026-11-23T13.shard-0.2.dbn.zst"), "third");
    }
}
