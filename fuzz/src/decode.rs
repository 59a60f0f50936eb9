//! From a raw frame to events, every decoder.
//!
//! Holds for any bytes: what is given lies in the input, in order; whole messages come before one
//! error and nothing after it; each message is known, unknown, malformed or over a limit, and only a
//! known one has events, a few, of which none but the last ends it; what a cut input gives is the beginning of
//! what the whole one gives; and a second decoder says the same.

use wirebook_model::Event;
use wirebook_model::dbn::flags::LAST;
use wirebook_wire::{
    Datagram, Decoded, Decoder, FieldVisitor, FlagBit, Limits, PacketKind, Protocol,
    TransportPacket, iex_deep as deep, iex_tops as tops, itch50 as itch,
};

/// The most events that one message has: a direct listing's bounds.
const EVENTS_MAX: usize = 5;
/// Small, so that the limit is reached.
const INSTRUMENTS: usize = 3;

/// A whole frame, read as every protocol's.
pub(crate) fn frame(data: &[u8]) {
    match Datagram::parse(data) {
        Ok(datagram) => {
            let start = datagram.payload_offset;
            assert_eq!(&data[start..][..datagram.payload.len()], datagram.payload);
            assert!(datagram.inner_vlan.is_none() || datagram.outer_vlan.is_some());
            // Bytes behind the datagram are padding, and a byte less of it is too few.
            let end = start + datagram.payload.len();
            assert!(Datagram::parse(&data[..end - 1]).is_err_and(|error| error.is_malformed()));
            for protocol in Protocol::ALL {
                payload(protocol, datagram.payload);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A MoldUDP64 packet of ITCH 5.0 messages.
pub(crate) fn itch50(data: &[u8]) {
    payload(Protocol::Itch50, data);
}

/// An IEX-TP segment of DEEP messages.
pub(crate) fn iex_deep(data: &[u8]) {
    payload(Protocol::IexDeep, data);
}

/// An IEX-TP segment of TOPS messages.
pub(crate) fn iex_tops(data: &[u8]) {
    payload(Protocol::IexTops, data);
}

/// The words of an event, as a ring may hold them.
pub(crate) fn event_words(data: &[u8]) {
    let words: Vec<u64> =
        data.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    if let Ok(event) = Event::decode(&words) {
        assert_eq!(Event::decode(event.encode().as_slice()), Ok(event));
    }
}

fn payload(protocol: Protocol, data: &[u8]) {
    let whole = Read::of(protocol, data);
    let again = Read::of(protocol, data);
    assert_eq!(whole, again);
    // Where it is cut follows from its last bytes.
    let cut = data.iter().rev().take(3).fold(0, |cut, byte| cut * 256 + usize::from(*byte));
    let cut = Read::of(protocol, &data[..cut % (data.len() + 1)]);
    assert!(cut.messages <= whole.messages);
    assert!(whole.events.starts_with(&cut.events));
}

/// What a payload gave.
#[derive(Debug, Default, PartialEq)]
struct Read {
    messages: usize,
    by_outcome: [usize; 4],
    events: Vec<Event>,
}

impl Read {
    fn of(protocol: Protocol, data: &[u8]) -> Self {
        let mut read = Self::default();
        let Ok(packet) = TransportPacket::parse(protocol.transport(), data) else { return read };
        assert_eq!(packet.kind == PacketKind::Messages, packet.count > 0);
        let mut decoder = Decoder::new(protocol, 9, Limits { instruments: INSTRUMENTS });
        decoder.set_midnight(1 << 60);
        let (mut errors, mut reached) = (0, data.as_ptr().addr());
        for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
            assert_eq!(errors, 0, "nothing comes after an error");
            match block {
                Ok(message) => {
                    assert!(message.as_ptr().addr() >= reached, "messages do not overlap");
                    let start = message.as_ptr().addr() - data.as_ptr().addr();
                    assert_eq!(announced(protocol, &data[..start]), message.len(), "cut");
                    reached = message.as_ptr().addr() + message.len();
                    assert!(reached <= data.as_ptr().addr() + data.len());
                    read.message(&mut decoder, message, sequence);
                }
                Err(_) => errors += 1,
            }
        }
        assert!(read.messages == usize::from(packet.count) || errors == 1);
        assert_eq!(read.by_outcome.iter().sum::<usize>(), read.messages);
        assert!(decoder.counters().grown_messages as usize <= read.messages);
        read
    }

    fn message(&mut self, decoder: &mut Decoder, message: &[u8], sequence: u64) {
        let before = self.events.len();
        let decoded = decoder.decode(message, sequence, &mut self.events);
        let events = &self.events[before..];
        assert!(events.len() <= EVENTS_MAX);
        for (at, event) in events.iter().enumerate() {
            assert_eq!((event.header.channel, event.header.sequence), (9, sequence));
            let (ends, is_last) = (event.header.flags & LAST != 0, at + 1 == events.len());
            // A message of DEEP may leave the venue's event open.
            assert!(ends == is_last || !ends && decoder.protocol() == Protocol::IexDeep);
            assert_eq!(Event::decode(event.encode().as_slice()), Ok(*event));
        }
        assert!(decoded == Decoded::Known || events.is_empty());
        let fields = fields(decoder.protocol(), message);
        assert_eq!(decoded == Decoded::Unknown, fields == Fields::UnknownType);
        assert!(decoded != Decoded::Known || fields == Fields::Shown);
        self.messages += 1;
        self.by_outcome[decoded as usize] += 1;
        decoder.time_of(message);
    }
}

/// The length that the two bytes at the end announce: MoldUDP64's are big-endian, IEX-TP's are not.
fn announced(protocol: Protocol, before: &[u8]) -> usize {
    let Some(&length) = before.last_chunk() else { return 0 };
    usize::from(match protocol {
        Protocol::Itch50 => u16::from_be_bytes(length),
        Protocol::IexDeep | Protocol::IexTops => u16::from_le_bytes(length),
    })
}

/// What became of showing a message's fields.
#[derive(Debug, PartialEq)]
enum Fields {
    Shown,
    UnknownType,
    None,
}

fn fields(protocol: Protocol, message: &[u8]) -> Fields {
    let mut counted = Counted::default();
    macro_rules! show {
        ($venue:ident) => {
            $venue::Message::parse(message).map(|found| {
                found.visit_fields(&mut counted);
                found.length()
            })
        };
    }
    let shown = match protocol {
        Protocol::Itch50 => show!(itch),
        Protocol::IexDeep => show!(deep),
        Protocol::IexTops => show!(tops),
    };
    match shown {
        Ok(length) => {
            assert!(length <= message.len() && counted.fields > 0);
            Fields::Shown
        }
        Err(wirebook_wire::MessageError::Unknown(_)) => Fields::UnknownType,
        Err(_) => Fields::None,
    }
}

/// Counts fields.
#[derive(Default)]
struct Counted {
    fields: usize,
}

impl FieldVisitor for Counted {
    fn number(&mut self, _name: &'static str, _value: u64) {
        self.fields += 1;
    }

    fn character(&mut self, _name: &'static str, _value: u8) {
        self.fields += 1;
    }

    fn text(&mut self, _name: &'static str, value: &[u8]) {
        assert!(value.last() != Some(&b' '));
        self.fields += 1;
    }

    fn price(&mut self, _name: &'static str, _units: i128, decimals: u32) {
        assert!(decimals == 4 || decimals == 8);
        self.fields += 1;
    }

    fn flags(&mut self, _name: &'static str, _value: u8, bits: &'static [FlagBit]) {
        assert!(!bits.is_empty());
        self.fields += 1;
    }
}
