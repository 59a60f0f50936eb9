//! The best levels of each book as readers were last told: when there is something new to say.
//!
//! Arrives: each `MboMsg` of a book, and its best levels where a venue's event ends. Leaves: an
//! `Mbp1Msg` or `Mbp10Msg` for each trade, with the levels before it, and one for each event that
//! changed one of the best levels (DBN schemas `mbp-1` and `mbp-10`,
//! <https://databento.com/docs/schemas-and-data-formats/mbp-1>).

use dbn::{
    Action, BidAskPair, HasRType, MboMsg, Mbp1Msg, Mbp10Msg, RecordHeader, RecordRef, rtype,
};

use crate::book::{Book, Level};
use crate::books::{BookSink, Books};

/// What is told besides orders.
#[derive(Default)]
pub(crate) struct Telling {
    /// The best level of each side.
    pub(crate) one: Option<Tops<1>>,
    /// The ten best levels of each side.
    pub(crate) ten: Option<Tops<10>>,
}

impl Books {
    /// Tells best levels and trades in `Mbp1Msg`s too, from now on.
    pub fn tell_tops(&mut self) {
        self.telling.one = Some(Tops::seeded(self));
    }

    /// Tells the ten best levels and trades in `Mbp10Msg`s too, from now on.
    pub fn tell_ten_levels(&mut self) {
        self.telling.ten = Some(Tops::seeded(self));
    }
}

impl Telling {
    /// Anything at all.
    #[inline]
    pub(crate) fn is_telling(&self) -> bool {
        self.one.is_some() || self.ten.is_some()
    }

    /// What there is to tell of a record that leaves.
    #[inline(never)]
    pub(crate) fn record(&mut self, number: u32, record: &MboMsg, out: &mut impl BookSink) {
        let channel = record.channel_id;
        if let Some(news) = self.one.as_mut().and_then(|one| one.record(number, record)) {
            out.record(Some(number), channel, RecordRef::from(&Mbp1Msg::from(news)));
        }
        if let Some(news) = self.ten.as_mut().and_then(|ten| ten.record(number, record)) {
            out.record(Some(number), channel, RecordRef::from(&Mbp10Msg::from(news)));
        }
    }

    /// What there is to tell of a book that an event left.
    #[inline(never)]
    pub(crate) fn event_end(&mut self, book: Book<'_>, out: &mut impl BookSink) {
        let (number, channel) = (Some(book.number()), book.channel());
        if let Some(news) = self.one.as_mut().and_then(|one| one.event_end(book)) {
            out.record(number, channel, RecordRef::from(&Mbp1Msg::from(news)));
        }
        if let Some(news) = self.ten.as_mut().and_then(|ten| ten.event_end(book)) {
            out.record(number, channel, RecordRef::from(&Mbp10Msg::from(news)));
        }
    }
}

/// What was last told of one book.
#[derive(Clone)]
struct Told<const LEVELS: usize> {
    levels: [BidAskPair; LEVELS],
    /// The last record that changed the book since.
    change: Option<MboMsg>,
}

/// What was last told of each book, by number.
pub(crate) struct Tops<const LEVELS: usize> {
    told: Vec<Told<LEVELS>>,
}

/// Something new to say of a book.
struct News<'a, const LEVELS: usize> {
    /// The record that made it.
    cause: MboMsg,
    /// The first level that is not what it was; 0 of a trade.
    depth: u8,
    levels: &'a [BidAskPair; LEVELS],
}

impl<const LEVELS: usize> Tops<LEVELS> {
    /// As if the best levels of all books had been told.
    fn seeded(books: &Books) -> Self {
        let levels = std::array::from_fn(|_| BidAskPair::default());
        let mut told = vec![Told { levels, change: None }; books.limits().instruments];
        for (told, book) in told.iter_mut().zip(books.iter()) {
            told.levels = best_levels(book);
        }
        Self { told }
    }

    /// Notes what a record says; a trade is told at once.
    fn record(&mut self, number: u32, record: &MboMsg) -> Option<News<'_, LEVELS>> {
        let told = &mut self.told[number as usize];
        match record.action as u8 {
            action if action == Action::Trade as u8 => {
                Some(News { cause: record.clone(), depth: 0, levels: &told.levels })
            }
            action if action == Action::Fill as u8 || action == Action::None as u8 => None,
            _ => {
                told.change = Some(record.clone());
                None
            }
        }
    }

    /// A venue's event is over, and has left this book.
    fn event_end(&mut self, book: Book<'_>) -> Option<News<'_, LEVELS>> {
        let told = &mut self.told[book.number() as usize];
        let mut cause = told.change.take()?;
        let levels = best_levels(book);
        let depth = (0..LEVELS).find(|&level| levels[level] != told.levels[level])?;
        told.levels = levels;
        cause.flags.set_last();
        Some(News { cause, depth: depth as u8, levels: &told.levels })
    }
}

fn best_levels<const LEVELS: usize>(book: Book<'_>) -> [BidAskPair; LEVELS] {
    let mut rows = book.depth(LEVELS);
    std::array::from_fn(|_| rows.next().map_or_else(BidAskPair::default, pair))
}

fn pair((bid, ask): (Option<Level>, Option<Level>)) -> BidAskPair {
    let mut pair = BidAskPair::default();
    if let Some(Level { price, size, orders }) = bid {
        (pair.bid_px, pair.bid_sz, pair.bid_ct) = (price, saturated(size), orders);
    }
    if let Some(Level { price, size, orders }) = ask {
        (pair.ask_px, pair.ask_sz, pair.ask_ct) = (price, saturated(size), orders);
    }
    pair
}

fn saturated(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// DBN's records of levels differ in how many they have, and say the rest alike.
macro_rules! record_of_levels {
    ($record:ident, $levels:literal, $rtype:expr) => {
        impl From<News<'_, $levels>> for $record {
            fn from(News { cause, depth, levels }: News<'_, $levels>) -> Self {
                Self {
                    hd: header::<Self>($rtype, &cause),
                    price: cause.price,
                    size: cause.size,
                    action: cause.action,
                    side: cause.side,
                    flags: cause.flags,
                    depth,
                    ts_recv: cause.ts_recv,
                    ts_in_delta: cause.ts_in_delta,
                    sequence: cause.sequence,
                    levels: levels.clone(),
                }
            }
        }
    };
}

record_of_levels!(Mbp1Msg, 1, rtype::MBP_1);
record_of_levels!(Mbp10Msg, 10, rtype::MBP_10);

fn header<R: HasRType>(rtype: u8, cause: &MboMsg) -> RecordHeader {
    let RecordHeader { publisher_id, instrument_id, ts_event, .. } = cause.hd;
    RecordHeader::new::<R>(rtype, publisher_id, instrument_id, ts_event)
}
