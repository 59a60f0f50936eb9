//! Strategies: who says at which moment each message of the market was there.
//!
//! **Matching.** Each message has a sequence, which MoldUDP64 counts and each record of an order
//! carries. A strategy notes the time at which it had a message by its sequence, for a message of
//! several records the last of them, and writes all times to a file when it is asked. Whoever knows
//! which sequences a packet had, and when it was due, knows its latency; the strategy knows neither.
//!
//! The reader of the appliance's ring is another process, as strategies are. A UDP socket's reader has
//! no books and no ring before it: it takes a datagram, steps through its messages and notes them, in
//! one thread, which flatters it.

use super::child::Parent;
use super::count::{QUIET, socket};
use super::{monotonic_ns, pin};
use anyhow::Context;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;
use wirebook_client::dbn::MboMsg;
use wirebook_client::{Next, Session, Wait};
use wirebook_wire::{PacketKind, Transport, TransportPacket};

/// How a strategy waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
pub enum Waiting {
    /// It never sleeps.
    Spin,
    /// It looks once and then lets others of its core run.
    Yield,
    /// It sleeps in the kernel.
    Block,
}

/// What a strategy came to.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stamped {
    /// Datagrams, or records of orders.
    pub taken: u64,
    /// Slots of the ring that it missed.
    pub missed_slots: u64,
}

/// The moment of each message.
struct Times(Vec<u64>);

impl Times {
    /// For so many messages, none of which has come. All pages are touched here.
    fn new(messages: usize) -> Self {
        Self(vec![u64::MAX; messages + 1])
    }

    #[inline]
    fn note(&mut self, sequence: u64, now_ns: u64) {
        if let Some(time) = usize::try_from(sequence).ok().and_then(|at| self.0.get_mut(at)) {
            *time = now_ns;
        }
    }

    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|time| time.to_le_bytes()).collect();
        fs::write(file, bytes).with_context(|| file.display().to_string())
    }
}

/// The moment of each message by its sequence, as a strategy has written them; `None` for one that
/// did not come.
///
/// # Errors
/// Fails where the file cannot be read.
pub fn read_times(file: &Path) -> anyhow::Result<Vec<Option<u64>>> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let (times, _) = bytes.as_chunks();
    Ok(times
        .iter()
        .map(|time| Some(u64::from_le_bytes(*time)).filter(|ns| *ns < u64::MAX))
        .collect())
}

/// Reads an appliance's records until the parent asks.
///
/// # Errors
/// Fails where the appliance cannot be reached.
pub fn records(
    appliance: &Path,
    waiting: Waiting,
    messages: usize,
    core: usize,
    file: &Path,
) -> anyhow::Result<()> {
    pin(0, &[core])?;
    let session = Session::connect(appliance)?;
    let wait = if waiting == Waiting::Block { Wait::Sleep } else { Wait::Spin };
    let mut records = session.records()?.waiting(wait);
    let (mut times, mut stamped) = (Times::new(messages), Stamped::default());
    let parent = Parent::ready()?;
    loop {
        let next = if waiting == Waiting::Yield { records.poll() } else { records.next(QUIET) };
        match next {
            Next::Record(read) => {
                if let Some(record) = read.record.get::<MboMsg>() {
                    times.note(record.sequence.into(), monotonic_ns()?);
                    stamped.taken += 1;
                }
            }
            Next::Overrun { missed_slots, .. } => stamped.missed_slots += missed_slots,
            Next::Nothing | Next::WriterGone if parent.asks() => break,
            Next::Nothing if waiting == Waiting::Yield => std::thread::yield_now(),
            Next::Nothing | Next::WriterGone => {}
        }
    }
    times.write(file)?;
    parent.tell(&stamped)
}

/// Reads a UDP socket until the parent asks.
///
/// # Errors
/// Fails where the socket cannot be opened.
pub fn datagrams(
    waiting: Waiting,
    messages: usize,
    core: usize,
    file: &Path,
) -> anyhow::Result<()> {
    pin(0, &[core])?;
    let mut socket = socket()?;
    let blocks = waiting == Waiting::Block;
    socket.set_nonblocking(!blocks)?;
    let (mut times, mut stamped) = (Times::new(messages), Stamped::default());
    let mut buffer = [0; 2_048];
    let parent = Parent::ready()?;
    let mut last_ns = monotonic_ns()?;
    loop {
        match socket.read(&mut buffer) {
            Ok(length) => {
                last_ns = note_messages(&buffer[..length], &mut times)?;
                stamped.taken += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let quiet_ns = QUIET.as_nanos() as u64;
                if parent.asks() && monotonic_ns()? - last_ns >= quiet_ns {
                    break;
                }
                if waiting == Waiting::Yield {
                    std::thread::yield_now();
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("a UDP socket"),
        }
    }
    times.write(file)?;
    parent.tell(&stamped)
}

/// Notes the messages of a MoldUDP64 packet, and says when.
fn note_messages(payload: &[u8], times: &mut Times) -> anyhow::Result<u64> {
    let packet = TransportPacket::parse(Transport::MoldUdp64, payload);
    let packet = packet.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let now_ns = monotonic_ns()?;
    if packet.kind == PacketKind::Messages {
        for (sequence, _) in (packet.sequence..).zip(packet.blocks.map_while(Result::ok)) {
            times.note(sequence, now_ns);
        }
    }
    Ok(now_ns)
}
