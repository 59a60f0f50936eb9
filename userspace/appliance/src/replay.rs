//! Files through the whole path, on one thread.
//!
//! Arrives: captures, daily files or recordings, in order. Leaves: the books and whatever the
//! sinks made of the records. The worker, the router and the shards are those of a live run; only
//! the ring between them is left out, so a replay's digest is the live one's.
//!
//! Counts, in [`InputCounters`], what was wrong with the files themselves.

use crate::capture::{self, Capture, CaptureError, CaptureKind, DbnEvents, Item, LineFinder};
use crate::cli::{InputArgs, LimitArgs};
use crate::config::{BooksKept, CheckConfig, Config, MachinesConfig};
use crate::lines::{ChannelSpec, Lines};
use crate::machines::MachineKinds;
use crate::report::ChannelReport;
use crate::router::Router;
use crate::self_check::SelfCheck;
use crate::shard::{Ahead, Shard};
use crate::worker::{Worker, WorkerCounters};
use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wirebook_model::RecordSink;
use wirebook_wire::Protocol;

/// What was wrong with the input files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InputCounters {
    /// Files that end within an item; what stands before the cut was used.
    pub truncated_files: u64,
    /// Files with a damaged place; what stands before it was used.
    pub damaged_files: u64,
    /// Packets that the capture did not keep whole.
    pub short_packets: u64,
    /// DBN records of schemas that say nothing to a book.
    pub skipped_records: u64,
    /// DBN records that contradict their format.
    pub malformed_records: u64,
}

/// What the books of a replay keep, and what stands behind and beside them.
#[derive(Default)]
pub struct Behind {
    /// The machines that can be named.
    pub kinds: MachineKinds,
    /// Those that are, and how they are kept.
    pub machines: MachinesConfig,
    /// The books that are checked against a model.
    pub check: CheckConfig,
    /// What the books keep.
    pub books: BooksKept,
}

/// What a replay ends with.
pub struct Replayed<S> {
    /// The shards with their books, in order.
    pub shards: Vec<Shard<S>>,
    /// What the worker counted.
    pub worker: WorkerCounters,
    /// What each channel counted.
    pub channels: Vec<ChannelReport>,
    /// What was wrong with the files.
    pub input: InputCounters,
}

/// A replay that is under way.
pub struct Replay<S> {
    path: DecodePath<S>,
    input: InputCounters,
}

enum DecodePath<S> {
    Packets(Box<Worker<Ahead<S>>>),
    Records { router: Box<Router<Ahead<S>>>, counters: WorkerCounters },
}

