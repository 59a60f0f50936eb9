//! Everything that is counted, into the segment.
//!
//! Arrives: counters of all threads, as housekeeping gets them, and the histograms it has collected.
//! Leaves: named counters and histograms that any reader can look at, about a second old. A name is a
//! family, the counter, and labels: `line_missing_messages{channel="itch",line="A"}`. Counters that
//! found no room are said once.

use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Display;
use wirebook_shm::counters::CounterWriter;
use wirebook_shm::histogram::{HistogramShape, HistogramWriter};
use wirebook_shm::{Segment, SegmentError, SegmentLayout, names};
use wirebook_telemetry::{HistogramCollector, histogram_counts};

/// Room for counters: some 40 a channel, 30 a shard and 20 a worker.
const COUNTERS: usize = 8_192;

/// The stages whose latency is told.
const STAGES: [&str; 8] = [
    "wire→worker",
    "worker→shard",
    "shard→published",
    "gap→live",
    "A before B",
    "B before A",
    "refresh round",
    "refresh piece",
];

/// Adds what is counted and timed to a segment.
pub fn lay_out(layout: SegmentLayout) -> SegmentLayout {
    let layout = layout.counters(names::COUNTERS, COUNTERS);
    let counts = histogram_counts();
    STAGES.iter().fold(layout, |layout, stage| layout.histogram(names::histogram(stage), counts))
}

/// The writing end of all counters and histograms.
pub struct Counts {
    counters: CounterWriter,
    places: HashMap<String, Option<usize>>,
    stages: Vec<Stage>,
}

struct Stage {
    name: &'static str,
    writer: HistogramWriter,
    /// Samples that are in the segment.
    samples: u64,
}

impl Counts {
    /// The counters and histograms of a segment.
    ///
    /// # Errors
    /// [`SegmentError`] where they were taken before.
    pub fn new(segment: &mut Segment) -> Result<Self, SegmentError> {
        let stage = |name| {
            let writer = segment.histogram(&names::histogram(name))?;
            Ok(Stage { name, writer, samples: 0 })
        };
        let stages = STAGES.into_iter().map(stage).collect::<Result<_, SegmentError>>()?;
        Ok(Self { counters: segment.counters(names::COUNTERS)?, places: HashMap::new(), stages })
    }

    /// Sets each number of `counters`, a struct of them, as `family_field{labels}`.
    pub fn set_all(&mut self, family: &str, labels: &str, counters: &impl Serialize) {
        if let Ok(Value::Object(fields)) = serde_json::to_value(counters) {
            let numbers = fields.iter().filter_map(|(name, value)| Some((name, value.as_u64()?)));
            numbers.for_each(|(name, value)| self.set(family, name, labels, value));
        }
    }

    /// Sets one counter.
    pub fn set(&mut self, family: &str, name: impl Display, labels: &str, value: u64) {
        let name = match labels {
            "" => format!("{family}_{name}"),
            labels => format!("{family}_{name}{{{labels}}}"),
        };
        match self.places.get(&name) {
            Some(Some(place)) => self.counters.set(*place, value),
            Some(None) => {}
            None => {
                let added = self.counters.add(&name, value);
                let added = added.inspect_err(|error| tracing::warn!("not shown: {error}"));
                self.places.insert(name, added.ok());
            }
        }
    }

    /// Sets the histograms that have grown.
    pub fn set_histograms(&mut self, collector: &HistogramCollector) {
        for told in collector.stages() {
            let stage = self.stages.iter_mut().find(|stage| stage.name == told.name());
            let Some(stage) = stage.filter(|stage| stage.samples != told.samples()) else {
                continue;
            };
            let (lowest, highest, digits) = told.bounds();
            stage.writer.set_shape(HistogramShape { lowest, highest, digits: digits.into() });
            told.counts().for_each(|(index, count)| stage.writer.set(index, count));
            stage.writer.set_saturated(told.saturated());
            stage.samples = told.samples();
        }
    }
}
