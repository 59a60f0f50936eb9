//! Stage latencies: recorded by hot threads, collected by housekeeping.
//!
//! What arrives: one latency after another at a [`StageHistogram`], owned by a hot thread. What
//! leaves: the samples of all threads of a stage, merged, at the [`HistogramCollector`]. Two
//! histograms, taken at start, go round between the two: housekeeping leaves an empty one, and the
//! hot thread, when it sees that, swaps it for its full one. So the hot thread never waits, and the
//! collector gets whole histograms. A dropped recorder hands over what it has, so nothing is lost.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use hdrhistogram::Histogram;

use crate::summary::{LatencyReport, StageSummary, Summary};

/// The longest latency told apart, 60 s. Longer ones are recorded as this and counted.
pub const HIGHEST_NS: u64 = 60_000_000_000;
const LOWEST_NS: u64 = 1;
/// Decimal digits to which a latency is kept.
const DIGITS: u8 = 3;
/// A thread that is never idle looks for an empty histogram after this many samples: seldom enough
/// to cost nothing, often enough for a display that changes each second.
const SAMPLES_A_LOOK: u32 = 4_096;

/// A histogram and what did not fit it.
struct Samples {
    histogram: Histogram<u64>,
    saturated: u64,
}

impl Samples {
    fn new() -> Box<Self> {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS)
            .expect("the bounds are in order and the digits at most five");
        Box::new(Self { histogram, saturated: 0 })
    }

    #[inline]
    fn record(&mut self, latency_ns: u64) {
        self.saturated += u64::from(latency_ns > HIGHEST_NS);
        self.histogram.saturating_record(latency_ns.min(HIGHEST_NS));
    }

    fn merge(&mut self, other: &Self) {
        self.saturated += other.saturated;
        self.histogram.add(&other.histogram).expect("all histograms have the same bounds");
    }

    fn clear(&mut self) {
        self.saturated = 0;
        self.histogram.reset();
    }
}

/// Where a recorder and the collector pass histograms to each other.
struct Exchange {
    empty: ArrayQueue<Box<Samples>>,
    /// Room for both histograms: a recorder that ends hands its own over whatever is in there.
    full: ArrayQueue<Box<Samples>>,
}

/// A hot thread's recorder of one stage's latency.
pub struct StageHistogram {
    /// There until the recorder is dropped; never where nobody collects.
    samples: Option<Box<Samples>>,
    until_look: u32,
    exchange: Arc<Exchange>,
}

impl StageHistogram {
    /// A recorder that nobody collects from: what it is given is forgotten.
    pub fn unheard() -> Self {
        let exchange = Arc::new(Exchange { empty: ArrayQueue::new(1), full: ArrayQueue::new(2) });
        Self { samples: None, until_look: SAMPLES_A_LOOK, exchange }
    }

    /// Records one latency, in nanoseconds. Never allocates.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        if let Some(samples) = &mut self.samples {
            samples.record(latency_ns);
        }
        self.until_look -= 1;
        if self.until_look == 0 {
            self.hand_over();
        }
    }

    /// Hands the samples over where the collector has asked for them. For idle cycles; a thread that
    /// has none does so every few thousand samples.
    #[inline]
    pub fn hand_over(&mut self) {
        self.until_look = SAMPLES_A_LOOK;
        if self.exchange.empty.is_empty() {
            return;
        }
        if let Some(empty) = self.exchange.empty.pop() {
            self.pass_on(Some(empty));
        }
    }

    fn pass_on(&mut self, next: Option<Box<Samples>>) {
        if let Some(samples) = std::mem::replace(&mut self.samples, next) {
            let passed = self.exchange.full.push(samples);
            debug_assert!(passed.is_ok(), "two histograms go round, and the queue holds two");
        }
    }
}

impl Drop for StageHistogram {
    fn drop(&mut self) {
        self.pass_on(None);
    }
}

/// How many counts a stage's histogram has.
pub fn histogram_counts() -> usize {
    Samples::new().histogram.distinct_values()
}

/// One stage of one worker, shard or channel: the samples collected so far, and where more come from.
pub struct Stage {
    name: &'static str,
    labels: String,
    total: Box<Samples>,
    exchanges: Vec<Arc<Exchange>>,
}

