//! The appliance as a contestant: `wirebook run` with a configuration like a user's.

use super::child::Child;
use super::room::Room;
use super::{Cores, GROUP, PATIENCE, cpu_ns, monotonic_ns, pin};
use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wirebook::cli::RunArgs;
use wirebook::commands;
use wirebook_shm::SegmentView;
use wirebook_shm::names;

/// How long its records must stand still until all that was sent has come.
const QUIET: Duration = Duration::from_millis(200);
/// Between two looks at its records.
const LOOK: Duration = Duration::from_millis(2);

/// How the appliance is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// `xdp` or `socket`.
    pub source: &'a str,
    /// Where the books are.
    pub handlers: Handlers,
    /// `spin`, `spin-then-yield`, `poll` or `sleep`, of worker and shard.
    pub idle: &'a str,
    /// Whether readers that sleep are woken.
    pub wakes_readers: bool,
    /// More lines for the worker's table, as a user would write them.
    pub worker_options: &'a str,
}

/// Which thread keeps the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handlers {
    /// A shard's, behind a ring.
    Shards,
    /// The worker's.
    Inline,
}

/// A running appliance.
pub struct Appliance {
    child: Child,
    folder: TempDir,
}

/// How it stood when its records changed last, to two milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    /// Its processor time.
    pub cpu_ns: u64,
    /// The moment, by the monotonic clock.
    pub last_ns: u64,
}

/// What it ended with.
pub struct Summary {
    /// Packets of the market.
    pub packets: u64,
    /// Messages decoded and given to their books.
    pub messages: u64,
    /// Of these, messages about an order that no book holds: lost with a packet before.
    pub unknown_orders: u64,
    /// All that it says.
    pub all: Value,
}

impl Appliance {
    /// Starts it in the room, and waits until packets can be received.
    ///
    /// # Errors
    /// Fails where it does not start, with its own words.
    pub fn start(room: &Room, cores: &Cores, setting: &Setting<'_>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let place = |name: &str| folder.path().join(name);
        fs::write(place("wirebook.toml"), config(room, cores, setting, &place("socket")))?;
        let mut words = vec!["appliance".to_owned(), folder.path().display().to_string()];
        words.extend(cores.receiving().iter().map(usize::to_string));
        let errors = File::create(place("log"))?;
        let child = Child::spawn(room, &words, errors.into())?;
        let mut appliance = Self { child, folder };
        let begun = Instant::now();
        while !appliance.folder.path().join("ready").exists() {
            let goes_on = appliance.child.is_running()? && begun.elapsed() < PATIENCE;
            ensure!(goes_on, "wirebook did not start: {}", appliance.log());
            std::thread::sleep(LOOK);
        }
        Ok(appliance)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where readers get its segment.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Waits until its records stand still, and says when they changed last.
    ///
    /// # Errors
    /// Fails where it is gone.
    pub fn drained(&self) -> anyhow::Result<Drained> {
        let view = SegmentView::connect(&self.socket())?;
        let output = view.observe(&names::output(0))?;
        let (mut shown, mut since) = (output.shown(), Instant::now());
        let look = || Ok(Drained { cpu_ns: cpu_ns(self.id())?, last_ns: monotonic_ns()? });
        let mut drained: nix::Result<_> = look();
        while since.elapsed() < QUIET {
            std::thread::sleep(LOOK);
            if output.shown() != shown {
                (shown, since) = (output.shown(), Instant::now());
                drained = look();
            }
        }
        Ok(drained?)
    }

    /// Stops it, and gives what it says at its end.
    ///
    /// # Errors
    /// Fails where it ended otherwise than cleanly.
    pub fn finish(self) -> anyhow::Result<Summary> {
        kill(Pid::from_raw(self.id().cast_signed()), Signal::SIGTERM)?;
        let log = self.log();
        let said = self.child.finish().with_context(|| log)?;
        let all: Value = serde_json::from_str(&said).context("wirebook's summary")?;
        let count = |found: &Value| found.as_u64().with_context(|| format!("a count in {all}"));
        Ok(Summary {
            packets: count(&all["packets"])?,
            messages: count(&all["messages"])?,
            unknown_orders: count(&all["book_counters"]["unknown_orders"])?,
            all: all.clone(),
        })
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Is the appliance, on these cores, from what [`Appliance::start`] has put into `folder`.
///
/// # Errors
/// Those of `wirebook run`.
pub fn run(folder: &Path, cores: &[usize]) -> anyhow::Result<ExitCode> {
    pin(0, cores)?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    wirebook::log::init(None);
    commands::run::run(&RunArgs {
        config: folder.join("wirebook.toml"),
        check: false,
        json: true,
        watch: None,
        until_end_of_session: false,
        ready_file: Some(folder.join("ready")),
    })
}

fn config(room: &Room, cores: &Cores, setting: &Setting<'_>, socket: &Path) -> String {
    let Setting { source, handlers, idle, wakes_readers, worker_options } = setting;
    let Cores { worker, shard, .. } = cores;
    let (interface, group, port) = (&room.rx, GROUP.ip(), GROUP.port());
    let mode = if *source == "xdp" { "xdp_mode = \"native\"\n" } else { "" };
    let (handlers, shards) = match handlers {
        Handlers::Shards => ("shards", format!("[[shard]]\ncore = {shard}\nidle = \"{idle}\"\n")),
        Handlers::Inline => ("inline", String::new()),
    };
    format!(
        "handlers = \"{handlers}\"\n[segment]\nsocket = {socket:?}\nwake_readers = {wakes_readers}\n\
         [limits]\norders = 1048576\nlevels = 262144\n\
         [[worker]]\nname = \"w0\"\ncore = {worker}\nidle = \"{idle}\"\nsource = \"{source}\"\n{mode}\
         interface = [{{ name = \"{interface}\" }}]\n{worker_options}\n\
         {shards}\
         [[channel]]\nname = \"market\"\nprotocol = \"itch50\"\nworker = \"w0\"\n\
         date = \"2026-01-05\"\n\
         line = [{{ name = \"A\", interface = \"{interface}\", group = \"{group}\", port = {port} }}]\n\
         # There is no other line to wait for, and no server to ask.\n\
         recovery = {{ reorder_wait_us = 1 }}\n"
    )
}
