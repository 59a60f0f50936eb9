//! Events as 64-bit words, the form in which a ring carries them.
//!
//! Arrives: an [`Event`] or the words of one. Leaves: the other. One slot's payload is
//! [`EVENT_WORDS`] words (56 bytes); a definition and an imbalance take two slots. Every
//! encoding decodes to the event it came from; words that no event encodes to are a
//! [`BadEvent`], never a panic.
//!
//! | word | bits | meaning |
//! | --- | --- | --- |
//! | 0 | 0–7, 8–15, 16–23, 24–31, 32–63 | kind, flags, channel, side or state or small flag, instrument id |
//! | 1 | 0–63 | venue sequence |
//! | 2 | 0–63 | `ts_event` |
//! | 3.. | | the body, as each arm of `encode` writes it |
//!
//! An event about one order has its id in word 3, then price, size, and the other id: a new order's or
//! a match number. A word that such an event has no field for is zero.

use crate::{
    BookState, Definition, Event, EventHeader, Imbalance, Packet, Statistic, Status, Symbol,
    VenueEvent,
};
use dbn::Side;

/// Words in one slot's payload.
pub const EVENT_WORDS: usize = 7;
/// Words of the longest event.
pub const EVENT_WORDS_MAX: usize = 2 * EVENT_WORDS;

const BODY: usize = 3;
const SYMBOL_WORDS: usize = Symbol::LENGTH_MAX / 8;

/// The words of one event: [`EVENT_WORDS`] or [`EVENT_WORDS_MAX`] of them.
#[derive(Clone, Copy, Debug)]
pub struct EventWords {
    words: [u64; EVENT_WORDS_MAX],
    count: usize,
}

impl EventWords {
    /// The words in use.
    pub fn as_slice(&self) -> &[u64] {
        &self.words[..self.count]
    }
}

/// Words that no event encodes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event has kind {kind}, detail {detail} and {count} words")]
pub struct BadEvent {
    /// The kind found in word 0.
    pub kind: u8,
    /// The detail found in word 0.
    pub detail: u8,
    /// How many words there were.
    pub count: usize,
}

/// What an event is, as word 0 says it.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Kind {
    Packet = 1,
    State,
    Clear,
    Add,
    Modify,
    Execute,
    Reduce,
    Delete,
    Replace,
    Level,
    Top,
    Trade,
    Fill,
    TradeBreak,
    Status,
    Statistic,
    Definition,
    Imbalance,
    EndOfInterval,
}

impl Kind {
    fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Packet,
            2 => Self::State,
            3 => Self::Clear,
            4 => Self::Add,
            5 => Self::Modify,
            6 => Self::Execute,
            7 => Self::Reduce,
            8 => Self::Delete,
            9 => Self::Replace,
            10 => Self::Level,
            11 => Self::Top,
            12 => Self::Trade,
            13 => Self::Fill,
            14 => Self::TradeBreak,
            15 => Self::Status,
            16 => Self::Statistic,
            17 => Self::Definition,
            18 => Self::Imbalance,
            19 => Self::EndOfInterval,
            _ => return None,
        })
    }
}

impl Event {
    /// This event as words.
    pub fn encode(&self) -> EventWords {
        let mut out = EventWords { words: [0; EVENT_WORDS_MAX], count: EVENT_WORDS };
        let (kind, detail) = self.body.encode(&mut out);
        let header = &self.header;
        out.words[0] =
            u64::from_le_bytes([kind as u8, header.flags, header.channel, detail, 0, 0, 0, 0])
                | u64::from(header.instrument_id) << 32;
        out.words[1] = header.sequence;
        out.words[2] = header.ts_event;
        out
    }

    /// The event with these words.
    ///
    /// # Errors
    /// [`BadEvent`] where the words are none that [`Event::encode`] makes.
    pub fn decode(words: &[u64]) -> Result<Self, BadEvent> {
        let bad = |kind, detail| BadEvent { kind, detail, count: words.len() };
        let Some(first) = words.first_chunk::<EVENT_WORDS>() else {
            return Err(bad(0, 0));
        };
        let [kind, flags, channel, detail, ..] = first[0].to_le_bytes();
        let header = EventHeader {
            channel,
            flags,
            instrument_id: (first[0] >> 32) as u32,
            sequence: first[1],
            ts_event: first[2],
        };
        Kind::from_u8(kind)
            .and_then(|kind| VenueEvent::decode(kind, detail, first, words))
            .map(|body| Self { header, body })
            .ok_or_else(|| bad(kind, detail))
    }
}