impl Stage {
    fn collect(&mut self) {
        for exchange in &self.exchanges {
            while let Some(mut samples) = exchange.full.pop() {
                self.total.merge(&samples);
                samples.clear();
                // Refused only after the recorder's end, when both histograms have come back.
                let _unneeded = exchange.empty.push(samples);
            }
        }
    }

    /// The stage's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is of, as `worker="w0"`; empty where that is all there is.
    pub fn labels(&self) -> &str {
        &self.labels
    }

    /// Samples collected so far.
    pub fn samples(&self) -> u64 {
        self.total.histogram.len()
    }

    /// Samples beyond the highest value.
    pub fn saturated(&self) -> u64 {
        self.total.saturated
    }

    /// The lowest and the highest value and the digits that `HdrHistogram`'s array is made for.
    pub fn bounds(&self) -> (u64, u64, u8) {
        let histogram = &self.total.histogram;
        (histogram.low(), histogram.high(), histogram.sigfig())
    }

    /// The counts that are not 0, with their places in `HdrHistogram`'s array.
    pub fn counts(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let all = self.total.histogram.iter_all().map(|step| step.count_at_value());
        all.enumerate().filter(|(_, count)| *count > 0)
    }
}

impl Samples {
    fn summary(&self) -> Summary {
        let Self { histogram, saturated } = self;
        let quantile = |quantile| histogram.value_at_quantile(quantile);
        Summary {
            count: histogram.len(),
            saturated: *saturated,
            min_ns: histogram.min(),
            p50_ns: quantile(0.5),
            p90_ns: quantile(0.9),
            p99_ns: quantile(0.99),
            p99_9_ns: quantile(0.999),
            max_ns: histogram.max(),
            mean_ns: histogram.mean(),
        }
    }
}

/// Housekeeping's side of every stage.
#[derive(Default)]
pub struct HistogramCollector {
    stages: Vec<Stage>,
}

impl HistogramCollector {
    /// A collector that knows no stage yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A recorder of a stage that is told apart by nothing: [`recorder_of`](Self::recorder_of).
    pub fn recorder(&mut self, stage: &'static str) -> StageHistogram {
        self.recorder_of(stage, "")
    }

    /// A recorder for one hot thread, of a stage of what `labels` say, as `worker="w0"`. Recorders of
    /// the same stage and labels are summed up. Stages are reported in the order in which they are
    /// first named.
    pub fn recorder_of(&mut self, stage: &'static str, labels: &str) -> StageHistogram {
        let exchange = Arc::new(Exchange { empty: ArrayQueue::new(1), full: ArrayQueue::new(2) });
        let _taken = exchange.empty.push(Samples::new());
        let is_it = |known: &Stage| known.name == stage && known.labels == labels;
        let position = self.stages.iter().position(is_it);
        let position = position.unwrap_or_else(|| {
            let (labels, total) = (labels.to_owned(), Samples::new());
            self.stages.push(Stage { name: stage, labels, total, exchanges: Vec::new() });
            self.stages.len() - 1
        });
        self.stages[position].exchanges.push(Arc::clone(&exchange));
        StageHistogram { samples: Some(Samples::new()), until_look: SAMPLES_A_LOOK, exchange }
    }

    /// Takes in what the hot threads have handed over since the last time, and asks for more. A
    /// thread's samples arrive at the latest with the collection after it has dropped its recorder.
    pub fn collect(&mut self) {
        self.stages.iter_mut().for_each(Stage::collect);
    }

