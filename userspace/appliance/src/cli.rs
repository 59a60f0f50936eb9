//! The command line: what each command takes.

use crate::exchange::{FaultArgs, SendBy, ServerArgs};
use crate::host::CpuSet;
use crate::log::Format;
use crate::tune::Napi;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use wirebook_machine::Limits;
use wirebook_wire::Protocol;

/// The socket of an appliance without a name of its own.
const SOCKET: &str = "/run/wirebook/wirebook.sock";

/// From wire to book: an AF_XDP market-data appliance.
#[derive(Debug, Parser)]
#[command(name = "wirebook", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How the log is written; absent, as the configuration says, or to the journal where standard
    /// error is connected to it.
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<Format>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the appliance: packets from the wire become books in shared memory.
    Run(RunArgs),
    /// Run the appliance and write its records, and packets where asked, to disk.
    Record(RecordArgs),
    /// Send files, or a recording, through the same decode, route and book path; needs no privileges.
    Replay(ReplayArgs),
    /// Turn files into a DBN file of order-by-order records.
    Convert(ConvertArgs),
    /// Print one JSON line a venue message, fields named as the venue names them.
    Decode(DecodeArgs),
    /// Find the lines in captures and print a configuration for them.
    Lines(LinesArgs),
    /// Play a market: generated from a seed, or a capture, onto an interface or into a file.
    Sim(Box<SimArgs>),
    /// Print the records of a running appliance as they are published.
    Tail(TailArgs),
    /// Show a book of a running appliance, live.
    Book(BookArgs),
    /// Show what a running appliance counts, and how long its stages take.
    Counters(CountersArgs),
    /// Print what lets a shell complete these commands and their options.
    Completions(CompletionsArgs),
    /// Watch a running appliance on a terminal: lines, channels, stages, busiest books.
    Top(TopArgs),
    /// Tell what on this host will hurt, and the command that mends it.
    Doctor(DoctorArgs),
    /// Set up an interface and its host for the appliance, and put back what was there.
    Tune(TuneArgs),
}

/// `wirebook run`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wirebook run --config wirebook.toml --watch AAPL,MSFT\n\n\
    SIGUSR1 prints the counts and latencies so far; SIGHUP reads the configuration again; SIGINT and \
    SIGTERM stop cleanly.")]
pub struct RunArgs {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration and exit.
    #[arg(long)]
    pub check: bool,
    /// Print one JSON object at exit instead of text.
    #[arg(long)]
    pub json: bool,
    /// Show these books once a second; without symbols, the busiest five.
    #[arg(long, value_name = "SYMBOLS", num_args = 0.., value_delimiter = ',')]
    pub watch: Option<Vec<String>>,
    /// Stop by itself once every channel's session has ended.
    #[arg(long)]
    pub until_end_of_session: bool,
    /// Create this file when packets can be received.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// `wirebook record`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    wirebook record --config wirebook.toml --dir /data/wirebook --packets\n  \
    wirebook replay /data/wirebook --book AAPL\n\n\
    DIR holds each channel's records by the hour (DBN, zstd), snapshots of all books, and packets\n\
    (pcapng). A full disk ends the recording alone. `[record]` in the configuration does the same\n\
    for `wirebook run`.")]
pub struct RecordArgs {
    /// The directory to write into; what is there already is left alone.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Write raw packets too.
    #[arg(long)]
    pub packets: bool,
    /// What `wirebook run` takes.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What the commands that read files have in common.
#[derive(Debug, Args)]
pub struct InputArgs {
    /// Captures (pcap, pcapng), Nasdaq daily files or DBN files, plain, .gz or .zst, in order; to
    /// `replay` also the directory of one recording.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The venue protocol: itch50, iex-deep or iex-tops. DBN files need none.
    #[arg(long)]
    pub protocol: Option<Protocol>,
    /// Take every UDP packet as one channel's, whatever its destination.
    #[arg(long)]
    pub any_destination: bool,
    /// Lines and channels from this configuration instead of from the capture; a replay takes from it,
    /// too, what books keep, and the machines and checks behind them.
    #[arg(long, value_name = "FILE", conflicts_with = "any_destination")]
    pub config: Option<PathBuf>,
    /// The venue's day, where its times count from midnight and the capture's do not tell.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<jiff::civil::Date>,
}

/// `wirebook replay`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    wirebook replay session.pcap.gz --protocol iex-deep --book AAPL --depth 5 --json\n  \
    wirebook replay /data/wirebook --json\n\n\
    A directory is that of `wirebook record`: its newest run is replayed from the newest snapshot\n\
    on, with the shards and limits that it was recorded with.")]
pub struct ReplayArgs {
    /// What to read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Show this book at the end, by symbol or instrument id (may be repeated).
    #[arg(long, value_name = "SYMBOL")]
    pub book: Vec<String>,
    /// Replay a recording from its first record, without its snapshots.
    #[arg(long)]
    pub from_start: bool,
    /// Levels to show of each side.
    #[arg(long, default_value_t = 10)]
    pub depth: usize,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Shards to route to; each book's digest is the same for any number.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub shards: u16,
    /// Put these machines behind each book, in this order: trading-status, ohlcv-1s, …; without
    /// them, those of --config.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub machines: Vec<String>,
    /// Compare these books with a plain model at the end of each event; without them, those of
    /// --config.
    #[arg(long, value_name = "SYMBOLS", value_delimiter = ',')]
    pub shadow: Vec<String>,
    /// What the shard has room for.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Room for books.
#[derive(Clone, Copy, Debug, Args)]
pub struct LimitArgs {
    /// Instruments of each shard.
    #[arg(long, default_value_t = 1 << 14, value_parser = limit)]
    pub instruments_max: usize,
    /// Live orders of each shard.
    #[arg(long, default_value_t = 1 << 21, value_parser = limit)]
    pub orders_max: usize,
    /// Price levels of each shard.
    #[arg(long, default_value_t = 1 << 19, value_parser = limit)]
    pub levels_max: usize,
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
        let LimitArgs { instruments_max, orders_max, levels_max } = args;
        Self { instruments: instruments_max, orders: orders_max, levels: levels_max }
    }
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit) if (1..=1 << 30).contains(&limit) => Ok(limit),
        _ => Err("expected a number from 1 to 2^30".into()),
    }
}

