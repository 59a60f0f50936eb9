//! The hot ends of the recorder's rings, and how it reads what they push.
//!
//! Arrives: records and states of books from a shard, packets from a worker. Leaves: one ring entry
//! for each, or several for a packet longer than an entry. Promises: a push neither waits nor
//! allocates; a recorder that falls behind is lapped and counts it.
//!
//! ```text
//! order or level    the `MboMsg` as it is: one slot; it names its channel
//! other record      0, KIND_RECORD, channel, 0 × 5, then the record
//! state of books    0, KIND_STATE, channel, state, instrument id × 4
//! book over limit   0, KIND_LIMIT, channel, 0, instrument id × 4
//! packet            PacketHead, then as much of the packet as fits
//! ```
//!
//! A record begins with its length, which is never 0, so the first byte tells.

use super::note::Note;
use std::mem::offset_of;
use wirebook_model::dbn::{MboMsg, RecordRef, StatusMsg, UNDEF_TIMESTAMP, rtype};
use wirebook_model::{BookState, UnixNanos};
use wirebook_shm::ring::{RECORD_BYTES_MAX, Writer};

const KIND_RECORD: u8 = 1;
const KIND_STATE: u8 = 2;
const KIND_LIMIT: u8 = 3;
const HEAD_BYTES: usize = 8;

/// Where an `MboMsg` names its channel.
const MBO_CHANNEL_AT: usize = offset_of!(MboMsg, channel_id);

/// A shard's end of its journal ring.
pub struct JournalWriter {
    ring: Writer,
    entry: [u8; RECORD_BYTES_MAX],
}

impl JournalWriter {
    /// The writing end over this ring.
    pub fn new(ring: Writer) -> Self {
        Self { ring, entry: [0; RECORD_BYTES_MAX] }
    }

    /// Pushes a record of a book; levels are left out, as they follow from the other records.
    #[inline]
    pub fn record(&mut self, channel: u8, record: RecordRef<'_>) {
        match record.header().rtype {
            rtype::MBO => push(&mut self.ring, record.as_ref()),
            rtype::MBP_1 | rtype::MBP_10 => {}
            _ => self.headed(channel, record.as_ref()),
        }
    }

    /// Pushes the state that the books of a channel, or of one instrument, are in from now on.
    pub fn state(&mut self, channel: u8, instrument_id: u32, state: BookState) {
        let [a, b, c, d] = instrument_id.to_le_bytes();
        push(&mut self.ring, &[0, KIND_STATE, channel, state as u8, a, b, c, d]);
    }

    /// Pushes that a limit kept something out of an instrument's book.
    pub fn over_limit(&mut self, channel: u8, instrument_id: u32) {
        let [a, b, c, d] = instrument_id.to_le_bytes();
        push(&mut self.ring, &[0, KIND_LIMIT, channel, 0, a, b, c, d]);
    }

    fn headed(&mut self, channel: u8, record: &[u8]) {
        let length = HEAD_BYTES + record.len();
        let Some(entry) = self.entry.get_mut(..length) else {
            debug_assert!(false, "a record of DBN is at most 1,016 bytes");
            return;
        };
        entry[..HEAD_BYTES].copy_from_slice(&[0, KIND_RECORD, channel, 0, 0, 0, 0, 0]);
        entry[HEAD_BYTES..].copy_from_slice(record);
        push(&mut self.ring, &self.entry[..length]);
    }
}

fn push(ring: &mut Writer, entry: &[u8]) {
    let pushed = ring.push_bytes(entry);
    debug_assert!(pushed.is_ok(), "an entry fits every ring of 64 slots");
}

/// What a shard pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JournalEntry<'a> {
    /// A record of this channel.
    Record { channel: u8, bytes: &'a [u8] },
    /// What a note is to say of an instrument, or of all.
    Note { channel: u8, instrument_id: u32, note: Note },
}

impl<'a> JournalEntry<'a> {
    /// Reads an entry; `None` where it is none of ours.
    pub(super) fn of(entry: &'a [u8]) -> Option<Self> {
        match *entry {
            [0, KIND_RECORD, channel, 0, 0, 0, 0, 0, ref bytes @ ..] => {
                Some(Self::Record { channel, bytes })
            }
            [0, kind, channel, state, a, b, c, d] => Some(Self::Note {
                channel,
                instrument_id: u32::from_le_bytes([a, b, c, d]),
                note: match kind {
                    KIND_STATE => Note::WirebookState(state),
                    KIND_LIMIT => Note::WirebookLimit,
                    _ => return None,
                },
            }),
            [1..=u8::MAX, rtype::MBO, ..] => {
                Some(Self::Record { channel: *entry.get(MBO_CHANNEL_AT)?, bytes: entry })
            }
            _ => None,
        }
    }
}

/// When the packet of a record was received; `None` where its schema or the record does not tell.
pub(super) fn ts_recv(record: &[u8]) -> Option<UnixNanos> {
    let at = match *record.get(1)? {
        rtype::MBO => offset_of!(MboMsg, ts_recv),
        rtype::STATUS | rtype::STATISTICS | rtype::INSTRUMENT_DEF | rtype::IMBALANCE => {
            offset_of!(StatusMsg, ts_recv)
        }
        _ => return None,
    };
    let ts_recv = u64::from_le_bytes(*record.get(at..)?.first_chunk()?);
    (ts_recv != UNDEF_TIMESTAMP).then_some(ts_recv)
}