impl VenueEvent {
    fn encode(&self, out: &mut EventWords) -> (Kind, u8) {
        let body = &mut out.words[BODY..];
        match *self {
            Self::Packet(packet) => {
                put(body, [packet.ts_recv, packet.ts_sent, packet.ts_worker]);
                (Kind::Packet, 0)
            }
            Self::State(state) => (Kind::State, state as u8),
            Self::EndOfInterval => (Kind::EndOfInterval, 0),
            Self::Clear => (Kind::Clear, 0),
            Self::Add { order_id, side, price, size } => {
                put(body, [order_id, price as u64, u64::from(size)]);
                (Kind::Add, side as u8)
            }
            Self::Modify { order_id, side, price, size } => {
                put(body, [order_id, price as u64, u64::from(size)]);
                (Kind::Modify, side as u8)
            }
            Self::Execute { order_id, size, price, match_id, printable } => {
                put(body, [order_id, price as u64, u64::from(size), match_id]);
                (Kind::Execute, u8::from(printable))
            }
            Self::Reduce { order_id, size } => {
                put(body, [order_id, 0, u64::from(size)]);
                (Kind::Reduce, 0)
            }
            Self::Delete { order_id } => {
                put(body, [order_id]);
                (Kind::Delete, 0)
            }
            Self::Replace { order_id, new_order_id, price, size } => {
                put(body, [order_id, price as u64, u64::from(size), new_order_id]);
                (Kind::Replace, 0)
            }
            Self::Level { side, price, size } => {
                put(body, [price as u64, u64::from(size)]);
                (Kind::Level, side as u8)
            }
            Self::Top { side, price, size } => {
                put(body, [price as u64, u64::from(size)]);
                (Kind::Top, side as u8)
            }
            Self::Trade { side, price, size, order_id, match_id } => {
                put(body, [order_id, price as u64, u64::from(size), match_id]);
                (Kind::Trade, side as u8)
            }
            Self::Fill { order_id, side, price, size } => {
                put(body, [order_id, price as u64, u64::from(size)]);
                (Kind::Fill, side as u8)
            }
            Self::TradeBreak { match_id, price, size } => {
                put(body, [match_id, price as u64, u64::from(size)]);
                (Kind::TradeBreak, 0)
            }
            Self::Status(status) => {
                body[0] = status.to_word();
                (Kind::Status, status.is_short_sell_restricted)
            }
            Self::Statistic(statistic) => {
                let Statistic { stat_type, price, quantity, ts_ref } = statistic;
                put(body, [u64::from(stat_type), price as u64, quantity as u64, ts_ref]);
                (Kind::Statistic, 0)
            }
            Self::Definition(definition) => {
                definition.write(body);
                out.count = EVENT_WORDS_MAX;
                (Kind::Definition, definition.instrument_class)
            }
            Self::Imbalance(imbalance) => {
                imbalance.write(body);
                out.count = EVENT_WORDS_MAX;
                (Kind::Imbalance, imbalance.side as u8)
            }
        }
    }

