//! What the appliance has told a person.
//!
//! What arrives: the ring of notices. What leaves: [`Notice`]s, oldest first, those from before this
//! reader too, as far as they are still there.

use dbn::SystemMsg;
use wirebook_shm::notice::Notice;
use wirebook_shm::ring::{Cursor, Observed, ObservingReader};
use wirebook_shm::{SegmentView, names};

use crate::session::ClientError;

/// Slots that the writer may be about to overwrite: those of two of the longest records.
const MARGIN: u64 = 40;

/// The notices of a session.
pub struct Notices {
    reader: ObservingReader,
}

impl Notices {
    pub(crate) fn new(view: &SegmentView) -> Result<Self, ClientError> {
        let mut reader = view.observe(names::NOTICES)?;
        let entry = view.entries().find(|(_, name, _)| name == names::NOTICES);
        let slots = entry.map_or(0, |(_, _, slots)| slots as u64);
        let oldest = reader.cursor().get().saturating_sub(slots.saturating_sub(MARGIN));
        reader.seek(Cursor::new(oldest));
        Ok(Self { reader })
    }
}

impl Iterator for Notices {
    type Item = Notice;

    /// The next notice that is there already; another may follow later. Those that were overwritten
    /// before they were read are left out.
    fn next(&mut self) -> Option<Notice> {
        loop {
            let record = match self.reader.poll() {
                Observed::Record(record) => record,
                Observed::Overrun { .. } => continue,
                Observed::Empty => return None,
            };
            let record = record.dbn();
            if let Some(notice) = record.and_then(|r| Notice::of(r.get::<SystemMsg>()?)) {
                return Some(notice);
            }
        }
    }
}
