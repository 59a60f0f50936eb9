//! The native half of the Python package `wirebook`; what users see is `wirebook/__init__.py`.
//!
//! What arrives: calls from Python. What leaves: records as bytes or in arrays of the caller's, books,
//! and what else a stream says. Nothing here waits without letting other Python threads run and
//! without looking for signals, so Ctrl-C ends every wait. No lock is held while Python runs.
#![forbid(unsafe_code)]

mod attachment;
mod book;
mod error;
mod patience;
mod reader;

/// The module `wirebook._wirebook`.
#[pyo3::pymodule]
mod _wirebook {
    #[pymodule_export]
    use crate::attachment::Attachment;
    #[pymodule_export]
    use crate::book::{Book, Level, Trade};
    #[pymodule_export]
    use crate::reader::{Overrun, Reader, WriterGone};
}
