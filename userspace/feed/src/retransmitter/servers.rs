//! Which retransmit server to ask.

/// The servers of one channel, in the order of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    /// Until when each server rests.
    resting_until_ns: Vec<u64>,
    /// The one that answered last.
    best: usize,
}

impl Servers {
    pub(super) fn new(servers: usize) -> Self {
        Self { resting_until_ns: vec![0; servers], best: 0 }
    }

    /// The server to ask first.
    pub(super) fn best(&self) -> usize {
        self.best
    }

    pub(super) fn did_well(&mut self, server: usize) {
        if let Some(resting_until_ns) = self.resting_until_ns.get_mut(server) {
            *resting_until_ns = 0;
            self.best = server;
        }
    }

    pub(super) fn rest_until(&mut self, server: usize, until_ns: u64) {
        if let Some(resting_until_ns) = self.resting_until_ns.get_mut(server) {
            *resting_until_ns = until_ns;
        }
    }

    /// `server`, or the next one that does not rest.
    pub(super) fn awake_from(&self, server: usize, now_ns: u64) -> Option<usize> {
        let count = self.resting_until_ns.len();
        (server..server + count)
            .map(|server| server % count)
            .find(|server| self.resting_until_ns[*server] <= now_ns)
    }
}
