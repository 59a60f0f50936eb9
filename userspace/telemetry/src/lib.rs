//! Latency histograms and answers to questions, at the price of a few stores to a hot thread.
//!
//! What arrives: latencies and copies of counters from hot threads. What leaves: those copies, and
//! quantiles by stage, on whichever thread asks. It promises: recording neither allocates, locks nor makes a
//! system call; no sample is lost, however late it is collected. It counts latencies beyond the
//! histogram's range, which are recorded as its end.

#![forbid(unsafe_code)]

mod histogram;
mod probe;
mod summary;

pub use histogram::{HIGHEST_NS, HistogramCollector, Stage, StageHistogram, histogram_counts};
pub use probe::{Probe, ProbeReader, probe};
pub use summary::{LatencyReport, StageSummary, Summary};
