//! One book as the board shows it, as a Python object.

use dbn::FIXED_PRICE_SCALE;
use pyo3::prelude::*;
use wirebook_client as client;

/// The ten best levels of one book at one moment.
#[pyclass(frozen, module = "wirebook")]
pub(crate) struct Book(pub(crate) client::Book);

#[pymethods]
impl Book {
    /// The venue's name for the instrument.
    #[getter]
    fn symbol(&self) -> &str {
        self.0.symbol()
    }

    /// The instrument's id, as in its records.
    #[getter]
    fn instrument_id(&self) -> u32 {
        self.0.instrument_id()
    }

    /// DBN publisher id, as in its records.
    #[getter]
    fn publisher_id(&self) -> u16 {
        self.0.publisher()
    }

    /// "warming", "live", "healing" or "stale".
    #[getter]
    fn state(&self) -> &'static str {
        self.0.state().name()
    }

    /// Why it is stale: "gap", "unknown-order", "limit", "fault", "self-check" or "unknown"; `None`
    /// where it is not.
    #[getter]
    fn stale_reason(&self) -> Option<&'static str> {
        self.0.stale_reason_name()
    }

    /// Up to ten levels, best bid first.
    #[getter]
    fn bids(&self) -> Vec<Level> {
        self.0.bids().iter().map(Level::from).collect()
    }

    /// Up to ten levels, best ask first.
    #[getter]
    fn asks(&self) -> Vec<Level> {
        self.0.asks().iter().map(Level::from).collect()
    }

    /// The last trade, where there was one.
    #[getter]
    fn last_trade(&self) -> Option<Trade> {
        self.0.last_trade().map(|client::Trade { price, size }| Trade { price, size })
    }

    /// Venue sequence of the last event in the book.
    #[getter]
    fn sequence(&self) -> u64 {
        self.0.sequence()
    }

    /// Venue time of that event, nanoseconds since the UNIX epoch.
    #[getter]
    fn ts_event(&self) -> u64 {
        self.0.ts_event()
    }

    /// Receive time of that event, nanoseconds since the UNIX epoch.
    #[getter]
    fn ts_recv(&self) -> u64 {
        self.0.ts_recv()
    }

    /// Where in its shard's ring the records begin that are not in the book.
    #[getter]
    fn cursor(&self) -> u64 {
        self.0.cursor().get()
    }

    fn __repr__(&self) -> String {
        format!("<Book {:?}>", self.0)
    }
}

/// One price of a book.
#[pyclass(frozen, eq, hash, get_all, module = "wirebook")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Level {
    /// Price, 1e-9.
    price: i64,
    /// Size of all orders.
    size: u64,
    /// Number of orders.
    orders: u32,
}

#[pymethods]
impl Level {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&str, &str, &str) = ("price", "size", "orders");

    /// The price as a float: to look at, not to compare.
    #[getter]
    fn pretty_price(&self) -> f64 {
        pretty(self.price)
    }

    fn __repr__(&self) -> String {
        format!("Level(price={}, size={}, orders={})", self.price, self.size, self.orders)
    }
}

impl From<&client::Level> for Level {
    fn from(level: &client::Level) -> Self {
        let client::Level { price, size, orders, .. } = *level;
        Self { price, size, orders }
    }
}

/// The last trade of an instrument.
#[pyclass(frozen, eq, hash, get_all, module = "wirebook")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Trade {
    /// Price, 1e-9.
    price: i64,
    /// Size.
    size: u32,
}

#[pymethods]
impl Trade {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&str, &str) = ("price", "size");

    /// The price as a float: to look at, not to compare.
    #[getter]
    fn pretty_price(&self) -> f64 {
        pretty(self.price)
    }

    fn __repr__(&self) -> String {
        format!("Trade(price={}, size={})", self.price, self.size)
    }
}

fn pretty(price: i64) -> f64 {
    price as f64 / FIXED_PRICE_SCALE as f64
}
