//! Whether a crossed book is as it should be: the one thing that books know of a venue's status.
//!
//! Arrives: the action of a status. Leaves: `gathering` of the books that it is about. In a phase
//! in which orders gather without meeting (before an auction, in a halt), bids may stand above
//! asks; in any other, and where the venue tells no status, a crossed book is counted.

use dbn::StatusAction;
use wirebook_model::{ALL_INSTRUMENTS, EventHeader};

use crate::books::Books;

impl Books {
    /// Takes the status of one instrument, or of the whole channel.
    pub(crate) fn set_phase(&mut self, header: &EventHeader, action: u16) {
        let Some(gathering) = gathers(action) else { return };
        if header.instrument_id != ALL_INSTRUMENTS {
            if let Some(number) = self.find(header.channel, header.instrument_id) {
                self.books[number as usize].gathering = gathering;
            }
            return;
        }
        self.channels[usize::from(header.channel)].gathering = gathering;
        for book in self.books.iter_mut().filter(|book| book.channel == header.channel) {
            book.gathering = gathering;
        }
    }
}

/// Whether orders gather without meeting after this [`StatusAction`]; `None` where it does not
/// tell.
fn gathers(action: u16) -> Option<bool> {
    match StatusAction::try_from(action).ok()? {
        StatusAction::PreOpen
        | StatusAction::PreCross
        | StatusAction::Quoting
        | StatusAction::Cross
        | StatusAction::Rotation
        | StatusAction::NewPriceIndication
        | StatusAction::Halt
        | StatusAction::Pause
        | StatusAction::Suspend
        | StatusAction::PreClose
        | StatusAction::Close
        | StatusAction::NotAvailableForTrading => Some(true),
        StatusAction::Trading | StatusAction::PostClose => Some(false),
        _ => None,
    }
}
