//! The appliance's configuration: one TOML file, checked as a whole before anything starts.
//!
//! Arrives: the file's text. Leaves: a [`Config`] whose references hold (each channel's worker
//! exists, no line is named twice, …). Promises: every mistake is named with what was expected
//! and what was found; an unknown key is a mistake.

mod changes;
mod intake;
mod log;
mod metrics;
mod mistakes;
mod numbers;
mod rights;
mod supervision;

pub use self::changes::Numbers;
pub use self::intake::IntakeConfig;
pub use self::log::LogConfig;
pub use self::metrics::MetricsConfig;
pub(crate) use self::mistakes::mistake_in_slots;
pub use self::rights::{RightsConfig, Seccomp};
pub use self::supervision::{CheckConfig, MachinesConfig, SupervisionConfig};
use crate::published::Published;
use crate::recorder::RecordConfig;
use crate::recovery::config::RecoveryConfig;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use wirebook_machine::{Books, Limits, LimitsError};
use wirebook_shm::PageKind;
use wirebook_wire::Protocol;
use wirebook_xdp::{LineKey, Vlan};

/// Redundant copies of one channel; venues send two.
pub const LINES_MAX: usize = 8;

/// The whole configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The appliance's name, used for its socket.
    #[serde(default = "default_name")]
    pub name: String,
    /// The shared-memory segment.
    #[serde(default)]
    pub segment: SegmentConfig,
    /// What each shard has room for.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Which books are checked against a plain model as they change.
    #[serde(default)]
    pub check: CheckConfig,
    /// What stands behind each book.
    #[serde(default)]
    pub machines: MachinesConfig,
    /// What is written to disk; absent, nothing.
    pub record: Option<RecordConfig>,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
    /// How interfaces are waited for.
    #[serde(default)]
    pub intake: IntakeConfig,
    /// When a thread is said to stand.
    #[serde(default)]
    pub supervision: SupervisionConfig,
    /// What the tools that watch are told.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// What is given up once everything is set up.
    #[serde(default)]
    pub rights: RightsConfig,
    /// On which threads books are kept.
    #[serde(default)]
    pub handlers: Handlers,
    /// Threads that receive and decode.
    #[serde(rename = "worker")]
    pub workers: Vec<WorkerConfig>,
    /// Threads that own the books; none where `handlers` is `"inline"`.
    #[serde(rename = "shard", default)]
    pub shards: Vec<ShardConfig>,
    /// The venues' numbered streams.
    #[serde(rename = "channel")]
    pub channels: Vec<ChannelConfig>,
}

/// The shared-memory segment.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// The pages on which it lies.
    pub hugepages: HugePagesConfig,
    /// Slots of the ring from a worker to a shard; a power of two.
    #[schemars(range(min = 64))]
    pub mailbox_slots: usize,
    /// Slots of a shard's output ring; a power of two.
    #[schemars(range(min = 64))]
    pub output_slots: usize,
    /// The schemas that readers get; absent, all but levels.
    #[schemars(example = ["mbo", "mbp-10", "trades", "status"])]
    pub schemas: Published,
    /// Slots of a shard's refresh ring; a power of two.
    #[schemars(range(min = 64))]
    pub refresh_slots: usize,
    /// Least time from one whole book in the refresh ring to the next, in microseconds.
    pub refresh_us: u64,
    /// Shards wake readers that sleep: one system call a turn in which something was published.
    pub wake_readers: bool,
    /// Where readers get the segment; absent, `/run/wirebook/NAME.sock` where that folder can be
    /// written.
    #[schemars(example = &"/run/wirebook/wirebook.sock")]
    pub socket: Option<PathBuf>,
    /// Who may connect to the socket, as chmod has it: `0660`.
    #[serde(deserialize_with = "mode_by_text")]
    #[schemars(with = "String", regex(pattern = "^0?[0-7]{3}$"), extend("default" = "0660"))]
    pub socket_mode: u32,
    /// The group of the socket, by name or number; absent, the process's own.
    #[schemars(example = &"traders")]
    pub socket_group: Option<String>,
}

/// Page size of the segment.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
pub enum HugePagesConfig {
    /// 2 MiB pages, ordinary ones with a warning where none can be had.
    #[serde(rename = "2MiB")]
    Size2MiB,
    /// 1 GiB pages, ordinary ones with a warning where none can be had.
    #[serde(rename = "1GiB")]
    Size1GiB,
    /// Ordinary pages.
    #[serde(rename = "none")]
    None,
}

