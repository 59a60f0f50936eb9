//! Counters and latency histograms that cost a hot thread a few stores.
//!
//! What arrives: counts and latencies from hot threads. What leaves: totals by name, and quantiles by
//! stage, on whichever thread asks. It promises: recording neither allocates, locks nor makes a
//! system call; no sample is lost, however late it is collected. It counts latencies beyond the
//! histogram's range, which are recorded as its end.

#![forbid(unsafe_code)]

mod counter;
mod histogram;
mod probe;
mod summary;

pub use counter::{Counter, CounterGroup, counters};
pub use histogram::{HIGHEST_NS, HistogramCollector, StageHistogram};
pub use probe::{Probe, ProbeReader, probe};
pub use summary::{LatencyReport, StageSummary, Summary};