    fn decode(kind: Kind, detail: u8, first: &[u64; EVENT_WORDS], words: &[u64]) -> Option<Self> {
        let [.., a, b, c, d] = *first;
        let side = || Side::try_from(detail).ok();
        Some(match kind {
            Kind::Packet => Self::Packet(Packet { ts_recv: a, ts_sent: b, ts_worker: c }),
            Kind::State => Self::State(BookState::from_u8(detail)?),
            Kind::EndOfInterval => Self::EndOfInterval,
            Kind::Clear => Self::Clear,
            Kind::Add => Self::Add { order_id: a, side: side()?, price: b as i64, size: c as u32 },
            Kind::Modify => {
                Self::Modify { order_id: a, side: side()?, price: b as i64, size: c as u32 }
            }
            Kind::Execute => Self::Execute {
                order_id: a,
                price: b as i64,
                size: c as u32,
                match_id: d,
                printable: detail != 0,
            },
            Kind::Reduce => Self::Reduce { order_id: a, size: c as u32 },
            Kind::Delete => Self::Delete { order_id: a },
            Kind::Replace => {
                Self::Replace { order_id: a, price: b as i64, size: c as u32, new_order_id: d }
            }
            Kind::Level => Self::Level { side: side()?, price: a as i64, size: b as u32 },
            Kind::Top => Self::Top { side: side()?, price: a as i64, size: b as u32 },
            Kind::Trade => Self::Trade {
                side: side()?,
                order_id: a,
                price: b as i64,
                size: c as u32,
                match_id: d,
            },
            Kind::Fill => {
                Self::Fill { order_id: a, side: side()?, price: b as i64, size: c as u32 }
            }
            Kind::TradeBreak => Self::TradeBreak { match_id: a, price: b as i64, size: c as u32 },
            Kind::Status => Self::Status(Status::from_word(a, detail)),
            Kind::Statistic => Self::Statistic(Statistic {
                stat_type: a as u16,
                price: b as i64,
                quantity: c as i64,
                ts_ref: d,
            }),
            Kind::Definition => Self::Definition(Definition::read(words, detail)?),
            Kind::Imbalance => Self::Imbalance(Imbalance::read(words, side()?)?),
        })
    }
}

impl Status {
    fn to_word(self) -> u64 {
        u64::from(self.action)
            | u64::from(self.reason) << 16
            | u64::from(self.trading_event) << 32
            | u64::from(self.is_trading) << 48
            | u64::from(self.is_quoting) << 56
    }

    fn from_word(word: u64, is_short_sell_restricted: u8) -> Self {
        Self {
            action: word as u16,
            reason: (word >> 16) as u16,
            trading_event: (word >> 32) as u16,
            is_trading: (word >> 48) as u8,
            is_quoting: (word >> 56) as u8,
            is_short_sell_restricted,
        }
    }
}

impl Definition {
    fn write(&self, body: &mut [u64]) {
        put(body, [self.min_price_increment as u64, u64::from(self.round_lot_size)]);
        for (word, bytes) in body[2..].iter_mut().zip(self.symbol.as_bytes().as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
    }

    fn read(words: &[u64], instrument_class: u8) -> Option<Self> {
        let body = &words.first_chunk::<EVENT_WORDS_MAX>()?[BODY..];
        let mut symbol = [0; Symbol::LENGTH_MAX];
        for (bytes, word) in symbol.as_chunks_mut().0.iter_mut().zip(&body[2..2 + SYMBOL_WORDS]) {
            *bytes = word.to_le_bytes();
        }
        Some(Self {
            symbol: Symbol::from_padded(&symbol),
            min_price_increment: body[0] as i64,
            round_lot_size: body[1] as u32,
            instrument_class,
        })
    }
}

impl Imbalance {
    fn write(&self, body: &mut [u64]) {
        let quantities = u64::from(self.paired_qty) | u64::from(self.total_imbalance_qty) << 32;
        let codes =
            [self.auction_type, self.num_extensions, self.significant_imbalance, 0, 0, 0, 0, 0];
        put(
            body,
            [
                self.ref_price as u64,
                self.auction_time,
                self.cont_book_clr_price as u64,
                self.auct_interest_clr_price as u64,
                self.upper_collar as u64,
                self.lower_collar as u64,
                self.ind_match_price as u64,
                quantities,
                u64::from_le_bytes(codes),
            ],
        );
    }

    fn read(words: &[u64], side: Side) -> Option<Self> {
        let body = &words.first_chunk::<EVENT_WORDS_MAX>()?[BODY..];
        let [auction_type, num_extensions, significant_imbalance, ..] = body[8].to_le_bytes();
        Some(Self {
            ref_price: body[0] as i64,
            auction_time: body[1],
            cont_book_clr_price: body[2] as i64,
            auct_interest_clr_price: body[3] as i64,
            upper_collar: body[4] as i64,
            lower_collar: body[5] as i64,
            ind_match_price: body[6] as i64,
            paired_qty: body[7] as u32,
            total_imbalance_qty: (body[7] >> 32) as u32,
            side,
            auction_type,
            num_extensions,
            significant_imbalance,
        })
    }
}

fn put<const N: usize>(body: &mut [u64], values: [u64; N]) {
    body[..N].copy_from_slice(&values);
}

#[cfg(test)]
mod tests {
    use super::*;
    use dbn::{UNDEF_PRICE, UNDEF_STAT_QUANTITY, UNDEF_TIMESTAMP};

