//! A session: the segment of one start of an appliance, and the way to the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use wirebook_shm::board::BoardError;
use wirebook_shm::handoff::HandOffError;
use wirebook_shm::{SegmentError, SegmentView, names};

use crate::books::Books;
use crate::counts;
use crate::directory::Directory;
use crate::notices::Notices;
use crate::pulse::Pulse;
use crate::records::Records;

/// How long between two tries to reach the next start.
const RETRY: Duration = Duration::from_millis(20);

/// Why a reader did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No segment: nobody answers, or not in this ABI version.
    #[error(transparent)]
    HandOff(#[from] HandOffError),
    /// A segment without the rings and boards of an appliance.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// No such shard.
    #[error("expected a shard below {shards}, found {found}")]
    NoSuchShard {
        /// What was asked for.
        found: usize,
        /// How many there are.
        shards: usize,
    },
    /// No instrument of this name, so far.
    #[error("no instrument is named {0:?} so far")]
    NoSuchInstrument(String),
    /// A cell that could not be read.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// These records are of other shards than the instrument's.
    #[error("the instrument is of shard {0}, whose records are not read here")]
    OtherShard(usize),
    /// The appliance publishes no `mbo`, so it has no order-level books to give.
    #[error("the appliance publishes no records of schema mbo (segment.schemas)")]
    NoOrders,
    /// The board did not catch up with the records in the time given.
    #[error("the board of shard {0} does not show its last records yet")]
    NotShown(usize),
    /// The writer's heartbeat stands still.
    #[error("the appliance has not moved its heartbeat for seconds")]
    WriterGone,
}

/// What a session was attached to anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reattached {
    /// The same start, which had only been slow: records and books are as good as before.
    SameStart,
    /// Another start: records and books must be asked for anew.
    NextStart,
}

/// The segment of one start of an appliance.
#[derive(Clone)]
pub struct Session {
    /// Where the next start will answer; `None` where the segment was not got by a socket.
    path: Option<PathBuf>,
    view: Arc<SegmentView>,
    shards: usize,
}

impl Session {
    /// Attaches to the appliance that listens at `path`.
    ///
    /// # Errors
    ///
    /// [`ClientError::HandOff`] where nobody answers, the file's mode does not let this process in,
    /// or the appliance speaks another ABI version; both are then named.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let view = SegmentView::connect(path.as_ref())?;
        Ok(Self { path: Some(path.as_ref().to_owned()), ..Self::of(view) })
    }

    /// A session over a segment that this process has by other means. It knows no socket, so it cannot
    /// be connected again.
    pub fn of(view: SegmentView) -> Self {
        let shards = (0..).take_while(|shard| view.observe(&names::output(*shard)).is_ok()).count();
        Self { path: None, view: Arc::new(view), shards }
    }

    /// When the appliance last said that it lives, in nanoseconds since the UNIX epoch by its host's
    /// clock; 0 before the first time. It says so every 50 ms.
    pub fn heartbeat_ns(&self) -> u64 {
        self.view.heartbeat_ns()
    }

    /// What tells this start of the appliance from any other.
    pub fn epoch(&self) -> u64 {
        self.view.epoch()
    }

    /// The appliance's process id, as it sees it.
    pub fn writer_pid(&self) -> u32 {
        self.view.writer_pid()
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The records of all shards, from the next that is published.
    ///
    /// # Errors
    ///
    /// [`ClientError::Segment`] where the segment is not laid out as an appliance's.
    pub fn records(&self) -> Result<Records, ClientError> {
        Records::new(&self.view, 0..self.shards)
    }

    /// The records of one shard, from the next that is published.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoSuchShard`].
    pub fn shard_records(&self, shard: usize) -> Result<Records, ClientError> {
        if shard >= self.shards {
            return Err(ClientError::NoSuchShard { found: shard, shards: self.shards });
        }
        Records::new(&self.view, shard..shard + 1)
    }

    /// The books of all shards.
    ///
    /// # Errors
    ///
    /// [`ClientError::Segment`] where the segment is not laid out as an appliance's.
    pub fn books(&self) -> Result<Books, ClientError> {
        let names = (0..self.shards).map(names::board);
        let boards = names.map(|name| self.view.board(&name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Books::new(Directory::new(boards)))
    }

    /// What the appliance has told a person, from the oldest notice that is still there.
    ///
    /// # Errors
    ///
    /// [`ClientError::Segment`] where the segment is not laid out as an appliance's.
    pub fn notices(&self) -> Result<Notices, ClientError> {
        Notices::new(&self.view)
    }

    /// The appliance's heartbeat.
    pub fn pulse(&self) -> Pulse {
        Pulse::new(Arc::clone(&self.view))
    }

    /// Every counter of the appliance, as it was within the last two seconds: a family, the counter's
    /// own name, and labels, as in `line_missing_messages{channel="itch",line="A"}`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Segment`] where the segment is not laid out as an appliance's.
    pub fn counters(&self) -> Result<Vec<(String, u64)>, ClientError> {
        counts::counters(&self.view)
    }

    /// Every histogram that has a sample: latencies since the appliance's start, in nanoseconds, as they
    /// were within the last two seconds. Its name is a stage and what it is of, as in
    /// `wire-to-worker{worker="w0"}`.
    pub fn latencies(&self) -> impl Iterator<Item = (String, Histogram<u64>)> {
        counts::latencies(&self.view)
    }

    /// The stages that are timed, each once, whatever they are of.
    pub fn stages(&self) -> Vec<String> {
        counts::stages(&self.view)
    }

    /// The latencies of a stage as a whole, or of one histogram by its full name; `None` before the first.
    ///
    /// # Errors
    ///
    /// [`ClientError::Segment`] where there is no such histogram or stage.
    pub fn latency(&self, name: &str) -> Result<Option<Histogram<u64>>, ClientError> {
        counts::latency(&self.view, name)
    }

    /// Attaches again after the writer's end, to whichever start answers within `patience`; with
    /// [`Reattached::SameStart`] the session is as it was.
    ///
    /// # Errors
    ///
    /// The last try's, where nobody answered in time, or at once where who answers speaks another
    /// ABI version. The session is then as it was, and this can be called again.
    pub fn reconnect(&mut self, patience: Duration) -> Result<Reattached, ClientError> {
        let begun = Instant::now();
        let mut pulse = self.pulse();
        let path = self.path.clone().ok_or(ClientError::WriterGone)?;
        loop {
            match Self::connect(&path) {
                Ok(next) if next.epoch() != self.epoch() => {
                    *self = next;
                    return Ok(Reattached::NextStart);
                }
                Ok(_) if pulse.has_moved() => return Ok(Reattached::SameStart),
                Err(error @ ClientError::HandOff(HandOffError::AbiVersion { .. })) => {
                    return Err(error);
                }
                Ok(_) if begun.elapsed() >= patience => return Err(ClientError::WriterGone),
                Err(error) if begun.elapsed() >= patience => return Err(error),
                Ok(_) | Err(_) => std::thread::sleep(RETRY),
            }
        }
    }
}
