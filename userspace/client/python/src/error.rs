//! The client's errors as Python's.

use std::io;

use pyo3::PyErr;
use pyo3::exceptions::{PyConnectionError, PyKeyError, PyRuntimeError, PyValueError};
use wirebook_client::ClientError;
use wirebook_shm::handoff::HandOffError;

/// The Python exception that says the same: `OSError`'s own kinds where nobody answers or the file
/// lets nobody in, `KeyError` of the bare symbol, `ValueError` of a wrong argument.
pub(crate) fn raised(error: ClientError) -> PyErr {
    match error {
        ClientError::HandOff(HandOffError::Unreachable { ref source, .. }) => {
            io::Error::new(source.kind(), error.to_string()).into()
        }
        ClientError::HandOff(_) | ClientError::WriterGone => {
            PyConnectionError::new_err(error.to_string())
        }
        ClientError::NoSuchInstrument(symbol) => PyKeyError::new_err(symbol),
        ClientError::NoSuchShard { .. } | ClientError::OtherShard(_) | ClientError::NoOrders => {
            PyValueError::new_err(error.to_string())
        }
        ClientError::Segment(_) | ClientError::Board(_) | ClientError::NotShown(_) => {
            PyRuntimeError::new_err(error.to_string())
        }
    }
}