impl From<HugePagesConfig> for PageKind {
    fn from(config: HugePagesConfig) -> Self {
        match config {
            HugePagesConfig::Size2MiB => Self::Huge2M,
            HugePagesConfig::Size1GiB => Self::Huge1G,
            HugePagesConfig::None => Self::Ordinary,
        }
    }
}

/// What each shard has room for. Reaching a limit marks the book and counts.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Instruments of one shard.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub instruments: usize,
    /// Live orders of one shard.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub orders: usize,
    /// Price levels of one shard.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub levels: usize,
    /// What its books keep.
    pub books: BooksKept,
}

/// What books keep of a venue's orders.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BooksKept {
    /// Each order, in the queue of its level; records are of orders.
    #[default]
    Orders,
    /// Price levels alone, for those who need no queue; records are of levels, with `F_MBP`.
    Levels,
}

/// Which threads own the books and the machines behind them.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Handlers {
    /// Shards, each a thread, behind rings: instruments are shared out among them.
    #[default]
    Shards,
    /// The workers: each keeps the books of its own channels, from packet to record on one thread,
    /// and has the output ring and the board of its own number.
    Inline,
}

/// How a thread waits when it has nothing to do.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// Never gives the core away: for isolated cores.
    Spin,
    /// Spins for a while, then yields to other threads of its core.
    #[default]
    SpinThenYield,
    /// Spins for a while, then sleeps: in `poll` until a packet comes (workers), or for a moment
    /// (shards).
    Poll,
    /// Sleeps so at once: where NAPI or other threads share its core.
    Sleep,
}

/// Where a worker's packets come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// AF_XDP sockets, steered by the XDP program.
    #[default]
    Xdp,
    /// Ordinary UDP sockets: for hosts without XDP rights, and as a yardstick.
    Socket,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum XdpMode {
    /// Native, or generic with a warning where the driver cannot.
    #[default]
    Auto,
    /// Native or nothing.
    Native,
    /// Generic.
    Generic,
}

/// One receiving thread.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// Its name, which channels refer to.
    #[schemars(example = &"w0")]
    pub name: String,
    /// The core it is pinned to; absent, it is not pinned.
    #[schemars(example = 2)]
    pub core: Option<usize>,
    /// How it waits.
    #[serde(default)]
    pub idle: Idle,
    /// Where its packets come from.
    #[serde(default)]
    pub source: Source,
    /// The interfaces and queues it polls.
    #[serde(rename = "interface")]
    #[schemars(length(min = 1))]
    pub interfaces: Vec<InterfaceConfig>,
    /// How the XDP program is attached.
    #[serde(default)]
    pub xdp_mode: XdpMode,
    /// Descriptors of each RX and fill ring; a power of two.
    #[serde(default = "default_ring_size")]
    #[schemars(range(min = 64, max = 1_048_576))]
    pub ring_size: u32,
}

/// An interface as one worker uses it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct InterfaceConfig {
    /// The kernel's name for it.
    #[schemars(example = &"enp1s0f0")]
    pub name: String,
    /// The receive queues that this worker polls.
    #[serde(default = "default_queues")]
    #[schemars(length(min = 1))]
    pub queues: Vec<u32>,
}

/// One book-keeping thread.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ShardConfig {
    /// The core it is pinned to; absent, it is not pinned.
    #[schemars(example = 3)]
    pub core: Option<usize>,
    /// How it waits.
    #[serde(default)]
    pub idle: Idle,
}

/// One independently numbered stream of a venue.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Its name, for logs and counters.
    #[schemars(example = &"totalview")]
    pub name: String,
    /// The venue protocol.
    #[serde(deserialize_with = "protocol_by_name")]
    #[schemars(with = "String", extend("enum" = Protocol::ALL.map(Protocol::name)), example = &"itch50")]
    pub protocol: Protocol,
    /// The worker that receives all its lines.
    #[schemars(example = &"w0")]
    pub worker: String,
    /// Publisher id of its DBN records; absent, the protocol's own.
    #[schemars(example = 2)]
    pub publisher_id: Option<u16>,
    /// The venue's day (YYYY-MM-DD), for a session that is played on another; absent, today.
    #[serde(default, deserialize_with = "date_by_text")]
    #[schemars(with = "Option<String>", extend("format" = "date"), example = &"2026-11-23")]
    pub date: Option<Date>,
    /// How its gaps are healed.
    #[serde(default)]
    pub recovery: RecoveryConfig,
    /// Its redundant multicast copies.
    #[serde(rename = "line")]
    #[schemars(length(min = 1, max = LINES_MAX))]
    pub lines: Vec<LineConfig>,
    /// The appliance's number for it, from 0 in the order of the file; a reload keeps it.
    #[serde(skip)]
    pub number: u8,
}

