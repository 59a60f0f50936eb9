//! The recorder's rings in the segment, and what stands at their two ends.
//!
//! ```text
//!  shard  ─ journal-N ─▶ recorder         (thread)
//!  worker ─ packets-N ─▶ packet-recorder  (thread)
//! ```

use super::{
    JournalRecorder, JournalWriter, PacketRecorder, PacketWriter, RecordConfig, RecorderCounters,
};
use crate::config::Config;
use std::sync::atomic::AtomicBool;
use wirebook_shm::ring::ObservingReader;
use wirebook_shm::{Segment, SegmentError, SegmentLayout, SegmentView};
use wirebook_telemetry::Probe;

/// Adds the rings that the configuration asks for.
pub fn lay_out(mut layout: SegmentLayout, config: &Config) -> SegmentLayout {
    let Some(record) = &config.record else { return layout };
    for shard in 0..config.shard_count() {
        layout = layout.open_ring(journal_name(shard), record.journal_slots);
    }
    for worker in 0..packet_rings(config, record) {
        layout = layout.open_ring(packets_name(worker), record.packet_slots);
    }
    layout
}

/// A shard's end, where records are written.
///
/// # Errors
/// [`SegmentError`] where it was taken before.
pub fn journal_writer(
    config: &Config,
    segment: &mut Segment,
    shard: usize,
) -> Result<Option<JournalWriter>, SegmentError> {
    let ring = config.record.as_ref().map(|_| segment.open_ring(&journal_name(shard)));
    Ok(ring.transpose()?.map(JournalWriter::new))
}

/// A worker's end, where packets are written.
///
/// # Errors
/// [`SegmentError`] where it was taken before.
pub fn packet_writer(
    config: &Config,
    segment: &mut Segment,
    worker: usize,
) -> Result<Option<PacketWriter>, SegmentError> {
    let record = config.record.as_ref().filter(|record| record.packets);
    let ring = record.map(|_| segment.open_ring(&packets_name(worker)));
    Ok(ring.transpose()?.map(PacketWriter::new))
}

/// The recorders' ends; each wants a thread.
///
/// # Errors
/// Fails where the recording's directory cannot be made, or memory for the books is short.
pub fn recorders(config: &Config, segment: &Segment) -> anyhow::Result<Vec<Recorder>> {
    let Some(record) = &config.record else { return Ok(Vec::new()) };
    let view = SegmentView::open(segment.share()?)?;
    let observe = |count: usize, name: fn(usize) -> String| {
        (0..count).map(|number| view.observe(&name(number))).collect::<Result<Vec<_>, _>>()
    };
    let journals: Vec<ObservingReader> = observe(config.shard_count(), journal_name)?;
    let journal = JournalRecorder::new(config, record, journals)?;
    let mut recorders = vec![Recorder::Journal(Box::new(journal))];
    if record.packets {
        let rings = observe(packet_rings(config, record), packets_name)?;
        recorders.push(Recorder::Packets(PacketRecorder::new(config, record, rings)));
    }
    Ok(recorders)
}

/// One of the recorder's threads.
pub enum Recorder {
    /// Records and snapshots of all shards.
    Journal(Box<JournalRecorder>),
    /// Packets of all workers.
    Packets(PacketRecorder),
}

impl Recorder {
    /// The thread's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Journal(_) => "recorder",
            Self::Packets(_) => "packet-recorder",
        }
    }

    /// Records until `stop`, and then until the rings are empty.
    pub fn run(&mut self, stop: &AtomicBool, probe: &Probe<RecorderCounters>) -> RecorderCounters {
        match self {
            Self::Journal(recorder) => recorder.run(stop, probe),
            Self::Packets(recorder) => recorder.run(stop, probe),
        }
    }
}

/// What all threads counted; `None` where there is none.
pub fn sum(threads: impl Iterator<Item = RecorderCounters>) -> Option<RecorderCounters> {
    threads.reduce(|mut sum, counters| {
        sum += counters;
        sum
    })
}

fn packet_rings(config: &Config, record: &RecordConfig) -> usize {
    if record.packets { config.workers.len() } else { 0 }
}

/// The ring from a shard to the recorder.
pub(crate) fn journal_name(shard: usize) -> String {
    format!("journal-{shard}")
}

/// The ring from a worker to the recorder of packets.
pub(crate) fn packets_name(worker: usize) -> String {
    format!("packets-{worker}")
}
