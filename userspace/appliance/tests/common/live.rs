//! The program on a wire: an exchange in one network namespace, the appliance in another.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../xdp/tests/common/mod.rs"]
pub(crate) mod net;

use crate::common;
pub(crate) use net::PATIENCE;
use net::{Pair, inside, within};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use tempfile::TempDir;
use wirebook_shm::{SegmentView, names};

/// An exchange's and an appliance's namespace with `links` links of `queues` queues between them:
/// `tx0` to `rx0`, `tx1` to `rx1`.
pub(crate) fn wire(links: usize, queues: usize) -> Option<Pair> {
    let pair = Pair::new(links, queues)?;
    pair.receiving(|| {
        // The exchange's addresses are not of this subnet: ordinary sockets must take them too.
        for interface in ["all".to_owned()].into_iter().chain((0..links).map(|n| format!("rx{n}")))
        {
            fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "0").unwrap();
        }
    });
    Some(pair)
}

/// A worker named `w0` on `rx0` and a shard, which wait in `poll`, with room for small markets.
/// What comes behind it is up to the test: channels, and more of either.
pub(crate) fn config(worker_options: &str) -> String {
    format!("{SMALL}{}[[shard]]\nidle = \"poll\"\n", worker(0, worker_options))
}

/// The same configuration with the books on the workers' threads.
pub(crate) fn inline(config: &str) -> String {
    format!("handlers = \"inline\"\n{}", config.replace("[[shard]]\nidle = \"poll\"\n", ""))
}

/// Little memory, so that many appliances run side by side.
pub(crate) const SMALL: &str = "[segment]\nmailbox_slots = 4096\noutput_slots = 65536\nrefresh_slots = 16384\n\
    [limits]\ninstruments = 16384\norders = 32768\nlevels = 16384\n";

/// A worker named `w<number>` on `rx<number>`.
pub(crate) fn worker(number: usize, options: &str) -> String {
    format!(
        "[[worker]]\nname = \"w{number}\"\nidle = \"poll\"\nring_size = 8192\n\
         interface = [{{ name = \"rx{number}\" }}]\n{options}\n"
    )
}

/// A channel on worker and interface `number`.
pub(crate) fn channel(number: usize, protocol: &str, group: &str, line_options: &str) -> String {
    let (address, port) = group.split_once(':').unwrap();
    let date =
        if protocol == "itch50" { format!("date = \"{}\"\n", common::DATE) } else { String::new() };
    format!(
        "[[channel]]\nname = \"c{number}\"\nprotocol = \"{protocol}\"\nworker = \"w{number}\"\n{date}\
         line = [{{ name = \"A\", interface = \"rx{number}\", group = \"{address}\", \
         port = {port}{line_options} }}]\n"
    )
}

/// What starts the program in its namespace.
#[derive(Default)]
pub(crate) struct Launcher<'a> {
    /// A command that executes the one behind it.
    pub(crate) words: &'a [&'a str],
    /// The user who is to own the program's files.
    pub(crate) user: Option<u32>,
}

impl Launcher<'_> {
    /// The program, in a place that its user can reach.
    fn program(&self, folder: &TempDir) -> PathBuf {
        let program = PathBuf::from(common::command::<&str>(&[]).get_program());
        let Some(user) = self.user else { return program };
        let copy = folder.path().join("wirebook");
        fs::copy(program, &copy).unwrap();
        for entry in fs::read_dir(folder.path()).unwrap().flatten() {
            std::os::unix::fs::chown(entry.path(), Some(user), Some(user)).unwrap();
        }
        std::os::unix::fs::chown(folder.path(), Some(user), Some(user)).unwrap();
        copy
    }
}

/// A running `wirebook run --json`; killed when dropped.
pub(crate) struct Appliance {
    child: Child,
    folder: TempDir,
}

