//! A recording replayed: its newest snapshot, then what the journal says since.
//!
//! Arrives: the directory of a recording. Leaves: the books of each shard of its newest run, to the
//! digest of that run. A snapshot that cannot be read is stepped over for the next older one. Counts,
//! in [`InputCounters`], files that are cut or damaged.

use super::note::{FileHead, Note};
use super::replica::Replica;
use super::snapshot::{Mark, Snapshot, snapshots};
use super::{RESERVED, SNAPSHOTS};
use crate::capture::{self, Capture, CaptureError, Item};
use crate::replay::{Bar, InputCounters};
use anyhow::{Context, bail, ensure};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use wirebook_machine::Books;
use wirebook_model::ALL_INSTRUMENTS;
use wirebook_model::dbn::SystemMsg;

/// What a recording's replay ends with.
pub struct Playback {
    /// The books of each shard.
    pub books: Vec<Books>,
    /// Records taken from the journal, notes among them.
    pub records: u64,
    /// What was wrong with its files.
    pub input: InputCounters,
    /// The snapshot that it began with.
    pub snapshot: Option<PathBuf>,
}

/// A file of the run.
struct Part {
    head: FileHead,
    path: PathBuf,
}

/// Replays the newest run recorded in `folder`, from its newest whole snapshot on, or `from_start`.
///
/// # Errors
/// Fails where the folder holds no journal, it cannot be read, or memory for the books is short.
pub fn play(folder: &Path, from_start: bool) -> anyhow::Result<Playback> {
    let mut input = InputCounters::default();
    let parts = newest_run(folder, &mut input)?;
    let Some(first) = parts.first().map(|part| part.head) else {
        bail!("{}: expected a recording, found a directory without a journal", folder.display());
    };
    let restored = if from_start { None } else { restore(folder, &first) };
    let Restored { mut replicas, mut places, snapshot } = match restored {
        Some(restored) => restored,
        None => Restored::nothing(&first)?,
    };
    let mut records = 0;
    for part in &parts {
        let FileHead { shard, channel, part: number, .. } = part.head;
        let replica = replicas.get_mut(usize::from(shard)).context("a shard beyond the last")?;
        replica.set_channel(&part.head);
        let place = places.entry((shard, channel)).or_default();
        if number < place.part {
            continue;
        }
        if number > place.part {
            let path = part.path.display();
            tracing::warn!("{path}: part {} before it is missing: its books are stale", place.part);
            input.damaged_files += 1;
            note_hole(part, replica);
            place.records = 0;
        }
        records += play_part(part, place.records, replica, &mut input)?;
        *place = Place { part: number + 1, records: 0 };
    }
    for replica in &replicas {
        let (skipped, malformed) = replica.skipped_and_malformed();
        input.skipped_records += skipped;
        input.malformed_records += malformed;
    }
    let books = replicas.into_iter().map(Replica::into_books).collect();
    Ok(Playback { books, records, input, snapshot })
}

/// The files of the newest run, those of each channel and shard in order.
fn newest_run(folder: &Path, input: &mut InputCounters) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let listed = |path: &Path| fs::read_dir(path).with_context(|| path.display().to_string());
    for channel in listed(folder)?.flatten() {
        let name = channel.file_name();
        let reserved = RESERVED.iter().any(|reserved| name == *reserved);
        if reserved || !channel.path().is_dir() {
            continue;
        }
        for file in listed(&channel.path())?.flatten() {
            let path = file.path();
            if !path.to_string_lossy().ends_with(".dbn.zst") {
                continue;
            }
            match head_of(&path) {
                Ok(head) => parts.push(Part { head, path }),
                Err(error) => {
                    input.truncated_files += 1;
                    tracing::warn!("{}: {error:#}; it is left out", path.display());
                }
            }
        }
    }
    let newest = parts.iter().map(|part| part.head.run).max().unwrap_or_default();
    let all = parts.len();
    parts.retain(|part| part.head.run == newest);
    if parts.len() < all {
        tracing::info!("{} files of older runs are left out", all - parts.len());
    }
    parts.sort_by_key(|part| (part.head.shard, part.head.channel, part.head.part));
    Ok(parts)
}

