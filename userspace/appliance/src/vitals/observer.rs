//! Looks at a session again and again.
//!
//! Arrives: a session. Leaves: [`Vitals`], new each time the appliance has counted anew, about once a
//! second: rates are over the time between two of its counts, by its own clock, so a late or doubled
//! look changes none. Before the second look they are averages since the start.

use super::{History, Look, NoticeVitals, Vitals};
use std::collections::VecDeque;
use std::time::Duration;
use wirebook_client::{Books, ClientError, Notices, Pulse, Session};

/// How many notices are kept.
const NOTICES: usize = 50;

/// A look, and what was seen before.
pub struct Observer {
    name: String,
    session: Session,
    books: Books,
    notices: Notices,
    pulse: Pulse,
    last: Look,
    history: History,
    told: VecDeque<NoticeVitals>,
    vitals: Vitals,
}

impl Observer {
    /// An observer of the appliance of this name.
    ///
    /// # Errors
    /// [`ClientError`] where the segment is not laid out as an appliance's.
    pub fn new(name: impl Into<String>, session: Session) -> Result<Self, ClientError> {
        Ok(Self {
            name: name.into(),
            books: session.books()?,
            notices: session.notices()?,
            pulse: session.pulse(),
            session,
            last: Look::default(),
            history: History::default(),
            told: VecDeque::new(),
            vitals: Vitals::default(),
        })
    }

    /// The session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// How the appliance is now.
    ///
    /// # Errors
    /// [`ClientError`] where the segment is not laid out as an appliance's.
    pub fn look(&mut self) -> Result<&Vitals, ClientError> {
        if let Some(look) = Look::take(&self.session, &mut self.books, &self.last)? {
            let since_ns = self.last.counted_ns().max(look.started_ns());
            let elapsed = Duration::from_nanos(look.counted_ns().saturating_sub(since_ns));
            let mut vitals = Vitals::between(&self.last, &look, elapsed);
            self.history.add(&mut vitals);
            (self.last, self.vitals) = (look, vitals);
        }
        for notice in &mut self.notices {
            let (at_ms, level) = (notice.ts_event / 1_000_000, notice.level.name());
            self.told.push_front(NoticeVitals { at_ms, level, text: notice.text });
        }
        self.told.truncate(NOTICES);
        self.vitals.name.clone_from(&self.name);
        self.vitals.notices = self.told.iter().cloned().collect();
        self.vitals.is_alive = self.pulse.beats();
        Ok(&self.vitals)
    }
}
