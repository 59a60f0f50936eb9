//! What comes with every order is decoded by a table of ours, without a look at its type. Here it is decoded
//! by the specification's table, one message type after the other, for any bytes of any length.

mod common;

use common::Random;
use wirebook_model::dbn::UNDEF_PRICE;
use wirebook_model::dbn::flags::LAST;
use wirebook_model::{Event, EventHeader, EventSink, PackedEvent, Side, VenueEvent};
use wirebook_wire::{Decoded, Decoder, DecoderCounters, Limits, Protocol, Run, itch50};

const CHANNEL: u8 = 201;
const LENGTH_MAX: usize = 64;

/// Nasdaq TotalView-ITCH 5.0, 1.3 to 1.5.1: each message type, its length, and offset and length of
/// what an event has of it.
const SPECIFIED: [(u8, usize, &str); 8] = [
    (b'A', 36, "order 11 8, side 19 1, shares 20 4, price 32 4"),
    (b'F', 40, "order 11 8, side 19 1, shares 20 4, price 32 4"),
    (b'E', 31, "order 11 8, shares 19 4, match 23 8"),
    (b'C', 36, "order 11 8, shares 19 4, match 23 8, printable 31 1, price 32 4"),
    (b'X', 23, "order 11 8, shares 19 4"),
    (b'D', 19, "order 11 8"),
    (b'U', 35, "order 11 8, new_order 19 8, shares 27 4, price 31 4"),
    (b'P', 44, "order 11 8, side 19 1, shares 20 4, price 32 4, match 36 8"),
];

/// The bytes of one message and a table of where its fields are.
struct Specified<'a> {
    bytes: &'a [u8],
    fields: &'static str,
}

impl Specified<'_> {
    fn number(&self, at: usize, length: usize) -> u64 {
        self.bytes[at..at + length].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn field(&self, name: &str) -> u64 {
        for field in self.fields.split(", ") {
            let words: Vec<_> = field.split(' ').collect();
            if words[0] == name {
                let number = |word: &str| word.parse().expect("a number");
                return self.number(number(words[1]), number(words[2]));
            }
        }
        panic!("no {name} in {}", self.fields)
    }

    fn price(&self) -> i64 {
        self.field("price") as i64 * 100_000
    }

    fn size(&self) -> u32 {
        self.field("shares") as u32
    }

    /// What happened; nothing where a code has no meaning.
    fn body(&self) -> Option<VenueEvent> {
        let order_id = self.field("order");
        Some(match self.bytes[0] {
            b'A' | b'F' => {
                let side = match self.field("side") as u8 {
                    b'B' => Side::Bid,
                    b'S' => Side::Ask,
                    _ => return None,
                };
                VenueEvent::Add { order_id, side, price: self.price(), size: self.size() }
            }
            b'D' => VenueEvent::Delete { order_id },
            b'X' => VenueEvent::Reduce { order_id, size: self.size() },
            b'U' => {
                let new_order_id = self.field("new_order");
                VenueEvent::Replace {
                    order_id,
                    new_order_id,
                    price: self.price(),
                    size: self.size(),
                }
            }
            b'P' => VenueEvent::Trade {
                side: Side::None,
                price: self.price(),
                size: self.size(),
                order_id,
                match_id: self.field("match"),
            },
            kind => {
                let (price, printable) = match kind {
                    b'E' => (UNDEF_PRICE, true),
                    _ => match self.field("printable") as u8 {
                        b'Y' => (self.price(), true),
                        b'N' => (self.price(), false),
                        _ => return None,
                    },
                };
                let (size, match_id) = (self.size(), self.field("match"));
                VenueEvent::Execute { order_id, size, price, match_id, printable }
            }
        })
    }

    fn event(&self, midnight: u64, sequence: u64) -> Option<Event> {
        let instrument_id = self.number(1, 2) as u32;
        let body = self.body().filter(|_| instrument_id > 0)?;
        let ts_event = midnight.saturating_add(self.number(5, 6));
        let header =
            EventHeader { channel: CHANNEL, flags: LAST, instrument_id, sequence, ts_event };
        Some(Event { header, body })
    }
}

/// Keeps what it is given, and sees to it that a packed event is the event's words.
#[derive(Default)]
struct Kept(Vec<Event>);

impl EventSink for Kept {
    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }

    fn packed(&mut self, packed: &PackedEvent) {
        let event = Event::from(packed);
        assert_eq!(packed.words(), event.encode().as_slice());
        self.event(&event);
    }
}

/// A decoder beside what the specification says of the same messages.
struct Both {
    decoder: Decoder,
    midnight: u64,
    sequence: u64,
    counters: DecoderCounters,
    outcomes: [u64; 4],
}

impl Both {
    fn new(midnight: u64) -> Self {
        let mut decoder = Decoder::new(Protocol::Itch50, CHANNEL, Limits::default());
        decoder.set_midnight(midnight);
        let counters = DecoderCounters::default();
        Self { decoder, midnight, sequence: 0, counters, outcomes: [0; 4] }
    }

