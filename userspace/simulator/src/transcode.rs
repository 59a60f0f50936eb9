//! Order-by-order DBN records as ITCH 5.0: a futures exchange's flow as Nasdaq would tell it.
//!
//! Arrives: [`MboMsg`]s of any number of instruments, in order. Leaves: ITCH messages with order
//! references and stock locates of their own; an instrument's directory comes when it is first
//! named. Times start at 09:30:00 and advance as `ts_recv` does, up to the 48 bits of a timestamp.
//!
//! | DBN | ITCH |
//! | --- | --- |
//! | Add; Modify of an order not known | add `A` |
//! | Modify to another price or more size (priority lost) | replace `U` |
//! | Modify to less size; Cancel of a part | cancel `X` |
//! | Cancel of the rest | delete `D` |
//! | Fill, and the Modify or Cancel that DBN lets follow it | one execution `E`, or `C` at another price |
//! | Trade without a Fill before the end of its event | trade `P` |
//! | Clear | a delete of each order |
//!
//! What ITCH cannot say is left out and counted ([`TranscodeCounts`]): prices below zero, of more
//! than four decimals or above 429,496.7295; orders without side or size; the aggressor of a trade.
//! A sequence of DBN becomes none of ITCH: messages are numbered anew.

use crate::itch::{Body, Message, Side};
use dbn::{Action, MboMsg, UNDEF_PRICE};
use std::collections::{BTreeMap, HashMap};

/// Prices of DBN (1e-9) in one of ITCH (1e-4).
const PRICE_STEP: i64 = 100_000;
const TIMESTAMP_NS_MAX: u64 = (1 << 48) - 1;

/// What could not be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TranscodeCounts {
    /// Records that came.
    pub records: u64,
    /// Orders at a price that ITCH cannot write.
    pub unsayable_prices: u64,
    /// Orders without side or size.
    pub unsayable_orders: u64,
    /// Changes of orders that are not in the ITCH book.
    pub unknown_orders: u64,
    /// Instruments beyond the 65,535 of a stock locate.
    pub unsayable_instruments: u64,
}

/// Turns records into messages.
#[derive(Clone, Debug)]
pub struct Transcoder {
    start_ns: u64,
    first_ts_recv: Option<u64>,
    timestamp_ns: u64,
    /// Symbols by DBN's instrument id, as far as they are known.
    symbols: HashMap<u32, String>,
    instruments: HashMap<u32, Instrument>,
    /// Both sides' orders by DBN's instrument and order id: in order, as a clear deletes them all.
    orders: BTreeMap<(u32, u64), Order>,
    last_reference: u64,
    last_match: u64,
    said: Vec<Message>,
    counts: TranscodeCounts,
}

#[derive(Clone, Debug)]
struct Instrument {
    locate: u16,
    stock: [u8; 8],
    /// A trade of this event without a fill so far.
    trade: Option<(u32, u32)>,
}

/// An order as DBN has it, and as ITCH has been told.
#[derive(Clone, Copy, Debug)]
struct Order {
    reference: u64,
    side: Side,
    price: u32,
    size: u32,
    /// Shares in the ITCH book: less than `size` between a fill and the record that follows it.
    told: u32,
}

impl Transcoder {
    /// A transcoder; `symbols` by instrument id name what they can, others are named by their id.
    pub fn new(start_ns: u64, symbols: HashMap<u32, String>) -> Self {
        Self {
            start_ns,
            first_ts_recv: None,
            timestamp_ns: start_ns,
            symbols,
            instruments: HashMap::new(),
            orders: BTreeMap::new(),
            last_reference: 0,
            last_match: 0,
            said: Vec::new(),
            counts: TranscodeCounts::default(),
        }
    }

    /// What an ITCH day begins with.
    pub fn begin(&mut self) -> impl Iterator<Item = Message> {
        b"OSQ".iter().for_each(|&event_code| self.say(0, Body::SystemEvent { event_code }));
        self.said.drain(..)
    }