/// One multicast copy of a channel.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LineConfig {
    /// `A`, `B`, …
    #[schemars(example = &"A")]
    pub name: String,
    /// The interface on which to join the group.
    #[schemars(example = &"enp1s0f0")]
    pub interface: String,
    /// The multicast group.
    #[schemars(example = &"233.252.0.1")]
    pub group: Ipv4Addr,
    /// The UDP port.
    #[schemars(range(min = 1), example = 26_477)]
    pub port: u16,
    /// The sender to join, where the join is to be source-specific.
    #[schemars(example = &"192.0.2.10")]
    pub source: Option<Ipv4Addr>,
    /// The VLAN tags that the packets carry, the outer one first where there are two; empty for
    /// none. Absent, any.
    #[schemars(length(max = 2), inner(range(min = 1, max = 4_094)), example = [141])]
    pub vlan: Option<Vec<u16>>,
    /// Its number among all lines, from 0 in the order of the file: what the steering program writes
    /// into its packets. A reload keeps it.
    #[serde(skip)]
    pub number: u16,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        Self {
            hugepages: HugePagesConfig::Size2MiB,
            mailbox_slots: 1 << 16,
            output_slots: 1 << 16,
            schemas: Published::default(),
            refresh_slots: 1 << 17,
            refresh_us: 50,
            wake_readers: false,
            socket: None,
            socket_mode: 0o660,
            socket_group: None,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { instruments: 1 << 14, orders: 1 << 21, levels: 1 << 19, books: BooksKept::Orders }
    }
}

impl BooksKept {
    /// Books that keep so much, with room for `limits`.
    ///
    /// # Errors
    /// Fails where the memory for the limits cannot be had.
    pub fn new_books(self, limits: Limits) -> Result<Books, LimitsError> {
        match self {
            Self::Orders => Books::new(limits),
            Self::Levels => Books::of_levels(limits),
        }
    }
}

impl From<LimitsConfig> for Limits {
    fn from(config: LimitsConfig) -> Self {
        let LimitsConfig { instruments, orders, levels, .. } = config;
        Self { instruments, orders, levels }
    }
}

fn default_name() -> String {
    "wirebook".into()
}

fn default_ring_size() -> u32 {
    16_384
}

fn default_queues() -> Vec<u32> {
    vec![0]
}

fn date_by_text<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Date>, D::Error> {
    String::deserialize(input)?.parse().map(Some).map_err(serde::de::Error::custom)
}

fn mode_by_text<'de, D: serde::Deserializer<'de>>(input: D) -> Result<u32, D::Error> {
    let text = String::deserialize(input)?;
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(serde::de::Error::custom(format!(
            "expected a mode from \"0000\" to \"0777\", found {text:?}"
        ))),
    }
}

fn protocol_by_name<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Protocol, D::Error> {
    String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is no configuration.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected there.
        source: toml::de::Error,
    },
    /// The parts do not fit together.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the first mistake in it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_changed(path, |_| {})
    }

    /// Reads a configuration file, changes it, and checks it.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the first mistake in it.
    pub fn read_changed(path: &Path, change: impl FnOnce(&mut Self)) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::parse_changed(&text, path, change)
    }

    /// Checks a configuration that was read from `path`.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the first mistake in it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_changed(text, path, |_| {})
    }

    fn parse_changed(
        text: &str,
        path: &Path,
        change: impl FnOnce(&mut Self),
    ) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text)
            .map_err(|source| ConfigError::Parse { path: path.into(), source })?;
        change(&mut config);
        config.run_machines_for_schemas();
        match config.mistake() {
            None => {
                config.number();
                Ok(config)
            }
            Some(reason) => Err(ConfigError::Invalid { path: path.into(), reason }),
        }
    }
}

impl Config {
    /// Whoever asks for a schema asks for the machine that makes it.
    fn run_machines_for_schemas(&mut self) {
        for machine in self.segment.schemas.machines() {
            if !self.machines.run.iter().any(|running| running == machine) {
                self.machines.run.push(machine.to_owned());
            }
        }
    }
}

impl LineConfig {
    /// What the steering program matches.
    pub fn key(&self) -> LineKey {
        let vlan = match self.vlan.as_deref() {
            None => Vlan::Any,
            Some(&[id]) => Vlan::Tagged(id),
            Some(&[outer, inner, ..]) => Vlan::Double { outer, inner },
            Some([]) => Vlan::Untagged,
        };
        LineKey { group: self.group, port: self.port, vlan }
    }
}
