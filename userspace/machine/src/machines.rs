//! The machines that come with Wirebook, and their names in a configuration.
//!
//! Arrives: the name of a machine. Leaves: what puts it into a [`Chain`]. Each module draws its
//! machine's states and says what leaves it and what it counts. They share this:
//!
//! - Times are the venue's (`ts_event`) and the ends of intervals, never a host's: the same flow
//!   gives the same records on every host.
//! - A record that a machine makes carries the `ts_recv` of the record that made it do so, or
//!   [`UNDEF_TIMESTAMP`] where that was the end of an interval.
//! - Sums are 128 bits wide and sizes 64, which no day of trading fills.

mod auction;
mod bars;
pub mod stat_type;
mod statistics;
mod tape;
mod trading_status;

use dbn::{
    Action, MboMsg, RecordHeader, RecordRef, StatMsg, SystemCode, SystemMsg, UNDEF_TIMESTAMP, rtype,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::Chain;

pub use auction::{Auction, AuctionCounters};
pub use bars::{Bars, BarsCounters, Window};
pub use statistics::{Statistics, StatisticsCounters};
pub use tape::{TapeCounters, TradeTape};
pub use trading_status::{TradingState, TradingStatus, TradingStatusCounters};

/// Puts a machine at the end of a chain.
pub type AddMachine = fn(&mut Chain);

/// Every machine by its name.
const MACHINES: [(&str, AddMachine); 8] = [
    ("trading-status", |chain| chain.add("trading-status", TradingStatus::default())),
    ("ohlcv-1s", |chain| chain.add("ohlcv-1s", Bars::new(Window::Second))),
    ("ohlcv-1m", |chain| chain.add("ohlcv-1m", Bars::new(Window::Minute))),
    ("ohlcv-1h", |chain| chain.add("ohlcv-1h", Bars::new(Window::Hour))),
    ("ohlcv-1d", |chain| chain.add("ohlcv-1d", Bars::new(Window::Day))),
    ("auction", |chain| chain.add("auction", Auction::default())),
    ("trades", |chain| chain.add("trades", TradeTape::default())),
    ("statistics", |chain| chain.add("statistics", Statistics::default())),
];

/// A name that no machine has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a machine's name ({}), found {found:?}", names().collect::<Vec<_>>().join(", "))]
pub struct UnknownMachine {
    /// The name.
    pub found: String,
}

/// What puts the machine called `name` into a chain.
///
/// # Errors
/// [`UnknownMachine`] where there is none.
pub fn by_name(name: &str) -> Result<AddMachine, UnknownMachine> {
    let known = MACHINES.iter().find(|(known, _)| *known == name);
    known.map(|&(_, add)| add).ok_or_else(|| UnknownMachine { found: name.to_owned() })
}

/// The names of all machines.
pub fn names() -> impl Iterator<Item = &'static str> {
    MACHINES.iter().map(|&(name, _)| name)
}

/// [`Machine::save`](crate::Machine::save) and [`Machine::restore`](crate::Machine::restore) of a
/// machine of whose `state` any bytes can be one.
macro_rules! save_whole_state {
    ($version:expr) => {
        fn save(&self, bytes: &mut Vec<u8>) {
            $crate::save_state($version, &self.state, bytes);
        }

        fn restore(&mut self, bytes: &[u8]) -> Result<(), $crate::SavedStateError> {
            self.state = $crate::restore_state($version, bytes)?;
            Ok(())
        }
    };
}
use save_whole_state;

/// Whom a machine's records are about.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Subject {
    /// 0 until a record of the instrument's own came.
    instrument_id: u32,
    publisher_id: u16,
    channel_id: u16,
}

impl Default for Subject {
    fn default() -> Self {
        Self { instrument_id: 0, publisher_id: 0, channel_id: u16::MAX }
    }
}

impl Subject {
    fn header<R: dbn::HasRType>(&self, rtype: u8, ts_event: u64) -> RecordHeader {
        RecordHeader::new::<R>(rtype, self.publisher_id, self.instrument_id, ts_event)
    }

    /// Takes whom a record of the instrument's own is about.
    fn learn(&mut self, header: &RecordHeader) {
        self.instrument_id = header.instrument_id;
        self.publisher_id = header.publisher_id;
    }

    fn learn_mbo(&mut self, record: &MboMsg) {
        self.learn(&record.hd);
        self.channel_id = u16::from(record.channel_id);
    }

    fn statistic(&self, stat_type: u16, ts_event: u64) -> StatMsg {
        StatMsg {
            hd: self.header::<StatMsg>(rtype::STATISTICS, ts_event),
            stat_type,
            channel_id: self.channel_id,
            ..StatMsg::default()
        }
    }
}

/// True where the record is a trade.
fn is_trade(record: &MboMsg) -> bool {
    record.action as u8 == Action::Trade as u8
}

/// True where the record says that an earlier trade is void; what closes a venue's event carries the
/// same action, but names no trade.
fn is_break(record: &MboMsg) -> bool {
    record.action as u8 == Action::None as u8 && record.order_id != 0
}

/// The time at which an interval ended, where that is what the record says.
fn end_of_interval(record: RecordRef<'_>) -> Option<u64> {
    let system = record.get::<SystemMsg>()?;
    let ended = system.code == SystemCode::EndOfInterval as u8;
    (ended && system.hd.ts_event != UNDEF_TIMESTAMP).then_some(system.hd.ts_event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Supervision;

    #[test]
    fn every_name_adds_a_machine_of_that_name() {
        let mut chain = Chain::new(1, Supervision::default());
        for name in names() {
            by_name(name).expect("a known name")(&mut chain);
        }
        assert!(chain.counters().map(|(name, _)| name).eq(names()));
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = by_name("ohlcv-2s").expect_err("no such machine").to_string();
        assert!(error.contains("\"ohlcv-2s\""), "{error}");
        assert!(names().all(|name| error.contains(name)), "{error}");
    }
}
