//! What the benchmarks share: the figures of several rounds, and the host that they were taken on.
//!
//! Each benchmark is a program under `src/bin/`, which `scripts/bench` runs. It prints its figures
//! with their spread and writes what it measured, round by round, to a file of `runs/`. A figure is
//! a ratio within one round wherever it can be: a shared host is not the same from round to round.
#![forbid(unsafe_code)]

pub mod builders;
mod host;
mod input;
pub mod path;
pub mod plot;
pub mod rings;
pub mod rounds;

pub use host::Host;
pub use input::InputArguments;
pub use wirebook_hot::{feed, ours, slots};

use serde::Serialize;
use std::fmt;

/// One figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The lowest.
    pub min: f64,
    /// The one in the middle; of an even number, the upper of the two.
    pub median: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Of these values; `None` where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: values[values.len() / 2], max })
    }
}

/// As `median (min to max)`, with the precision that the format asks for, or two decimals.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(2);
        let Self { min, median, max } = self;
        write!(f, "{median:.precision$} ({min:.precision$} to {max:.precision$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_all_values() {
        let spread = Spread::of([3.0, 1.0, 2.0, 10.0, 4.0]).map(|spread| spread.to_string());
        assert_eq!(spread.as_deref(), Some("3.00 (1.00 to 10.00)"));
        assert_eq!(Spread::of([]), None);
    }
}