/// What a file says first.
fn head_of(path: &Path) -> anyhow::Result<FileHead> {
    let mut capture = capture::open(path)?;
    let note = match capture.next()? {
        Some(Item::Record(record)) => record.get::<SystemMsg>().and_then(Note::of),
        _ => None,
    };
    let Some(Note::WirebookJournal(head)) = note else {
        bail!("expected the head of a journal's file, found none");
    };
    match head.mistake() {
        None => Ok(head),
        Some(mistake) => bail!(mistake),
    }
}

/// The part of a channel's journal that comes next, and how many of its records are in the books.
#[derive(Clone, Copy, Default)]
struct Place {
    part: u32,
    records: u64,
}

/// The books that a replay begins with.
struct Restored {
    replicas: Vec<Replica>,
    /// By shard and channel.
    places: HashMap<(u16, u8), Place>,
    snapshot: Option<PathBuf>,
}

impl Restored {
    fn nothing(head: &FileHead) -> anyhow::Result<Self> {
        let new = |_| Replica::new(head.limits());
        let replicas = (0..head.shards).map(new).collect::<Result<_, _>>()?;
        Ok(Self { replicas, places: HashMap::new(), snapshot: None })
    }
}

/// The newest snapshot of this run that can be read.
fn restore(folder: &Path, head: &FileHead) -> Option<Restored> {
    snapshots(&folder.join(SNAPSHOTS)).into_iter().find_map(|path| {
        restore_one(&path, head).unwrap_or_else(|error| {
            tracing::warn!("{}: {error:#}; trying an older one", path.display());
            None
        })
    })
}

/// The books of a snapshot; `None` where it is of another run.
fn restore_one(path: &Path, head: &FileHead) -> anyhow::Result<Option<Restored>> {
    let saved = Snapshot::read(path)?;
    if saved.run != head.run {
        return Ok(None);
    }
    let found = saved.shards.len();
    ensure!(found == usize::from(head.shards), "expected {} shards, found {found}", head.shards);
    let mut replicas = Vec::new();
    let mut places = HashMap::new();
    for (shard, saved) in (0..head.shards).zip(saved.shards) {
        replicas.push(Replica::restore(head.limits(), &saved.books)?);
        for Mark { channel, part, records } in saved.marks {
            places.insert((shard, channel), Place { part, records });
        }
    }
    Ok(Some(Restored { replicas, places, snapshot: Some(path.to_owned()) }))
}

/// Gives a file's records to the replica, but for the first `skip`. Where the file is damaged, what
/// follows is missing.
fn play_part(
    part: &Part,
    skip: u64,
    replica: &mut Replica,
    input: &mut InputCounters,
) -> anyhow::Result<u64> {
    let mut capture = capture::open(&part.path)?;
    let bar = Bar::new(&part.path, &capture);
    let mut played = 0;
    let taken = take_records(&mut capture, skip, &bar, |record| {
        played += 1;
        replica.record(part.head.channel, record);
    });
    bar.finish();
    if let Err(error) = taken {
        let path = part.path.display();
        if error.is_truncated() {
            input.truncated_files += 1;
            tracing::warn!("{path}: {error}; what stands before it was used");
        } else {
            input.damaged_files += 1;
            tracing::warn!("{path}: {error}; the books are stale from there on");
            note_hole(part, replica);
        }
    }
    Ok(played)
}

/// Tells the books of a part's channel that records are missing.
fn note_hole(part: &Part, replica: &mut Replica) {
    let hole = Note::WirebookHole { missed_slots: 0 };
    let record = hole.to_record(part.head.publisher_id, ALL_INSTRUMENTS, 0);
    replica.record(part.head.channel, (&record).into());
}

fn take_records(
    capture: &mut Capture,
    skip: u64,
    bar: &Bar,
    mut take: impl FnMut(dbn::RecordRef<'_>),
) -> Result<(), CaptureError> {
    let mut number = 0;
    while let Some(item) = capture.next()? {
        if let Item::Record(record) = item {
            if number >= skip {
                take(record);
            }
            number += 1;
        }
        bar.tick(capture);
    }
    Ok(())
}
