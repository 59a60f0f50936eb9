//! The one table of what is told: every metric's name, type, unit, labels and meaning, and which of the
//! segment's counters and histograms it is made of.
//!
//! Names follow the conventions of Prometheus (<https://prometheus.io/docs/practices/naming/>): a prefix,
//! base units at the end, `_total` behind a counter. Gap, drop and overrun are three families, and never
//! added. A counter of the segment without a row here is told nowhere: a test fails for it.

mod rows;

pub use rows::FAMILIES;

/// What each name begins with.
pub const PREFIX: &str = "wirebook";

/// Upper bounds of the buckets of every histogram, in seconds: 1, 2.5 and 5 of each decade from 100 ns
/// to 10 s, the same for all, so that stages can be laid over each other. `+Inf` follows.
pub const BUCKETS: [f64; 25] = [
    1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3,
    5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1, 2.5e-1, 5e-1, 1.0, 2.5, 5.0, 10.0,
];

/// The type of a metric, as OpenMetrics has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, but for a restart.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often values were how large.
    Histogram,
    /// Text about the program, in labels.
    Info,
}

/// Where a family's values come from.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// One counter of the segment, times this.
    Counter(&'static str, f64),
    /// Several counters of the segment, told apart by one more label and these values of it.
    Counters(&'static str, &'static [(&'static str, &'static str)]),
    /// A counter of the segment that holds the number of a [`BookState`](wirebook_model::BookState): one
    /// for each state, 1 for the one that is.
    State(&'static str),
    /// All histograms of the segment.
    Stages,
    /// What boards say of their books, by channel and state.
    Books,
    /// Why books are stale, by channel and reason.
    StaleBooks,
    /// Seconds since the segment's heartbeat.
    Heartbeat,
    /// The program's version.
    Build,
}

/// One family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name behind the prefix, without unit and `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its unit, which ends its name; empty where it counts things.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Where it comes from.
    pub of: Of,
    /// What it says, in one line.
    pub help: &'static str,
}

impl Family {
    /// The name under which samples are found: `wirebook_line_packets_total`; a histogram's without
    /// `_bucket`, `_sum` and `_count`.
    pub fn exported_name(&self) -> String {
        let mut name = format!("{PREFIX}_{}", self.name);
        if !self.unit.is_empty() {
            name = format!("{name}_{}", self.unit);
        }
        match self.kind {
            Kind::Counter => name + "_total",
            Kind::Info => name + "_info",
            Kind::Gauge | Kind::Histogram => name,
        }
    }

    /// The segment's counters that it is made of.
    pub fn counters(&self) -> impl Iterator<Item = &'static str> {
        let (one, many) = match self.of {
            Of::Counter(name, _) | Of::State(name) => (Some(name), &[][..]),
            Of::Counters(_, counters) => (None, counters),
            Of::Stages | Of::Books | Of::StaleBooks | Of::Heartbeat | Of::Build => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().map(|(name, _)| *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_as_prometheus_has_them_and_stand_once() {
        let mut names = HashSet::new();
        for family in FAMILIES {
            let name = family.exported_name();
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(name.bytes().all(is_plain), "{name}");
            assert!(!family.name.ends_with("_total") && !family.name.contains("__"), "{name}");
            let mut words = name.split('_');
            let is_scaled = words.any(|word| ["ns", "us", "ms", "mib", "kb"].contains(&word));
            assert!(!is_scaled, "{name}: not a base unit");
            assert!(["", "seconds", "bytes"].contains(&family.unit), "{name}");
            assert!(names.insert(name.clone()), "{name} twice");
            let help = family.help;
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}: {help}");
        }
    }

    #[test]
    fn a_counter_is_told_once() {
        let mut counters = HashSet::new();
        for counter in FAMILIES.iter().flat_map(Family::counters) {
            assert!(counters.insert(counter), "{counter} twice");
        }
    }

    #[test]
    fn buckets_grow() {
        assert!(BUCKETS.is_sorted());
        assert_eq!((BUCKETS[0], BUCKETS[24]), (1e-7, 10.0));
    }
}
