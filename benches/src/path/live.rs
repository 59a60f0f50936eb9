//! The sender by live frames: XDP frames onto the wire from within the kernel, open loop.
//!
//! Arrives: the market's frames, once; then a rate. Leaves: the frames on the wire, by the program
//! `live/send.bpf.c`, which one call of `BPF_PROG_TEST_RUN` runs until all are sent; so a packet costs
//! its sender no socket buffer and no system call, and the sender is several times as fast as a
//! receiver. Frames come onto a veth pair as a driver's do (`veth_xdp_xmit` in drivers/net/veth.c), up
//! to 16 at a time, and NAPI is told of them after 64 turns at the latest. Counts what was sent, and
//! what the wire's ring of 256 had no room for.
//!
//! The call ends by a signal to its thread (`bpf_test_timer_continue` in net/bpf/test_run.c), which a
//! second thread sends, on the same core.

use super::market::Frames;
use super::room::Room;
use super::sender::Sent;
use super::{PATIENCE, pin};
use anyhow::{Context, bail, ensure};
use libbpf_rs::{ErrorKind, MapCore, MapFlags, Object, ObjectBuilder, ProgramInput};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use signal_hook::consts::SIGUSR1;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use wirebook::housekeeping::Stop;

/// The compiled program; ELF readers cast its bytes to their header structs.
const OBJECT: &[u8] = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/send.o"))).0;

/// include/uapi/linux/bpf.h
const LIVE_FRAMES: u32 = 1 << 1;
/// The kernel's own count of turns must not end a trial: at 50 ns a turn this is a minute and a half.
const TURNS: u32 = i32::MAX as u32;

/// `struct packet`: its length, and its bytes.
const PACKET_BYTES: usize = 4 + FRAME_BYTES_MAX;
const FRAME_BYTES_MAX: usize = 500;
/// Packets that one system call puts into the map.
const BATCH: usize = 4_096;

/// A packet that is later than so many of its periods delays those after it: a stall of the sender
/// makes no burst, which would be lost on a receiver that takes the rate.
const PATIENCE_PACKETS: f64 = 32.0;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(1);

#[repr(C, align(8))]
struct Aligned<T>(T);

/// A loaded sender, and the market in its map.
pub struct LiveSender {
    object: Object,
    /// The longest packet: what each frame has room for.
    longest: Vec<u8>,
}

/// `struct schedule` of the program.
#[derive(Clone, Copy, Debug, Default)]
struct Schedule {
    packets: u64,
    period_ps: u64,
    patience_ns: u64,
    interface: u64,
    sent: u64,
    began_ns: u64,
    ended_ns: u64,
    shift_ns: u64,
}

impl LiveSender {
    /// Loads the program and gives it the market.
    ///
    /// # Errors
    /// Fails where the kernel takes neither, and where a frame is too long for the map.
    pub fn load(frames: &Frames) -> anyhow::Result<Self> {
        let longest = frames.iter().max_by_key(|frame| frame.len()).context("no packets")?.to_vec();
        let found = longest.len();
        ensure!(
            found <= FRAME_BYTES_MAX,
            "expected frames up to {FRAME_BYTES_MAX} bytes, found {found}"
        );
        let mut open = ObjectBuilder::default().open_memory(OBJECT)?;
        for mut map in open.maps_mut().filter(|map| map.name() == "packets") {
            map.set_max_entries(u32::try_from(frames.len())?)?;
        }
        let sender = Self { object: open.load().context("the live sender")?, longest };
        sender.fill(frames)?;
        Ok(sender)
    }

    /// Sends the first `packets` frames from `core`, so many a second, evenly, or as fast as it can.
    ///
    /// # Errors
    /// Fails where the kernel refuses, and where the run is to stop.
    pub fn send(
        &self,
        room: &Room,
        core: usize,
        packets: usize,
        rate: Option<f64>,
        stop: &Stop,
    ) -> anyhow::Result<Sent> {
        let refused = room.refused()?;
        let schedule = Schedule {
            packets: packets as u64,
            period_ps: rate.map_or(0, |rate| (1e12 / rate) as u64),
            patience_ns: rate.map_or(u64::MAX, |rate| (PATIENCE_PACKETS * 1e9 / rate) as u64),
            interface: room.tx_index.into(),
            ..Schedule::default()
        };
        self.set(&schedule)?;
        // The signal only ends the call.
        signal_hook::flag::register(SIGUSR1, Arc::new(AtomicBool::new(false)))?;
        let over = &AtomicBool::new(false);
        let told = std::thread::scope(|scope| {
            let (told, thread) = channel();
            let sending = scope.spawn(move || {
                let ran = self.run(room, core, &told);
                over.store(true, Ordering::Release);
                ran
            });
            let thread = thread.recv().ok();
            let watching = scope.spawn(move || {
                pin(0, &[core])?;
                self.watch(thread, packets as u64, over, stop)
            });
            let told = watching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            told
        })?;
        Ok(Sent {
            packets: told.sent,
            refused: room.refused()? - refused,
            elapsed_ns: told.ended_ns - told.began_ns,
            began_ns: told.began_ns,
        })
    }

