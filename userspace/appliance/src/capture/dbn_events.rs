//! DBN records back into events: the inverse of what a book does.
//!
//! Arrives: a DBN file's records, in order. Leaves: events for an [`EventSink`], a `Packet` before
//! the first record of each (`ts_recv`, `ts_in_delta`), a `Definition` for each symbol that the
//! metadata maps, from the day on which it holds. Record semantics:
//! <https://databento.com/docs/schemas/mbo>. Counts records that say nothing an event can say
//! ([`DbnEvents::skipped_records`]) and records that contradict their format
//! ([`DbnEvents::malformed_records`]).

use crate::recorder::Note;
use dbn::{
    Action, HasRType, ImbalanceMsg, InstrumentDefMsg, MboMsg, Metadata, RecordHeader, RecordRef,
    StatMsg, StatusMsg, SymbolMappingMsg, SystemCode, SystemMsg, UNDEF_PRICE,
};
use std::collections::VecDeque;
use wirebook_model::{
    Definition, Event, EventHeader, EventSink, Imbalance, Packet, Statistic, Status, Symbol,
    UnixNanos, VenueEvent,
};

/// Turns the records of one DBN file into the events of one channel.
#[derive(Debug)]
pub struct DbnEvents {
    channel: u8,
    /// `ts_recv` and `ts_in_delta` of the packet announced last.
    packet: Option<(UnixNanos, i32)>,
    /// Symbols of the metadata not yet announced, by the time from which they hold.
    symbols: VecDeque<Mapped>,
    skipped_records: u64,
    malformed_records: u64,
}

#[derive(Debug)]
struct Mapped {
    from: UnixNanos,
    instrument_id: u32,
    symbol: Symbol,
}

impl DbnEvents {
    /// For the records of the file with this metadata, as events of this channel.
    pub fn new(channel: u8, metadata: &Metadata) -> Self {
        Self { symbols: mapped_symbols(metadata), ..Self::without_symbols(channel) }
    }

    /// For records of a file that maps no symbols, as events of this channel.
    pub fn without_symbols(channel: u8) -> Self {
        Self {
            channel,
            packet: None,
            symbols: VecDeque::new(),
            skipped_records: 0,
            malformed_records: 0,
        }
    }

    /// Records that have no event: other schemas and gateway messages.
    pub fn skipped_records(&self) -> u64 {
        self.skipped_records
    }

    /// Records too short for their type, or with a side or action that DBN does not have.
    pub fn malformed_records(&self) -> u64 {
        self.malformed_records
    }

    /// Gives the events of one record.
    pub fn record(&mut self, record: RecordRef<'_>, sink: &mut impl EventSink) {
        let taken = match record.header().rtype {
            dbn::rtype::MBO => self.typed(record, sink, Self::mbo),
            dbn::rtype::STATUS => self.typed(record, sink, Self::status),
            dbn::rtype::INSTRUMENT_DEF => self.typed(record, sink, Self::definition),
            dbn::rtype::IMBALANCE => self.typed(record, sink, Self::imbalance),
            dbn::rtype::STATISTICS => self.typed(record, sink, Self::statistic),
            dbn::rtype::SYSTEM => self.typed(record, sink, Self::system),
            dbn::rtype::SYMBOL_MAPPING => self.typed(record, sink, Self::symbol_mapping),
            _ => {
                self.skipped_records += 1;
                Ok(())
            }
        };
        self.malformed_records += u64::from(taken.is_err());
    }

    fn typed<T: HasRType<Header = RecordHeader>, S: EventSink>(
        &mut self,
        record: RecordRef<'_>,
        sink: &mut S,
        give: impl FnOnce(&mut Self, &T, &mut S) -> dbn::Result<()>,
    ) -> dbn::Result<()> {
        give(self, record.try_get()?, sink)
    }

    fn mbo(&mut self, mbo: &MboMsg, sink: &mut impl EventSink) -> dbn::Result<()> {
        let body = mbo_body(mbo)?;
        self.packet(mbo.ts_recv, Some(mbo.ts_in_delta), sink);
        let (flags, sequence) = (mbo.flags.raw(), u64::from(mbo.sequence));
        sink.event(&Event { header: self.header(&mbo.hd, flags, sequence), body });
        Ok(())
    }

