//! All books of a run at one place of its journal, as a file.
//!
//! ```text
//! one zstd frame (RFC 8878) with its content's checksum, over:
//!   8 bytes   magic
//!   4 bytes   version, little-endian
//!   4 bytes   length of the head, little-endian
//!   head      JSON: the run, and for each shard its marks and the length of its books
//!   books     of each shard, as `Books::save` writes them
//! ```
//!
//! Promises: a file has its name only once it is whole and on the disk; a damaged one is an error.

use anyhow::{Context, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use wirebook_model::UnixNanos;

const MAGIC: &[u8; 8] = b"WBKSNAPS";
const VERSION: u32 = 1;
const EXTENSION: &str = "snapshot";
/// The compression level of the zstd library's own default.
const ZSTD_LEVEL: i32 = 0;

/// A place in a channel's journal: so many records of this part, its head among them, are in the
/// books, and all of the parts before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) channel: u8,
    pub(super) part: u32,
    pub(super) records: u64,
}

/// One shard's books and how far in the journal they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SavedShard {
    pub(super) marks: Vec<Mark>,
    pub(super) books: Vec<u8>,
}

/// All shards of a run, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) run: u64,
    pub(super) shards: Vec<SavedShard>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    run: u64,
    shards: Vec<ShardHead>,
}

#[derive(Serialize, Deserialize)]
struct ShardHead {
    marks: Vec<Mark>,
    books_bytes: u64,
}

impl Snapshot {
    /// Writes the snapshot into `folder`: into a file of another name first, which is renamed once
    /// it is on the disk. What failed leaves nothing.
    pub(super) fn write(&self, folder: &Path, now: UnixNanos) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let time = Timestamp::from_nanosecond(i128::from(now)).unwrap_or(Timestamp::MAX);
        let path =
            folder.join(time.strftime(&format!("%Y-%m-%dT%H-%M-%S.%9fZ.{EXTENSION}")).to_string());
        let partial = path.with_extension("partial");
        let written = self.write_whole(&partial).and_then(|()| Ok(fs::rename(&partial, &path)?));
        if written.is_err() {
            // The error that we have says more than one of this.
            let _ = fs::remove_file(&partial);
        }
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(File::open(folder)?.sync_all()?)
    }

    fn write_whole(&self, path: &Path) -> anyhow::Result<()> {
        let shard = |shard: &SavedShard| ShardHead {
            marks: shard.marks.clone(),
            books_bytes: shard.books.len() as u64,
        };
        let shards = self.shards.iter().map(shard).collect();
        let head = serde_json::to_vec(&Head { run: self.run, shards })?;
        let mut encoder = zstd::Encoder::new(File::create(path)?, ZSTD_LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(MAGIC)?;
        encoder.write_all(&VERSION.to_le_bytes())?;
        encoder.write_all(&u32::try_from(head.len())?.to_le_bytes())?;
        encoder.write_all(&head)?;
        for shard in &self.shards {
            encoder.write_all(&shard.books)?;
        }
        Ok(encoder.finish()?.sync_all()?)
    }

    /// Reads a snapshot.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        zstd::Decoder::new(File::open(path)?)?.read_to_end(&mut bytes)?;
        let start = bytes.first_chunk::<16>().context("expected a header, found less")?;
        let [version, head_bytes] = [8, 12]
            .map(|at| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]));
        ensure!(start.starts_with(MAGIC), "expected a snapshot, found {:02x?}", &start[..8]);
        ensure!(version == VERSION, "expected version {VERSION}, found {version}");
        let (head, mut books) = bytes[start.len()..]
            .split_at_checked(head_bytes as usize)
            .context("expected a head, found less")?;
        let head: Head = serde_json::from_slice(head)?;
        let mut shards = Vec::new();
        for ShardHead { marks, books_bytes } in head.shards {
            let (of_shard, rest) = usize::try_from(books_bytes)
                .ok()
                .and_then(|length| books.split_at_checked(length))
                .with_context(|| format!("expected books of {books_bytes} bytes, found less"))?;
            shards.push(SavedShard { marks, books: of_shard.to_vec() });
            books = rest;
        }
        ensure!(books.is_empty(), "expected the end, found {} bytes", books.len());
        Ok(Self { run: head.run, shards })
    }
}

/// The snapshots in `folder`, newest first; none where there is no such folder.
pub(super) fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new(EXTENSION)))
        .collect();
    paths.sort_unstable_by(|a, b| b.cmp(a));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(run: u64) -> Snapshot {
        let mark = Mark { channel: 3, part: 1, records: 70_000 };
        let shard = |books: &[u8]| SavedShard { marks: vec![mark], books: books.to_vec() };
        Snapshot { run, shards: vec![shard(b"first books"), shard(b""), shard(&[7; 900])] }
    }

    #[test]
    fn a_snapshot_comes_back_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        for run in [5, 7, 6] {
            snapshot(run).write(folder.path(), run * 1_000_000_000).unwrap();
        }
        let read: Vec<_> =
            snapshots(folder.path()).iter().map(|p| Snapshot::read(p).unwrap()).collect();
        assert_eq!(read, [snapshot(7), snapshot(6), snapshot(5)]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        snapshot(1).write(folder.path(), 1).unwrap();
        let path = snapshots(folder.path()).remove(0);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(Snapshot::read(&path).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            fs::write(&path, &changed).unwrap();
            assert!(Snapshot::read(&path).map_or(true, |read| read == snapshot(1)), "byte {at}");
        }
    }
}
