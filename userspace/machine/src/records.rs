//! Completes lines and events to DBN records (`dbn` crate, `record.rs`).

use std::ffi::c_char;

use dbn::{
    FlagSet, ImbalanceMsg, InstrumentDefMsg, MboMsg, RecordHeader, StatMsg, StatusMsg, SystemCode,
    SystemMsg, UNDEF_TIMESTAMP, rtype,
};
use wirebook_model::{
    ALL_INSTRUMENTS, BookState, Definition, EventHeader, Imbalance, Packet, Statistic, Status,
};

use crate::lines::Line;

/// What all events of one channel share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel {
    /// DBN publisher of the channel.
    pub(crate) publisher_id: u16,
    /// Quotes of both sides make a book live again.
    pub(crate) quotes_restore: bool,
    /// It is no longer received: its books are stale, whatever is said of them.
    pub(crate) retired: bool,
    /// State of books that are created from now on.
    pub(crate) state: BookState,
    /// Whether orders gather without meeting in them.
    pub(crate) gathering: bool,
    /// The packet that the events now applied came in.
    pub(crate) packet: Packet,
}

impl Default for Channel {
    fn default() -> Self {
        let packet = Packet { ts_recv: UNDEF_TIMESTAMP, ..Packet::default() };
        Self {
            publisher_id: 0,
            quotes_restore: false,
            retired: false,
            state: BookState::Live,
            gathering: false,
            packet,
        }
    }
}

impl Channel {
    /// `ts_recv` less the venue's sending time (or `ts_event` where it tells none), as far as
    /// 32 bits hold it.
    #[inline]
    pub(crate) fn ts_in_delta(&self, ts_event: u64) -> i32 {
        let Packet { ts_recv, ts_sent, .. } = self.packet;
        let from = if ts_sent == 0 { ts_event } else { ts_sent };
        match ts_recv.checked_sub(from) {
            Some(later) => i32::try_from(later).unwrap_or(i32::MAX),
            None => i32::try_from(from - ts_recv).map_or(i32::MIN, |earlier| -earlier),
        }
    }
}

#[inline]
pub(crate) fn mbo(
    channel: &Channel,
    header: &EventHeader,
    line: &Line,
    flags: u8,
    ts_in_delta: i32,
) -> MboMsg {
    MboMsg {
        hd: record_header::<MboMsg>(rtype::MBO, channel, header),
        order_id: line.order_id,
        price: line.price,
        size: line.size,
        flags: FlagSet::new(flags),
        channel_id: header.channel,
        action: line.action as u8 as c_char,
        side: line.side as u8 as c_char,
        ts_recv: channel.packet.ts_recv,
        ts_in_delta,
        sequence: header.sequence as u32,
    }
}

pub(crate) fn status(channel: &Channel, header: &EventHeader, status: &Status) -> StatusMsg {
    StatusMsg {
        hd: record_header::<StatusMsg>(rtype::STATUS, channel, header),
        ts_recv: channel.packet.ts_recv,
        action: status.action,
        reason: status.reason,
        trading_event: status.trading_event,
        is_trading: status.is_trading as c_char,
        is_quoting: status.is_quoting as c_char,
        is_short_sell_restricted: status.is_short_sell_restricted as c_char,
        ..StatusMsg::default()
    }
}

pub(crate) fn statistic(channel: &Channel, header: &EventHeader, statistic: &Statistic) -> StatMsg {
    StatMsg {
        hd: record_header::<StatMsg>(rtype::STATISTICS, channel, header),
        ts_recv: channel.packet.ts_recv,
        ts_ref: statistic.ts_ref,
        price: statistic.price,
        quantity: statistic.quantity,
        sequence: header.sequence as u32,
        ts_in_delta: channel.ts_in_delta(header.ts_event),
        stat_type: statistic.stat_type,
        channel_id: u16::from(header.channel),
        ..StatMsg::default()
    }
}

pub(crate) fn definition(
    channel: &Channel,
    header: &EventHeader,
    definition: &Definition,
) -> InstrumentDefMsg {
    let mut record = InstrumentDefMsg {
        hd: record_header::<InstrumentDefMsg>(rtype::INSTRUMENT_DEF, channel, header),
        ts_recv: channel.packet.ts_recv,
        raw_instrument_id: u64::from(header.instrument_id),
        min_price_increment: definition.min_price_increment,
        channel_id: u16::from(header.channel),
        instrument_class: definition.instrument_class as c_char,
        ..InstrumentDefMsg::default()
    };
    if definition.round_lot_size != 0 {
        let round_lot = i32::try_from(definition.round_lot_size).unwrap_or(i32::MAX);
        record.min_lot_size_round_lot = round_lot;
    }
    for (to, &from) in record.raw_symbol.iter_mut().zip(definition.symbol.as_bytes()) {
        *to = from as c_char;
    }
    record
}

pub(crate) fn imbalance(
    channel: &Channel,
    header: &EventHeader,
    imbalance: &Imbalance,
) -> ImbalanceMsg {
    ImbalanceMsg {
        hd: record_header::<ImbalanceMsg>(rtype::IMBALANCE, channel, header),
        ts_recv: channel.packet.ts_recv,
        ref_price: imbalance.ref_price,
        auction_time: imbalance.auction_time,
        cont_book_clr_price: imbalance.cont_book_clr_price,
        auct_interest_clr_price: imbalance.auct_interest_clr_price,
        ind_match_price: imbalance.ind_match_price,
        upper_collar: imbalance.upper_collar,
        lower_collar: imbalance.lower_collar,
        paired_qty: imbalance.paired_qty,
        total_imbalance_qty: imbalance.total_imbalance_qty,
        auction_type: imbalance.auction_type as c_char,
        side: imbalance.side as u8 as c_char,
        num_extensions: imbalance.num_extensions,
        significant_imbalance: imbalance.significant_imbalance as c_char,
        ..ImbalanceMsg::default()
    }
}

/// The end of an interval of the feed's time.
pub(crate) fn end_of_interval(publisher_id: u16, ts_event: u64) -> SystemMsg {
    let hd = RecordHeader::new::<SystemMsg>(rtype::SYSTEM, publisher_id, ALL_INSTRUMENTS, ts_event);
    SystemMsg { hd, msg: [0; 303], code: SystemCode::EndOfInterval as u8 }
}

fn record_header<R: dbn::HasRType>(
    rtype: u8,
    channel: &Channel,
    header: &EventHeader,
) -> RecordHeader {
    RecordHeader::new::<R>(rtype, channel.publisher_id, header.instrument_id, header.ts_event)
}
