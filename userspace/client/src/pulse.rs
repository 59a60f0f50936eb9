//! Whether the writer lives, by its heartbeat.
//!
//! What arrives: the heartbeat word of a segment. What leaves: whether it has changed within a limit
//! of this reader's own time, so that neither clock needs to be right, and a reader that was stopped
//! itself does not blame the writer: it looks again before it judges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wirebook_shm::SegmentView;

/// How long a heartbeat may stand still; a writer that lives moves it every 50 ms.
const LIMIT: Duration = Duration::from_secs(2);

/// The heartbeat of one start of an appliance, as this reader sees it.
#[derive(Clone)]
pub struct Pulse {
    view: Arc<SegmentView>,
    last_ns: u64,
    changed: Instant,
}

impl Pulse {
    pub(crate) fn new(view: Arc<SegmentView>) -> Self {
        let last_ns = view.heartbeat_ns();
        Self { view, last_ns, changed: Instant::now() }
    }

    /// True while the heartbeat has not stood still for the limit.
    pub fn beats(&mut self) -> bool {
        self.stood() < LIMIT
    }

    /// How long the heartbeat has stood still, as far as this reader has looked.
    pub fn stood(&mut self) -> Duration {
        let now_ns = self.view.heartbeat_ns();
        if now_ns != self.last_ns {
            self.last_ns = now_ns;
            self.changed = Instant::now();
        }
        self.changed.elapsed()
    }

    /// True once the heartbeat has moved since this was made.
    pub(crate) fn has_moved(&mut self) -> bool {
        let before_ns = self.last_ns;
        self.stood();
        self.last_ns != before_ns
    }
}