/// `wirebook convert`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    wirebook convert 01302020.NASDAQ_ITCH50.gz --protocol itch50 --date 2020-01-30 -o day.dbn.zst")]
pub struct ConvertArgs {
    /// What to read.
    #[command(flatten)]
    pub input: InputArgs,
    /// The DBN file to write; compressed where its name ends in .zst.
    #[arg(short, long, value_name = "OUT.dbn[.zst]")]
    pub output: PathBuf,
    /// Replace the output file where it exists.
    #[arg(long)]
    pub force: bool,
    /// Which records to write.
    #[arg(long, value_enum, default_value_t = RecordChoice::Mbo)]
    pub records: RecordChoice,
    /// What the shard has room for.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Which records a conversion keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecordChoice {
    /// Order-by-order records alone (schema `mbo`).
    Mbo,
    /// Every record, of all schemas, in order.
    All,
}

/// `wirebook decode`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    wirebook decode session.pcap --protocol itch50 | jq 'select(.type == \"A\")'")]
pub struct DecodeArgs {
    /// What to read.
    #[command(flatten)]
    pub input: InputArgs,
    /// Stop after this many messages.
    #[arg(long)]
    pub limit: Option<u64>,
}

/// `wirebook lines`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    wirebook lines session.pcap --protocol itch50 --interface enp1s0f0 > wirebook.toml")]
pub struct LinesArgs {
    /// Captures of packets, plain, .gz or .zst.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The venue protocol: itch50, iex-deep or iex-tops.
    #[arg(long)]
    pub protocol: Protocol,
    /// The interface on which the same lines will arrive.
    #[arg(long, value_name = "IF")]
    pub interface: String,
}

/// `wirebook tail`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wirebook tail --symbol AAPL,MSFT --schema mbo\n  \
    wirebook tail --format json | jq 'select(.action == \"T\")'\n  \
    wirebook tail --format dbn --output afternoon.dbn")]
pub struct TailArgs {
    /// The appliance's socket.
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// These instruments alone.
    #[arg(long, value_name = "SYMBOLS", value_delimiter = ',')]
    pub symbol: Vec<String>,
    /// Records of these DBN schemas alone: mbo, trades, status, definition, ….
    #[arg(long, value_name = "SCHEMAS", value_delimiter = ',', value_parser = crate::commands::tail::schema)]
    pub schema: Vec<dbn::Schema>,
    /// How to write them.
    #[arg(long, value_enum, default_value_t = TailFormat::Text)]
    pub format: TailFormat,
    /// Write to this file, which is replaced, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Whatever was missed, by a late start or an overrun: withhold an instrument's orders until its
    /// whole book has come, as snapshot records, so that whoever applies them has true books.
    #[arg(long)]
    pub heal: bool,
    /// Begin with the first record of this start that is still there.
    #[arg(long)]
    pub from_start: bool,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Stop when the appliance ends, instead of waiting for its next start.
    #[arg(long)]
    pub until_end: bool,
}

