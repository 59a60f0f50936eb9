//! What a snapshot of the market says.

use super::{Model, Resting};
use crate::itch::{Body, Message};
use crate::messages::Messages;

/// `Stock Directory`, which names an instrument and comes before all that it is named in.
const DIRECTORY: u8 = b'R';

impl Model {
    /// The market as it is now, in messages of the live feed: the last system event, the decline
    /// levels, the directory, what was said last of each instrument's trading, then one add an
    /// order: each side's best price first and the oldest order of a price first, so that whoever
    /// applies them in order has every queue.
    ///
    /// The order of parts is that of *Nasdaq GLIMPSE 5.0*, sections 4.1 to 4.6.
    pub fn snapshot(&self) -> Messages {
        let mut snapshot = Messages::default();
        self.market.values().for_each(|message| snapshot.push(message));
        for instrument in self.instruments.values() {
            instrument.said.get(&DIRECTORY).into_iter().for_each(|message| snapshot.push(message));
        }
        for instrument in self.instruments.values() {
            let said = instrument.said.iter().filter(|(kind, _)| **kind != DIRECTORY);
            said.for_each(|(_, message)| snapshot.push(message));
        }
        for instrument in self.instruments.values() {
            for reference in instrument.bids.values().chain(instrument.asks.values()) {
                if let Some(resting) = self.orders.get(reference) {
                    snapshot.push_with(|bytes| add(resting, &instrument.symbol).encode(bytes));
                }
            }
        }
        snapshot
    }
}

fn add(resting: &Resting, symbol: &str) -> Message {
    let mut stock = [b' '; 8];
    for (to, from) in stock.iter_mut().zip(symbol.bytes()) {
        *to = from;
    }
    let Resting { locate: stock_locate, timestamp_ns, mpid, order, .. } = *resting;
    let body = Body::Add {
        reference: order.reference,
        side: order.side,
        shares: order.shares,
        stock,
        price: order.price,
        mpid,
    };
    Message { timestamp_ns, stock_locate, body }
}
