//! What readers cost the writer of a ring: its rate beside none, 1, 8, 64, and one that is stopped.
//!
//! The writer publishes records of 56 bytes, as orders have, as fast as it can into an open ring. Each
//! reader is another process, which has the segment through the hand-off, read-only, and spins on
//! the ring's newest slot. Nothing is worse for the writer: it writes lines that a reader has just
//! taken. A round measures each case once, and a ratio is to no reader in the same round.
//!
//! **Whose time it is.** The writer has a core that no reader runs on, the readers share the others.
//! What else the host runs on the writer's core is not the readers' doing, so beside the rate by the clock stands the processor time that
//! the writer used a record (`CLOCK_THREAD_CPUTIME_ID`, clock_gettime(2)): it holds the waits for
//! memory and cache lines, and not the time in which another process had the core.
#![forbid(unsafe_code)]

use anyhow::{Context, bail, ensure};
use clap::{Parser, Subcommand};
use core_affinity::CoreId;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, setsid};
use serde::Serialize;
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use wirebook_benches::{Host, Spread};
use wirebook_shm::ring::{Observed, Writer};
use wirebook_shm::{PageKind, Segment, SegmentLayout, SegmentView, handoff};

const RING: &str = "output-0";
/// As an appliance's ring by default.
const SLOTS: usize = 1 << 16;
/// The heartbeat that tells readers that the writer is done.
const DONE: u64 = u64::MAX;
/// Records between two looks at the clock.
const BATCH: u64 = 4_096;
const WARM_UP: Duration = Duration::from_millis(50);
/// Longer than a reader takes to attach.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
#[command(
    about = "What readers cost the writer of a ring",
    after_help = "\
The writer publishes as fast as it can, on a core of its own; readers are other processes, which spin
on the newest slot and share the other cores. Ratios are to no reader, within a round.

Example: scripts/bench readers --rounds 5 --milliseconds 500"
)]
struct Arguments {
    /// Rounds, each of which measures every case.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes, and the stopped reader stands still.
    #[arg(long, default_value_t = 1_000)]
    milliseconds: u64,
    /// Where to write what was measured, as JSON.
    #[arg(long)]
    raw: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// One reader, as this program starts it.
    #[command(hide = true)]
    Read {
        socket: PathBuf,
        /// The core to run on.
        core: Option<usize>,
    },
}

/// Readers beside a writer.
#[derive(Clone, Copy, PartialEq)]
struct Case {
    name: &'static str,
    readers: usize,
    are_stopped: bool,
}

const CASES: [Case; 5] = [
    Case { name: "no reader", readers: 0, are_stopped: false },
    Case { name: "1 reader", readers: 1, are_stopped: false },
    Case { name: "8 readers", readers: 8, are_stopped: false },
    Case { name: "64 readers", readers: 64, are_stopped: false },
    Case { name: "1 stopped", readers: 1, are_stopped: true },
];

/// One measurement.
#[derive(Serialize)]
struct Measured {
    round: u32,
    case: &'static str,
    records: u64,
    wall_ns: u64,
    /// Processor time of the writer's thread.
    cpu_ns: u64,
    /// Records that the readers took, and slots that they were told they missed, in all.
    taken: u64,
    missed_slots: u64,
    pages: String,
}

impl Measured {
    fn records_a_second(&self) -> f64 {
        self.records as f64 * 1e9 / self.wall_ns as f64
    }

    fn cpu_ns_a_record(&self) -> f64 {
        self.cpu_ns as f64 / self.records as f64
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::Read { socket, core }) = &arguments.role {
        return read(socket, *core);
    }
    let host = Host::read();
    let mut cores = core_affinity::get_core_ids().unwrap_or_default().into_iter();
    let own = cores.next().context("no core to run on")?;
    ensure!(core_affinity::set_for_current(own), "cannot have core {} for the writer", own.id);
    let others: Vec<_> = cores.collect();
    let mut all = Vec::new();
    for round in 0..arguments.rounds {
        // Each round begins with another case, so that none always follows the same.
        let shift = round as usize % CASES.len();
        for case in CASES.iter().cycle().skip(shift).take(CASES.len()) {
            let duration = Duration::from_millis(arguments.milliseconds);
            all.push(measure(round, *case, duration, &others)?);
        }
    }
    print(&host, own, &others, &all);
    if let Some(path) = &arguments.raw {
        let (rounds, milliseconds) = (arguments.rounds, arguments.milliseconds);
        let command =
            format!("scripts/bench readers --rounds {rounds} --milliseconds {milliseconds}");
        let run = json!({ "command": command, "host": host, "slots": SLOTS, "writer_core": own.id,
            "reader_cores": others.iter().map(|core| core.id).collect::<Vec<_>>(),
            "measurements": all });
        fs::write(path, serde_json::to_string_pretty(&run)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Publishes for so long beside the case's readers.
fn measure(
    round: u32,
    case: Case,
    duration: Duration,
    others: &[CoreId],
) -> anyhow::Result<Measured> {
    let layout = SegmentLayout::new().open_ring(RING, SLOTS);
    let mut segment = Segment::create(&layout, PageKind::Huge2M)?;
    let mut writer = segment.open_ring(RING)?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let readers = Readers::start(case.readers, &socket, others, &segment)?;
    if case.are_stopped {
        readers.stop()?;
    }
    publish(&mut writer, WARM_UP)?;
    let (begun, cpu_before) = (Instant::now(), cpu_time()?);
    let records = publish(&mut writer, duration)?;
    let cpu_ns = (cpu_time()? - cpu_before).as_nanos() as u64;
    let wall_ns = begun.elapsed().as_nanos() as u64;
    segment.heartbeat(DONE);
    let (taken, missed_slots) = readers.finish()?;
    let pages = segment.page_kind().to_string();
    Ok(Measured { round, case: case.name, records, wall_ns, cpu_ns, taken, missed_slots, pages })
}

/// Publishes for so long, and says how many records.
fn publish(writer: &mut Writer, duration: Duration) -> anyhow::Result<u64> {
    let (begun, mut records) = (Instant::now(), 0);
    while begun.elapsed() < duration {
        for number in records..records + BATCH {
            writer.push_words(&[number; 7])?;
        }
        records += BATCH;
    }
    Ok(records)
}

fn cpu_time() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Into::into)
}

/// The processes that read; ended when dropped.
struct Readers(Vec<(Child, BufReader<ChildStdout>)>);

impl Readers {
    /// Starts so many, and gives each the segment.
    fn start(
        count: usize,
        socket: &Path,
        cores: &[CoreId],
        segment: &Segment,
    ) -> anyhow::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        let shared = segment.share()?;
        let mut readers = Self(Vec::new());
        for number in 0..count {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("read").arg(socket).stdout(Stdio::piped());
            if !cores.is_empty() {
                command.arg(cores[number % cores.len()].id.to_string());
            }
            let mut child = command.spawn()?;
            let says = child.stdout.take().context("a reader has an output")?;
            readers.0.push((child, BufReader::new(says)));
            handoff::greet(&accept(&listener)?, segment, &shared)?;
        }
        for (_, says) in &mut readers.0 {
            let mut line = String::new();
            says.read_line(&mut line)?;
            ensure!(line == "attached\n", "a reader said {line:?}");
        }
        Ok(readers)
    }