    /// Runs the program until a signal comes.
    fn run(&self, room: &Room, core: usize, told: &Sender<Pthread>) -> anyhow::Result<()> {
        pin(0, &[core])?;
        room.enter_exchange()?;
        told.send(pthread_self())?;
        let mut programs = self.object.progs_mut();
        let program = programs.find(|program| program.name() == "send").context("no `send`")?;
        // struct xdp_md; `data_end` is the frame's length, and no metadata stands before it.
        let mut context = [0; 24];
        context[4..8].copy_from_slice(&(self.longest.len() as u32).to_ne_bytes());
        let input = ProgramInput {
            context_in: Some(&mut context),
            data_in: Some(&self.longest),
            flags: LIVE_FRAMES,
            repeat: TURNS,
            ..ProgramInput::default()
        };
        match program.test_run(input) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Ends the call once all is sent, or is to be.
    fn watch(
        &self,
        thread: Option<Pthread>,
        packets: u64,
        over: &AtomicBool,
        stop: &Stop,
    ) -> anyhow::Result<Schedule> {
        let (mut sent, mut since) = (0, Instant::now());
        while !over.load(Ordering::Acquire) {
            let schedule = self.get()?;
            if schedule.sent > sent {
                (sent, since) = (schedule.sent, Instant::now());
            }
            if (sent == packets || stop.is_set() || since.elapsed() > PATIENCE)
                && let Some(thread) = thread
            {
                // One that has just ended needs no signal.
                let _ = pthread_kill(thread, Signal::SIGUSR1);
            }
            std::thread::sleep(LOOK);
        }
        let schedule = self.get()?;
        if stop.is_set() {
            bail!("stopped");
        }
        ensure!(schedule.sent == packets, "sent {} of {packets} live frames", schedule.sent);
        Ok(schedule)
    }

    fn fill(&self, frames: &Frames) -> anyhow::Result<()> {
        let map = self.map("packets")?;
        let (mut keys, mut values, mut count) = (Vec::new(), Vec::new(), 0u32);
        for frame in frames.iter() {
            keys.extend(count.to_ne_bytes());
            values.extend((frame.len() as u32).to_ne_bytes());
            values.extend(frame);
            values.resize(values.len() + PACKET_BYTES - 4 - frame.len(), 0);
            count += 1;
            if keys.len() == BATCH * 4 || count as usize == frames.len() {
                let batch = (keys.len() / 4) as u32;
                map.update_batch(&keys, &values, batch, MapFlags::ANY, MapFlags::ANY)?;
                keys.clear();
                values.clear();
            }
        }
        Ok(())
    }

    fn set(&self, schedule: &Schedule) -> anyhow::Result<()> {
        let map = self.map("schedules")?;
        Ok(map.update(&0u32.to_ne_bytes(), &schedule.to_bytes(), MapFlags::ANY)?)
    }

    fn get(&self) -> anyhow::Result<Schedule> {
        let map = self.map("schedules")?;
        let bytes = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY)?;
        Ok(Schedule::from_bytes(&bytes.unwrap_or_default()))
    }

    fn map(&self, name: &str) -> anyhow::Result<libbpf_rs::Map<'_>> {
        self.object.maps().find(|map| map.name() == name).with_context(|| format!("no map {name}"))
    }
}

impl Schedule {
    fn to_bytes(self) -> Vec<u8> {
        let Self { packets, period_ps, patience_ns, interface, sent, .. } = self;
        let Self { began_ns, ended_ns, shift_ns, .. } = self;
        let fields =
            [packets, period_ps, patience_ns, interface, sent, began_ns, ended_ns, shift_ns];
        fields.map(u64::to_ne_bytes).concat()
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut fields = bytes.as_chunks().0.iter().map(|field| u64::from_ne_bytes(*field));
        let mut next = || fields.next().unwrap_or_default();
        Self {
            packets: next(),
            period_ps: next(),
            patience_ns: next(),
            interface: next(),
            sent: next(),
            began_ns: next(),
            ended_ns: next(),
            shift_ns: next(),
        }
    }
}
