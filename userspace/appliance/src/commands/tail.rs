//! `wirebook tail`: the records of a running appliance, as they are published.
//!
//! Reads the segment as any strategy does, by `wirebook-client`, so the appliance does not know of
//! it. Records go to standard output or a file; overruns and the appliance's end and return go to
//! standard error, never unsaid.

use crate::cli::{TailArgs, TailFormat};
use crate::housekeeping::Stop;
use anyhow::{Context, bail};
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;
use wirebook_client::dbn::encode::dbn::MetadataEncoder;
use wirebook_client::dbn::encode::{EncodeRecordTextExt, json};
use wirebook_client::dbn::{
    MboMsg, Metadata, RType, RecordHeader, RecordRef, SType, Schema, SymbolMappingMsg,
    UNDEF_TIMESTAMP,
};
use wirebook_client::{Directory, Next, Reattached, Records, Session, Wait};
use wirebook_model::ALL_INSTRUMENTS;
use wirebook_model::price::Decimal;

/// How long to wait before looking whether somebody wants a stop.
const LOOK: Duration = Duration::from_millis(100);
/// How often, and how long each time, to wait for a new instrument's cell: its shard shows it at the
/// end of the turn in which its first record was made.
const NAME_TRIES: usize = 20;
const NAME_WAIT: Duration = Duration::from_millis(1);

/// Runs the command until a signal, the count asked for, or, where asked for, the appliance's end.
///
/// # Errors
/// Fails where no appliance answers at the start, or the output cannot be written.
pub fn run(args: &TailArgs) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_signals()?;
    let session = Session::connect(&args.socket)?;
    let mut printer = Printer::new(args)?;
    match follow(args, session, &stop, &mut printer).and_then(|()| printer.flush()) {
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome.map(|()| ExitCode::SUCCESS),
    }
}

fn follow(
    args: &TailArgs,
    mut session: Session,
    stop: &Stop,
    printer: &mut Printer,
) -> anyhow::Result<()> {
    let mut books = session.books()?;
    let mut records = records(args, &session, args.from_start)?;
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 && !stop.is_set() {
        let next = match records.poll() {
            Next::Nothing => {
                printer.flush()?;
                records.next(LOOK)
            }
            found => found,
        };
        match next {
            Next::Record(read) => {
                left -= u64::from(printer.record(read.record, books.directory())?);
            }
            Next::Overrun { shard, missed_slots } => {
                tracing::warn!("overrun: {missed_slots} slots of shard {shard} were missed");
            }
            Next::Nothing => {}
            Next::WriterGone if args.until_end => return Ok(()),
            Next::WriterGone => {
                tracing::warn!("the appliance is gone: waiting for its next start");
                if reattach(&mut session, stop)? == Some(Reattached::NextStart) {
                    books = session.books()?;
                    records = self::records(args, &session, true)?;
                    printer.forget_names();
                    tracing::info!("the appliance is back: epoch {}", session.epoch());
                }
            }
        }
    }
    Ok(())
}

fn records(args: &TailArgs, session: &Session, from_start: bool) -> anyhow::Result<Records> {
    let records = session.records()?.waiting(Wait::Sleep);
    let mut records = if from_start { records.from_start() } else { records };
    if args.heal {
        records.heal()?;
    }
    Ok(records)
}