impl Appliance {
    /// Starts the program in the receiving namespace and waits until it is ready.
    pub(crate) fn start(pair: &Pair, config: &str, options: &[&str]) -> Self {
        Self::start_command(pair, "run", config, options)
    }

    /// The same with a command that takes what `wirebook run` takes.
    pub(crate) fn start_command(pair: &Pair, name: &str, config: &str, options: &[&str]) -> Self {
        let mut appliance = Self::spawn_command(pair, name, config, options);
        appliance.await_ready();
        appliance
    }

    /// Waits until packets can be received.
    pub(crate) fn await_ready(&mut self) {
        let up = within(PATIENCE, || self.is_ready() || !self.is_running());
        assert!(up && self.is_ready(), "not ready: {}", self.log());
    }

    /// True once packets can be received.
    pub(crate) fn is_ready(&self) -> bool {
        self.folder.path().join("ready").exists()
    }

    /// Its configuration file, to be written anew.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("wirebook.toml")
    }

    /// Where readers get its segment, if the test names no other place.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Writes another configuration, and sends SIGHUP.
    pub(crate) fn write_and_reload(&self, config: &str) {
        let file = self.config();
        let running = fs::read_to_string(&file).unwrap();
        // The socket stays where it is.
        let socket = running.lines().find(|line| line.starts_with("socket = ")).unwrap();
        let config = config.replacen("[segment]\n", &format!("[segment]\n{socket}\n"), 1);
        fs::write(&file, config).unwrap();
        self.signal(Signal::SIGHUP);
    }

    /// The same, and gives what the appliance says of it.
    pub(crate) fn reload(&self, config: &str) -> String {
        let before = self.log().len();
        self.write_and_reload(config);
        let told = || self.log()[before..].contains("configuration ");
        assert!(within(PATIENCE, told), "{}", self.log());
        self.log()[before..].to_owned()
    }

    /// The same with a configuration that is taken.
    pub(crate) fn reloaded(&self, config: &str) {
        let told = self.reload(config);
        assert!(told.contains("configuration reloaded"), "{told}");
    }

    /// What its segment says of a counter.
    pub(crate) fn counter(&self, name: &str) -> Option<u64> {
        let counters = self.segment().counters(names::COUNTERS).unwrap();
        counters.read().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Starts the program without waiting.
    pub(crate) fn spawn(pair: &Pair, config: &str, options: &[&str]) -> Self {
        Self::spawn_command(pair, "run", config, options)
    }

    /// Starts `wirebook run`, or a command that takes the same, without waiting.
    pub(crate) fn spawn_command(pair: &Pair, name: &str, config: &str, options: &[&str]) -> Self {
        Self::spawn_by(pair, &Launcher::default(), name, config, options)
    }

    /// The same by a launcher.
    pub(crate) fn spawn_by(
        pair: &Pair,
        launcher: &Launcher<'_>,
        name: &str,
        config: &str,
        options: &[&str],
    ) -> Self {
        let folder = common::folder();
        let place = |name: &str| folder.path().join(name);
        let socket = format!("[segment]\nsocket = {:?}\n", place("socket"));
        let config = match config.contains("socket = ") {
            true => config.to_owned(),
            false => config.replacen("[segment]\n", &socket, 1),
        };
        let config = common::write(&folder, "wirebook.toml", config);
        // With the receiving namespace's own /sys, which holds its interfaces' counters.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &pair.receiver]);
        command.args(launcher.words).arg(launcher.program(&folder));
        command.args([name, "--json", "--config"]).arg(config);
        command.arg("--ready-file").arg(place("ready")).args(options);
        command.stdout(File::create(place("out")).unwrap());
        command.stderr(File::create(place("log")).unwrap());
        let child = command.spawn().unwrap();
        Self { child, folder }
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Stops it: [`stop`].
    pub(crate) fn stop(&self) {
        stop(&self.child);
    }

    /// True until it has ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until its workers have counted `packets` packets in all, by asking with SIGUSR1.
    pub(crate) fn await_packets(&self, packets: u64) {
        let counted = || {
            let before = self.log().len();
            self.signal(Signal::SIGUSR1);
            within(PATIENCE, || self.log()[before..].contains("wire→worker"));
            packets_in(&self.log()[before..])
        };
        let mut last = 0;
        let all = within(PATIENCE, || {
            last = counted();
            last >= packets
        });
        assert!(all, "{last} of {packets} packets came; {}", self.log());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        within(PATIENCE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("still running: {}", self.log()))
    }

    /// Waits for its clean end and gives what it printed, which says that nothing was lost.
    pub(crate) fn finish(self) -> Value {
        let summary = self.summary();
        assert_eq!(summary["lost_in_rings"], 0);
        for (cause, count) in summary["drops"].as_object().unwrap() {
            assert_eq!(count, 0, "{cause}");
        }
        summary
    }

    /// Waits for its clean end and gives what it printed, whatever was lost.
    pub(crate) fn summary(mut self) -> Value {
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
        let printed = fs::read_to_string(self.folder.path().join("out")).unwrap();
        serde_json::from_str(&printed).unwrap()
    }

    /// Where its configuration, its socket and what it prints lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How many files and sockets it holds.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Its segment, as another process maps it.
    pub(crate) fn segment(&self) -> SegmentView {
        let descriptors = format!("/proc/{}/fd", self.child.id());
        let is_segment = |path: &PathBuf| {
            fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("memfd:wirebook"))
        };
        let mut paths = fs::read_dir(descriptors).unwrap().flatten().map(|entry| entry.path());
        SegmentView::open(File::open(paths.find(is_segment).unwrap()).unwrap()).unwrap()
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stops a process, and waits until each of its threads stands: the signal alone promises no moment.
pub(crate) fn stop(process: &Child) {
    signal::kill(Pid::from_raw(process.id() as i32), Signal::SIGSTOP).unwrap();
    let stands = |task: fs::DirEntry| {
        // proc_pid_stat(5): the state follows the name, which is in brackets.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('T'))
    };
    let tasks = format!("/proc/{}/task", process.id());
    let all = within(PATIENCE, || fs::read_dir(&tasks).unwrap().flatten().all(stands));
    assert!(all, "process {} goes on", process.id());
}

/// The packets of each worker, as SIGUSR1 prints them.
fn packets_in(log: &str) -> u64 {
    let workers = log.lines().filter(|line| line.starts_with("worker "));
    let packets = |line: &str| {
        let (_, behind) = line.split_once("{ packets: ")?;
        behind.split(',').next()?.parse::<u64>().ok()
    };
    workers.filter_map(packets).sum()
}

/// Plays a simulated market over a second, with the program's own player. Not as fast as the link
/// takes it: a veth pair itself drops what its receiving side has no time for (256 packets of its
/// ring, 1,000 of net.core.netdev_max_backlog), and no counter of ours can know.
pub(crate) fn play(pair: &Pair, link: usize, capture: &Path) -> Value {
    let interface = format!("tx{link}");
    let capture = capture.to_str().unwrap();
    sim(pair, &["--capture", capture, "--interface", &interface, "--speed", "2"])
}

/// Sends frames on `tx0`, no more at once than fit its ring, until the appliance has counted them.
pub(crate) fn send_in_steps(pair: &Pair, appliance: &Appliance, frames: &[Vec<u8>]) {
    let mut sent = 0;
    for step in frames.chunks(250) {
        pair.send(0, step);
        sent += step.len() as u64;
        appliance.await_packets(sent);
    }
}

/// Runs `wirebook sim` in the exchange's namespace.
pub(crate) fn sim(pair: &Pair, options: &[&str]) -> Value {
    let all = [&["sim", "--json"], options].concat();
    let printed = inside(&pair.sender, || common::text(&all));
    serde_json::from_str(&printed).unwrap()
}
