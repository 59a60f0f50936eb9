//! What the segment says at this moment, in the OpenMetrics text format.
//!
//! Arrives: counters, histograms and boards of the segment, read once a scrape. Leaves: each family of
//! [`FAMILIES`] that has samples, encoded by the library. A counter without a row is left out here, and
//! found by a test.

use super::Told;
use super::families::{BUCKETS, FAMILIES, Family, Kind, Of, PREFIX};
use super::labels::{Labels, labels, split};
use crate::clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use wirebook_client::{ClientError, Histogram};
use wirebook_model::{BookState, StaleReason};

/// Nanoseconds of a second.
const SECOND_NS: f64 = 1e9;

/// The states of books and channels.
const STATES: [BookState; 4] =
    [BookState::Warming, BookState::Live, BookState::Healing, BookState::Stale];

/// The reasons of a stale book.
const REASONS: [StaleReason; 6] = [
    StaleReason::None,
    StaleReason::Gap,
    StaleReason::UnknownOrder,
    StaleReason::Limit,
    StaleReason::Fault,
    StaleReason::SelfCheck,
];

/// One scrape.
#[derive(Debug)]
pub(super) struct Exposition {
    /// By a counter's name without its labels: its labels and values.
    counters: HashMap<String, Vec<(Labels, u64)>>,
    stages: Vec<(Labels, Buckets)>,
    /// By channel and state, and of stale ones by channel and reason.
    books: BTreeMap<(String, &'static str), u64>,
    stale_books: BTreeMap<(String, &'static str), u64>,
    heartbeat_age_s: f64,
}

/// A histogram as OpenMetrics has it: the counts between the bounds, and the sum of all values.
#[derive(Debug, PartialEq)]
struct Buckets {
    counts: [u64; BUCKETS.len() + 1],
    sum_s: f64,
}

impl Exposition {
    /// What the segment says now.
    ///
    /// # Errors
    /// Where it is not laid out as an appliance's.
    pub(super) fn new(told: &Told) -> Result<Self, ClientError> {
        let mut counters: HashMap<String, Vec<(Labels, u64)>> = HashMap::new();
        for (name, value) in told.session.counters()? {
            let (name, labels) = split(&name);
            counters.entry(name.to_owned()).or_default().push((labels, value));
        }
        let mut stages = Vec::new();
        for (name, histogram) in told.session.latencies() {
            let (stage, labels) = split(&name);
            let stage = ("stage".to_owned(), stage.to_owned());
            let labels = [stage].into_iter().chain(labels).collect();
            stages.push((labels, Buckets::of(&histogram)));
        }
        let age_ns = clock::now().saturating_sub(told.session.heartbeat_ns());
        let heartbeat_age_s = age_ns as f64 / SECOND_NS;
        let (books, stale_books) = (BTreeMap::new(), BTreeMap::new());
        let mut exposition = Self { counters, stages, books, stale_books, heartbeat_age_s };
        exposition.count_books(told);
        Ok(exposition)
    }

    /// The text of one scrape.
    ///
    /// # Errors
    /// None in practice: a text takes what is written to it.
    pub(super) fn encode(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }

    /// Counts the books of all boards; of a channel without books there are none of each state.
    fn count_books(&mut self, told: &Told) {
        for channel in told.channels.iter() {
            for state in STATES {
                self.books.insert((channel.clone(), state.name()), 0);
            }
            for reason in REASONS.into_iter().skip(1) {
                self.stale_books.insert((channel.clone(), reason.name()), 0);
            }
        }
        for board in told.boards.iter() {
            // Cells are used from the first on: an empty one is the end.
            let cells = (0..board.len()).filter_map(|place| board.read(place).ok());
            for cell in cells.take_while(|cell| cell.state != 0) {
                let channel = told.channels.get(usize::from(cell.channel));
                let channel = channel.cloned().unwrap_or_default();
                let state = BookState::from_u8(cell.state).unwrap_or(BookState::Stale);
                if state == BookState::Stale {
                    let reason = StaleReason::from_u8(cell.stale_reason).unwrap_or_default();
                    *self.stale_books.entry((channel.clone(), reason.name())).or_default() += 1;
                }
                *self.books.entry((channel, state.name())).or_default() += 1;
            }
        }
    }

    /// The samples of a family, but for histograms and text.
    fn samples(&self, family: &Family) -> Vec<(Labels, f64)> {
        let of = |name: &str| self.counters.get(name).into_iter().flatten();
        let by = |counts: &BTreeMap<(String, &'static str), u64>, label: &str| {
            let sample = |((channel, value), count): (&(String, &'static str), &u64)| {
                (labels([("channel", channel.as_str()), (label, *value)]), *count as f64)
            };
            counts.iter().map(sample).collect()
        };
        match family.of {
            Of::Counter(name, scale) => {
                of(name).map(|(labels, value)| (labels.clone(), *value as f64 * scale)).collect()
            }
            Of::Counters(by, counters) => {
                let one = |(name, said): &(&str, &str)| {
                    let more = labels([(by, *said)]);
                    of(name)
                        .map(|(labels, value)| ([&labels[..], &more].concat(), *value as f64))
                        .collect::<Vec<_>>()
                };
                counters.iter().flat_map(one).collect()
            }
            Of::State(name) => {
                of(name).flat_map(|(labels, value)| states(labels, *value)).collect()
            }
            Of::Books => by(&self.books, "state"),
            Of::StaleBooks => by(&self.stale_books, "reason"),
            Of::Heartbeat => vec![(Vec::new(), self.heartbeat_age_s)],
            Of::Build | Of::Stages => Vec::new(),
        }
    }

    fn encode_family(&self, family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let unit = (!family.unit.is_empty()).then(|| Unit::Other(family.unit.to_owned()));
        let samples = self.samples(family);
        if samples.is_empty() && !matches!(family.of, Of::Build | Of::Stages) {
            return Ok(());
        }
        let kind = match family.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let mut encoder =
            encoder.encode_descriptor(family.name, family.help, unit.as_ref(), kind)?;
        match family.of {
            Of::Build => encoder.encode_info(&[("version", env!("CARGO_PKG_VERSION"))]),
            Of::Stages => self.stages.iter().try_for_each(|(labels, buckets)| {
                with_labels(&mut encoder, labels, |encoder| buckets.encode(encoder))
            }),
            _ => samples.iter().try_for_each(|(labels, value)| {
                with_labels(&mut encoder, labels, |encoder| match family.kind {
                    Kind::Counter => {
                        encoder.encode_counter::<NoLabelSet, _, u64>(&(*value as u64), None)
                    }
                    Kind::Gauge | Kind::Histogram | Kind::Info => encoder.encode_gauge(value),
                })
            }),
        }
    }
}

/// Encodes a sample with its labels, or without braces where it has none.
fn with_labels(
    encoder: &mut MetricEncoder<'_>,
    labels: &Labels,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match labels.is_empty() {
        true => encode(encoder),
        false => encode(&mut encoder.encode_family(labels)?),
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        FAMILIES.iter().try_for_each(|family| self.encode_family(family, &mut encoder))
    }
}

impl Buckets {
    /// The counts of a histogram in nanoseconds. A value is known to three digits, so one that is as
    /// near to a bound may be counted beyond it.
    fn of(histogram: &Histogram<u64>) -> Self {
        let mut buckets = Self { counts: [0; BUCKETS.len() + 1], sum_s: 0.0 };
        for step in histogram.iter_recorded() {
            let (highest_ns, count) = (step.value_iterated_to(), step.count_at_value());
            let seconds = highest_ns as f64 / SECOND_NS;
            buckets.counts[BUCKETS.partition_point(|bound| *bound < seconds)] += count;
            let middle_ns = histogram.median_equivalent(highest_ns);
            buckets.sum_s += middle_ns as f64 / SECOND_NS * count as f64;
        }
        buckets
    }

    fn encode(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.counts).collect();
        encoder.encode_histogram::<NoLabelSet>(self.sum_s, self.counts.iter().sum(), &buckets, None)
    }
}

/// One sample a state.
fn states(of: &Labels, value: u64) -> impl Iterator<Item = (Labels, f64)> {
    STATES.into_iter().map(move |state| {
        let labels = [&of[..], &labels([("state", state.name())])].concat();
        (labels, f64::from(u8::from(state as u64 == value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model: each value compared with each bound.
    #[test]
    fn buckets_hold_the_counts_and_the_sum_of_their_histogram() {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).unwrap();
        let values: Vec<u64> = (0..36).flat_map(|bit| [1 << bit, (1 << bit) * 3 / 2]).collect();
        let values: Vec<_> = values.into_iter().filter(|value| *value <= 60_000_000_000).collect();
        for value in &values {
            histogram.record_n(*value, 3).unwrap();
        }
        let buckets = Buckets::of(&histogram);
        let mut below = 0;
        for (bound, count) in BUCKETS.into_iter().zip(buckets.counts) {
            below += count;
            let expected = values.iter().filter(|value| **value as f64 <= bound * 1e9).count();
            assert_eq!(below, 3 * expected as u64, "to {bound}");
        }
        assert_eq!(buckets.counts.iter().sum::<u64>(), 3 * values.len() as u64);
        let sum_s = values.iter().sum::<u64>() as f64 * 3.0 / 1e9;
        assert!((buckets.sum_s - sum_s).abs() < sum_s / 1000.0, "{} of {sum_s}", buckets.sum_s);
    }

    #[test]
    fn a_state_is_one_of_four() {
        let of = labels([("channel", "c0")]);
        let told: Vec<_> = states(&of, BookState::Healing as u64).map(|(_, value)| value).collect();
        assert_eq!(told, [0.0, 0.0, 1.0, 0.0]);
    }
}
