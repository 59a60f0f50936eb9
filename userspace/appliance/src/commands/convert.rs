//! `wirebook convert`: files to one DBN file.
//!
//! A DBN file begins with its symbols and its range of time, which are known at the end only. So
//! the input is sent through twice: the first pass finds those, the second writes. The output
//! appears under its name only when it is whole.

use crate::capture::{self, CaptureKind};
use crate::cli::{ConvertArgs, RecordChoice};
use crate::lines;
use crate::replay::{InputCounters, Replay, kind_of_all};
use anyhow::{Context, bail};
use dbn::encode::dbn::MetadataEncoder;
use dbn::{
    MappingInterval, Metadata, Record, RecordRef, SType, Schema, SymbolMapping, UNDEF_TIMESTAMP,
    rtype,
};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use time::{Date, OffsetDateTime};
use wirebook_machine::Books;
use wirebook_model::RecordSink;
use wirebook_wire::Protocol;

/// The compression level of the zstd library's own default.
const ZSTD_LEVEL: i32 = 0;

/// Runs the command; exit status 1 where an input file was damaged.
///
/// # Errors
/// Fails where the input cannot be read or the output not be written.
pub fn run(args: &ConvertArgs) -> anyhow::Result<ExitCode> {
    if args.output.exists() && !args.force {
        bail!("{} exists: name another file, or pass --force", args.output.display());
    }
    let ranged = Replay::run(&args.input, args.limits, [TimeRange::new(args.records)])?;
    let metadata = metadata(args, ranged)?;

    let partial = Partial::create(&args.output)?;
    let writer = RecordWriter::new(partial.file()?, &args.output, args.records, &metadata)?;
    let mut written = Replay::run(&args.input, args.limits, [writer])?;
    let mut count = 0;
    for shard in written.shards.drain(..) {
        count += shard.into_parts().1.finish().context("cannot write the output")?;
    }
    partial.keep(&args.output)?;
    println!("{}: {count} records", args.output.display());
    let InputCounters { damaged_files, .. } = written.input;
    Ok(if damaged_files == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a conversion keeps a record.
fn keeps(choice: RecordChoice, record: &RecordRef<'_>) -> bool {
    choice == RecordChoice::All || record.header().rtype == rtype::MBO
}

/// The first pass: from when to when.
struct TimeRange {
    choice: RecordChoice,
    first: u64,
    last: u64,
}

impl TimeRange {
    fn new(choice: RecordChoice) -> Self {
        Self { choice, first: u64::MAX, last: 0 }
    }
}

impl RecordSink for TimeRange {
    fn record(&mut self, record: RecordRef<'_>) {
        let ts = record.raw_index_ts();
        if keeps(self.choice, &record) && ts != UNDEF_TIMESTAMP {
            self.first = self.first.min(ts);
            self.last = self.last.max(ts);
        }
    }
}

fn metadata(
    args: &ConvertArgs,
    ranged: crate::replay::Replayed<TimeRange>,
) -> anyhow::Result<Metadata> {
    let Some(shard) = ranged.shards.into_iter().next() else { bail!("expected one shard") };
    let (books, TimeRange { first, last, .. }) = shard.into_parts();
    let start = if first == u64::MAX { 0 } else { first };
    let mappings = mappings(&books, date_of(start)?, date_of(last.max(start))?)?;
    let schema = match args.records {
        RecordChoice::Mbo => Some(Schema::Mbo),
        RecordChoice::All => None,
    };
    Ok(Metadata::builder()
        .dataset(dataset(args)?)
        .schema(schema)
        .start(start)
        .end(NonZeroU64::new(last.saturating_add(1)))
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .symbols(mappings.iter().map(|mapping| mapping.raw_symbol.clone()).collect())
        .mappings(mappings)
        .build())
}

fn mappings(books: &Books, start: Date, end: Date) -> anyhow::Result<Vec<SymbolMapping>> {
    let end = end.next_day().context("expected a time before the year 10000")?;
    let mut named: Vec<_> = books.iter().filter(|book| !book.symbol().is_empty()).collect();
    named.sort_by_key(|book| (book.symbol(), book.instrument_id()));
    let mapping = |book: wirebook_machine::Book<'_>| SymbolMapping {
        raw_symbol: book.symbol().to_string(),
        intervals: vec![MappingInterval {
            start_date: start,
            end_date: end,
            symbol: book.instrument_id().to_string(),
        }],
    };
    Ok(named.into_iter().map(mapping).collect())
}

fn date_of(ts: u64) -> anyhow::Result<Date> {
    Ok(OffsetDateTime::from_unix_timestamp_nanos(i128::from(ts))?.date())
}

/// The DBN dataset: a recording's own, or the venue's.
fn dataset(args: &ConvertArgs) -> anyhow::Result<String> {
    if kind_of_all(&args.input.files)? == CaptureKind::Records {
        let capture = capture::open(&args.input.files[0])?;
        return Ok(capture.metadata().map(|found| found.dataset.clone()).unwrap_or_default());
    }
    Ok(lines::dataset(args.input.protocol.unwrap_or(Protocol::Itch50)))
}

/// The second pass: metadata, then records as they are.
struct RecordWriter {
    choice: RecordChoice,
    out: Output,
    count: u64,
    /// The first write that failed; nothing is written after it.
    failed: Option<io::Error>,
}

enum Output {
    Plain(BufWriter<File>),
    Zstd(Box<zstd::Encoder<'static, BufWriter<File>>>),
}

impl RecordWriter {
    fn new(
        file: File,
        name: &Path,
        choice: RecordChoice,
        metadata: &Metadata,
    ) -> anyhow::Result<Self> {
        let file = BufWriter::new(file);
        let mut out = match name.extension().is_some_and(|extension| extension == "zst") {
            true => Output::Zstd(Box::new(zstd::Encoder::new(file, ZSTD_LEVEL)?)),
            false => Output::Plain(file),
        };
        MetadataEncoder::new(out.writer()).encode(metadata)?;
        Ok(Self { choice, out, count: 0, failed: None })
    }

    fn finish(self) -> io::Result<u64> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.out {
            Output::Plain(mut out) => out.flush()?,
            Output::Zstd(out) => out.finish()?.flush()?,
        }
        Ok(self.count)
    }
}

impl Output {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(out) => out,
            Self::Zstd(out) => out,
        }
    }
}

impl RecordSink for RecordWriter {
    fn record(&mut self, record: RecordRef<'_>) {
        if self.failed.is_none() && keeps(self.choice, &record) {
            self.count += 1;
            self.failed = self.out.writer().write_all(record.as_ref()).err();
        }
    }
}

/// A file that goes away unless it is kept.
struct Partial(PathBuf);

impl Partial {
    fn create(output: &Path) -> anyhow::Result<Self> {
        let mut name = output.as_os_str().to_owned();
        name.push(".partial");
        Ok(Self(name.into()))
    }

    fn file(&self) -> anyhow::Result<File> {
        File::create(&self.0).with_context(|| format!("cannot create {}", self.0.display()))
    }

    fn keep(self, output: &Path) -> anyhow::Result<()> {
        fs::rename(&self.0, output)
            .with_context(|| format!("cannot rename to {}", output.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Already renamed where all went well.
        let _ = fs::remove_file(&self.0);
    }
}
