//! Everything that is counted, into the segment.
//!
//! Arrives: counters of all threads, as housekeeping gets them, and the histograms it has collected.
//! Leaves: named counters and histograms that any reader can look at, about a second old. A name is a
//! family, the counter, and labels: `line_missing_messages{channel="itch",line="A"}`. Counters that
//! found no room are said once.

use crate::config::Config;
use crate::stream::StreamHistograms;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Display;
use wirebook_model::dbn::rtype;
use wirebook_shm::counters::CounterWriter;
use wirebook_shm::histogram::{HistogramShape, HistogramWriter};
use wirebook_shm::{Segment, SegmentError, SegmentLayout, names};
use wirebook_telemetry::{HistogramCollector, Stage, histogram_counts};

/// Room for counters: some 40 a channel, 30 a shard and 20 a worker.
const COUNTERS: usize = 8_192;

/// Channels whose latencies are told apart, where there are no more: three histograms each, of some
/// 200 KiB, here and in the memory of who records and collects.
const CHANNELS_APART_MAX: usize = 64;
/// Channels that a reload may add and whose latencies have room.
const CHANNELS_TO_COME: usize = 4;

/// Adds what is counted and timed to a segment.
pub fn lay_out(layout: SegmentLayout, config: &Config) -> SegmentLayout {
    let layout = layout.counters(names::COUNTERS, COUNTERS);
    let a_shard = if config.segment.schemas.contains(rtype::MBO) { 4 } else { 2 };
    let channels = match are_channels_apart(config) {
        true => config.channels.len() + CHANNELS_TO_COME,
        false => 1,
    };
    let histograms = config.workers.len() + a_shard * config.shard_count() + 3 * channels;
    let numbers = 0..histograms.min(layout.room());
    let counts = histogram_counts();
    numbers.fold(layout, |layout, number| layout.histogram(names::histogram(number), counts))
}

/// What times the channel of this number.
pub fn of_channel(
    config: &Config,
    number: u8,
    collector: &mut HistogramCollector,
) -> StreamHistograms {
    let mut channels = config.channels.iter().filter(|_| are_channels_apart(config));
    match channels.find(|channel| channel.number == number) {
        Some(channel) => {
            let lines: Vec<_> = channel.lines.iter().map(|line| line.name.clone()).collect();
            StreamHistograms::of_channel(collector, &channel.name, &lines)
        }
        None => StreamHistograms::new(collector),
    }
}

/// Whether each channel's latencies are told apart.
fn are_channels_apart(config: &Config) -> bool {
    config.channels.len() <= CHANNELS_APART_MAX
}

/// The writing end of all counters and histograms.
pub struct Counts {
    counters: CounterWriter,
    places: HashMap<String, Option<usize>>,
    /// In the order of the collector's stages.
    histograms: Vec<Shown>,
    /// Whether it has been said that there are too few.
    is_full: bool,
}

/// A histogram in the segment.
struct Shown {
    writer: HistogramWriter,
    is_named: bool,
    /// Samples that are in it.
    samples: u64,
}

impl Counts {
    /// The counters and histograms of a segment.
    ///
    /// # Errors
    /// [`SegmentError`] where they were taken before.
    pub fn new(segment: &mut Segment) -> Result<Self, SegmentError> {
        let writers = (0..).map_while(|number| segment.histogram(&names::histogram(number)).ok());
        let shown = |writer| Shown { writer, is_named: false, samples: 0 };
        let histograms = writers.map(shown).collect();
        let counters = segment.counters(names::COUNTERS)?;
        Ok(Self { counters, places: HashMap::new(), histograms, is_full: false })
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

    /// Names the histograms of all stages, and sets those that have grown.
    pub fn set_histograms(&mut self, collector: &HistogramCollector) {
        for (told, shown) in collector.stages().zip(&mut self.histograms) {
            shown.set(told);
        }
        let stages = collector.stages().count();
        if stages > self.histograms.len() && !std::mem::replace(&mut self.is_full, true) {
            let room = self.histograms.len();
            tracing::warn!(
                "{} of {stages} latencies are not shown: there is no room",
                stages - room
            );
        }
    }
}

impl Shown {
    fn set(&mut self, told: &Stage) {
        if !std::mem::replace(&mut self.is_named, true) {
            let named = self.writer.set_name(&names::stage(told.name(), told.labels()));
            named.unwrap_or_else(|error| tracing::warn!("not shown: {error}"));
        }
        if self.samples == told.samples() {
            return;
        }
        let (lowest, highest, digits) = told.bounds();
        self.writer.set_shape(HistogramShape { lowest, highest, digits: digits.into() });
        told.counts().for_each(|(index, count)| self.writer.set(index, count));
        self.writer.set_saturated(told.saturated());
        self.samples = told.samples();
    }
}