    /// The messages of one record, in order.
    pub fn record(&mut self, record: &MboMsg) -> impl Iterator<Item = Message> {
        self.counts.records += 1;
        let first_ts_recv = *self.first_ts_recv.get_or_insert(record.ts_recv);
        let timestamp_ns = self.start_ns + record.ts_recv.saturating_sub(first_ts_recv);
        self.timestamp_ns = self.timestamp_ns.max(timestamp_ns.min(TIMESTAMP_NS_MAX));
        if self.locate(record.hd.instrument_id).is_some() {
            self.action(record);
            if record.flags.is_last() {
                self.end_event(record.hd.instrument_id);
            }
        } else {
            self.counts.unsayable_instruments += 1;
        }
        self.said.drain(..)
    }

    /// What an ITCH day ends with.
    pub fn end(&mut self) -> impl Iterator<Item = Message> {
        b"MEC".iter().for_each(|&event_code| self.say(0, Body::SystemEvent { event_code }));
        self.said.drain(..)
    }

    /// What was counted.
    pub fn counts(&self) -> TranscodeCounts {
        self.counts
    }

    fn action(&mut self, record: &MboMsg) {
        let key = (record.hd.instrument_id, record.order_id);
        match record.action() {
            Ok(Action::Add | Action::Modify) => self.set(key, record),
            Ok(Action::Cancel) => self.cancel(key, record.size),
            Ok(Action::Fill) => self.fill(key, record),
            Ok(Action::Clear) => self.clear(key.0),
            Ok(Action::Trade) => {
                let trade = price_of(record.price).map(|price| (record.size, price));
                if let Some(instrument) = self.instruments.get_mut(&key.0) {
                    instrument.trade = trade.filter(|(size, _)| *size > 0);
                }
            }
            Ok(Action::None) | Err(_) => {}
        }
    }

    /// The order becomes what the record says, whatever it was.
    fn set(&mut self, key: (u32, u64), record: &MboMsg) {
        let Some(mut order) = self.orders.get(&key).copied() else {
            self.add(key, record);
            return;
        };
        let Some(price) = price_of(record.price) else {
            self.counts.unsayable_prices += 1;
            self.remove(key);
            return;
        };
        let size = record.size;
        let has_moved = price != order.price || size > order.told;
        (order.price, order.size) = (price, size);
        if size == 0 {
            self.remove(key);
        } else if order.told == 0 || side_of(record) != Some(order.side) {
            self.remove(key);
            self.add(key, record);
        } else if has_moved {
            let (reference, new_reference) = (order.reference, self.next_reference());
            let body = Body::Replace { reference, new_reference, shares: size, price };
            self.say_of(key.0, body);
            self.orders.insert(key, Order { reference: new_reference, told: size, ..order });
        } else {
            self.orders.insert(key, order);
            self.reduce_to(key, size);
        }
    }

    fn add(&mut self, key: (u32, u64), record: &MboMsg) {
        let Some(side) = side_of(record).filter(|_| record.size > 0) else {
            self.counts.unsayable_orders += 1;
            return;
        };
        let Some(price) = price_of(record.price) else {
            self.counts.unsayable_prices += 1;
            return;
        };
        let (reference, shares) = (self.next_reference(), record.size);
        self.orders.insert(key, Order { reference, side, price, size: shares, told: shares });
        let stock = self.instruments.get(&key.0).map_or([b' '; 8], |found| found.stock);
        self.say_of(key.0, Body::Add { reference, side, shares, stock, price, mpid: None });
    }

    fn cancel(&mut self, key: (u32, u64), size: u32) {
        let Some(order) = self.orders.get_mut(&key) else {
            self.counts.unknown_orders += 1;
            return;
        };
        order.size = order.size.saturating_sub(size);
        let left = order.size;
        if left == 0 { self.remove(key) } else { self.reduce_to(key, left) }
    }

