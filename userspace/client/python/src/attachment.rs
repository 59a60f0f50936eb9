//! What a Python `Session` holds: the session with its books, replaced by the next start's.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dbn::{MboMsg, RecordHeader, rtype};
use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use wirebook_client::{Books, ClientError, Reattached, Session, Wait};
use wirebook_shm::handoff::HandOffError;

use crate::book::Book;
use crate::error::raised;
use crate::patience::Patience;
use crate::reader::Reader;

/// How long to wait for the next start between two looks for signals; long enough to see a heartbeat
/// that still moves.
const SLICE: Duration = Duration::from_millis(200);

/// The appliance at one socket, at whichever start was attached last.
#[pyclass(frozen, module = "wirebook._wirebook")]
pub(crate) struct Attachment {
    /// Held for a moment at a time: never while waiting, and never while Python runs.
    start: Mutex<Start>,
}

struct Start {
    session: Session,
    books: Books,
}

impl Start {
    fn new(session: Session) -> Result<Self, ClientError> {
        Ok(Self { books: session.books()?, session })
    }
}

#[pymethods]
impl Attachment {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let start = py.detach(|| Start::new(Session::connect(path)?)).map_err(raised)?;
        Ok(Self { start: Mutex::new(start) })
    }

    #[getter]
    fn epoch(&self) -> u64 {
        self.start().session.epoch()
    }

    #[getter]
    fn shards(&self) -> usize {
        self.start().session.shards()
    }

    #[getter]
    fn writer_pid(&self) -> u32 {
        self.start().session.writer_pid()
    }

    fn book(&self, symbol: &str) -> PyResult<Book> {
        self.start().books.book(symbol).map(Book).map_err(raised)
    }

    fn has_book(&self, symbol: &str) -> bool {
        self.start().books.directory().find(symbol).next().is_some()
    }

    /// Every symbol so far, once.
    fn symbols(&self) -> Vec<String> {
        let mut start = self.start();
        let directory = start.books.directory();
        directory.refresh();
        let mut seen = HashSet::new();
        let named = directory.iter().map(|instrument| &instrument.symbol);
        named.filter(|symbol| !symbol.is_empty() && seen.insert(*symbol)).cloned().collect()
    }

    /// The symbol of a record's instrument.
    fn symbol(&self, publisher_id: u16, instrument_id: u32) -> Option<String> {
        let header = RecordHeader::new::<MboMsg>(rtype::MBO, publisher_id, instrument_id, 0);
        let mut start = self.start();
        let instrument = start.books.directory().of(&header)?;
        (!instrument.symbol.is_empty()).then(|| instrument.symbol.clone())
    }

    /// Records of one shard or of all.
    fn reader(
        &self,
        shard: Option<usize>,
        symbols: Option<HashSet<String>>,
        from_start: bool,
        wait: &str,
        heal: bool,
    ) -> PyResult<Reader> {
        let wait = match wait {
            "spin" => Wait::Spin,
            "spin-then-yield" => Wait::SpinThenYield,
            "sleep" => Wait::Sleep,
            _ => {
                let expected = "expected wait to be 'spin', 'spin-then-yield' or 'sleep'";
                return Err(PyValueError::new_err(format!("{expected}, found {wait:?}")));
            }
        };
        let session = self.start().session.clone();
        let records = match shard {
            Some(shard) => session.shard_records(shard),
            None => session.records(),
        };
        let records = records.map_err(raised)?.waiting(wait);
        let mut records = if from_start { records.from_start() } else { records };
        if heal {
            records.heal().map_err(raised)?;
        }
        Reader::new(session, records, symbols).map_err(raised)
    }

    /// Attaches again after the writer's end; true where that is another start.
    fn reconnect(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let patience = Patience::new(timeout)?;
        let mut session = self.start().session.clone();
        loop {
            let slice = patience.slice(SLICE);
            let tried = py.detach(|| match session.reconnect(slice)? {
                Reattached::SameStart => Ok(None),
                Reattached::NextStart => Start::new(session.clone()).map(Some),
            });
            match tried {
                Ok(next) => {
                    let is_next = next.is_some();
                    if let Some(next) = next {
                        *self.start() = next;
                    }
                    return Ok(is_next);
                }
                Err(error @ ClientError::HandOff(HandOffError::AbiVersion { .. })) => {
                    return Err(raised(error));
                }
                Err(error) if patience.is_over() => {
                    return Err(PyTimeoutError::new_err(error.to_string()));
                }
                Err(_) => py.check_signals()?,
            }
        }
    }
}

impl Attachment {
    fn start(&self) -> MutexGuard<'_, Start> {
        // Replaced as a whole, so whole even where a thread fell.
        self.start.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
