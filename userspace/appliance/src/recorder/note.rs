//! What a journal says besides records: notes, each a `SystemMsg` whose text is JSON.
//!
//! Readers of DBN see system messages and step over them; ours find in them what no record says:
//! where a file belongs, what state books are in, and where records are missing.

use serde::{Deserialize, Serialize};
use std::ffi::c_char;
use wirebook_machine::Limits;
use wirebook_model::BookState;
use wirebook_model::dbn::{RecordHeader, SystemCode, SystemMsg, rtype};

/// The version of what a journal's files hold.
const VERSION: u16 = 1;

/// What a note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// First in each file: where it belongs.
    WirebookJournal(FileHead),
    /// The books of the header's instrument, or of the whole channel, are in this state from now on;
    /// the number is a [`BookState`]'s.
    WirebookState(u8),
    /// A limit kept something out of the book of the header's instrument.
    WirebookLimit,
    /// Here are records missing: the recorder was lapped by its shard.
    WirebookHole {
        /// Slots of the ring that were overwritten before they were read.
        missed_slots: u64,
    },
}

/// Where a journal's file belongs, and what its reader needs to keep the same books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    pub(super) version: u16,
    /// When the run began, nanoseconds since the UNIX epoch: the number of the run.
    pub run: u64,
    /// The file's place among those of its channel and shard in this run.
    pub part: u32,
    /// The appliance's number for the channel.
    pub channel: u8,
    /// Publisher id of its records.
    pub publisher_id: u16,
    /// Whether quotes of both sides make a book live again.
    pub quotes_restore: bool,
    /// The shard.
    pub shard: u16,
    /// Shards of the run.
    pub shards: u16,
    /// Room for books of each shard.
    pub instruments: usize,
    /// Room for orders of each shard.
    pub orders: usize,
    /// Room for price levels of each shard.
    pub levels: usize,
}

impl FileHead {
    /// The head of the first file of a channel and shard.
    pub fn new(run: u64, shard: u16, shards: u16, limits: Limits) -> Self {
        let Limits { instruments, orders, levels } = limits;
        Self {
            version: VERSION,
            run,
            part: 0,
            channel: 0,
            publisher_id: 0,
            quotes_restore: false,
            shard,
            shards,
            instruments,
            orders,
            levels,
        }
    }

    /// The limits of each shard.
    pub fn limits(&self) -> Limits {
        Limits { instruments: self.instruments, orders: self.orders, levels: self.levels }
    }

    /// What a reader of this version would get wrong in a file of another.
    pub fn mistake(&self) -> Option<String> {
        (self.version != VERSION || self.shard >= self.shards).then(|| {
            format!(
                "expected a journal of version {VERSION}, found version {} of shard {} of {}",
                self.version, self.shard, self.shards
            )
        })
    }
}

impl Note {
    /// The note about an instrument, or all, as a record of the time `ts_event`.
    pub fn to_record(&self, publisher_id: u16, instrument_id: u32, ts_event: u64) -> SystemMsg {
        let hd =
            RecordHeader::new::<SystemMsg>(rtype::SYSTEM, publisher_id, instrument_id, ts_event);
        let mut record = SystemMsg { hd, msg: [0; 303], code: SystemCode::Unset as u8 };
        let text = serde_json::to_string(self).unwrap_or_default();
        debug_assert!(text.len() < record.msg.len(), "a note fits a system message: {text}");
        // The last byte stays the zero that ends the text.
        let room = record.msg.len() - 1;
        for (to, from) in record.msg[..room].iter_mut().zip(text.bytes()) {
            *to = from as c_char;
        }
        record
    }

    /// The note that a record is, where it is one.
    pub fn of(record: &SystemMsg) -> Option<Self> {
        serde_json::from_str(record.msg().ok()?).ok()
    }

    /// The state that books are in after this note, where it says one.
    pub fn state(&self) -> Option<BookState> {
        match self {
            Self::WirebookJournal(_) | Self::WirebookLimit => None,
            Self::WirebookState(state) => BookState::from_u8(*state),
            Self::WirebookHole { .. } => Some(BookState::Stale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_from_its_record() {
        let limits = Limits { instruments: 1 << 30, orders: 1 << 30, levels: 1 << 30 };
        let widest =
            FileHead { part: u32::MAX, ..FileHead::new(u64::MAX, u16::MAX, u16::MAX, limits) };
        for note in [
            Note::WirebookJournal(widest),
            Note::WirebookState(BookState::Healing as u8),
            Note::WirebookLimit,
            Note::WirebookHole { missed_slots: u64::MAX },
        ] {
            assert_eq!(Note::of(&note.to_record(2, 5, 9)), Some(note));
        }
    }

    #[test]
    fn other_system_messages_are_no_notes() {
        assert_eq!(Note::of(&SystemMsg::heartbeat(1)), None);
        assert_eq!(Note::of(&SystemMsg::new(1, None, "{\"other\":1}").unwrap()), None);
    }
}
