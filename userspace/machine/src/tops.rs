//! The best levels of each book as readers were last told: when there is something new to say.
//!
//! Arrives: each `MboMsg` of a book, and its best levels where a venue's event ends. Leaves: an
//! `Mbp1Msg` for each trade, with the levels before it, and one for each event that changed a best
//! level (DBN schema `mbp-1`, <https://databento.com/docs/schemas/mbp-1>).

use std::ffi::c_char;

use dbn::{Action, BidAskPair, MboMsg, Mbp1Msg, RecordHeader, rtype};

use crate::book::Level;

/// What was last told of one book.
#[derive(Clone, Default)]
struct Told {
    best: BidAskPair,
    /// The last record that changed the book since.
    change: Option<MboMsg>,
}

/// What was last told of each book, by number.
pub(crate) struct Tops {
    told: Vec<Told>,
}

impl Tops {
    /// For so many books.
    pub(crate) fn new(instruments: usize) -> Self {
        Self { told: vec![Told::default(); instruments] }
    }

    /// The best levels of a book, as if they had been told.
    pub(crate) fn seed(&mut self, number: u32, (bid, ask): (Option<Level>, Option<Level>)) {
        self.told[number as usize].best = pair(bid, ask);
    }

    /// Notes what a record says; a trade is told at once.
    pub(crate) fn record(&mut self, number: u32, record: &MboMsg) -> Option<Mbp1Msg> {
        let told = &mut self.told[number as usize];
        match record.action as u8 {
            action if action == Action::Trade as u8 => Some(mbp1(record, &told.best)),
            action if action == Action::Fill as u8 || action == Action::None as u8 => None,
            _ => {
                told.change = Some(record.clone());
                None
            }
        }
    }

    /// A venue's event is over, and these are the best levels now.
    pub(crate) fn event_end(
        &mut self,
        number: u32,
        (bid, ask): (Option<Level>, Option<Level>),
    ) -> Option<Mbp1Msg> {
        let told = &mut self.told[number as usize];
        let mut change = told.change.take()?;
        let best = pair(bid, ask);
        if best == told.best {
            return None;
        }
        told.best = best;
        change.flags.set_last();
        Some(mbp1(&change, &told.best))
    }
}

fn pair(bid: Option<Level>, ask: Option<Level>) -> BidAskPair {
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

fn mbp1(record: &MboMsg, best: &BidAskPair) -> Mbp1Msg {
    let RecordHeader { publisher_id, instrument_id, ts_event, .. } = record.hd;
    Mbp1Msg {
        hd: RecordHeader::new::<Mbp1Msg>(rtype::MBP_1, publisher_id, instrument_id, ts_event),
        price: record.price,
        size: record.size,
        action: record.action as u8 as c_char,
        side: record.side,
        flags: record.flags,
        depth: 0,
        ts_recv: record.ts_recv,
        ts_in_delta: record.ts_in_delta,
        sequence: record.sequence,
        levels: [best.clone()],
    }
}
