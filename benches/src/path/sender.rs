//! The sender of latencies: frames onto the wire at their times, open loop.
//!
//! Arrives: frames, and a pace. Leaves: the frames on the wire by AF_XDP, the way of `wirebook sim`: a
//! frame that is due alone leaves alone and at once, late ones leave up to 32 in one system call. While
//! it waits it yields its core to whoever shares it, and takes it again within a microsecond. Counts
//! frames that the interface refused, because NAPI had no time to empty its ring of 256.

use super::market::Frames;
use super::room::Room;
use super::{monotonic_ns, pin};
use anyhow::{Context, bail};
use serde::Serialize;
use std::time::Duration;
use wirebook::exchange::{Outlet, Pace, SendBy};
use wirebook::housekeeping::Stop;

/// Between opening the socket and the first frame.
const LEAD: Duration = Duration::from_millis(20);

/// When each frame is due.
#[derive(Clone, Copy, Debug)]
pub enum Tempo {
    /// So many packets a second, evenly; what is late is sent at once.
    Rate(f64),
    /// So many times as fast as the session; what is late is sent at once.
    Speed(f64),
}

/// What was sent.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sent {
    /// Frames given to the interface.
    pub packets: u64,
    /// Of these, frames that the interface's ring had no room for.
    pub refused: u64,
    /// From the first due time to the last frame.
    pub elapsed_ns: u64,
    /// When the first frame was due, by the monotonic clock.
    #[serde(skip)]
    pub began_ns: u64,
}

impl Tempo {
    fn pace(self) -> Pace {
        match self {
            Self::Rate(rate) => Pace::rate(rate),
            Self::Speed(factor) => Pace::factor(factor),
        }
    }

    /// The due time of each frame after the first one's, where none is late.
    pub fn due_ns(self, frames: &Frames) -> impl Iterator<Item = u64> {
        let mut pace = self.pace();
        frames.offsets_ns().map(move |offset_ns| pace.schedule_ns(offset_ns))
    }
}

impl Sent {
    /// Packets a second.
    pub fn rate(&self) -> f64 {
        self.packets as f64 * 1e9 / self.elapsed_ns.max(1) as f64
    }
}

/// Sends all frames from a thread of its own on `core`.
///
/// # Errors
/// Fails where the interface takes nothing, and where the run is to stop.
pub fn send(
    room: &Room,
    core: usize,
    frames: &Frames,
    tempo: Tempo,
    stop: &Stop,
) -> anyhow::Result<Sent> {
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            pin(0, &[core])?;
            room.enter_exchange()?;
            let outlet = Outlet::open(&room.tx, SendBy::Xdp, Vec::new())?;
            play(outlet, frames, tempo, stop)
        });
        sending.join()
    });
    match sent {
        Ok(sent) => sent.context("the sender"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn play(mut outlet: Outlet, frames: &Frames, tempo: Tempo, stop: &Stop) -> anyhow::Result<Sent> {
    std::thread::sleep(LEAD);
    let (mut pace, began_ns) = started(tempo)?;
    let mut sent = 0;
    for (frame, offset_ns) in frames.iter().zip(frames.offsets_ns()) {
        let due_ns = pace.schedule_ns(offset_ns);
        if pace.is_early(due_ns) {
            outlet.flush()?;
            while pace.is_early(due_ns) && !stop.is_set() {
                std::thread::yield_now();
            }
        }
        if stop.is_set() {
            bail!("stopped");
        }
        outlet.send_frame(due_ns, frame)?;
        sent += 1;
    }
    outlet.flush()?;
    let elapsed_ns = pace.elapsed_ns();
    outlet.finish()?;
    Ok(Sent { packets: sent, refused: outlet.sent()?.refused, elapsed_ns, began_ns })
}

/// A pace, and its beginning by the clock that receivers read: tried again where something came
/// between the two looks at it.
fn started(tempo: Tempo) -> nix::Result<(Pace, u64)> {
    loop {
        let before_ns = monotonic_ns()?;
        let pace = tempo.pace();
        if monotonic_ns()? - before_ns < 1_000 {
            return Ok((pace, before_ns));
        }
    }
}
