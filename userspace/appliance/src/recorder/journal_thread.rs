//! The thread that writes the journals of all shards, and snapshots of their books.

use super::files::{HourlyFiles, host_disk};
use super::journal::{ChannelJournal, Pen};
use super::note::{FileHead, Note};
use super::replica::Replica;
use super::snapshot::{SavedShard, Snapshot};
use super::tap::JournalEntry;
use super::{NAP, RecorderCounters, SNAPSHOTS};
use crate::clock;
use crate::config::Config;
use crate::lines::{ChannelSpec, Lines, dataset};
use crate::recorder::RecordConfig;
use anyhow::{Context, anyhow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use wirebook_model::ALL_INSTRUMENTS;
use wirebook_shm::ring::{Observed, ObservingReader};
use wirebook_telemetry::Probe;
use zstd::bulk::Compressor;

/// Entries taken from one ring before the next one has its turn.
const ENTRIES_A_TURN: usize = 1 << 12;
/// The compression level of the zstd library's own default.
const ZSTD_LEVEL: i32 = 0;

/// Writes what the shards push.
pub struct JournalRecorder {
    settings: RecordConfig,
    run: u64,
    shards: Vec<ShardJournal>,
    pen: Pen,
    flushed: Instant,
    saved: Instant,
    /// The snapshot that is being written: compressing it and waiting for the disk takes longer than
    /// a ring lasts.
    saving: Option<JoinHandle<anyhow::Result<()>>>,
}

/// What one shard pushes, and where it goes.
struct ShardJournal {
    ring: ObservingReader,
    /// By channel number.
    channels: Vec<ChannelJournal>,
    /// Kept for snapshots; none where there are to be none.
    replica: Option<Replica>,
}

impl JournalRecorder {
    /// A recorder over the journal rings of all shards, in order.
    ///
    /// # Errors
    /// Fails where the directory cannot be made, or memory for the books is short.
    pub fn new(
        config: &Config,
        settings: &RecordConfig,
        rings: Vec<ObservingReader>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&settings.dir)
            .with_context(|| format!("cannot record into {}", settings.dir.display()))?;
        let run = clock::now();
        let lines = Lines::of_config(config, None);
        let shard_count = u16::try_from(rings.len())?;
        let mut shards = Vec::new();
        for (shard, ring) in (0..shard_count).zip(rings) {
            let head = FileHead::new(run, shard, shard_count, config.limits.into());
            shards.push(ShardJournal::new(config, settings, lines.channels(), ring, head)?);
        }
        let compressor = Compressor::new(ZSTD_LEVEL)?;
        let pen = Pen { disk: host_disk, compressor, counters: RecorderCounters::default() };
        let now = Instant::now();
        Ok(Self {
            settings: settings.clone(),
            run,
            shards,
            pen,
            flushed: now,
            saved: now,
            saving: None,
        })
    }

    /// Writes to this disk instead of the host's.
    #[cfg(test)]
    pub(super) fn use_disk(&mut self, disk: super::files::Disk) {
        self.pen.disk = disk;
    }

    /// Records until `stop`, and then until the rings are empty. An error ends the recording and is
    /// logged and counted; the thread stays and answers.
    pub fn run(&mut self, stop: &AtomicBool, probe: &Probe<RecorderCounters>) -> RecorderCounters {
        if let Err(error) = self.record(stop, probe) {
            self.pen.counters.stop("the journal", &error);
            self.shards.clear();
            self.pen.counters.answer_until(stop, probe);
        }
        self.pen.counters
    }

    fn record(&mut self, stop: &AtomicBool, probe: &Probe<RecorderCounters>) -> anyhow::Result<()> {
        let flush = Duration::from_millis(self.settings.flush_ms);
        let snapshot = Duration::from_secs(self.settings.snapshot_s);
        loop {
            let stopping = stop.load(Ordering::Acquire);
            let mut found = false;
            for shard in &mut self.shards {
                found |= shard.take(&mut self.pen)?;
            }
            probe.answer(|| self.pen.counters);
            if self.flushed.elapsed() >= flush {
                self.flush()?;
            }
            if self.saving.as_ref().is_some_and(JoinHandle::is_finished) {
                self.await_snapshot()?;
            }
            let idle = self.saving.is_none() && !snapshot.is_zero();
            if idle && self.saved.elapsed() >= snapshot {
                self.begin_snapshot()?;
            }
            match (found, stopping) {
                (true, _) => {}
                (false, true) => return self.finish(),
                (false, false) => thread::sleep(NAP),
            }
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.flushed = Instant::now();
        self.shards.iter_mut().try_for_each(|shard| shard.flush(&mut self.pen))
    }

    /// Saves the books at a place where nothing is pending; another thread writes them.
    fn begin_snapshot(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        self.saved = Instant::now();
        let shards = self.shards.iter().filter_map(ShardJournal::save).collect();
        let snapshot = Snapshot { run: self.run, shards };
        let (folder, now) = (self.settings.dir.join(SNAPSHOTS), clock::now());
        let write = move || snapshot.write(&folder, now);
        self.saving = Some(thread::Builder::new().name("snapshot".to_owned()).spawn(write)?);
        Ok(())
    }

    fn await_snapshot(&mut self) -> anyhow::Result<()> {
        let Some(saving) = self.saving.take() else { return Ok(()) };
        saving.join().map_err(|_| anyhow!("the thread that writes snapshots died"))??;
        self.pen.counters.snapshots += 1;
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        self.await_snapshot()?;
        if self.settings.snapshot_s != 0 && self.pen.counters.records != 0 {
            self.begin_snapshot()?;
            self.await_snapshot()?;
        }
        for channel in self.shards.iter_mut().flat_map(|shard| &mut shard.channels) {
            channel.close()?;
        }
        Ok(())
    }
}

impl ShardJournal {
    fn new(
        config: &Config,
        settings: &RecordConfig,
        channels: &[ChannelSpec],
        ring: ObservingReader,
        head: FileHead,
    ) -> anyhow::Result<Self> {
        let mut replica = match settings.snapshot_s {
            0 => None,
            _ => Some(Replica::new(head.limits())?),
        };
        let mut journals = Vec::new();
        for (spec, channel) in channels.iter().zip(&config.channels) {
            let head = FileHead {
                channel: spec.number,
                publisher_id: spec.publisher_id,
                quotes_restore: spec.quotes_restore,
                ..head
            };
            if let Some(replica) = &mut replica {
                replica.set_channel(&head);
            }
            let files = HourlyFiles {
                folder: settings.dir.join(&channel.name),
                stem: format!("shard-{}", head.shard),
                extension: "dbn.zst",
            };
            journals.push(ChannelJournal::new(files, dataset(spec.protocol), head));
        }
        Ok(Self { ring, channels: journals, replica })
    }

    /// Takes what the shard has pushed, within reason; true where there was something.
    fn take(&mut self, pen: &mut Pen) -> anyhow::Result<bool> {
        for taken in 0..ENTRIES_A_TURN {
            match self.ring.poll() {
                Observed::Empty => return Ok(taken > 0),
                Observed::Overrun { missed_slots } => self.hole(missed_slots, pen)?,
                Observed::Record(entry) => {
                    let entry = JournalEntry::of(entry.bytes());
                    let (channels, replica) = (&mut self.channels, self.replica.as_mut());
                    let journal = entry.as_ref().and_then(|entry| channel_of(channels, entry));
                    match (entry, journal) {
                        (Some(JournalEntry::Record { bytes, .. }), Some(journal)) => {
                            journal.record(bytes, pen, replica)?;
                        }
                        (Some(JournalEntry::Note { instrument_id, note, .. }), Some(journal)) => {
                            journal.note(&note, instrument_id, pen, replica)?;
                        }
                        _ => pen.counters.bad_entries += 1,
                    }
                }
            }
        }
        Ok(true)
    }

    /// Notes in every channel's journal that records are missing: nobody knows whose.
    fn hole(&mut self, missed_slots: u64, pen: &mut Pen) -> anyhow::Result<()> {
        pen.counters.overruns += 1;
        pen.counters.missed_slots += missed_slots;
        tracing::warn!(
            missed_slots,
            "the recorder was lapped: {missed_slots} slots of a journal ring are missing"
        );
        let note = Note::WirebookHole { missed_slots };
        for journal in &mut self.channels {
            journal.note(&note, ALL_INSTRUMENTS, pen, self.replica.as_mut())?;
        }
        Ok(())
    }

    fn flush(&mut self, pen: &mut Pen) -> anyhow::Result<()> {
        for journal in &mut self.channels {
            journal.flush(pen, self.replica.as_mut())?;
        }
        Ok(())
    }

    fn save(&self) -> Option<SavedShard> {
        let mut books = Vec::new();
        self.replica.as_ref()?.books().save(&mut books);
        let marks = self.channels.iter().filter_map(ChannelJournal::mark).collect();
        Some(SavedShard { marks, books })
    }
}

fn channel_of<'a>(
    channels: &'a mut [ChannelJournal],
    entry: &JournalEntry<'_>,
) -> Option<&'a mut ChannelJournal> {
    let (JournalEntry::Record { channel, .. } | JournalEntry::Note { channel, .. }) = entry;
    channels.get_mut(usize::from(*channel))
}
