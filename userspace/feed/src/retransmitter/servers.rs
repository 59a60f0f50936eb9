//! Which retransmit server to ask.

/// The servers of one channel, in the order of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    servers: Vec<Server>,
    /// How long one rests after its first failure.
    rest_min_ns: u64,
    /// How long at most.
    rest_max_ns: u64,
    /// The one that answered last.
    best: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Server {
    resting_until_ns: u64,
    /// How long it rested last; 0 since it did well.
    rested_ns: u64,
}

impl Servers {
    pub(super) fn new(count: usize, rest_min_ns: u64, rest_max_ns: u64) -> Self {
        Self { servers: vec![Server::default(); count], rest_min_ns, rest_max_ns, best: 0 }
    }

    /// The server to ask first.
    pub(super) fn best(&self) -> usize {
        self.best
    }

    pub(super) fn did_well(&mut self, server: usize) {
        if let Some(well) = self.servers.get_mut(server) {
            *well = Server::default();
            self.best = server;
        }
    }

    /// It rests, twice as long as the last time. What fails while it rests was asked before.
    pub(super) fn failed(&mut self, server: usize, now_ns: u64) {
        let Some(failed) = self.servers.get_mut(server) else { return };
        if failed.resting_until_ns > now_ns {
            return;
        }
        let twice_ns = failed.rested_ns.saturating_mul(2);
        failed.rested_ns = twice_ns.max(self.rest_min_ns).min(self.rest_max_ns);
        failed.resting_until_ns = now_ns.saturating_add(failed.rested_ns);
    }

    /// `server`, or the next one that does not rest.
    pub(super) fn awake_from(&self, server: usize, now_ns: u64) -> Option<usize> {
        let count = self.servers.len();
        (server..server + count)
            .map(|server| server % count)
            .find(|server| self.servers[*server].resting_until_ns <= now_ns)
    }
}
