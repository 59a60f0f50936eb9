//! A whole book as the records that make it: what a reader needs that has not seen it grow.
//!
//! Arrives: the number of a book. Leaves: a `Clear`, then an `Add` for each order, in the order of
//! priority, and for each aggregated level, all with `F_SNAPSHOT` (DBN, "Flags",
//! <https://databento.com/docs/standards-and-conventions/common-fields-enums-types>), the last one
//! with `F_LAST`. Applied by DBN's rules they leave the book as it is. They can be taken in pieces, as
//! long as [`Books::is_as_begun`] says that the book is what it was.

use dbn::{Action, MboMsg, flags};
use wirebook_model::{BookState, EventHeader, Packet, StaleReason};

use crate::book::Book;
use crate::books::Books;
use crate::digest::Rolling;
use crate::hash_table::NIL;
use crate::lines::Line;
use crate::records::{self, Channel};
use crate::side::RestingSide;
use crate::tables::Terms;

/// A book on its way into records.
pub struct Snapshot {
    number: u32,
    place: Place,
    /// What the next record says; `None` behind the last.
    next: Option<Line>,
    /// What the book was at the beginning.
    begun: Fingerprint,
}

/// What changes wherever a book does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    records: Rolling,
    sequence: u64,
    state: BookState,
    stale_reason: StaleReason,
}

impl Books {
    /// Begins with the book of this number; `None` where there is no such book, or where it is live
    /// and inside a venue's event: it will be whole in a moment.
    pub fn begin_snapshot(&self, number: u32) -> Option<Snapshot> {
        let core = self.books.get(number as usize)?;
        if core.open && core.state == BookState::Live {
            return None;
        }
        let (place, next) = (Place::default(), Some(Line::clear()));
        Some(Snapshot { number, place, next, begun: self.fingerprint(number) })
    }

    /// True while the book is what it was when the snapshot began.
    pub fn is_as_begun(&self, snapshot: &Snapshot) -> bool {
        self.fingerprint(snapshot.number) == snapshot.begun
    }

    /// The next record of a snapshot whose book is what it was; `None` behind the last. Its time and
    /// sequence are those of the last event in the book.
    pub fn next_record(&self, snapshot: &mut Snapshot) -> Option<MboMsg> {
        let line = snapshot.next.take()?;
        let book = self.book(snapshot.number);
        snapshot.next = snapshot.place.step(book);
        let core = book.core;
        let packet = Packet { ts_recv: core.ts_recv, ..Packet::default() };
        let channel = Channel { packet, ..self.channels[usize::from(core.channel)] };
        let header = EventHeader {
            channel: core.channel,
            flags: 0,
            instrument_id: core.instrument_id,
            sequence: core.sequence,
            ts_event: core.ts_event,
        };
        let doubt = if core.state == BookState::Live { 0 } else { flags::MAYBE_BAD_BOOK };
        let end = if snapshot.next.is_none() { flags::LAST } else { 0 };
        let flags = flags::SNAPSHOT | doubt | line.flags | end;
        let ts_in_delta = channel.ts_in_delta(header.ts_event);
        Some(records::mbo(&channel, &header, &line, flags, ts_in_delta))
    }

    fn fingerprint(&self, number: u32) -> Fingerprint {
        let core = &self.books[number as usize];
        let (records, sequence) = (core.records, core.sequence);
        Fingerprint { records, sequence, state: core.state, stale_reason: core.stale_reason }
    }
}

/// Where in a book the next line is: the orders of both sides, then their aggregated levels.
#[derive(Clone, Copy, Default)]
struct Place {
    part: usize,
    /// The level, counted from the best.
    level: usize,
    /// The order of that level behind those given; `None` before the first.
    order: Option<u32>,
}

