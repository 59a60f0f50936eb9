//! The last records of a shard, kept for machines that must be rebuilt.
//!
//! Arrives: each record that a chain is fed. Leaves: the oldest one, when a new one takes its place,
//! and on demand all that one instrument was fed. All memory is taken at the start.
//!
//! What a whole channel is fed is kept apart from what one instrument is: when it leaves, every
//! instrument of the channel needs a newer snapshot at once, and the many records of busy instruments
//! must not bring that about each second.

use std::collections::VecDeque;

use dbn::{ImbalanceMsg, MboMsg, Mbp1Msg, RecordRef, StatMsg, StatusMsg, rtype};

use crate::records::end_of_interval;

/// One record as it was fed.
#[derive(Clone)]
pub(crate) struct Entry {
    /// Its place among all records that the chain was ever fed.
    pub(crate) at: u64,
    pub(crate) to: To,
    pub(crate) record: Logged,
}

/// Whom a record was fed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// The instrument with this number.
    Instrument(u32),
    /// Every instrument of this channel.
    Channel(u8),
}

/// A record of one of the schemas that books complete while the market moves.
#[derive(Clone)]
pub(crate) enum Logged {
    Mbo(MboMsg),
    Top(Mbp1Msg),
    Status(StatusMsg),
    Imbalance(ImbalanceMsg),
    Statistic(StatMsg),
    EndOfInterval { publisher_id: u16, ts_event: u64 },
}

impl Logged {
    /// A copy of the record; `None` of a definition, which is too long to be kept.
    pub(crate) fn of(record: RecordRef<'_>) -> Option<Self> {
        Some(match record.header().rtype {
            rtype::MBO => Self::Mbo(record.get::<MboMsg>()?.clone()),
            rtype::MBP_1 => Self::Top(record.get::<Mbp1Msg>()?.clone()),
            rtype::STATUS => Self::Status(record.get::<StatusMsg>()?.clone()),
            rtype::IMBALANCE => Self::Imbalance(record.get::<ImbalanceMsg>()?.clone()),
            rtype::STATISTICS => Self::Statistic(record.get::<StatMsg>()?.clone()),
            _ => return None,
        })
    }

    /// Gives the record as it was.
    pub(crate) fn with<T>(&self, take: impl FnOnce(RecordRef<'_>) -> T) -> T {
        match self {
            Self::Mbo(record) => take(record.into()),
            Self::Top(record) => take(record.into()),
            Self::Status(record) => take(record.into()),
            Self::Imbalance(record) => take(record.into()),
            Self::Statistic(record) => take(record.into()),
            Self::EndOfInterval { publisher_id, ts_event } => {
                take((&end_of_interval(*publisher_id, *ts_event)).into())
            }
        }
    }
}

/// The last records.
pub(crate) struct Log {
    /// Oldest first.
    of_instruments: VecDeque<Entry>,
    /// Oldest first.
    of_channels: VecDeque<Entry>,
    capacity: usize,
    next: u64,
}

impl Log {
    /// A log of `capacity` records of instruments and as many of channels.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            of_instruments: VecDeque::with_capacity(capacity),
            of_channels: VecDeque::with_capacity(capacity),
            capacity,
            next: 0,
        }
    }

    /// The place of the record to come.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The oldest record, where one fed to `to` needs its place.
    pub(crate) fn make_room(&mut self, to: To) -> Option<Entry> {
        let capacity = self.capacity;
        let entries = self.entries(to);
        if entries.len() < capacity { None } else { entries.pop_front() }
    }

    /// Keeps a record; there must be room.
    pub(crate) fn push(&mut self, to: To, record: Logged) {
        let (at, capacity) = (self.next, self.capacity);
        let entries = self.entries(to);
        debug_assert!(entries.len() < capacity, "make_room comes first");
        entries.push_back(Entry { at, to, record });
        self.next += 1;
    }

    /// The newest record of a channel.
    pub(crate) fn last_of_channels(&self) -> Option<&Entry> {
        self.of_channels.back()
    }

    /// Bytes of all entries together.
    pub(crate) fn memory_bytes(&self) -> usize {
        2 * self.capacity * size_of::<Entry>()
    }

    /// What the instrument `number` of `channel` was fed from `from` on, oldest first.
    pub(crate) fn of(&self, number: u32, channel: u8, from: u64) -> impl Iterator<Item = &Entry> {
        let mut own = since(&self.of_instruments, To::Instrument(number), from).peekable();
        let mut shared = since(&self.of_channels, To::Channel(channel), from).peekable();
        std::iter::from_fn(move || match (own.peek(), shared.peek()) {
            (Some(first), Some(second)) if second.at < first.at => shared.next(),
            (Some(_), _) => own.next(),
            (None, _) => shared.next(),
        })
    }

    fn entries(&mut self, to: To) -> &mut VecDeque<Entry> {
        match to {
            To::Instrument(_) => &mut self.of_instruments,
            To::Channel(_) => &mut self.of_channels,
        }
    }
}

/// The entries fed to `to`, from the place `from` on.
fn since(entries: &VecDeque<Entry>, to: To, from: u64) -> impl Iterator<Item = &Entry> {
    let begin = entries.partition_point(|entry| entry.at < from);
    entries.range(begin..).filter(move |entry| entry.to == to)
}
