//! What the appliance counts and times, about a second old.
//!
//! What arrives: the counters and histograms of a segment. What leaves: counters by name and
//! [`Histogram`]s of latencies in nanoseconds, as the appliance reports them itself.

use hdrhistogram::Histogram;
use wirebook_shm::SegmentView;
use wirebook_shm::histogram::{HistogramReader, HistogramShape};
use wirebook_shm::{EntryKind, names};

use crate::session::ClientError;

/// The longest array of counts that is believed: that of five digits over all of 64 bits is shorter.
const COUNTS_MAX: usize = 1 << 24;

pub(crate) fn counters(view: &SegmentView) -> Result<Vec<(String, u64)>, ClientError> {
    Ok(view.counters(names::COUNTERS)?.read().collect())
}

/// The names of the histograms that there are.
pub(crate) fn stages(view: &SegmentView) -> Vec<String> {
    let named = view.entries().filter(|(kind, ..)| *kind == EntryKind::Histogram);
    named.map(|(_, name, _)| name).collect()
}

/// The histogram of a stage; `None` before it has a sample.
pub(crate) fn latency(
    view: &SegmentView,
    stage: &str,
) -> Result<Option<Histogram<u64>>, ClientError> {
    let reader = view.histogram(&names::histogram(stage))?;
    Ok(rebuild(&reader))
}

fn rebuild(reader: &HistogramReader) -> Option<Histogram<u64>> {
    let HistogramShape { lowest, highest, digits } = reader.shape();
    let mut histogram =
        Histogram::new_with_bounds(lowest, highest, digits.try_into().ok()?).ok()?;
    let places = histogram.distinct_values();
    if places > COUNTS_MAX {
        return None;
    }
    let values: Vec<u64> = histogram.iter_all().map(|step| step.value_iterated_to()).collect();
    for (place, count) in reader.counts().filter(|(place, _)| *place < values.len()) {
        histogram.record_n(values[place].min(highest), count).ok()?;
    }
    Some(histogram)
}
