//! What stands behind the books, what is checked, and when a thread is said to stand.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use wirebook_machine::{Supervision, machines};

/// The self-check.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct CheckConfig {
    /// Symbols or instrument ids of the books.
    #[schemars(example = ["AAPL"])]
    pub shadow: Vec<String>,
}

/// The machines behind each book.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct MachinesConfig {
    /// Their names, in the order of the chain: those of the example, and a program's own.
    #[schemars(example = machines::names().collect::<Vec<_>>())]
    pub run: Vec<String>,
    /// How often machines learn that feed time has passed, in milliseconds of it.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub interval_ms: u64,
    /// Attempts to rebuild an instrument's machine that fell before it stays down.
    pub rebuilds_max: u32,
    /// Records that a shard keeps to rebuild machines from.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub log_records: usize,
}

/// The supervision of threads.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SupervisionConfig {
    /// How long a thread may go without a new cycle before it is reported, in milliseconds.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub no_progress_ms: u64,
    /// How long channels are waited for before the service manager is told that the appliance is
    /// ready without them, in seconds.
    #[schemars(range(max = 86_400))]
    pub ready_timeout_s: u64,
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        Self { no_progress_ms: 5_000, ready_timeout_s: 30 }
    }
}

impl SupervisionConfig {
    /// How long a thread may go without a new cycle before it is reported.
    pub fn no_progress(&self) -> Duration {
        Duration::from_millis(self.no_progress_ms)
    }

    /// How long channels are waited for before the appliance is ready without them.
    pub fn ready_timeout(&self) -> Duration {
        Duration::from_secs(self.ready_timeout_s)
    }

    pub(super) fn mistake(&self) -> Option<String> {
        let Self { no_progress_ms, ready_timeout_s } = self;
        if !(100..=3_600_000).contains(no_progress_ms) {
            return Some(format!(
                "supervision.no_progress_ms: expected 100 to 3600000, found {no_progress_ms}"
            ));
        }
        (*ready_timeout_s > 86_400).then(|| {
            format!("supervision.ready_timeout_s: expected 0 to 86400, found {ready_timeout_s}")
        })
    }
}

impl Default for MachinesConfig {
    fn default() -> Self {
        let Supervision { rebuilds_max, log_records } = Supervision::default();
        Self { run: Vec::new(), interval_ms: 1_000, rebuilds_max, log_records }
    }
}

impl MachinesConfig {
    /// How often machines learn that feed time has passed.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ms * 1_000_000
    }

    pub(super) fn mistake(&self) -> Option<String> {
        if !(1..=3_600_000).contains(&self.interval_ms) {
            return Some(format!(
                "machines.interval_ms: expected 1 to 3600000, found {}",
                self.interval_ms
            ));
        }
        if !(1..=1 << 24).contains(&self.log_records) {
            return Some(format!(
                "machines.log_records: expected 1 to 2^24, found {}",
                self.log_records
            ));
        }
        None
    }
}