    fn compare(&mut self, bytes: &[u8]) {
        self.sequence += 1;
        let mut found = Kept::default();
        let decoded = self.decoder.decode(bytes, self.sequence, &mut found);
        self.outcomes[decoded as usize] += 1;
        let message_type = bytes.first().copied();
        let of_type = |(kind, _): &&(u8, usize)| Some(*kind) == message_type;
        let known = itch50::Message::LENGTHS.iter().find(of_type);
        let is_grown = known.is_some_and(|(_, length)| bytes.len() > *length);
        self.counters.grown_messages += u64::from(is_grown);
        let shown = (bytes.escape_ascii(), self.decoder.counters());
        assert_eq!(
            self.decoder.counters().grown_messages,
            self.counters.grown_messages,
            "{shown:?}"
        );
        let specified = SPECIFIED.iter().find(|(kind, ..)| Some(*kind) == message_type);
        if let Some(&(_, length, fields)) = specified {
            let event = if bytes.len() < length {
                None
            } else {
                Specified { bytes, fields }.event(self.midnight, self.sequence)
            };
            let expected = if event.is_some() { Decoded::Known } else { Decoded::Malformed };
            assert_eq!((decoded, found.0), (expected, Vec::from_iter(event)), "{shown:?}");
        } else if known.is_none() {
            let expected = if bytes.is_empty() { Decoded::Malformed } else { Decoded::Unknown };
            assert_eq!((decoded, found.0), (expected, vec![]), "{shown:?}");
        }
    }
}

/// Random bytes that are often a whole message.
fn message(random: &mut Random, message_type: u8, length: usize) -> Vec<u8> {
    let mut bytes = random.bytes(length);
    for (at, byte) in bytes.iter_mut().enumerate() {
        match at {
            0 => *byte = message_type,
            1 | 2 if random.below(4) == 0 => *byte = 0,
            19 if random.below(4) > 0 => *byte = b"BS"[random.below(2)],
            31 if random.below(4) > 0 => *byte = b"YN"[random.below(2)],
            _ => {}
        }
    }
    bytes
}

#[test]
fn any_bytes_of_any_length_are_what_the_specification_says() {
    let mut random = Random(0x0bde);
    for midnight in [0, 1_692_676_800_000_000_000, u64::MAX - (1 << 47), u64::MAX] {
        let mut both = Both::new(midnight);
        for message_type in 0..=u8::MAX {
            let is_specified = SPECIFIED.iter().any(|(kind, ..)| *kind == message_type);
            for length in 0..=LENGTH_MAX {
                for _ in 0..if is_specified { 40 } else { 1 } {
                    both.compare(&message(&mut random, message_type, length));
                }
            }
        }
        assert!(both.counters.grown_messages > 0);
        let [known, unknown, malformed, _] = both.outcomes;
        assert!(known > 1_000 && unknown > 1_000 && malformed > 1_000, "{:?}", both.outcomes);
    }
}

#[test]
fn every_code_of_every_type_is_what_the_specification_says() {
    let mut random = Random(0xc0de);
    let mut both = Both::new(1);
    for (message_type, length, _) in SPECIFIED {
        for at in 1..length {
            for code in 0..=u8::MAX {
                let mut bytes = message(&mut random, message_type, length);
                bytes[at] = code;
                both.compare(&bytes);
            }
        }
    }
}

/// What a run is to be, and the events of its messages.
fn one_by_one(decoder: &mut Decoder, messages: &[Vec<u8>], sequence: u64) -> (Run, Vec<Event>) {
    let (mut run, mut events) = (Run::default(), Vec::new());
    for (message, sequence) in messages.iter().zip(sequence..) {
        match decoder.decode(message, sequence, &mut events) {
            Decoded::Malformed => {
                run.malformed = true;
                break;
            }
            decoded => run.unknown += u64::from(decoded == Decoded::Unknown),
        }
        run.messages += 1;
    }
    (run, events)
}

#[test]
fn a_run_is_its_messages_one_by_one_up_to_a_malformed_one() {
    let mut random = Random(0x0a11);
    let [mut alone, mut together] = [(); 2].map(|()| Both::new(7).decoder);
    let (mut whole, mut malformed) = (0, 0);
    for round in 0..20_000 {
        let count = random.below(12);
        let messages: Vec<_> = (0..count)
            .map(|_| {
                let (message_type, length, fields) = SPECIFIED[random.below(SPECIFIED.len())];
                match random.below(16) {
                    0 => message(&mut random, b'I', 50),
                    1 => message(&mut random, b'!', 9),
                    2 => message(&mut random, message_type, length + 1),
                    _ => loop {
                        let bytes = message(&mut random, message_type, length);
                        let event = Specified { bytes: &bytes, fields }.event(0, 0);
                        if event.is_some() || random.below(50) == 0 {
                            break bytes;
                        }
                    },
                }
            })
            .collect();
        let expected = one_by_one(&mut alone, &messages, round);
        let mut found = Kept::default();
        let run = together.decode_run(messages.iter().map(Vec::as_slice), round, &mut found);
        assert_eq!((run, found.0), expected);
        assert_eq!(together.counters(), alone.counters());
        whole += u64::from(run.messages == count as u64);
        malformed += u64::from(run.malformed);
    }
    assert!(whole > 1_000 && malformed > 1_000, "{whole} {malformed}");
}