impl<S: RecordSink> Replay<S> {
    /// Sends all files of `input` through, to one shard a sink.
    ///
    /// # Errors
    /// Fails where a file cannot be opened, the files do not go together, or memory is short. A
    /// file that is cut or damaged on the way is no failure but counted, and said on the log.
    pub fn run(
        input: &InputArgs,
        limits: LimitArgs,
        sinks: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Replayed<S>> {
        Self::with(input, limits, &Behind::default(), sinks)
    }

    /// The same, with machines behind the books and models beside them.
    ///
    /// # Errors
    /// As [`Replay::run`], and for the name of a machine that nobody knows.
    pub fn with(
        input: &InputArgs,
        limits: LimitArgs,
        behind: &Behind,
        sinks: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Replayed<S>> {
        let kind = kind_of_all(&input.files)?;
        let channels = Channels::find(input, kind)?;
        let shards = sinks
            .into_iter()
            .map(|sink| new_shard(limits, channels.specs(), behind, sink).map(Ahead::new))
            .collect::<Result<_, _>>()?;
        let mut router = Router::new(shards);
        if !behind.kinds.are_none(&behind.machines) {
            router = router.with_intervals(behind.machines.interval_ns());
        }
        let path = match channels {
            Channels::Packets(lines) => {
                DecodePath::Packets(Box::new(Worker::new(lines, limits.instruments_max, router)?))
            }
            Channels::Records(_) => DecodePath::Records {
                router: Box::new(router),
                counters: WorkerCounters::default(),
            },
        };
        let mut replay = Self { path, input: InputCounters::default() };
        for file in &input.files {
            replay.file(file)?;
        }
        Ok(replay.finish())
    }

    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut capture = capture::open(path)?;
        let bar = Bar::new(path, &capture);
        let taken = match &mut self.path {
            DecodePath::Packets(worker) => {
                take_packets(&mut capture, worker, &mut self.input, &bar)
            }
            DecodePath::Records { router, counters } => {
                take_records(&mut capture, router, counters, &mut self.input, &bar)
            }
        };
        bar.finish();
        if let Err(error) = taken {
            let counter = match error.is_truncated() {
                true => &mut self.input.truncated_files,
                false => &mut self.input.damaged_files,
            };
            *counter += 1;
            tracing::warn!("{}: {error}; what stands before it was used", path.display());
        }
        Ok(())
    }

    fn finish(self) -> Replayed<S> {
        let (shards, worker, channels): (Vec<_>, _, _) = match self.path {
            DecodePath::Packets(mut worker) => {
                worker.give_up_waiting();
                let (counters, channels) = (worker.counters(), worker.channels().collect());
                (worker.into_mailboxes().collect(), counters, channels)
            }
            DecodePath::Records { router, counters } => {
                (router.into_mailboxes().collect(), counters, Vec::new())
            }
        };
        let shards = shards.into_iter().map(Ahead::into_shard).collect();
        Replayed { shards, worker, channels, input: self.input }
    }
}

fn take_packets<S: RecordSink>(
    capture: &mut Capture,
    worker: &mut Worker<Ahead<S>>,
    counters: &mut InputCounters,
    bar: &Bar,
) -> Result<(), CaptureError> {
    while let Some(item) = capture.next()? {
        match item {
            Item::Packet { ts_recv, bytes, captured_short } => {
                counters.short_packets += u64::from(captured_short);
                worker.frame(bytes, ts_recv, 0);
            }
            Item::Message { bytes } => worker.message(bytes),
            Item::Record(_) => counters.skipped_records += 1,
        }
        bar.tick(capture);
    }
    Ok(())
}

fn take_records<S: RecordSink>(
    capture: &mut Capture,
    router: &mut Router<Ahead<S>>,
    worker: &mut WorkerCounters,
    counters: &mut InputCounters,
    bar: &Bar,
) -> Result<(), CaptureError> {
    let Some(metadata) = capture.metadata() else { return Ok(()) };
    let mut events = DbnEvents::new(0, metadata);
    let taken = loop {
        match capture.next() {
            Ok(Some(Item::Record(record))) => {
                worker.messages += 1;
                events.record(record, router);
            }
            Ok(Some(_)) => counters.skipped_records += 1,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        bar.tick(capture);
    };
    counters.skipped_records += events.skipped_records();
    counters.malformed_records += events.malformed_records();
    taken
}

fn new_shard<S: RecordSink>(
    limits: LimitArgs,
    specs: &[ChannelSpec],
    behind: &Behind,
    sink: S,
) -> anyhow::Result<Shard<S>> {
    let machines = behind.kinds.chain(&behind.machines, limits.instruments_max)?;
    let books = behind.books.new_books(limits.into())?;
    let mut shard = Shard::over(books, sink)
        .with_machines(machines)
        .with_check(SelfCheck::new(behind.check.shadow.clone()));
    for spec in specs {
        shard.set_channel(spec);
    }
    Ok(shard)
}

/// The channels of the input.
pub enum Channels {
    /// Packets or messages, by their lines.
    Packets(Lines),
    /// A recording's one channel.
    Records([ChannelSpec; 1]),
}

impl Channels {
    /// Finds them: from the configuration named, or from the first pass over a capture.
    ///
    /// # Errors
    /// Fails where the options do not tell enough, or a file or the configuration cannot be read.
    pub fn find(input: &InputArgs, kind: CaptureKind) -> anyhow::Result<Self> {
        if let Some(config) = &input.config {
            return Ok(Self::Packets(Lines::of_config(&Config::read(config)?, None)));
        }
        if kind == CaptureKind::Records {
            return Ok(Self::Records([recording_spec(&input.files[0])?]));
        }
        let protocol = match (input.protocol, kind) {
            (Some(protocol), _) => protocol,
            (None, CaptureKind::Messages) => Protocol::Itch50,
            (None, _) => bail!("expected --protocol itch50, iex-deep or iex-tops, found none"),
        };
        let date = input.date.or_else(|| date_in_name(&input.files));
        let spec = ChannelSpec { date, ..ChannelSpec::of_protocol(protocol) };
        Ok(Self::Packets(match kind {
            CaptureKind::Messages => {
                if date.is_none() {
                    tracing::warn!("no date in the file's name and no --date: taking 1970-01-01");
                }
                Lines::any_destination(ChannelSpec { date: date.or(Some(EPOCH)), ..spec })
            }
            _ if input.any_destination => Lines::any_destination(spec),
            _ => find_lines(&input.files, spec)?,
        }))
    }

    /// The channels as their shards need to know them.
    pub fn specs(&self) -> &[ChannelSpec] {
        match self {
            Self::Packets(lines) => lines.channels(),
            Self::Records(spec) => spec,
        }
    }
}

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

/// What all files hold; they are one input, so it must be the same.
///
/// # Errors
/// Fails where a file cannot be opened or two kinds are mixed.
pub fn kind_of_all(files: &[PathBuf]) -> anyhow::Result<CaptureKind> {
    let mut kinds = files.iter().map(|path| anyhow::Ok((path, capture::open(path)?.kind())));
    let Some(first) = kinds.next() else { bail!("expected a file, found none") };
    let (first_path, kind) = first?;
    for other in kinds {
        let (path, found) = other?;
        if found != kind {
            bail!(
                "{} holds {}, {} holds {}: replay them one by one",
                first_path.display(),
                kind.name(),
                path.display(),
                found.name()
            );
        }
    }
    Ok(kind)
}

fn find_lines(files: &[PathBuf], spec: ChannelSpec) -> anyhow::Result<Lines> {
    let mut finder = LineFinder::new(spec.protocol);
    for path in files {
        // Where the file is damaged the replay ends too, and counts it.
        let _ = finder.read(&mut capture::open(path)?);
    }
    let found = finder.into_channels();
    if found.len() > 1 + usize::from(u8::MAX) {
        bail!("expected at most 256 channels, found {}", found.len());
    }
    if found.is_empty() {
        tracing::warn!(
            "no line of {} found; captures whose addresses were wiped need --any-destination",
            spec.protocol
        );
    }
    Ok(Lines::of_capture(&found, spec))
}

fn date_in_name(files: &[PathBuf]) -> Option<jiff::civil::Date> {
    files.iter().find_map(|path| capture::open(path).ok()?.date())
}

/// The channel of a recording: its publisher is that of its first record.
fn recording_spec(path: &Path) -> anyhow::Result<ChannelSpec> {
    let mut capture = capture::open(path)?;
    let publisher_id = match capture.next() {
        Ok(Some(Item::Record(record))) => record.header().publisher_id,
        _ => 0,
    };
    Ok(ChannelSpec { publisher_id, ..ChannelSpec::of_protocol(Protocol::Itch50) })
}

/// A progress bar on a terminal, for files that take a while.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar for a capture that has just been opened.
    pub fn new(path: &Path, capture: &Capture) -> Self {
        let (_, total_bytes) = capture.position();
        let bar = ProgressBar::new(total_bytes);
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        // Drawn from its own thread, so that the loop over packets never formats or writes.
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Moves the bar to where the capture is.
    #[inline]
    pub fn tick(&self, capture: &Capture) {
        let (read_bytes, _) = capture.position();
        if read_bytes != self.bar.position() {
            self.bar.set_position(read_bytes);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
