//! When messages are said: in bursts, as exchanges do.
//!
//! Every burst begins where an even spread would have its first message; its messages follow each
//! other within microseconds. Integer arithmetic alone, so that every host has the same times.

use rand::RngExt;
use rand_pcg::Pcg64;

/// Most messages of one burst.
const BURST_MESSAGES_MAX: u32 = 256;

/// Longest time between two messages of a burst.
const IN_BURST_NS_MAX: u64 = 2_000;

#[derive(Clone, Debug)]
pub(crate) struct Timing {
    messages: u64,
    duration_ns: u64,
    /// Messages timed so far.
    said: u64,
    offset_ns: u64,
    left_in_burst: u32,
}

impl Timing {
    pub(crate) fn new(messages: u64, duration_ns: u64) -> Self {
        Self { messages, duration_ns, said: 0, offset_ns: 0, left_in_burst: 0 }
    }

    /// The next message's time, nanoseconds after the first one's; never less than the last one's.
    pub(crate) fn next_offset_ns(&mut self, rng: &mut Pcg64) -> u64 {
        if self.left_in_burst == 0 {
            self.offset_ns = self.offset_ns.max(self.even_ns(self.said));
            self.left_in_burst = burst_messages(rng);
        } else {
            let even_gap_ns = self.even_ns(1);
            self.offset_ns += rng.random_range(0..=even_gap_ns.min(IN_BURST_NS_MAX));
        }
        self.offset_ns = self.offset_ns.min(self.duration_ns);
        self.left_in_burst -= 1;
        self.said += 1;
        self.offset_ns
    }

    fn even_ns(&self, message: u64) -> u64 {
        let even = u128::from(self.duration_ns) * u128::from(message) / u128::from(self.messages);
        u64::try_from(even).unwrap_or(self.duration_ns)
    }
}

/// Half of the bursts are one message, a quarter up to two, an eighth up to four, and so on.
fn burst_messages(rng: &mut Pcg64) -> u32 {
    let longest = 1 << rng.random::<u32>().trailing_zeros().min(BURST_MESSAGES_MAX.ilog2());
    rng.random_range(1..=longest)
}