    fn bodies() -> Vec<VenueEvent> {
        let (order_id, price, size, match_id) = (u64::MAX, i64::MIN, u32::MAX, u64::MAX - 1);
        let side = Side::Ask;
        vec![
            VenueEvent::Packet(Packet { ts_recv: u64::MAX, ts_sent: 1, ts_worker: 7 }),
            VenueEvent::State(BookState::Healing),
            VenueEvent::EndOfInterval,
            VenueEvent::Clear,
            VenueEvent::Add { order_id, side, price, size },
            VenueEvent::Modify { order_id, side: Side::Bid, price, size },
            VenueEvent::Execute { order_id, size, price: UNDEF_PRICE, match_id, printable: true },
            VenueEvent::Execute { order_id, size, price, match_id, printable: false },
            VenueEvent::Reduce { order_id, size },
            VenueEvent::Delete { order_id },
            VenueEvent::Replace { order_id, new_order_id: 5, price, size },
            VenueEvent::Level { side, price, size },
            VenueEvent::Top { side, price, size },
            VenueEvent::Trade { side: Side::None, price, size, order_id, match_id },
            VenueEvent::Fill { order_id, side, price, size },
            VenueEvent::TradeBreak { match_id, price, size },
            VenueEvent::Status(Status {
                action: 1,
                reason: u16::MAX,
                trading_event: 3,
                is_trading: b'Y',
                is_quoting: b'~',
                is_short_sell_restricted: b'N',
            }),
            VenueEvent::Statistic(Statistic {
                stat_type: u16::MAX,
                price,
                quantity: UNDEF_STAT_QUANTITY,
                ts_ref: UNDEF_TIMESTAMP,
            }),
            VenueEvent::Definition(Definition {
                symbol: Symbol::from_padded(&[b'Z'; Symbol::LENGTH_MAX]),
                min_price_increment: price,
                round_lot_size: size,
                instrument_class: b'K',
            }),
            VenueEvent::Imbalance(Imbalance {
                ref_price: 1,
                auction_time: 2,
                cont_book_clr_price: 3,
                auct_interest_clr_price: 4,
                upper_collar: 5,
                lower_collar: 6,
                ind_match_price: 7,
                paired_qty: 8,
                total_imbalance_qty: u32::MAX,
                side,
                auction_type: b'O',
                num_extensions: 9,
                significant_imbalance: b'L',
            }),
        ]
    }

    #[test]
    fn every_event_survives_its_words() {
        for body in bodies() {
            let header = EventHeader {
                channel: 255,
                flags: 0xa5,
                instrument_id: u32::MAX,
                sequence: u64::MAX,
                ts_event: u64::MAX,
            };
            let event = Event { header, body };
            let words = event.encode();
            assert_eq!(Event::decode(words.as_slice()), Ok(event));
        }
    }

    #[test]
    fn only_text_and_auctions_take_two_slots() {
        for body in bodies() {
            let header =
                EventHeader { channel: 0, flags: 0, instrument_id: 0, sequence: 0, ts_event: 0 };
            let two = matches!(body, VenueEvent::Definition(_) | VenueEvent::Imbalance(_));
            let expected = if two { EVENT_WORDS_MAX } else { EVENT_WORDS };
            assert_eq!(Event { header, body }.encode().as_slice().len(), expected);
        }
    }

    #[test]
    fn words_of_no_event_are_an_error() {
        assert!(Event::decode(&[]).is_err());
        assert!(Event::decode(&[0; 6]).is_err());
        assert!(Event::decode(&[0; 7]).is_err());
        assert!(Event::decode(&[u64::MAX; 7]).is_err());
        let definition = bodies().pop().unwrap();
        let header =
            EventHeader { channel: 0, flags: 0, instrument_id: 0, sequence: 0, ts_event: 0 };
        let words = Event { header, body: definition }.encode();
        assert!(Event::decode(&words.as_slice()[..EVENT_WORDS]).is_err());
    }

    #[test]
    fn any_words_decode_without_panic() {
        for kind in 0..=255u64 {
            for detail in 0..=255u64 {
                let _ = Event::decode(&[kind | detail << 24, 1, 2, 3, 4, 5, 6]);
            }
        }
    }
}
