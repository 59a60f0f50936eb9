//! The whole path on a veth pair: a sender, a wire with threaded NAPI, and who receives.
//!
//! Arrives: which contestants, which cores, which market. Leaves: for each contestant and round, how
//! many packets a second it takes and what a packet costs ([`throughput`]), or how late
//! a strategy sees a packet ([`latency`]). Each contestant is a process of its own, so its processor
//! time is the kernel's count and not ours; the appliance is `wirebook run` as it is.
//!
//! Top-down: [`room`] makes the namespaces and the wire, [`market`] the frames, [`live`] and [`sender`]
//! send them, [`child`] starts processes in the room, of which [`count`], [`stamp`] and [`appliance`] are the
//! insides.

pub mod appliance;
pub mod child;
pub mod count;
pub mod latency;
pub mod live;
pub mod market;
pub mod room;
pub mod sender;
pub mod stamp;
pub mod throughput;

use anyhow::{Context, ensure};
use appliance::Handlers;
use clap::{Args, ValueEnum};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The market's multicast group and port.
pub const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(233, 54, 12, 111), 26_477);

/// Longer than any start takes on a busy host.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Who runs where. A core may be named more than once.
#[derive(Args, Clone, Copy, Debug, Serialize)]
pub struct CoreArguments {
    /// Core of the sender [default: the first].
    #[arg(long)]
    pub sender_core: Option<usize>,
    /// Core of the receiving interface's NAPI thread in trials of latency [default: the next; with fewer
    /// than five cores, the sender's].
    #[arg(long)]
    pub napi_core: Option<usize>,
    /// Core of the worker, and of a contestant that has one thread [default: the next].
    #[arg(long)]
    pub worker_core: Option<usize>,
    /// Core of the shard [default: the next; with fewer than five cores, the worker's].
    #[arg(long)]
    pub shard_core: Option<usize>,
    /// Core of the strategy [default: the next; with two cores, the sender's].
    #[arg(long)]
    pub strategy_core: Option<usize>,
}

/// Where NAPI runs in trials of throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum NapiPlace {
    /// In a kernel thread on the receiver's core, which pays for all of receiving.
    Beside,
    /// On the sender's core, in a softirq: the receiver has its core for itself.
    Apart,
}

impl NapiPlace {
    /// In a table's words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Beside => "NAPI beside the receiver",
            Self::Apart => "NAPI on the sender's core",
        }
    }
}

/// The cores as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// The sender's.
    pub sender: usize,
    /// The NAPI thread's.
    pub napi: usize,
    /// The worker's, and that of a contestant that has one thread.
    pub worker: usize,
    /// The shard's.
    pub shard: usize,
    /// The strategy's.
    pub strategy: usize,
}

impl CoreArguments {
    /// The cores for throughput, NAPI where `place` says.
    ///
    /// # Errors
    /// As `CoreArguments::in_turn`.
    pub fn for_throughput(&self, place: NapiPlace) -> anyhow::Result<Cores> {
        let cores = self.in_turn(|_| [0, 0, 1, 2, 0])?;
        let napi = match place {
            NapiPlace::Beside => cores.worker,
            NapiPlace::Apart => cores.sender,
        };
        Ok(Cores { napi, ..cores })
    }

    /// The cores for latency. Where they are fewer than threads, worker and shard share one, so that a
    /// receiver of one thread has it for itself; NAPI is on the sender's, which yields while it waits; and
    /// so is a strategy that finds no other.
    ///
    /// # Errors
    /// As `CoreArguments::in_turn`.
    pub fn for_latency(&self) -> anyhow::Result<Cores> {
        self.in_turn(|cores| match cores {
            0..3 => [0, 0, 1, 1, 0],
            3..5 => [0, 0, 1, 1, 2],
            _ => [0, 1, 2, 3, 4],
        })
    }

    /// The cores that were named, and for the others those at these places; where there are too few,
    /// the last is shared by all that find none.
    ///
    /// # Errors
    /// Fails where this process may use one core alone: sender and receivers would take turns.
    fn in_turn(&self, places: impl Fn(usize) -> [usize; 5]) -> anyhow::Result<Cores> {
        let all = core_affinity::get_core_ids().unwrap_or_default();
        ensure!(all.len() > 1, "expected two cores or more, found {}", all.len());
        let [sender, napi, worker, shard, strategy] =
            places(all.len()).map(|at| all[at.min(all.len() - 1)].id);
        Ok(Cores {
            sender: self.sender_core.unwrap_or(sender),
            napi: self.napi_core.unwrap_or(napi),
            worker: self.worker_core.unwrap_or(worker),
            shard: self.shard_core.unwrap_or(shard),
            strategy: self.strategy_core.unwrap_or(strategy),
        })
    }
}

impl Cores {
    /// Those of the receiving processes.
    pub fn receiving(&self) -> Vec<usize> {
        let mut cores = vec![self.worker, self.shard, self.strategy];
        cores.sort_unstable();
        cores.dedup();
        cores
    }

    /// True where nobody else is on this core, of those who are there beside an appliance with these
    /// handlers.
    pub fn is_alone(&self, core: usize, handlers: Handlers) -> bool {
        let Self { sender, napi, worker, shard, strategy } = *self;
        let shard = (handlers == Handlers::Shards).then_some(shard);
        let all = [sender, napi, worker, strategy].into_iter().chain(shard);
        all.filter(|other| *other == core).count() == 1
    }
}

/// Lets a process, or with 0 this thread, run on these cores alone.
///
/// # Errors
/// sched_setaffinity(2)'s.
pub fn pin(process: u32, cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core).with_context(|| format!("core {core}"))?;
    }
    let process = i32::try_from(process).context("a process id is a positive 32-bit number")?;
    sched_setaffinity(Pid::from_raw(process), &set)
        .with_context(|| format!("cannot run on the cores {cores:?}"))
}

/// Nanoseconds by the clock that all processes of this host share.
///
/// # Errors
/// clock_gettime(2)'s; none in practice.
pub fn monotonic_ns() -> nix::Result<u64> {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(|time| Duration::from(time).as_nanos() as u64)
}

/// Processor time of a whole process, in nanoseconds; of a kernel thread too.
///
/// # Errors
/// Fails where there is no such process.
pub fn cpu_ns(process: u32) -> nix::Result<u64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process.cast_signed()))?;
    clock_gettime(clock).map(|time| Duration::from(time).as_nanos() as u64)
}
