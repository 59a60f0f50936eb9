//! What saved books are made of: each struct as it lies in the bytes, little endian, unpadded.

use wirebook_model::{BookState, Packet, Symbol};
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, Unaligned};

use crate::ladder::Extent;
use crate::records::Channel;

/// What saved books begin with.
#[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) version: U32,
    /// All bytes, the checksum at the end among them.
    pub(super) length_bytes: U64,
}

/// How much follows in all.
#[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Totals {
    pub(super) books: U32,
    pub(super) orders: U32,
    pub(super) levels: U32,
    /// Rungs that were ever part of an extent.
    pub(super) rungs: U32,
    /// Free extents.
    pub(super) free_extents: U32,
    /// 1 where orders stand in queues, 0 where levels only count them.
    pub(super) queued: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SavedChannel {
    publisher_id: U16,
    quotes_restore: u8,
    gathering: u8,
    state: u8,
    ts_recv: U64,
    ts_sent: U64,
    ts_worker: U64,
}

impl SavedChannel {
    pub(super) fn of(channel: &Channel) -> Self {
        Self {
            publisher_id: channel.publisher_id.into(),
            quotes_restore: channel.quotes_restore.into(),
            gathering: channel.gathering.into(),
            state: channel.state as u8,
            ts_recv: channel.packet.ts_recv.into(),
            ts_sent: channel.packet.ts_sent.into(),
            ts_worker: channel.packet.ts_worker.into(),
        }
    }

    /// The channel; `None` where its state is none.
    pub(super) fn channel(&self) -> Option<Channel> {
        Some(Channel {
            publisher_id: self.publisher_id.get(),
            quotes_restore: self.quotes_restore != 0,
            // Whoever restores books receives them.
            retired: false,
            gathering: self.gathering != 0,
            state: BookState::from_u8(self.state)?,
            packet: Packet {
                ts_recv: self.ts_recv.get(),
                ts_sent: self.ts_sent.get(),
                ts_worker: self.ts_worker.get(),
            },
        })
    }
}

/// Where rungs lie: of a ladder, or free.
#[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SavedExtent {
    start: U32,
    /// 0 for a ladder without an extent.
    class_plus_one: u8,
}

impl SavedExtent {
    pub(super) fn of(extent: Option<Extent>) -> Self {
        match extent {
            Some(Extent { start, class }) => {
                Self { start: start.into(), class_plus_one: class + 1 }
            }
            None => Self { start: 0.into(), class_plus_one: 0 },
        }
    }

    pub(super) fn extent(&self) -> Option<Extent> {
        let class = self.class_plus_one.checked_sub(1)?;
        Some(Extent { start: self.start.get(), class })
    }
}

#[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SavedBook {
    pub(super) instrument_id: U32,
    pub(super) channel: u8,
    pub(super) state: u8,
    pub(super) stale_reason: u8,
    /// [`FLAGS`] of them.
    pub(super) flags: [u8; FLAGS],
    pub(super) sequence: U64,
    pub(super) ts_event: U64,
    pub(super) ts_recv: U64,
    /// The hash of all `MboMsg`s that left.
    pub(super) records: U64,
    /// DBN's character; 0 where there was no trade.
    pub(super) trade_side: u8,
    pub(super) trade_price: I64,
    pub(super) trade_size: U32,
    pub(super) symbol: [u8; Symbol::LENGTH_MAX],
    /// Levels of the bids and of the asks.
    pub(super) levels: [U32; 2],
}

/// Over limit, quarantined, gathering, open, bids told, asks told: 0 or 1 each.
pub(super) const FLAGS: usize = 6;

/// A level; its orders follow it in the order of their priority.
#[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SavedLevel {
    pub(super) price: I64,
    pub(super) aggregate: U32,
    pub(super) orders: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SavedOrder {
    pub(super) id: U64,
    pub(super) size: U32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::save::reader::VERSION;

    #[test]
    fn another_layout_is_another_version() {
        let sizes = [
            size_of::<Header>(),
            size_of::<Totals>(),
            size_of::<SavedChannel>(),
            size_of::<U64>() * Counters::COUNT,
            size_of::<SavedExtent>(),
            size_of::<SavedBook>(),
            size_of::<SavedLevel>(),
            size_of::<SavedOrder>(),
        ];
        assert_eq!((VERSION, sizes), (2, [20, 24, 29, 112, 5, 130, 16, 12]));
    }
}