    fn status(&mut self, status: &StatusMsg, sink: &mut impl EventSink) -> dbn::Result<()> {
        self.packet(status.ts_recv, None, sink);
        let body = VenueEvent::Status(Status {
            action: status.action,
            reason: status.reason,
            trading_event: status.trading_event,
            is_trading: status.is_trading as u8,
            is_quoting: status.is_quoting as u8,
            is_short_sell_restricted: status.is_short_sell_restricted as u8,
        });
        sink.event(&Event { header: self.header(&status.hd, 0, 0), body });
        Ok(())
    }

    fn definition(
        &mut self,
        definition: &InstrumentDefMsg,
        sink: &mut impl EventSink,
    ) -> dbn::Result<()> {
        let symbol = Symbol::from_padded(definition.raw_symbol()?.as_bytes());
        self.packet(definition.ts_recv, None, sink);
        let body = VenueEvent::Definition(Definition {
            symbol,
            min_price_increment: definition.min_price_increment,
            round_lot_size: round_lot_size(definition.min_lot_size_round_lot),
            instrument_class: definition.instrument_class as u8,
        });
        sink.event(&Event { header: self.header(&definition.hd, 0, 0), body });
        Ok(())
    }

    fn imbalance(&mut self, msg: &ImbalanceMsg, sink: &mut impl EventSink) -> dbn::Result<()> {
        let side = msg.side()?;
        self.packet(msg.ts_recv, None, sink);
        let body = VenueEvent::Imbalance(Imbalance {
            ref_price: msg.ref_price,
            auction_time: msg.auction_time,
            cont_book_clr_price: msg.cont_book_clr_price,
            auct_interest_clr_price: msg.auct_interest_clr_price,
            upper_collar: msg.upper_collar,
            lower_collar: msg.lower_collar,
            ind_match_price: msg.ind_match_price,
            paired_qty: msg.paired_qty,
            total_imbalance_qty: msg.total_imbalance_qty,
            side,
            auction_type: msg.auction_type as u8,
            num_extensions: msg.num_extensions,
            significant_imbalance: msg.significant_imbalance as u8,
        });
        sink.event(&Event { header: self.header(&msg.hd, 0, 0), body });
        Ok(())
    }

    fn statistic(&mut self, msg: &StatMsg, sink: &mut impl EventSink) -> dbn::Result<()> {
        self.packet(msg.ts_recv, Some(msg.ts_in_delta), sink);
        let body = VenueEvent::Statistic(Statistic {
            stat_type: msg.stat_type,
            price: msg.price,
            quantity: msg.quantity,
            ts_ref: msg.ts_ref,
        });
        sink.event(&Event { header: self.header(&msg.hd, 0, u64::from(msg.sequence)), body });
        Ok(())
    }

    /// The end of an interval of the feed's time, or a note of our own journal.
    fn system(&mut self, system: &SystemMsg, sink: &mut impl EventSink) -> dbn::Result<()> {
        let header = self.header(&system.hd, 0, 0);
        let is_interval = system.code == SystemCode::EndOfInterval as u8;
        let note = Note::of(system);
        if is_interval {
            sink.event(&Event { header, body: VenueEvent::EndOfInterval });
        } else if let Some(state) = note.as_ref().and_then(Note::state) {
            sink.event(&Event { header, body: VenueEvent::State(state) });
        } else if note.is_none() {
            self.skipped_records += 1;
        }
        Ok(())
    }

    /// A live recording maps its symbols by records instead of metadata.
    fn symbol_mapping(
        &mut self,
        mapping: &SymbolMappingMsg,
        sink: &mut impl EventSink,
    ) -> dbn::Result<()> {
        let symbol = Symbol::from_padded(mapping.stype_out_symbol()?.as_bytes());
        let header = self.header(&mapping.hd, 0, 0);
        sink.event(&Event { header, body: named(symbol) });
        Ok(())
    }

