//! One channel's records of one shard as files.
//!
//! Arrives: records in the order in which the shard made them. Leaves: DBN files of all schemas, one
//! an hour of `ts_recv`, each flush a whole zstd frame (RFC 8878: frames are concatenated), so that
//! a file of a process that died is whole up to its last flush; and the same bytes in a [`Replica`],
//! once they are written.

use super::RecorderCounters;
use super::files::{Disk, HourlyFiles, Output, hour_of};
use super::note::{FileHead, Note};
use super::replica::Replica;
use super::snapshot::Mark;
use super::tap::ts_recv;
use crate::clock;
use dbn::Metadata;
use dbn::SType;
use dbn::encode::dbn::MetadataEncoder;
use std::io;
use zstd::bulk::Compressor;

/// Records held back at most, in bytes: what comes before the next flush is due.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// What a journal is written with.
pub(super) struct Pen {
    pub(super) disk: Disk,
    pub(super) compressor: Compressor<'static>,
    pub(super) counters: RecorderCounters,
}

pub(super) struct ChannelJournal {
    files: HourlyFiles,
    dataset: String,
    /// Of the file that is being written.
    head: FileHead,
    /// `None` until a record has told it.
    hour: Option<u64>,
    output: Option<Box<dyn Output>>,
    /// Records of the file that are written, its head among them.
    written: u64,
    /// What the next flush writes, and how many records that is.
    pending: Vec<u8>,
    pending_records: u64,
    /// Bytes of `pending` before the first record: a new file's metadata.
    metadata_bytes: usize,
}

impl ChannelJournal {
    pub(super) fn new(files: HourlyFiles, dataset: String, head: FileHead) -> Self {
        Self {
            files,
            dataset,
            head,
            hour: None,
            output: None,
            written: 0,
            pending: Vec::with_capacity(FRAME_BYTES_MAX + (1 << 12)),
            pending_records: 0,
            metadata_bytes: 0,
        }
    }

    /// Takes the next record; writes where an hour is over or much is pending.
    pub(super) fn record(
        &mut self,
        record: &[u8],
        pen: &mut Pen,
        mut replica: Option<&mut Replica>,
    ) -> anyhow::Result<()> {
        let hour = ts_recv(record).map(hour_of);
        // A time that went back stays in the file of its neighbours.
        if let (Some(hour), Some(current)) = (hour, self.hour)
            && hour > current
        {
            self.flush(pen, replica.as_deref_mut())?;
            self.close()?;
            self.hour = None;
            self.head.part += 1;
        }
        if self.written + self.pending_records == 0 {
            self.begin()?;
        }
        self.hour = self.hour.or(hour);
        self.put(record);
        if self.pending.len() >= FRAME_BYTES_MAX {
            self.flush(pen, replica)?;
        }
        Ok(())
    }

    /// Takes a note about an instrument or all of them.
    pub(super) fn note(
        &mut self,
        note: &Note,
        instrument_id: u32,
        pen: &mut Pen,
        replica: Option<&mut Replica>,
    ) -> anyhow::Result<()> {
        let record = note.to_record(self.head.publisher_id, instrument_id, clock::now());
        self.record(record.as_ref(), pen, replica)
    }

    /// Writes what is pending as one frame and gives it to the replica.
    pub(super) fn flush(
        &mut self,
        pen: &mut Pen,
        replica: Option<&mut Replica>,
    ) -> anyhow::Result<()> {
        if self.pending_records == 0 {
            return Ok(());
        }
        let frame = pen.compressor.compress(&self.pending)?;
        let output = match &mut self.output {
            Some(output) => output,
            none => {
                pen.counters.files += 1;
                let hour = *self.hour.get_or_insert_with(|| hour_of(clock::now()));
                none.insert(self.files.create(pen.disk, hour)?)
            }
        };
        output.write_all(&frame)?;
        pen.counters.flushes += 1;
        pen.counters.bytes += frame.len() as u64;
        pen.counters.records += self.pending_records;
        if let Some(replica) = replica {
            replica.records(self.head.channel, &self.pending[self.metadata_bytes..])?;
        }
        self.written += std::mem::take(&mut self.pending_records);
        self.metadata_bytes = 0;
        self.pending.clear();
        Ok(())
    }

    /// Where the journal stands, with nothing pending; `None` before its first file.
    pub(super) fn mark(&self) -> Option<Mark> {
        let FileHead { channel, part, .. } = self.head;
        self.output.is_some().then_some(Mark { channel, part, records: self.written })
    }

    /// Ends the file that is being written.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.written = 0;
        self.output.take().map_or(Ok(()), |output| output.sync())
    }

    /// Begins a file: metadata, then its head.
    fn begin(&mut self) -> anyhow::Result<()> {
        let metadata = Metadata::builder()
            .dataset(self.dataset.clone())
            .schema(None)
            .start(0)
            .stype_in(None)
            .stype_out(SType::InstrumentId)
            .build();
        MetadataEncoder::new(&mut self.pending).encode(&metadata)?;
        self.metadata_bytes = self.pending.len();
        let head = Note::WirebookJournal(self.head);
        self.put(head.to_record(self.head.publisher_id, 0, clock::now()).as_ref());
        Ok(())
    }

    fn put(&mut self, record: &[u8]) {
        self.pending.extend_from_slice(record);
        self.pending_records += 1;
    }
}