/// What is said of a packet in the ring before each piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PacketHead {
    pub(super) ts_recv: UnixNanos,
    /// Bytes of the whole packet.
    pub(super) length: u32,
    /// The line of a payload; `None` of a whole frame.
    pub(super) line: Option<u16>,
    /// The packet begins here.
    pub(super) first: bool,
}

const PACKET_HEAD_BYTES: usize = 16;
const IS_FIRST: u8 = 1;
const IS_PAYLOAD: u8 = 2;

impl PacketHead {
    fn encode(self) -> [u8; PACKET_HEAD_BYTES] {
        let flags = if self.first { IS_FIRST } else { 0 }
            | if self.line.is_some() { IS_PAYLOAD } else { 0 };
        let mut bytes = [0; PACKET_HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.ts_recv.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.line.unwrap_or_default().to_le_bytes());
        bytes[14] = flags;
        bytes
    }

    /// Reads an entry: its head and its piece of the packet.
    pub(super) fn of(entry: &[u8]) -> Option<(Self, &[u8])> {
        let (head, piece) = entry.split_at_checked(PACKET_HEAD_BYTES)?;
        let flags = head[14];
        let line = u16::from_le_bytes([head[12], head[13]]);
        let head = Self {
            ts_recv: u64::from_le_bytes(*head.first_chunk()?),
            length: u32::from_le_bytes(*head[8..].first_chunk()?),
            line: (flags & IS_PAYLOAD != 0).then_some(line),
            first: flags & IS_FIRST != 0,
        };
        Some((head, piece))
    }
}

/// A worker's end of its packet ring.
pub struct PacketWriter {
    ring: Writer,
    entry: [u8; RECORD_BYTES_MAX],
}

impl PacketWriter {
    /// The writing end over this ring.
    pub fn new(ring: Writer) -> Self {
        Self { ring, entry: [0; RECORD_BYTES_MAX] }
    }

    /// Pushes a whole Ethernet frame.
    #[inline]
    pub fn frame(&mut self, frame: &[u8], ts_recv: UnixNanos) {
        self.push(frame, ts_recv, None);
    }

    /// Pushes the UDP payload of a packet of `line`.
    #[inline]
    pub fn payload(&mut self, line: u16, payload: &[u8], ts_recv: UnixNanos) {
        self.push(payload, ts_recv, Some(line));
    }

    fn push(&mut self, packet: &[u8], ts_recv: UnixNanos, line: Option<u16>) {
        let Ok(length) = u32::try_from(packet.len()) else { return };
        let mut head = PacketHead { ts_recv, length, line, first: true };
        for piece in packet.chunks(RECORD_BYTES_MAX - PACKET_HEAD_BYTES) {
            let end = PACKET_HEAD_BYTES + piece.len();
            self.entry[..PACKET_HEAD_BYTES].copy_from_slice(&head.encode());
            self.entry[PACKET_HEAD_BYTES..end].copy_from_slice(piece);
            push(&mut self.ring, &self.entry[..end]);
            head.first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirebook_model::dbn::{ImbalanceMsg, InstrumentDefMsg, StatMsg};
    use wirebook_shm::ring::{Observed, open};

    #[test]
    fn entries_say_what_was_pushed() {
        let (ring, mut reader) = open(64).unwrap();
        let mut writer = JournalWriter::new(ring);
        let order = MboMsg { channel_id: 7, ts_recv: 5, ..MboMsg::default() };
        let status = StatusMsg { ts_recv: 6, ..StatusMsg::default() };
        writer.record(7, RecordRef::from(&order));
        writer.record(9, RecordRef::from(&status));
        writer.state(3, 0x0102_0304, BookState::Healing);
        writer.over_limit(4, 9);
        let mut next = |expected: JournalEntry<'_>, ts: Option<u64>| match reader.poll() {
            Observed::Record(entry) => {
                if let JournalEntry::Record { bytes, .. } = expected {
                    assert_eq!(ts_recv(bytes), ts);
                }
                assert_eq!(JournalEntry::of(entry.bytes()), Some(expected));
            }
            other => panic!("{other:?}"),
        };
        next(JournalEntry::Record { channel: 7, bytes: order.as_ref() }, Some(5));
        next(JournalEntry::Record { channel: 9, bytes: status.as_ref() }, Some(6));
        let note = Note::WirebookState(BookState::Healing as u8);
        next(JournalEntry::Note { channel: 3, instrument_id: 0x0102_0304, note }, None);
        next(JournalEntry::Note { channel: 4, instrument_id: 9, note: Note::WirebookLimit }, None);
    }

    #[test]
    fn every_schema_has_its_time_where_we_look() {
        assert_eq!(offset_of!(StatusMsg, ts_recv), offset_of!(StatMsg, ts_recv));
        assert_eq!(offset_of!(StatusMsg, ts_recv), offset_of!(InstrumentDefMsg, ts_recv));
        assert_eq!(offset_of!(StatusMsg, ts_recv), offset_of!(ImbalanceMsg, ts_recv));
    }

    #[test]
    fn a_long_packet_comes_in_pieces() {
        let (ring, mut reader) = open(256).unwrap();
        let packet: Vec<u8> = (0..2_500).map(|byte| byte as u8).collect();
        PacketWriter::new(ring).payload(3, &packet, 99);
        let mut whole = Vec::<u8>::new();
        while let Observed::Record(entry) = reader.poll() {
            let (head, piece) = PacketHead::of(entry.bytes()).unwrap();
            let first = whole.is_empty();
            let expected = PacketHead { ts_recv: 99, length: 2_500, line: Some(3), first };
            assert_eq!(head, expected);
            whole.extend(piece);
        }
        assert_eq!(whole, packet);
    }
}
