//! Whether the appliance is well: ready, housekeeping awake, no thread of the path standing.
//!
//! Arrives: the segment's counters and heartbeat. Leaves: the first reason why it is not, in words.

use super::Told;
use crate::clock;

/// The first reason why the appliance is not well; `None` where it is.
pub(super) fn mistake(told: &Told) -> Option<String> {
    let age_ns = clock::now().saturating_sub(told.session.heartbeat_ns());
    if u128::from(age_ns) > told.no_progress.as_nanos() {
        return Some(format!("housekeeping has not moved for {} ms", age_ns / 1_000_000));
    }
    let counters = match told.session.counters() {
        Ok(counters) => counters,
        Err(error) => return Some(error.to_string()),
    };
    let mut is_ready = false;
    for (name, value) in &counters {
        match name.strip_prefix("thread_stalled") {
            Some(thread) if *value > 0 => {
                return Some(format!("a thread makes no progress: {thread}"));
            }
            _ => is_ready |= name == "appliance_ready" && *value > 0,
        }
    }
    (!is_ready).then(|| "not ready: packets cannot be received yet".to_owned())
}