/// The next start, once there is one; `None` where a stop came first.
fn reattach(session: &mut Session, stop: &Stop) -> anyhow::Result<Option<Reattached>> {
    use wirebook_client::ClientError::HandOff;
    while !stop.is_set() {
        match session.reconnect(LOOK) {
            Ok(reattached) => return Ok(Some(reattached)),
            Err(HandOff(error @ wirebook_shm::handoff::HandOffError::AbiVersion { .. })) => {
                return Err(error.into());
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Picks records and writes them.
struct Printer {
    out: BufWriter<Box<dyn Write>>,
    format: TailFormat,
    symbols: HashSet<String>,
    schemas: Vec<u8>,
    /// Instruments whose names a DBN reader has been told.
    told: HashSet<(u16, u32)>,
    /// Instruments whose names have been waited for in vain.
    nameless: HashSet<(u16, u32)>,
}

impl Printer {
    fn new(args: &TailArgs) -> anyhow::Result<Self> {
        let out: Box<dyn Write> = match &args.output {
            Some(path) => Box::new(File::create(path).with_context(|| path.display().to_string())?),
            None if args.format == TailFormat::Dbn
                && io::IsTerminal::is_terminal(&io::stdout()) =>
            {
                bail!("DBN is no text: name a file with --output, or a pipe");
            }
            None => Box::new(io::stdout()),
        };
        let mut out = BufWriter::new(out);
        if args.format == TailFormat::Dbn {
            MetadataEncoder::new(&mut out).encode(&metadata())?;
        }
        let schemas = args.schema.iter().map(|schema| RType::from(*schema) as u8).collect();
        let symbols = args.symbol.iter().cloned().collect();
        let (told, nameless) = (HashSet::new(), HashSet::new());
        Ok(Self { out, format: args.format, symbols, schemas, told, nameless })
    }

    /// Writes the record where it is wanted; whether it was.
    fn record(&mut self, record: RecordRef<'_>, directory: &mut Directory) -> anyhow::Result<bool> {
        let header = record.header();
        if !self.schemas.is_empty() && !self.schemas.contains(&header.rtype) {
            return Ok(false);
        }
        let symbol = self.symbol(header, directory).unwrap_or_default();
        if !self.symbols.is_empty() && !self.symbols.contains(&symbol) {
            return Ok(false);
        }
        match self.format {
            TailFormat::Text => self.text(record, &symbol)?,
            TailFormat::Json => json::Encoder::builder(&mut self.out)
                .use_pretty_px(true)
                .use_pretty_ts(true)
                .build()
                .encode_ref_with_sym(record, Some(&symbol))?,
            TailFormat::Dbn => {
                if !symbol.is_empty() && self.told.insert(key(header)) {
                    self.out.write_all(RecordRef::from(&mapping(header, &symbol)?).as_ref())?;
                }
                self.out.write_all(record.as_ref())?;
            }
        }
        Ok(true)
    }

    /// The symbol of a record's instrument. One so new that the board does not show it yet is waited
    /// for, once.
    fn symbol(&mut self, header: &RecordHeader, directory: &mut Directory) -> Option<String> {
        if header.instrument_id == ALL_INSTRUMENTS {
            return None;
        }
        for _ in 0..NAME_TRIES {
            if let Some(found) = directory.of(header).filter(|found| !found.symbol.is_empty()) {
                return Some(found.symbol.clone());
            }
            if self.nameless.contains(&key(header)) {
                return None;
            }
            std::thread::sleep(NAME_WAIT);
        }
        self.nameless.insert(key(header));
        None
    }

    fn forget_names(&mut self) {
        self.told.clear();
        self.nameless.clear();
    }

    fn text(&mut self, record: RecordRef<'_>, symbol: &str) -> io::Result<()> {
        let Some(mbo) = record.get::<MboMsg>() else {
            return writeln!(self.out, "{symbol} {record:?}");
        };
        writeln!(
            self.out,
            "{} {symbol:<8} {} {} {:>10} @ {:<12} order {} sequence {}",
            mbo.ts_recv,
            mbo.action as u8 as char,
            mbo.side as u8 as char,
            mbo.size,
            Decimal(mbo.price).to_string(),
            mbo.order_id,
            mbo.sequence,
        )
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }
}

fn key(header: &RecordHeader) -> (u16, u32) {
    (header.publisher_id, header.instrument_id)
}

/// A live stream's: of all schemas, without an end; symbols come as records.
fn metadata() -> Metadata {
    Metadata::builder()
        .dataset(String::new())
        .schema(None)
        .start(0)
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .build()
}

fn mapping(header: &RecordHeader, symbol: &str) -> anyhow::Result<SymbolMappingMsg> {
    let id = header.instrument_id;
    let number = id.to_string();
    let (input, output) = (SType::RawSymbol, SType::InstrumentId);
    let (start, end) = (header.ts_event, UNDEF_TIMESTAMP);
    let message =
        SymbolMappingMsg::new(id, header.ts_event, input, symbol, output, &number, start, end)?;
    Ok(message)
}

/// A schema by its DBN name.
///
/// # Errors
/// Names what was expected.
pub fn schema(text: &str) -> Result<Schema, String> {
    text.parse().map_err(|_| format!("expected a DBN schema, as mbo or trades, found {text:?}"))
}
