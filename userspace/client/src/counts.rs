//! What the appliance counts and times, about a second old.
//!
//! What arrives: the counters and histograms of a segment. What leaves: counters by name and
//! [`Histogram`]s of latencies in nanoseconds, as the appliance reports them itself.

use hdrhistogram::Histogram;
use wirebook_shm::histogram::{HistogramReader, HistogramShape};
use wirebook_shm::{EntryKind, SegmentError, SegmentView, names};

use crate::session::ClientError;

/// The longest array of counts that is believed: that of five digits over all of 64 bits is shorter.
const COUNTS_MAX: usize = 1 << 24;

pub(crate) fn counters(view: &SegmentView) -> Result<Vec<(String, u64)>, ClientError> {
    Ok(view.counters(names::COUNTERS)?.read().collect())
}

/// The histograms that there are, by name.
fn readers(view: &SegmentView) -> impl Iterator<Item = (String, HistogramReader)> {
    let entries = view.entries().filter(|(kind, ..)| *kind == EntryKind::Histogram);
    entries.filter_map(|(_, entry, _)| {
        let reader = view.histogram(&entry).ok()?;
        Some((reader.name()?, reader))
    })
}

/// The histograms that have a sample, by name.
pub(crate) fn latencies(view: &SegmentView) -> impl Iterator<Item = (String, Histogram<u64>)> {
    readers(view).filter_map(|(name, reader)| Some((name, rebuild(&reader)?)))
}

/// The stages that are timed, each once.
pub(crate) fn stages(view: &SegmentView) -> Vec<String> {
    let mut stages = Vec::new();
    for (name, _) in readers(view) {
        let stage = names::stage_of(&name);
        if !stages.iter().any(|known| known == stage) {
            stages.push(stage.to_owned());
        }
    }
    stages
}

/// The histogram of this name, or the sum of all of a stage; `None` before it has a sample.
pub(crate) fn latency(
    view: &SegmentView,
    name: &str,
) -> Result<Option<Histogram<u64>>, ClientError> {
    let mut is_there = false;
    let mut sum: Option<Histogram<u64>> = None;
    for (found, reader) in readers(view) {
        if found != name && names::stage_of(&found) != name {
            continue;
        }
        is_there = true;
        match (&mut sum, rebuild(&reader)) {
            (Some(sum), Some(histogram)) => {
                let added = sum.add(&histogram);
                debug_assert!(added.is_ok(), "all histograms have the same bounds");
            }
            (None, histogram) => sum = histogram,
            (Some(_), None) => {}
        }
    }
    match is_there {
        true => Ok(sum),
        false => Err(SegmentError::NoSuchEntry { what: "histogram", name: name.to_owned() }.into()),
    }
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