    /// What has been collected so far, count by count, in the order of the first recorders.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter()
    }

    /// What has been collected so far, stage by stage, whatever it is of.
    pub fn report(&self) -> LatencyReport {
        let mut sums: Vec<(&'static str, Box<Samples>)> = Vec::new();
        for stage in &self.stages {
            let known = sums.iter().position(|(name, _)| *name == stage.name);
            let place = known.unwrap_or_else(|| {
                sums.push((stage.name, Samples::new()));
                sums.len() - 1
            });
            sums[place].1.merge(&stage.total);
        }
        let summary =
            |(stage, sum): (_, Box<Samples>)| StageSummary { stage, summary: sum.summary() };
        LatencyReport { stages: sums.into_iter().map(summary).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// The model: an exact sort.
    #[test]
    fn quantiles_are_those_of_a_sort_to_three_digits() {
        let mut random = rand_pcg::Pcg64::seed_from_u64(2);
        let mut exact: Vec<u64> = (0..50_000)
            .map(|_| 1u64 << random.random_range(0..36) | random.random_range(0..999))
            .collect();
        let mut collector = HistogramCollector::new();
        let mut recorder = collector.recorder("wire→worker");
        exact.iter().for_each(|&latency_ns| recorder.record(latency_ns));
        drop(recorder);
        collector.collect();
        exact.sort_unstable();
        let summary = collector.report().stages[0].summary.clone();
        assert_eq!(summary.count, 50_000);
        assert_eq!(summary.saturated, 0);
        let mean = exact.iter().sum::<u64>() as f64 / 50_000.0;
        let close = |found: f64, exact: f64| (found - exact).abs() <= exact / 1000.0 + 0.5;
        assert!(close(summary.mean_ns, mean));
        let at = |quantile: f64| exact[(quantile * 50_000.0).ceil() as usize - 1];
        for (found, exact) in [
            (summary.min_ns, exact[0]),
            (summary.p50_ns, at(0.5)),
            (summary.p90_ns, at(0.9)),
            (summary.p99_ns, at(0.99)),
            (summary.p99_9_ns, at(0.999)),
            (summary.max_ns, exact[49_999]),
        ] {
            assert!(close(found as f64, exact as f64), "found {found}, exact {exact}");
        }
    }

    #[test]
    fn what_nobody_hears_is_forgotten() {
        let mut recorder = StageHistogram::unheard();
        (0..3 * SAMPLES_A_LOOK).for_each(|latency_ns| recorder.record(latency_ns.into()));
        recorder.hand_over();
        assert!(recorder.samples.is_none());
    }

    #[test]
    fn a_stage_of_several_is_told_apart_and_reported_as_one() {
        let mut collector = HistogramCollector::new();
        let labels = ["shard=\"0\"", "shard=\"1\"", "shard=\"0\""];
        for (labels, latency_ns) in labels.into_iter().zip([10, 20, 30]) {
            collector.recorder_of("refresh round", labels).record(latency_ns);
        }
        collector.collect();
        let told: Vec<_> =
            collector.stages().map(|stage| (stage.labels(), stage.samples())).collect();
        assert_eq!(told, [(labels[0], 2), (labels[1], 1)]);
        let report = collector.report();
        assert_eq!(report.stages.len(), 1);
        assert_eq!((report.stages[0].summary.count, report.stages[0].summary.max_ns), (3, 30));
    }

    #[test]
    fn a_latency_beyond_the_range_is_its_end_and_is_counted() {
        let mut collector = HistogramCollector::new();
        let mut recorder = collector.recorder("wire→worker");
        for latency_ns in [0, HIGHEST_NS, HIGHEST_NS + 1, u64::MAX] {
            recorder.record(latency_ns);
        }
        drop(recorder);
        collector.collect();
        let summary = collector.report().stages[0].summary.clone();
        assert_eq!((summary.count, summary.saturated, summary.min_ns), (4, 2, 0));
        assert!(summary.max_ns.abs_diff(HIGHEST_NS) <= HIGHEST_NS / 1000);
    }

    #[test]
    fn a_busy_thread_hands_over_without_being_idle() {
        let mut collector = HistogramCollector::new();
        let mut recorder = collector.recorder("wire→worker");
        (0..SAMPLES_A_LOOK).for_each(|_| recorder.record(5));
        collector.collect();
        assert_eq!(collector.report().stages[0].summary.count, u64::from(SAMPLES_A_LOOK));
        recorder.record(6);
        recorder.hand_over();
        collector.collect();
        assert_eq!(collector.report().stages[0].summary.count, u64::from(SAMPLES_A_LOOK) + 1);
    }

    #[test]
    fn collecting_while_threads_record_loses_nothing() {
        const THREADS: u64 = 3;
        const SAMPLES: u64 = 100_000;
        let mut collector = HistogramCollector::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    let mut recorder = collector.recorder("worker→shard");
                    scope.spawn(move || {
                        for nth in 0..SAMPLES {
                            recorder.record(nth % 1_000);
                            if nth % 97 == 0 {
                                recorder.hand_over();
                            }
                        }
                    })
                })
                .collect();
            while !threads.iter().all(|thread| thread.is_finished()) {
                collector.collect();
            }
        });
        collector.collect();
        let summary = &collector.report().stages[0].summary;
        assert_eq!(summary.count, THREADS * SAMPLES);
        assert_eq!(summary.mean_ns, 499.5);
    }
}