    /// Announces the packet if it is another one, and symbols that hold from its day on.
    ///
    /// A record of a schema without `ts_in_delta` belongs to any packet of its `ts_recv`.
    fn packet(&mut self, ts_recv: UnixNanos, ts_in_delta: Option<i32>, sink: &mut impl EventSink) {
        let same = |(recv, delta)| recv == ts_recv && ts_in_delta.is_none_or(|new| new == delta);
        if self.packet.is_some_and(same) {
            return;
        }
        let ts_in_delta = ts_in_delta.unwrap_or(0);
        self.packet = Some((ts_recv, ts_in_delta));
        let header = EventHeader {
            channel: self.channel,
            flags: 0,
            instrument_id: wirebook_model::ALL_INSTRUMENTS,
            sequence: 0,
            ts_event: 0,
        };
        let ts_sent = ts_recv.saturating_add_signed(-i64::from(ts_in_delta));
        let body = VenueEvent::Packet(Packet { ts_recv, ts_sent, ts_worker: 0 });
        sink.event(&Event { header, body });
        while let Some(mapped) = self.symbols.pop_front_if(|mapped| mapped.from <= ts_recv) {
            let header = EventHeader { instrument_id: mapped.instrument_id, ..header };
            sink.event(&Event { header, body: named(mapped.symbol) });
        }
    }

    fn header(&self, record: &RecordHeader, flags: u8, sequence: u64) -> EventHeader {
        EventHeader {
            channel: self.channel,
            flags,
            instrument_id: record.instrument_id,
            sequence,
            ts_event: record.ts_event,
        }
    }
}

/// What an MBO record says.
fn mbo_body(mbo: &MboMsg) -> dbn::Result<VenueEvent> {
    let MboMsg { order_id, price, size, .. } = *mbo;
    let side = mbo.side()?;
    let action = mbo.action()?;
    Ok(match action {
        Action::Add | Action::Modify if mbo.flags.is_tob() => VenueEvent::Top { side, price, size },
        Action::Cancel if mbo.flags.is_tob() => {
            VenueEvent::Top { side, price: UNDEF_PRICE, size: 0 }
        }
        Action::Add | Action::Modify if mbo.flags.is_mbp() => {
            VenueEvent::Level { side, price, size }
        }
        Action::Cancel if mbo.flags.is_mbp() => VenueEvent::Level { side, price, size: 0 },
        Action::Add => VenueEvent::Add { order_id, side, price, size },
        Action::Modify => VenueEvent::Modify { order_id, side, price, size },
        Action::Cancel => VenueEvent::Reduce { order_id, size },
        Action::Clear => VenueEvent::Clear,
        Action::Trade => VenueEvent::Trade { side, price, size, order_id, match_id: 0 },
        Action::Fill => VenueEvent::Fill { order_id, side, price, size },
        // Changes no book. One that names nothing still carries its flags, as the end of an event.
        Action::None => VenueEvent::TradeBreak { match_id: order_id, price, size },
    })
}

fn named(symbol: Symbol) -> VenueEvent {
    VenueEvent::Definition(Definition {
        symbol,
        min_price_increment: UNDEF_PRICE,
        round_lot_size: 0,
        instrument_class: 0,
    })
}

fn round_lot_size(recorded: i32) -> u32 {
    if recorded == i32::MAX { 0 } else { u32::try_from(recorded).unwrap_or(0) }
}

/// The metadata's symbols with the instrument ids they stand for, by the start of their days.
///
/// Mappings name ids by symbols, or in an inverse file symbols by ids; a file that maps neither
/// way has no symbols for us.
fn mapped_symbols(metadata: &Metadata) -> VecDeque<Mapped> {
    let Ok(inverse) = metadata.is_inverse() else {
        return VecDeque::new();
    };
    let mut symbols: Vec<Mapped> = Vec::new();
    for mapping in &metadata.mappings {
        for interval in &mapping.intervals {
            let (id, symbol) = if inverse {
                (&mapping.raw_symbol, &interval.symbol)
            } else {
                (&interval.symbol, &mapping.raw_symbol)
            };
            let Ok(instrument_id) = id.parse() else { continue };
            let symbol = Symbol::from_padded(symbol.as_bytes());
            let start_s = interval.start_date.midnight().assume_utc().unix_timestamp();
            let start = u64::try_from(start_s).unwrap_or(0).saturating_mul(1_000_000_000);
            // What holds when the file begins is due at once, whatever its first record's time.
            let from = if start <= metadata.start { 0 } else { start };
            symbols.push(Mapped { from, instrument_id, symbol });
        }
    }
    symbols.sort_by_key(|mapped| (mapped.from, mapped.instrument_id));
    symbols.into()
}
