//! A stream of records for Python: some at a time, as bytes or into an array.
//!
//! What arrives: what [`Records`] gives, one at a time. What leaves: as many records as are there, and
//! what else the stream says, each in its place between the records. One copy is made of a record
//! that is given (behind the reader's own, against which the ring checks it).

use std::collections::{HashMap, HashSet};
use std::thread::sleep;
use std::time::Duration;

use dbn::RecordHeader;
use numpy::PyReadwriteArray1;
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wirebook_client::{self as client, Books, ClientError, Cursor, Next, Records, Session};
use wirebook_model::ALL_INSTRUMENTS;

use crate::book::Book;
use crate::error::raised;
use crate::patience::Patience;

/// How long to wait between two looks for signals.
const SLICE: Duration = Duration::from_millis(50);
/// Records between two looks for signals where records never end.
const RECORDS_A_LOOK: usize = 4_096;
/// How often, and how long each time, to wait for a new instrument's cell: its shard shows it at the
/// end of the turn in which its first record was made.
const NAME_TRIES: usize = 20;
const NAME_WAIT: Duration = Duration::from_millis(1);

/// The writer has lapped this reader, which goes on at the newest record: its own books of this
/// shard's instruments are not right any more.
#[pyclass(frozen, eq, hash, get_all, module = "wirebook")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Overrun {
    /// Of this shard.
    shard: usize,
    /// Slots of 64 bytes that were missed: an order's record takes one, others up to ten.
    missed_slots: u64,
}

#[pymethods]
impl Overrun {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&str, &str) = ("shard", "missed_slots");

    fn __repr__(&self) -> String {
        format!("Overrun(shard={}, missed_slots={})", self.shard, self.missed_slots)
    }
}

/// The appliance has not moved its heartbeat for two seconds, and all that it published has been
/// read: its books stand still.
#[pyclass(frozen, eq, hash, module = "wirebook")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct WriterGone;

#[pymethods]
impl WriterGone {
    fn __repr__(&self) -> &'static str {
        "WriterGone()"
    }
}

/// What a stream says between records.
#[derive(Clone, Copy, IntoPyObject)]
pub(crate) enum Event {
    Overrun(Overrun),
    WriterGone(WriterGone),
}

/// What [`Reader::take`] gives.
#[derive(IntoPyObject)]
pub(crate) enum Taken<'py> {
    Records(Bound<'py, PyBytes>),
    Event(Event),
}

/// What [`Reader::fill`] gives.
#[derive(IntoPyObject)]
pub(crate) enum Filled {
    Records(usize),
    Event(Event),
}

/// The records of one start.
#[pyclass(module = "wirebook._wirebook")]
pub(crate) struct Reader {
    session: Session,
    records: Records,
    filter: Option<Filter>,
    /// What comes next, behind the records given.
    event: Option<Event>,
    /// For [`Reader::join`], from the first on.
    books: Option<Books>,
    /// Records that begin before these places are in the books that were joined.
    joined: HashMap<Key, Cursor>,
}

impl Reader {
    /// # Errors
    ///
    /// [`ClientError::Segment`] where the segment is not laid out as an appliance's.
    pub(crate) fn new(
        session: Session,
        records: Records,
        symbols: Option<HashSet<String>>,
    ) -> Result<Self, ClientError> {
        let filter = match symbols {
            Some(symbols) => Some(Filter::new(symbols, session.books()?)),
            None => None,
        };
        let (event, books, joined) = (None, None, HashMap::new());
        Ok(Self { session, records, filter, event, books, joined })
    }
}

#[pymethods]
impl Reader {
    #[getter]
    fn epoch(&self) -> u64 {
        self.session.epoch()
    }

    /// The records that are there, at most `limit`, one behind the other; waits at most `timeout`
    /// seconds for the first. An event stands alone; `None` where nothing came.
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        limit: usize,
        timeout: Option<f64>,
    ) -> PyResult<Option<Taken<'py>>> {
        let patience = Patience::new(timeout)?;
        let mut bytes = Vec::new();
        loop {
            let mut left = limit;
            py.detach(|| {
                self.gather(patience.slice(SLICE), |record| {
                    bytes.extend_from_slice(record);
                    left -= 1;
                    left > 0
                });
            });
            if !bytes.is_empty() {
                return Ok(Some(Taken::Records(PyBytes::new(py, &bytes))));
            }
            if let Some(event) = self.event.take() {
                return Ok(Some(Taken::Event(event)));
            }
            py.check_signals()?;
            if patience.is_over() {
                return Ok(None);
            }
        }
    }

    /// The instrument's book at a place from which these records go on: those that are in it are not
    /// given any more. Waits at most `timeout` seconds for the board to show that place.
    fn join(&mut self, py: Python<'_>, symbol: &str, timeout: Option<f64>) -> PyResult<Book> {
        let patience = Patience::new(timeout)?;
        loop {
            let joined = py.detach(|| self.join_now(symbol, patience.slice(SLICE)));
            if let Some(book) = joined.map_err(raised)? {
                return Ok(Book(book));
            }
            py.check_signals()?;
            if patience.is_over() {
                return Err(PyTimeoutError::new_err("the board does not show this place yet"));
            }
        }
    }

    /// Fills `into` with the records of one type, and says how many there are: as many as it has
    /// room for, or what came within `timeout` seconds or before an event. Steps over records of
    /// other types. An event is given where no record came before it.
    fn fill(
        &mut self,
        py: Python<'_>,
        mut into: PyReadwriteArray1<'_, u8>,
        rtype: u8,
        timeout: Option<f64>,
    ) -> PyResult<Filled> {
        let patience = Patience::new(timeout)?;
        let mut left = into.as_slice_mut()?;
        let mut count = 0;
        while !left.is_empty() && self.event.is_none() {
            py.detach(|| {
                self.gather(patience.slice(SLICE), |record| {
                    if record[1] == rtype
                        && let Some((place, rest)) =
                            std::mem::take(&mut left).split_at_mut_checked(record.len())
                    {
                        place.copy_from_slice(record);
                        (left, count) = (rest, count + 1);
                    }
                    !left.is_empty()
                });
            });
            py.check_signals()?;
            if patience.is_over() {
                break;
            }
        }
        match self.event {
            Some(event) if count == 0 => {
                self.event = None;
                Ok(Filled::Event(event))
            }
            _ => Ok(Filled::Records(count)),
        }
    }
}