/// How `tail` writes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TailFormat {
    /// One line a record, for people.
    Text,
    /// One JSON line a record.
    Json,
    /// A DBN stream.
    Dbn,
}

/// `wirebook book`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  wirebook book AAPL\n  wirebook book AAPL --once --json")]
pub struct BookArgs {
    /// The instrument.
    pub symbol: String,
    /// The appliance's socket.
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// Show it once and exit.
    #[arg(long)]
    pub once: bool,
    /// Print one JSON object a change.
    #[arg(long)]
    pub json: bool,
    /// Levels to show of each side, at most 10.
    #[arg(long, default_value_t = 10)]
    pub depth: usize,
}

/// `wirebook counters`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  wirebook counters\n  wirebook counters line_ --all\n  \
    wirebook counters --json")]
pub struct CountersArgs {
    /// Only counters with this in their name.
    pub filter: Option<String>,
    /// The appliance's socket.
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// Counters that are 0 too.
    #[arg(long)]
    pub all: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `wirebook completions`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  source <(wirebook completions bash)\n  \
    wirebook completions zsh > ~/.zfunc/_wirebook")]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// `wirebook top`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wirebook top\n  wirebook top --socket /run/wirebook/nasdaq.sock --interval 500ms\n  \
    wirebook top --once\n  wirebook top --json | jq '.channels[] | {channel, state}'\n\n\
    Keys: q quits, p pauses, Tab chooses a pane, the arrows sort and scroll, ? tells more.\n\
    NO_COLOR=1 does without colours. The appliance counts once a second: a shorter interval shows\n\
    no more."
)]
pub struct TopArgs {
    /// The appliance's socket.
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// How often to look: 500ms, 1s, 1m.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Print one look and exit; needs no terminal.
    #[arg(long)]
    pub once: bool,
    /// Print one line of JSON a look; with --once a single one.
    #[arg(long)]
    pub json: bool,
}

/// `wirebook doctor`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wirebook doctor\n  \
    wirebook doctor --config /etc/wirebook/wirebook.toml\n  \
    wirebook doctor --interface enp1s0f0 --json | jq '.findings[] | select(.level == \"fail\")'\n\n\
    It ends with a probe: the steering program is attached to the interface for a moment, and a\n\
    packet is sent through it into packet memory. Attaching may reset a device; where another\n\
    program is attached the probe is left out. Exit status: 0 where nothing fails, 1 where\n\
    something does.")]