    fn fill(&mut self, key: (u32, u64), record: &MboMsg) {
        if let Some(instrument) = self.instruments.get_mut(&key.0) {
            instrument.trade = None;
        }
        let Some(order) = self.orders.get_mut(&key) else {
            self.counts.unknown_orders += 1;
            return;
        };
        let shares = record.size.min(order.told);
        if shares == 0 {
            return;
        }
        order.told -= shares;
        let (reference, resting_price) = (order.reference, order.price);
        self.last_match += 1;
        let match_number = self.last_match;
        let body = match price_of(record.price) {
            Some(price) if price != resting_price => {
                Body::ExecuteWithPrice { reference, shares, match_number, printable: true, price }
            }
            _ => Body::Execute { reference, shares, match_number },
        };
        self.say_of(key.0, body);
    }

    fn clear(&mut self, instrument_id: u32) {
        let range = (instrument_id, 0)..=(instrument_id, u64::MAX);
        let keys: Vec<_> = self.orders.range(range).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.remove(key));
    }

    /// Tells ITCH of what was taken from an order beyond its executions.
    fn reduce_to(&mut self, key: (u32, u64), size: u32) {
        let Some(order) = self.orders.get_mut(&key) else { return };
        if order.told > size {
            let (reference, shares) = (order.reference, order.told - size);
            order.told = size;
            self.say_of(key.0, Body::Cancel { reference, shares });
        }
    }

    fn remove(&mut self, key: (u32, u64)) {
        if let Some(Order { reference, told: 1.., .. }) = self.orders.remove(&key) {
            self.say_of(key.0, Body::Delete { reference });
        }
    }

    fn end_event(&mut self, instrument_id: u32) {
        let Some(instrument) = self.instruments.get_mut(&instrument_id) else { return };
        let (Some((shares, price)), stock) = (instrument.trade.take(), instrument.stock) else {
            return;
        };
        self.last_match += 1;
        let match_number = self.last_match;
        self.say_of(instrument_id, Body::Trade { shares, stock, price, match_number });
    }

    /// The locate of an instrument, which its directory tells first; none where all are taken.
    fn locate(&mut self, instrument_id: u32) -> Option<u16> {
        if let Some(instrument) = self.instruments.get(&instrument_id) {
            return Some(instrument.locate);
        }
        let locate = u16::try_from(self.instruments.len() + 1).ok()?;
        let named = self.symbols.get(&instrument_id).filter(|symbol| symbol.len() <= 8);
        let symbol = named.cloned().unwrap_or_else(|| instrument_id.to_string());
        let mut stock = [b' '; 8];
        for (to, from) in stock.iter_mut().zip(symbol.bytes()) {
            *to = from;
        }
        self.instruments.insert(instrument_id, Instrument { locate, stock, trade: None });
        self.say(locate, Body::StockDirectory { stock });
        let (trading_state, reason) = (b'T', *b"    ");
        self.say(locate, Body::TradingAction { stock, trading_state, reason });
        Some(locate)
    }

    fn next_reference(&mut self) -> u64 {
        self.last_reference += 1;
        self.last_reference
    }

    fn say_of(&mut self, instrument_id: u32, body: Body) {
        if let Some(&Instrument { locate, .. }) = self.instruments.get(&instrument_id) {
            self.say(locate, body);
        }
    }

    fn say(&mut self, stock_locate: u16, body: Body) {
        self.said.push(Message { timestamp_ns: self.timestamp_ns, stock_locate, body });
    }
}

fn side_of(record: &MboMsg) -> Option<Side> {
    match record.side() {
        Ok(dbn::Side::Bid) => Some(Side::Buy),
        Ok(dbn::Side::Ask) => Some(Side::Sell),
        _ => None,
    }
}

/// A price as ITCH writes it; none where it cannot.
fn price_of(price: i64) -> Option<u32> {
    if price == UNDEF_PRICE || price % PRICE_STEP != 0 {
        return None;
    }
    u32::try_from(price / PRICE_STEP).ok()
}
