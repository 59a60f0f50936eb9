//! What every receiver must end with: the exchange's packets through the appliance itself, checked
//! against the exchange's own books.
//!
//! Arrives: every packet of the undisturbed flow. Leaves: the [`Truth`]. Two digests: `digest` is
//! over every record, so only a receiver that needed no snapshot has it, and only with the same
//! date; `state_digest` is over the final books alone, so every receiver whose books are right has
//! it. Promises: a book that differs from the model, by a single order, is an error.

use crate::lines::{ChannelSpec, Lines};
use crate::report::Summary;
use crate::router::Router;
use crate::shard::Shard;
use crate::worker::Worker;
use anyhow::{Context, bail};
use jiff::civil::Date;
use serde::Serialize;
use wirebook_machine::{Book, Books, Limits};
use wirebook_model::Side as BookSide;
use wirebook_simulator::{Model, ModelError, ModelOrder, Packet, Side};
use wirebook_wire::Protocol;

/// Billionths of DBN in a ten-thousandth of ITCH.
const PRICE_STEP: i64 = 100_000;

/// What a receiver must end with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// Digest of all books and of every record that led to them.
    pub digest: String,
    /// Digest of all books alone.
    pub state_digest: String,
    /// Books.
    pub instruments: usize,
    /// Orders in them.
    pub orders: usize,
    /// The next sequence of the last session.
    pub next_sequence: u64,
}

/// Keeps the books twice: as the appliance does, and by the model.
pub struct Judge {
    worker: Worker<Shard<()>>,
    model: Model,
    contradiction: Option<ModelError>,
    next_sequence: u64,
}

impl Judge {
    /// A judge of a flow of this day.
    ///
    /// # Errors
    /// Fails where memory for the limits or the time zone of the venue is missing.
    pub fn new(date: Date, limits: Limits) -> anyhow::Result<Self> {
        let spec = ChannelSpec { date: Some(date), ..ChannelSpec::of_protocol(Protocol::Itch50) };
        let mut shard = Shard::new(limits, ())?;
        shard.set_channel(&spec);
        let lines = Lines::any_destination(spec);
        let worker = Worker::new(lines, limits.instruments, Router::new(vec![shard]))?;
        Ok(Self { worker, model: Model::default(), contradiction: None, next_sequence: 1 })
    }

    /// Takes a packet that is sent at this time since the UNIX epoch.
    pub fn packet(&mut self, packet: &Packet, ts_ns: u64) {
        self.worker.payload(0, &packet.payload, ts_ns, 0);
        for message in packet.messages() {
            if let Err(error) = self.model.apply(message) {
                self.contradiction.get_or_insert(error);
            }
        }
        self.next_sequence = packet.sequence + u64::from(packet.messages);
    }

    /// Another session begins: nothing of the one before it holds.
    pub fn roll(&mut self) {
        self.model = Model::default();
        self.next_sequence = 1;
    }

    /// The truth.
    ///
    /// # Errors
    /// Fails where the flow contradicts itself, or a book is not what the model says.
    pub fn finish(self) -> anyhow::Result<Truth> {
        if let Some(error) = self.contradiction {
            bail!("the flow contradicts itself: {error}");
        }
        let shard = self.worker.into_mailboxes().next().context("a judge has one shard")?;
        let books = shard.books();
        compare(books, &self.model)?;
        let mut summary = Summary::default();
        summary.set_books(std::iter::once(books));
        Ok(Truth {
            digest: summary.digest,
            state_digest: summary.state_digest,
            instruments: self.model.locates().count(),
            orders: self.model.order_count(),
            next_sequence: self.next_sequence,
        })
    }
}

/// Compares every order of every book.
fn compare(books: &Books, model: &Model) -> anyhow::Result<()> {
    for book in books.iter() {
        let locate = u16::try_from(book.instrument_id()).unwrap_or(0);
        compare_book(&book, model.orders(locate))
            .with_context(|| format!("the book of {} ({locate})", book.symbol()))?;
    }
    let kept = books.in_use().orders;
    if kept != model.order_count() {
        bail!("expected {} orders in all books, found {kept}", model.order_count());
    }
    Ok(())
}

fn compare_book(book: &Book<'_>, expected: impl Iterator<Item = ModelOrder>) -> anyhow::Result<()> {
    let mut found = book.orders();
    for expected in expected {
        let order = found.next().map(|order| ModelOrder {
            reference: order.order_id,
            side: if order.side == BookSide::Bid { Side::Buy } else { Side::Sell },
            price: u32::try_from(order.price / PRICE_STEP).unwrap_or(0),
            shares: order.size,
        });
        if order != Some(expected) {
            bail!("expected {expected:?}, found {order:?}");
        }
    }
    match found.next() {
        Some(order) => bail!("expected no more orders, found {order:?}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirebook_simulator::{Market, MarketConfig, PacketConfig, Packets};

    const LIMITS: Limits = Limits { instruments: 64, orders: 8_192, levels: 4_096 };

    fn packets(seed: u64) -> Packets {
        let config =
            MarketConfig { seed, instruments: 6, messages: 4_000, ..MarketConfig::default() };
        Packets::new(Market::new(config).unwrap(), PacketConfig::default())
    }

    fn judge(seed: u64, skip: usize) -> anyhow::Result<Truth> {
        let mut judge = Judge::new(jiff::civil::date(2026, 1, 5), LIMITS).unwrap();
        for (number, packet) in packets(seed).enumerate() {
            if number == skip {
                packet.messages().for_each(|message| judge.model.apply(message).unwrap());
            } else {
                judge.packet(&packet, 0);
            }
        }
        judge.finish()
    }

    #[test]
    fn the_truth_is_the_same_each_time_and_another_seed_has_another() {
        let truth = judge(1, usize::MAX).unwrap();
        assert_eq!(truth, judge(1, usize::MAX).unwrap());
        assert_ne!(truth.state_digest, judge(2, usize::MAX).unwrap().state_digest);
        assert_eq!((truth.instruments, truth.next_sequence), (6, 4_001));
        assert!(truth.orders > 50);
    }

    #[test]
    fn a_packet_that_only_the_model_has_seen_is_noticed() {
        let error = judge(1, 50).unwrap_err();
        assert!(format!("{error:#}").contains("expected"), "{error:#}");
    }
}