impl Reader {
    /// The instrument's book where these records stand; `None` where the board does not show that
    /// place within `patience`.
    fn join_now(
        &mut self,
        symbol: &str,
        patience: Duration,
    ) -> Result<Option<client::Book>, ClientError> {
        let books = match &mut self.books {
            Some(books) => books,
            none => none.insert(self.session.books()?),
        };
        let instrument = books.directory().find(symbol).next().cloned();
        let instrument =
            instrument.ok_or_else(|| ClientError::NoSuchInstrument(symbol.to_owned()))?;
        match self.records.join(books, &instrument, patience) {
            Ok(book) => {
                self.joined.insert((instrument.publisher, instrument.id), book.cursor());
                Ok(Some(book))
            }
            Err(ClientError::NotShown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the records that are there to `sink`, until that says false; waits at most `patience`
    /// for the first.
    fn gather(&mut self, patience: Duration, mut sink: impl FnMut(&[u8]) -> bool) {
        if self.event.is_some() {
            return;
        }
        for look in 0..RECORDS_A_LOOK {
            let next = match look {
                0 => self.records.next(patience),
                _ => self.records.poll(),
            };
            match next {
                Next::Record(read) => {
                    let header = read.record.header();
                    let is_wanted = !is_joined(&mut self.joined, header, read.cursor)
                        && self.filter.as_mut().is_none_or(|filter| filter.wants(header));
                    if is_wanted && !sink(read.record.as_ref()) {
                        return;
                    }
                }
                Next::Overrun { shard, missed_slots } => {
                    self.event = Some(Event::Overrun(Overrun { shard, missed_slots }));
                    return;
                }
                Next::WriterGone => {
                    self.event = Some(Event::WriterGone(WriterGone));
                    return;
                }
                Next::Nothing => return,
            }
        }
    }
}

/// Publisher and id of an instrument.
type Key = (u16, u32);

fn key(header: &RecordHeader) -> Key {
    (header.publisher_id, header.instrument_id)
}

/// Whether the record is in the book that was joined; forgets the book with the first that is not.
#[inline]
fn is_joined(joined: &mut HashMap<Key, Cursor>, header: &RecordHeader, cursor: Cursor) -> bool {
    if joined.is_empty() {
        return false;
    }
    let key = key(header);
    let is_in = joined.get(&key).is_some_and(|&end| cursor < end);
    if !is_in {
        joined.remove(&key);
    }
    is_in
}

/// Which instruments are wanted, by symbols that may not be known yet.
struct Filter {
    symbols: HashSet<String>,
    books: Books,
    wanted: HashMap<Key, bool>,
    /// Instruments whose names have been waited for in vain.
    nameless: HashSet<Key>,
}

impl Filter {
    fn new(symbols: HashSet<String>, books: Books) -> Self {
        Self { symbols, books, wanted: HashMap::new(), nameless: HashSet::new() }
    }

    #[inline]
    fn wants(&mut self, header: &RecordHeader) -> bool {
        let key = key(header);
        match self.wanted.get(&key) {
            Some(&is_wanted) => is_wanted,
            None => header.instrument_id != ALL_INSTRUMENTS && self.ask(key, header),
        }
    }

    /// Looks the instrument up. One so new that the board does not show it yet is waited for, once.
    #[cold]
    fn ask(&mut self, key: Key, header: &RecordHeader) -> bool {
        for _ in 0..NAME_TRIES {
            let instrument = self.books.directory().of(header);
            if let Some(found) = instrument.filter(|found| !found.symbol.is_empty()) {
                let is_wanted = self.symbols.contains(&found.symbol);
                self.wanted.insert(key, is_wanted);
                return is_wanted;
            }
            if self.nameless.contains(&key) {
                return false;
            }
            sleep(NAME_WAIT);
        }
        self.nameless.insert(key);
        false
    }
}