impl Place {
    /// The line at this place, which moves on.
    fn step(&mut self, book: Book<'_>) -> Option<Line> {
        loop {
            let side = *RestingSide::BOTH.get(self.part % 2)?;
            let rungs = book.tables.rungs.rungs(&book.core.ladders[side as usize]);
            let at = rungs.len().checked_sub(self.level + 1);
            let Some(rung) = at.map(|at| &rungs[at]) else {
                self.part += 1;
                (self.level, self.order) = (0, None);
                if self.part == 2 * RestingSide::BOTH.len() {
                    return None;
                }
                continue;
            };
            let level = &book.tables.levels[rung.level];
            let terms = |size| Terms { side, price: level.price, size };
            if self.part < RestingSide::BOTH.len() {
                let order = self.order.unwrap_or(level.first);
                if order == NIL {
                    self.level += 1;
                    self.order = None;
                    continue;
                }
                let entry = &book.tables.orders[order];
                self.order = Some(entry.behind);
                return Some(Line::order(Action::Add, entry.id, terms(entry.size)));
            }
            self.level += 1;
            let aggregate = book.tables.told_as_one(rung.level);
            if aggregate > 0 {
                return Some(Line::level(Action::Add, terms(aggregate)));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::books::Limits;
    use dbn::RecordRef;
    use wirebook_model::{Event, Side, VenueEvent};

    fn apply(books: &mut Books, sequence: u64, body: VenueEvent) {
        let header =
            EventHeader { channel: 1, flags: flags::LAST, instrument_id: 7, sequence, ts_event: 9 };
        books.apply(&Event { header, body }, &mut ());
    }

    fn add(order_id: u64, side: Side, price: i64) -> VenueEvent {
        VenueEvent::Add { order_id, side, price, size: 10 + order_id as u32 }
    }

    fn said(books: &Books, snapshot: &mut Snapshot) -> Vec<(char, u64, i64, u32, u8)> {
        let mut said = Vec::new();
        while let Some(record) = books.next_record(snapshot) {
            assert_eq!((record.hd.instrument_id, RecordRef::from(&record).as_ref().len()), (7, 56));
            let (action, flags) = (record.action as u8 as char, record.flags.raw());
            said.push((action, record.order_id, record.price, record.size, flags));
        }
        said
    }

    #[test]
    fn a_book_is_said_best_levels_and_oldest_orders_first() {
        let mut books = Books::new(Limits { instruments: 2, orders: 20, levels: 20 }).unwrap();
        assert!(books.begin_snapshot(0).is_none());
        for (sequence, (order_id, side, price)) in (1..).zip([
            (1, Side::Bid, 98),
            (2, Side::Bid, 99),
            (3, Side::Bid, 98),
            (4, Side::Ask, 101),
        ]) {
            apply(&mut books, sequence, add(order_id, side, price));
        }
        apply(&mut books, 5, VenueEvent::Level { side: Side::Ask, price: 102, size: 50 });
        let mut snapshot = books.begin_snapshot(0).unwrap();
        let (first, last) = (flags::SNAPSHOT, flags::SNAPSHOT | flags::LAST);
        let said = said(&books, &mut snapshot);
        let level = said[5].1;
        let adds = [(2, 99, 12), (1, 98, 11), (3, 98, 13), (4, 101, 14)];
        let adds = adds.map(|(id, price, size)| ('A', id, price, size, first));
        assert_eq!(said[0], ('R', 0, dbn::UNDEF_PRICE, 0, first));
        assert_eq!(said[1..5], adds);
        assert_eq!(said[5], ('A', level, 102, 50, last | flags::MBP));
        assert_eq!(said.len(), 6);
    }

    #[test]
    fn an_empty_book_is_a_clear_and_a_changed_one_is_not_gone_on_with() {
        let mut books = Books::new(Limits { instruments: 2, orders: 20, levels: 20 }).unwrap();
        apply(&mut books, 1, VenueEvent::Clear);
        let mut snapshot = books.begin_snapshot(0).unwrap();
        let last = flags::SNAPSHOT | flags::LAST;
        assert_eq!(said(&books, &mut snapshot), [('R', 0, dbn::UNDEF_PRICE, 0, last)]);
        assert!(books.is_as_begun(&snapshot));
        apply(&mut books, 2, add(1, Side::Bid, 98));
        assert!(!books.is_as_begun(&snapshot));
        let begun = books.begin_snapshot(0).unwrap();
        let header =
            EventHeader { channel: 1, flags: 0, instrument_id: 7, sequence: 2, ts_event: 9 };
        let body = VenueEvent::State(BookState::Stale);
        books.apply(&Event { header, body }, &mut ());
        assert!(!books.is_as_begun(&begun), "its records would say that it is live");
    }
}