pub struct DoctorArgs {
    /// The configuration that is to run here.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Look at this interface (may be repeated); without it, at those of --config.
    #[arg(long, value_name = "IF")]
    pub interface: Vec<String>,
    /// Attach nothing and send nothing.
    #[arg(long)]
    pub no_probe: bool,
    /// How long the probe listens for the configuration's lines.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub listen: f64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A time of a tenth of a second to an hour.
fn interval(text: &str) -> Result<Duration, String> {
    let parts = text.find(|c: char| c.is_ascii_alphabetic()).map(|at| text.split_at(at));
    let unit_s = match parts {
        Some((_, "ms")) => 1e-3,
        Some((_, "s")) => 1.0,
        Some((_, "m")) => 60.0,
        _ => 0.0,
    };
    let number = parts.and_then(|(number, _)| number.trim().parse::<f64>().ok());
    match number.map(|number| number * unit_s) {
        Some(seconds) if (0.1..=3_600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("expected 100ms to 60m, as in 500ms, 1s or 1m, found {text:?}")),
    }
}

/// `wirebook tune`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wirebook tune --interface enp1s0f0 --config /etc/wirebook/wirebook.toml\n  \
    wirebook tune --interface enp1s0f0 --config /etc/wirebook/wirebook.toml --apply\n  \
    wirebook tune --interface enp1s0f0 --undo\n\n\
    Without --apply, --undo or --check it prints what it would do. What was there before is kept in\n\
    --state-dir until --undo, or the next boot, which undoes everything. docs/tuning.md has each\n\
    knob. Exit status: 1 where --check finds a difference, or a change fails.")]
pub struct TuneArgs {
    /// The interface.
    #[arg(long, value_name = "IF")]
    pub interface: String,
    /// The configuration that is to run here; without it, rules, queues, cores and hugepages are
    /// left as they are.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Do it.
    #[arg(long, conflicts_with_all = ["undo", "check"])]
    pub apply: bool,
    /// Put back what was there before the first --apply.
    #[arg(long, conflicts_with = "check")]
    pub undo: bool,
    /// Say whether the host is as it should be.
    #[arg(long)]
    pub check: bool,
    /// Where packets are taken from the device.
    #[arg(long, value_enum, default_value_t)]
    pub napi: Napi,
    /// Longest that the device may wait before it interrupts, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 0)]
    pub rx_usecs: u32,
    /// Cores for the device's interrupts; without it, those of its NUMA node to which no thread of
    /// the configuration is pinned.
    #[arg(long, value_name = "LIST", value_parser = cores)]
    pub irq_cores: Option<CpuSet>,
    /// Where what was there before is kept.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/wirebook/tune")]
    pub state_dir: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `wirebook sim`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    wirebook sim --interface veth0 --seed 7 --messages 1000000 --duration 30\n  \
    wirebook sim --interface veth0 --group-b 239.192.12.112 --loss 0.01 \\\n      \
        --retransmit 10.99.0.1:26500 --glimpse 10.99.0.1:26600 --linger 10 --json\n  \
    wirebook sim --interface enp1s0f0 --send xdp --rate 500000 --json\n  \
    wirebook sim --interface veth0 --flow es.mbo.dbn.zst --rate 20000\n  \
    wirebook sim --capture session.pcap.gz --interface veth0 --speed 20\n  \
    wirebook sim --seed 7 --messages 100000 --write market.pcap")]
pub struct SimArgs {
    /// The interface to send on.
    #[arg(long, value_name = "IF", required_unless_present = "write")]
    pub interface: Option<String>,
    /// Write a pcap file instead of sending.
    #[arg(long, value_name = "FILE.pcap", conflicts_with_all = ["interface", "capture"])]
    pub write: Option<PathBuf>,
    /// How to send.
    #[arg(long, value_enum, default_value_t = SendBy::Frames, conflicts_with = "write")]
    pub send: SendBy,
    /// Play this capture's frames as they are instead of a generated market.
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// Play the flow of these files as a session of this exchange: order-by-order DBN files, told
    /// in ITCH, Nasdaq daily files, or captures of ITCH over MoldUDP64.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["capture", "duration"])]
    pub flow: Option<Vec<PathBuf>>,
    /// Pace: 1 by the flow's own time, 20 twenty times as fast, 0 as fast as the interface takes.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Pace: so many packets a second, whatever the flow's own time.
    #[arg(long, value_name = "PACKETS", value_parser = rate, conflicts_with_all = ["speed", "capture"])]
    pub rate: Option<f64>,
    /// The generated market's seed: the same seed plays the same bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The generated market's instruments.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..))]
    pub instruments: u16,
    /// The generated market's messages.
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// Seconds over which it is spread, 20 for a generated market; 0 sends as fast as the
    /// interface takes.
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Sessions, each a day of its own: the next seed, a new name, sequences from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=99))]
    pub sessions: u8,
    /// A session ends without saying so.
    #[arg(long)]
    pub abrupt: bool,
    /// Multicast group of line A.
    #[arg(long, default_value = "239.192.12.111")]
    pub group: Ipv4Addr,
    /// UDP port of line A.
    #[arg(long, default_value_t = 26_477)]
    pub port: u16,
    /// Multicast group of line B; without it there is only line A.
    #[arg(long, value_name = "GROUP")]
    pub group_b: Option<Ipv4Addr>,
    /// UDP port of line B; that of line A where none is given.
    #[arg(long, value_name = "PORT", requires = "group_b")]
    pub port_b: Option<u16>,
    /// Most messages of a packet.
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub messages_a_packet: u16,
    /// The venue's day, which the digest of all records depends on: today in New York, or
    /// 2026-01-05 for a file.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<jiff::civil::Date>,
    /// Begin at once: leave out the digests of the true books.
    #[arg(long)]
    pub no_digest: bool,
    /// Print one JSON object at the end.
    #[arg(long)]
    pub json: bool,
    /// What goes wrong.
    #[command(flatten)]
    pub faults: FaultArgs,
    /// Retransmission and snapshots.
    #[command(flatten)]
    pub servers: ServerArgs,
}

fn cores(text: &str) -> Result<CpuSet, String> {
    let cores = CpuSet::parse(text);
    match cores.is_empty() || !text.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '-') {
        true => Err("expected cores as in 0-3,8".into()),
        false => Ok(cores),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0 to 3600".into()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if (0.0..=1e9).contains(&speed) => Ok(speed),
        _ => Err("expected a number from 0 to 1e9".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("expected packets a second from 0.001 to 1e9".into()),
    }
}
