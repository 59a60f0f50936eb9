//! IEX's symbols, numbered.
//!
//! IEX names a security by its symbol in every message and numbers none, so a decoder numbers
//! them: from 1, in the order in which they first appear in its channel. The same messages give
//! the same numbers. Also kept for each: whether the venue's event is still open, and the two
//! states from which its trading status is made.

use crate::field::Text;
use crate::status::instrument_status;
use hashbrown::HashMap;
use wirebook_model::VenueEvent;
use wirebook_model::dbn::{StatusAction, StatusReason};

/// What a decoder remembers of an instrument.
#[derive(Debug)]
pub(crate) struct Instrument {
    /// Its number, from 1.
    pub(crate) id: u32,
    /// A definition of it has been given.
    pub(crate) defined: bool,
    /// A price level update announced that more of its event follows.
    pub(crate) event_open: bool,
    /// On all markets.
    pub(crate) trading: (StatusAction, StatusReason),
    /// IEX alone has halted it.
    pub(crate) operational_halt: bool,
}

impl Instrument {
    fn new(id: u32) -> Self {
        Self {
            id,
            defined: false,
            event_open: false,
            trading: (StatusAction::None, StatusReason::None),
            operational_halt: false,
        }
    }

    /// Its trading status: IEX's own halt stands above what holds on all markets.
    pub(crate) fn status(&self) -> VenueEvent {
        if self.operational_halt {
            return instrument_status(StatusAction::Halt, StatusReason::Operational);
        }
        let (action, reason) = self.trading;
        instrument_status(action, reason)
    }
}

/// The instruments of one channel, at most as many as were announced at its making.
#[derive(Debug)]
pub(crate) struct Instruments {
    by_symbol: HashMap<[u8; 8], Instrument>,
    limit: usize,
}

impl Instruments {
    /// Takes memory for `limit` instruments.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.min(u32::MAX as usize);
        Self { by_symbol: HashMap::with_capacity(limit), limit }
    }

    /// The instrument named `symbol`, numbered now if it is new; `None` where that would be one
    /// too many.
    #[inline]
    pub(crate) fn find(&mut self, symbol: &Text<8>) -> Option<&mut Instrument> {
        let count = self.by_symbol.len();
        if count >= self.limit {
            return self.by_symbol.get_mut(&symbol.0);
        }
        Some(self.by_symbol.entry(symbol.0).or_insert_with(|| Instrument::new(count as u32 + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_first_appearance_up_to_the_limit() {
        let mut instruments = Instruments::new(2);
        let mut id = |symbol: &[u8]| instruments.find(&Text::new(symbol)).map(|found| found.id);
        assert_eq!(id(b"B"), Some(1));
        assert_eq!(id(b"A"), Some(2));
        assert_eq!(id(b"C"), None);
        assert_eq!(id(b"B"), Some(1));
    }
}