    /// Stops each, and waits until it stands.
    fn stop(&self) -> anyhow::Result<()> {
        for (child, _) in &self.0 {
            let pid = Pid::from_raw(child.id() as i32);
            kill(pid, Signal::SIGSTOP)?;
            let status = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
            ensure!(matches!(status, WaitStatus::Stopped(..)), "not stopped: {status:?}");
        }
        Ok(())
    }

    /// What all of them took and missed, once the writer is done.
    fn finish(mut self) -> anyhow::Result<(u64, u64)> {
        let mut sums = (0, 0);
        for (child, says) in &mut self.0 {
            kill(Pid::from_raw(child.id() as i32), Signal::SIGCONT)?;
            let mut line = String::new();
            says.read_line(&mut line)?;
            let (taken, missed) = line.trim().split_once(' ').context("what a reader took")?;
            sums = (sums.0 + taken.parse::<u64>()?, sums.1 + missed.parse::<u64>()?);
            ensure!(child.wait()?.success(), "a reader failed");
        }
        Ok(sums)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for (child, _) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn accept(listener: &UnixListener) -> anyhow::Result<std::os::unix::net::UnixStream> {
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if begun.elapsed() > PATIENCE => bail!("no reader came"),
            Err(_) => std::thread::sleep(Duration::from_micros(100)),
        }
    }
}

/// A reader: takes what it can until the writer is done, and says what it took and missed.
fn read(socket: &Path, core: Option<usize>) -> anyhow::Result<()> {
    // The kernel may share a core's time out by sessions (sched_autogroup, sched(7)), and a session's
    // part of the writer's core shrinks with what its other processes do elsewhere.
    setsid()?;
    set_pdeathsig(Signal::SIGKILL)?;
    if let Some(id) = core {
        ensure!(core_affinity::set_for_current(CoreId { id }), "cannot have core {id}");
    }
    let view = SegmentView::connect(socket)?;
    let mut ring = view.observe(RING)?;
    println!("attached");
    let mut taken: u64 = 0;
    loop {
        match ring.poll() {
            Observed::Record(record) => {
                let words = record.words();
                ensure!(words == [words[0]; 7], "a torn record: {words:?}");
                taken += 1;
            }
            Observed::Overrun { .. } => {}
            Observed::Empty if view.heartbeat_ns() == DONE => break,
            Observed::Empty => std::hint::spin_loop(),
        }
    }
    println!("{taken} {}", ring.missed_slots());
    Ok(())
}

fn print(host: &Host, own: CoreId, others: &[CoreId], all: &[Measured]) {
    println!("{host}; ring of {SLOTS} slots on {}", all.first().map_or("", |first| &first.pages));
    match others.len() {
        0 => println!(
            "there is one core: the readers take the writer's time, see the ratio by processor time"
        ),
        count => println!(
            "the writer has core {}, the readers share {count} other(s): no more than \
            {count} read at a time",
            own.id
        ),
    }
    println!("median (min to max) of the rounds; ratios to no reader in the same round\n");
    println!(
        "{:<12} {:>26} {:>24} {:>24} {:>24}",
        "",
        "million records/s",
        "writer's CPU ns/record",
        "ratio by the clock",
        "ratio by CPU time"
    );
    for case in CASES {
        let of = |figure: &dyn Fn(&Measured) -> Option<f64>| {
            let rounds = all.iter().filter(|measured| measured.case == case.name);
            Spread::of(rounds.filter_map(figure)).map_or_else(String::new, |s| format!("{s:.2}"))
        };
        let alone = |of: &Measured| {
            all.iter().find(|found| found.case == CASES[0].name && found.round == of.round)
        };
        let rate = of(&|m| Some(m.records_a_second() / 1e6));
        let cpu = of(&|m| Some(m.cpu_ns_a_record()));
        let by_clock = of(&|m| Some(m.records_a_second() / alone(m)?.records_a_second()));
        let by_cpu = of(&|m| Some(alone(m)?.cpu_ns_a_record() / m.cpu_ns_a_record()));
        println!("{:<12} {rate:>26} {cpu:>24} {by_clock:>24} {by_cpu:>24}", case.name);
    }
}
