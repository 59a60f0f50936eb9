//! The receiver's books, and their comparison with the exchange's.

use super::model_orders::model_orders;
use std::ops::Range;
use wirebook_feed::{Applied, Packet, Sink};
use wirebook_machine::{Books, Limits};
use wirebook_model::dbn::flags;
use wirebook_model::{ALL_INSTRUMENTS, BookState, Event, EventHeader, EventSink, VenueEvent};
use wirebook_simulator::{Model, ModelOrder};
use wirebook_wire::{Decoded, Decoder, Limits as DecoderLimits, Protocol, moldudp64};

const LIMITS: Limits = Limits { instruments: 16, orders: 1_024, levels: 1_024 };

pub(crate) type SessionName = [u8; 10];

/// What the channel asked for.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Retransmit(SessionName, Range<u64>),
    Snapshot(SessionName),
    Nothing,
}

/// Books behind a channel.
pub(crate) struct Receiver {
    books: Books,
    decoder: Decoder,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) healing_ns: Vec<u64>,
    /// The next sequence that the books were told of, in this session.
    next: u64,
}

struct Apply<'a> {
    books: &'a mut Books,
    flags: u8,
}

impl EventSink for Apply<'_> {
    fn event(&mut self, event: &Event) {
        let mut event = *event;
        event.header.flags |= self.flags;
        self.books.apply(&event, &mut ());
    }
}

impl Receiver {
    pub(crate) fn new() -> Self {
        let limits = DecoderLimits { instruments: LIMITS.instruments };
        Self {
            books: Books::new(LIMITS).unwrap(),
            decoder: Decoder::new(Protocol::Itch50, 0, limits),
            wishes: Vec::new(),
            healing_ns: Vec::new(),
            next: 1,
        }
    }

    /// Applies a message of a snapshot.
    pub(crate) fn snapshot_message(&mut self, message: &[u8]) {
        let mut apply = Apply { books: &mut self.books, flags: flags::SNAPSHOT };
        assert_eq!(self.decoder.decode(message, 0, &mut apply), Decoded::Known);
    }

    /// Every order of every book is the exchange's, and every book says that it is live.
    pub(crate) fn assert_books(&self, model: &Model) {
        for locate in model.locates() {
            let expected: Vec<ModelOrder> = model.orders(locate).collect();
            let Some(book) = self.books.get(0, u32::from(locate)) else {
                assert!(expected.is_empty(), "no book of {locate}");
                continue;
            };
            assert_eq!(book.state(), BookState::Live);
            assert_eq!(model_orders(&book), expected, "the book of {locate}");
            assert_eq!(book.symbol().as_str(), model.symbol(locate));
        }
        assert_eq!(self.books.in_use().orders, model.order_count());
    }

    /// No book says that it is live.
    pub(crate) fn assert_not_live(&self) {
        assert!(self.books.iter().all(|book| book.state() != BookState::Live));
    }

    fn tell(&mut self, body: VenueEvent, sequence: u64) {
        let header = EventHeader {
            channel: 0,
            flags: flags::LAST,
            instrument_id: ALL_INSTRUMENTS,
            sequence,
            ts_event: 0,
        };
        self.books.apply(&Event { header, body }, &mut ());
    }
}

impl Sink<SessionName> for Receiver {
    fn apply(&mut self, packet: &Packet<'_, SessionName>, skip: u16) -> Applied {
        let blocks = moldudp64::parse(packet.bytes).unwrap().blocks;
        let mut applied = 0;
        let held = blocks.map_while(Result::ok).count() as u16;
        let new = blocks.map_while(Result::ok).take(packet.message_count.into());
        for message in new.skip(skip.into()) {
            let sequence = packet.sequence + u64::from(skip + applied);
            assert!(sequence >= self.next, "sequence {sequence} again, after {}", self.next);
            self.next = sequence + 1;
            let mut apply = Apply { books: &mut self.books, flags: 0 };
            assert_eq!(self.decoder.decode(message, sequence, &mut apply), Decoded::Known);
            applied += 1;
        }
        Applied { messages: applied, held }
    }

    fn books_are(&mut self, state: BookState, sequence: u64) {
        self.tell(VenueEvent::State(state), sequence);
    }

    fn clear_books(&mut self, sequence: u64) {
        self.next = sequence;
        self.tell(VenueEvent::Clear, sequence);
    }

    fn request_retransmit(&mut self, session: SessionName, messages: Range<u64>) {
        self.wishes.push(Wish::Retransmit(session, messages));
    }

    fn request_snapshot(&mut self, session: SessionName, _sequence: u64) {
        self.wishes.push(Wish::Snapshot(session));
    }

    fn end_recovery(&mut self) {
        self.wishes.push(Wish::Nothing);
    }

    fn healed(&mut self, healing_ns: u64) {
        self.healing_ns.push(healing_ns);
    }
}
