//! The recorder: a run's records, packets and books on disk, so that it can be replayed.
//!
//! Arrives: what shards and workers push into rings of the recorder's own. Leaves, in one directory:
//!
//! ```text
//! CHANNEL/2026-11-23T14.shard-0.dbn.zst     every record that the books of a channel completed
//! packets/2026-11-23T14.worker-w0.pcapng    every packet, where asked for
//! snapshots/2026-11-23T14-05-00.…Z.snapshot all books at one place of the journal
//! ```
//!
//! Promises: no hot thread waits for a disk: one that is slow makes the recorder lapped, which it
//! counts as an overrun and notes in the journal; one that is full ends the recording, and nothing
//! else. A process that is killed loses what came since the last flush.
//!
//! [`rings`] is how it is connected; [`JournalRecorder`] and [`PacketRecorder`] write, each on a
//! thread of its own; [`playback`] reads a directory again.

mod config;
mod files;
mod journal;
mod journal_thread;
mod note;
mod packet_thread;
mod packets;
pub mod playback;
mod replica;
pub mod rings;
mod snapshot;
mod tap;
#[cfg(test)]
mod tests;

pub use config::RecordConfig;
pub use journal_thread::JournalRecorder;
pub use note::{FileHead, Note};
pub use packet_thread::PacketRecorder;
pub use tap::{JournalWriter, PacketWriter};

use derive_more::AddAssign;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use wirebook_telemetry::Probe;

/// The directory of packets in a recording's.
const PACKETS: &str = "packets";
/// The directory of snapshots in a recording's.
const SNAPSHOTS: &str = "snapshots";
/// Names that no channel can have where records are written.
pub(crate) const RESERVED: [&str; 2] = [PACKETS, SNAPSHOTS];

/// How long a recorder sleeps when its rings are empty.
const NAP: Duration = Duration::from_millis(1);

/// What the recorder has written and what it could not.
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecorderCounters {
    /// Records written, notes among them.
    pub records: u64,
    /// Packets taken to be written.
    pub packets: u64,
    /// Bytes written, as they are on disk; snapshots not among them.
    pub bytes: u64,
    /// Files begun; snapshots not among them.
    pub files: u64,
    /// Writes, each of what a file then holds whole.
    pub flushes: u64,
    /// Times that a hot thread lapped the recorder.
    pub overruns: u64,
    /// Slots that were overwritten before they were read.
    pub missed_slots: u64,
    /// Entries of a ring that were none of ours.
    pub bad_entries: u64,
    /// Snapshots written.
    pub snapshots: u64,
    /// Errors of the disk.
    pub write_errors: u64,
    /// Recorder threads that have stopped writing, each after an error.
    pub recording_stopped: u64,
}

impl RecorderCounters {
    /// An error ended a thread's recording.
    fn stop(&mut self, what: &str, error: &anyhow::Error) {
        self.write_errors += 1;
        self.recording_stopped += 1;
        tracing::error!(
            recording = what,
            "recording of {what} stopped, the appliance goes on: {error:#}"
        );
    }

    /// Lets a thread that has stopped recording say so until the run ends.
    fn answer_until(&self, stop: &AtomicBool, probe: &Probe<Self>) {
        while !stop.load(Ordering::Acquire) {
            probe.answer(|| *self);
            thread::sleep(NAP);
        }
    }
}
