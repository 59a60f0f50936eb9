//! What the configuration says of recording: `[record]`.

use super::RESERVED;
use crate::config::mistake_in_slots;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashSet;
use std::path::PathBuf;

/// What is written to disk.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct RecordConfig {
    /// The directory of the recording; it is made where it is missing.
    #[schemars(example = &"/var/lib/wirebook/recording")]
    pub dir: PathBuf,
    /// Whether raw packets are written too.
    #[serde(default)]
    pub packets: bool,
    /// Milliseconds between two writes: what a process that is killed loses at most.
    #[serde(default = "default_flush_ms")]
    #[schemars(range(min = 1, max = 60_000))]
    pub flush_ms: u64,
    /// Seconds between two snapshots of all books; 0 for none. The recorder keeps the books a second
    /// time for them.
    #[serde(default = "default_snapshot_s")]
    #[schemars(range(max = 86_400))]
    pub snapshot_s: u64,
    /// Slots of the ring from a shard to the recorder; a power of two.
    #[serde(default = "default_recorder_slots")]
    #[schemars(range(min = 64))]
    pub journal_slots: usize,
    /// Slots of the ring from a worker to the recorder of packets; a power of two.
    #[serde(default = "default_recorder_slots")]
    #[schemars(range(min = 64))]
    pub packet_slots: usize,
}

impl RecordConfig {
    /// A recording into this directory, all else as the configuration's defaults.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            packets: false,
            flush_ms: default_flush_ms(),
            snapshot_s: default_snapshot_s(),
            journal_slots: default_recorder_slots(),
            packet_slots: default_recorder_slots(),
        }
    }

    /// What cannot be, for channels of these names.
    pub(crate) fn mistake<'a>(&self, channels: impl Iterator<Item = &'a str>) -> Option<String> {
        let mut names = HashSet::new();
        for name in channels {
            let no_folder = name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']);
            if no_folder || RESERVED.contains(&name) || !names.insert(name) {
                return Some(format!(
                    "channel {name:?}: expected a name of its own that a directory can have (not \
                     {RESERVED:?}), because its records are written there"
                ));
            }
        }
        if !(1..=60_000).contains(&self.flush_ms) {
            return Some(format!("record.flush_ms: expected 1 to 60000, found {}", self.flush_ms));
        }
        if self.snapshot_s > 86_400 {
            return Some(format!(
                "record.snapshot_s: expected 0 to 86400, found {}",
                self.snapshot_s
            ));
        }
        mistake_in_slots(&[
            ("record.journal_slots", self.journal_slots),
            ("record.packet_slots", self.packet_slots),
        ])
    }
}

fn default_flush_ms() -> u64 {
    1_000
}

fn default_snapshot_s() -> u64 {
    300
}

fn default_recorder_slots() -> usize {
    1 << 18
}
