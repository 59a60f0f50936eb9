//! How long a call may wait, cut into slices between which Python looks for signals.

use std::time::{Duration, Instant};

use pyo3::PyResult;
use pyo3::exceptions::PyValueError;

/// The time left of a `timeout`; without end where that is `None`.
pub(crate) struct Patience {
    end: Option<Instant>,
}

impl Patience {
    /// `timeout` seconds from now.
    ///
    /// # Errors
    ///
    /// `ValueError` where that is negative or no number of seconds.
    pub(crate) fn new(timeout: Option<f64>) -> PyResult<Self> {
        let wrong =
            || PyValueError::new_err(format!("expected seconds or None, found {timeout:?}"));
        let end = |seconds| {
            let length = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
            Instant::now().checked_add(length).ok_or_else(wrong)
        };
        Ok(Self { end: timeout.map(end).transpose()? })
    }

    /// At most `slice` of what is left.
    pub(crate) fn slice(&self, slice: Duration) -> Duration {
        self.end.map_or(slice, |end| slice.min(end.saturating_duration_since(Instant::now())))
    }

    /// True once nothing is left.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }
}
