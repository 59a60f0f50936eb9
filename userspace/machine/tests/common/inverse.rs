//! The way back from records to the events they came from, by DBN's rules.

use dbn::{Action, MboMsg, RecordBuf, flags};
use wirebook_model::{Event, EventHeader, Packet, VenueEvent};

/// The `MboMsg`s among `records`.
pub(crate) fn mbo(records: &[RecordBuf]) -> impl Iterator<Item = &MboMsg> {
    records.iter().filter_map(|record| record.get::<MboMsg>())
}

/// The packet and the event that `record` came from, by DBN's rules read backwards.
pub(crate) fn events_of(record: &MboMsg) -> [Event; 2] {
    let ts_recv = record.ts_recv;
    let ts_sent = ts_recv.wrapping_add_signed(-i64::from(record.ts_in_delta));
    let header = EventHeader {
        channel: record.channel_id,
        flags: record.flags.raw() & !(flags::MBP | flags::TOB),
        instrument_id: record.hd.instrument_id,
        sequence: u64::from(record.sequence),
        ts_event: record.hd.ts_event,
    };
    let packet = VenueEvent::Packet(Packet { ts_recv, ts_sent, ts_worker: 0 });
    [Event { header, body: packet }, Event { header, body: body_of(record) }]
}

fn body_of(record: &MboMsg) -> VenueEvent {
    let MboMsg { order_id, price, size, .. } = *record;
    let side = record.side().unwrap();
    let (mbp, tob) = (record.flags.is_mbp(), record.flags.is_tob());
    match record.action().unwrap() {
        Action::Add if tob => VenueEvent::Top { side, price, size },
        Action::Add | Action::Modify if mbp => VenueEvent::Level { side, price, size },
        Action::Cancel if mbp => VenueEvent::Level { side, price, size: 0 },
        Action::Add => VenueEvent::Add { order_id, side, price, size },
        Action::Modify => VenueEvent::Modify { order_id, side, price, size },
        Action::Cancel => VenueEvent::Reduce { order_id, size },
        Action::Clear => VenueEvent::Clear,
        Action::Trade => VenueEvent::Trade { side, price, size, order_id, match_id: 0 },
        Action::Fill => VenueEvent::Fill { order_id, side, price, size },
        Action::None => VenueEvent::TradeBreak { match_id: order_id, price, size },
    }
}
