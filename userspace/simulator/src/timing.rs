//! When messages are said: in bursts, and most of them at the open and the close.
//!
//! [`DAY`] says how much of the flow comes in which part of the day. Every burst of messages begins
//! where that curve has its first one; its messages follow each other within microseconds. Integer
//! arithmetic alone, so that every host has the same times.

use rand::RngExt;
use rand_pcg::Pcg64;

/// Most messages of one burst.
const BURST_MESSAGES_MAX: u32 = 256;

/// Longest time between two messages of a burst.
const IN_BURST_NS_MAX: u64 = 2_000;

/// The day's curve, in thousandths: after so much of the time, so many of the messages are said.
/// A tenth comes before the open; then 2.5 times the even pace, and at the close 4 times.
const DAY: [(u64, u64); 5] = [(0, 0), (100, 100), (180, 300), (940, 860), (1_000, 1_000)];

#[derive(Clone, Debug)]
pub(crate) struct Timing {
    messages: u64,
    duration_ns: u64,
    start_ns: u64,
    /// Messages timed so far.
    said: u64,
    offset_ns: u64,
    left_in_burst: u32,
}

impl Timing {
    pub(crate) fn new(messages: u64, duration_ns: u64) -> Self {
        Self { messages, duration_ns, start_ns: 0, said: 0, offset_ns: 0, left_in_burst: 0 }
    }

    /// The same times, so much later.
    pub(crate) fn after(self, start_ns: u64) -> Self {
        Self { start_ns, offset_ns: start_ns, ..self }
    }

    /// The next message begins a burst whose length its caller knows.
    pub(crate) fn begin_burst(&mut self) {
        self.offset_ns = self.offset_ns.max(self.start_ns + self.due_ns(self.said));
        self.left_in_burst = u32::MAX;
    }

    /// The next message's time, nanoseconds after the first one's; never less than the last one's.
    pub(crate) fn next_offset_ns(&mut self, rng: &mut Pcg64) -> u64 {
        if self.left_in_burst == 0 {
            self.offset_ns = self.offset_ns.max(self.start_ns + self.due_ns(self.said));
            self.left_in_burst = burst_messages(rng);
        } else {
            let even_gap_ns = self.duration_ns / self.messages.max(1);
            self.offset_ns += rng.random_range(0..=even_gap_ns.min(IN_BURST_NS_MAX));
        }
        self.offset_ns = self.offset_ns.min(self.start_ns + self.duration_ns);
        self.left_in_burst -= 1;
        self.said += 1;
        self.offset_ns
    }

    /// Where the day's curve has a message.
    fn due_ns(&self, message: u64) -> u64 {
        let messages = u128::from(self.messages.max(1));
        let said = 1_000 * u128::from(message);
        let part = DAY.windows(2).find(|part| said <= u128::from(part[1].1) * messages);
        let Some([(from, said_from), (to, said_to)]) = part.and_then(|part| part.as_array()) else {
            return self.duration_ns;
        };
        // Thousandths of messages into this part, of all thousandths that it has.
        let into = said - u128::from(*said_from) * messages;
        let whole = u128::from(said_to - said_from) * messages;
        let duration = u128::from(self.duration_ns);
        let due =
            duration * (u128::from(*from) * whole + u128::from(to - from) * into) / (1_000 * whole);
        u64::try_from(due).unwrap_or(self.duration_ns)
    }
}

/// Half of the bursts are one message, a quarter up to two, an eighth up to four, and so on.
fn burst_messages(rng: &mut Pcg64) -> u32 {
    let longest = 1 << rng.random::<u32>().trailing_zeros().min(BURST_MESSAGES_MAX.ilog2());
    rng.random_range(1..=longest)
}
