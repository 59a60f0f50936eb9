//! What a seed draws.

use wirebook_simulator::{
    BurstLoss, Chance, GlimpseFault, LineFaults, MarketConfig, RetransmitFault,
};

const MILLISECOND_NS: u64 = 1_000_000;
/// Over how long a session is spread.
pub(crate) const DURATION_NS: u64 = 200 * MILLISECOND_NS;

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) markets: Vec<MarketConfig>,
    pub(crate) messages_a_packet: u16,
    pub(crate) ends: u8,
    pub(crate) lines: Vec<LineFaults>,
    /// How each retransmit server behaves; none where the venue has none.
    pub(crate) retransmit: Vec<RetransmitFault>,
    /// How the GLIMPSE server behaves; none where the venue has none.
    pub(crate) glimpse: Option<GlimpseFault>,
    /// The snapshot is applied when it is whole, not as it comes.
    pub(crate) snapshot_is_buffered: bool,
    /// What is delivered before is not received.
    pub(crate) starts_ns: u64,
    /// How long a datagram to or from a server is under way.
    pub(crate) server_ns: u64,
}

/// Numbers of a seed (splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in so many.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A probability up to `most`, or none.
    fn chance(&mut self, once_in: u64, most: f64) -> Chance {
        let probability = most * self.below(1_000) as f64 / 1_000.0;
        let happens = self.once_in(once_in);
        Chance::new(if happens { probability } else { 0.0 }).expect("a probability")
    }

    fn time(&mut self) -> std::ops::Range<u64> {
        let from = self.below(DURATION_NS);
        from..from + self.below(DURATION_NS / 3)
    }
}

impl Scenario {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut draw = Draw(seed);
        let sessions = if draw.once_in(8) { 2 } else { 1 };
        let instruments = 1 + draw.below(6) as u16;
        let markets = (0..sessions).map(|session| MarketConfig {
            seed: seed.wrapping_mul(2) + session,
            instruments,
            messages: 150 + draw.below(350),
            duration_ns: DURATION_NS,
            ..MarketConfig::default()
        });
        let markets = markets.collect();
        let lines = if draw.once_in(5) { 1 } else { 2 };
        let lines = (0..lines).map(|_| line(&mut draw)).collect();
        Self {
            seed,
            markets,
            messages_a_packet: 1 + draw.below(12) as u16,
            ends: if draw.once_in(4) { 0 } else { 3 },
            lines,
            retransmit: retransmit(&mut draw),
            glimpse: glimpse(&mut draw),
            snapshot_is_buffered: draw.once_in(2),
            starts_ns: if draw.once_in(4) { draw.below(DURATION_NS) } else { 0 },
            server_ns: 10_000 + draw.below(2 * MILLISECOND_NS),
        }
    }

    /// True where an honest server of some kind can always repair what is lost.
    pub(crate) fn can_recover(&self) -> bool {
        matches!(self.glimpse, Some(GlimpseFault::None))
    }
}

fn line(draw: &mut Draw) -> LineFaults {
    let burst = BurstLoss { begin: draw.chance(1, 0.05), end: draw.chance(1, 0.5) };
    let times = |draw: &mut Draw, once_in| {
        let time = draw.time();
        if draw.once_in(once_in) { vec![time] } else { Vec::new() }
    };
    LineFaults {
        loss: draw.chance(2, 0.3),
        burst_loss: draw.once_in(4).then_some(burst),
        duplicate: draw.chance(3, 0.3),
        reorder: draw.chance(3, 0.3),
        reorder_ns_max: draw.below(4 * MILLISECOND_NS),
        truncate: draw.chance(5, 0.1),
        corrupt: draw.chance(5, 0.1),
        lag_ns: draw.below(MILLISECOND_NS / 2),
        dead: times(draw, 4),
        stalled: times(draw, 6),
        restarts: times(draw, 6),
    }
}

fn retransmit(draw: &mut Draw) -> Vec<RetransmitFault> {
    let count = draw.below(3);
    let servers = (0..count).map(|_| match draw.below(9) {
        0 => RetransmitFault::Silent,
        1 => RetransmitFault::Short,
        2 => RetransmitFault::Twice,
        3 => RetransmitFault::Lying,
        4 => RetransmitFault::Slow { delay_ns: draw.below(40 * MILLISECOND_NS) },
        _ => RetransmitFault::None,
    });
    servers.collect()
}

fn glimpse(draw: &mut Draw) -> Option<GlimpseFault> {
    Some(match draw.below(8) {
        0 | 1 => return None,
        2 => GlimpseFault::Refuses,
        3 => GlimpseFault::ClosesHalfway,
        4 => GlimpseFault::GoesBack,
        5 => GlimpseFault::Slow { messages_per_second: 1 + draw.below(20_000) },
        _ => GlimpseFault::None,
    })
}
