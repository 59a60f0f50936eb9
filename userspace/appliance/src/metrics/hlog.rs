//! The HdrHistogram interval log: how each stage's latencies were spread over each interval.
//!
//! Arrives: the segment's histograms, as any reader has them, on a thread of its own. Leaves: at the end
//! of each interval one line a stage and worker, shard or channel that had a sample, tagged with it
//! (`wire-to-worker:w0`), in the format 1.3 that HdrHistogram's tools read and plot
//! (<https://github.com/HdrHistogram/HdrHistogram>, `HistogramLogWriter`); values and maxima are in
//! nanoseconds, times absolute, so a line stands for itself.
//!
//! A file that is there is appended to, with a head that says when this run began. Each interval is one
//! write at the file's end, so logrotate's `copytruncate` loses nothing; and a file that would grow
//! beyond `FILE_BYTES_MAX` becomes `<name>.1`, in the place of the one before it. A write that fails is
//! counted, said once until one succeeds, and ends nothing: the next interval has its samples too.

use super::labels::split;
use crate::config::Config;
use anyhow::Context;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::Serialize;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use wirebook_client::{Histogram, Session};
use wirebook_shm::{Segment, SegmentView};

/// The longest a file gets.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How often the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// What the log has counted, for housekeeping to read.
#[derive(Debug, Default)]
pub struct HlogCounters {
    lines: AtomicU64,
    write_errors: AtomicU64,
}

/// The same as plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HlogCount {
    /// Lines written.
    pub lines: u64,
    /// Intervals that could not be written when they ended.
    pub write_errors: u64,
}

impl HlogCounters {
    /// What has been counted so far.
    pub fn read(&self) -> HlogCount {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HlogCount { lines: read(&self.lines), write_errors: read(&self.write_errors) }
    }
}

/// Histograms since the start, by name.
type Totals = HashMap<String, Histogram<u64>>;

/// The log of one run.
pub struct Hlog {
    session: Session,
    interval: Duration,
    file: LogFile,
    began: SystemTime,
    /// What the last line of each histogram had brought the counts to, and when.
    written: Totals,
    until: SystemTime,
    counters: Arc<HlogCounters>,
    has_failed: bool,
}

impl Hlog {
    /// Opens the configured file; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be appended to, or the segment cannot be mapped.
    pub fn open(config: &Config, segment: &Segment) -> anyhow::Result<Option<Self>> {
        let Some(path) = &config.metrics.hlog else { return Ok(None) };
        let session = Session::of(SegmentView::open(segment.share()?)?);
        let interval = Duration::from_secs(config.metrics.hlog_interval_s);
        Ok(Some(Self::new(path, session, interval, FILE_BYTES_MAX)?))
    }

    fn new(
        path: &Path,
        session: Session,
        interval: Duration,
        bytes_max: u64,
    ) -> anyhow::Result<Self> {
        let file = LogFile::open(path, bytes_max).with_context(|| {
            format!("cannot write the interval log {} (metrics.hlog)", path.display())
        })?;
        let began = SystemTime::now();
        let (written, counters) = (Totals::new(), Arc::default());
        Ok(Self {
            session,
            interval,
            file,
            began,
            written,
            until: began,
            counters,
            has_failed: false,
        })
    }

    /// What is counted, for another thread.
    pub fn counters(&self) -> Arc<HlogCounters> {
        Arc::clone(&self.counters)
    }

    /// Writes until `stop`, and then what came after the last interval.
    pub fn run(mut self, stop: &AtomicBool) {
        let mut begun = Instant::now();
        while !stop.load(Ordering::Acquire) {
            std::thread::sleep(LOOK.min(self.interval));
            if begun.elapsed() >= self.interval {
                begun += self.interval;
                self.end_interval();
            }
        }
        self.end_interval();
    }

    /// Writes what has been recorded since the last interval that was written.
    fn end_interval(&mut self) {
        let now = SystemTime::now();
        let written = self.lines(now).and_then(|(lines, grown)| {
            if !grown.is_empty() {
                self.file.append(&lines, self.began)?;
            }
            Ok(grown)
        });
        match written {
            Ok(grown) => {
                self.counters.lines.fetch_add(grown.len() as u64, Ordering::Relaxed);
                self.written.extend(grown);
                self.until = now;
                if std::mem::take(&mut self.has_failed) {
                    tracing::info!("the interval log is written again");
                }
            }
            Err(error) => {
                self.counters.write_errors.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.has_failed, true) {
                    tracing::error!(
                        "the interval log is not written, the appliance goes on: {error:#}"
                    );
                }
            }
        }
    }

    /// A line for each histogram that has grown, and what they have grown to.
    fn lines(&self, now: SystemTime) -> anyhow::Result<(Vec<u8>, Totals)> {
        let (mut lines, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
        let mut log =
            IntervalLogWriterBuilder::new().begin_log_with(&mut lines, &mut serializer)?;
        let start = self.until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let duration = now.duration_since(self.until).unwrap_or_default();
        let mut grown = Totals::new();
        for (name, total) in self.session.latencies() {
            let mut since = total.clone();
            if let Some(written) = self.written.get(&name) {
                since.subtract(written)?;
            }
            if !since.is_empty() {
                let tag = tag(&name);
                let written = log.write_histogram(&since, start, duration, Tag::new(&tag));
                written.map_err(|error| anyhow::anyhow!("{error}"))?;
                grown.insert(name, total);
            }
        }
        Ok((lines, grown))
    }
}

/// What a line is tagged with: the stage and what it is of, without what a tag cannot hold.
fn tag(name: &str) -> String {
    let (stage, labels) = split(name);
    let parts = [stage].into_iter().chain(labels.iter().map(|(_, value)| value.as_str()));
    parts.collect::<Vec<_>>().join(":").replace([',', ' '], "_")
}

/// The file, as long as it is.
struct LogFile {
    path: PathBuf,
    file: File,
    bytes_max: u64,
    has_head: bool,
    /// A write broke off: the next begins on a line of its own.
    is_torn: bool,
}

impl LogFile {
    fn open(path: &Path, bytes_max: u64) -> std::io::Result<Self> {
        let (path, file) = (path.to_owned(), append_to(path)?);
        Ok(Self { path, file, bytes_max, has_head: false, is_torn: false })
    }

    fn append(&mut self, lines: &[u8], began: SystemTime) -> anyhow::Result<()> {
        if self.file.metadata()?.len() + lines.len() as u64 > self.bytes_max {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            self.file = append_to(&self.path)?;
            (self.has_head, self.is_torn) = (false, false);
        }
        let mut bytes = Vec::new();
        if std::mem::replace(&mut self.is_torn, true) {
            bytes.push(b'\n');
        }
        if !self.has_head {
            IntervalLogWriterBuilder::new()
                .add_comment("[Histogram log format version 1.3]")
                .with_start_time(began)
                .begin_log_with(&mut bytes, &mut V2DeflateSerializer::new())?;
        }
        bytes.extend_from_slice(lines);
        self.file.write_all(&bytes)?;
        (self.has_head, self.is_torn) = (true, false);
        Ok(())
    }
}

fn append_to(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_stage_and_what_it_is_of() {
        assert_eq!(tag("A-before-B{channel=\"a, b\",line=\"A\"}"), "A-before-B:a__b:A");
        assert_eq!(tag("gap-to-live"), "gap-to-live");
        assert!(Tag::new(&tag("gap-to-live{channel=\"x y,z\"}")).is_some());
    }

    #[test]
    fn a_file_that_is_full_makes_room_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.hlog");
        let mut file = LogFile::open(&path, 400).unwrap();
        let line = [&[b'x'; 99][..], b"\n"].concat();
        for _ in 0..7 {
            file.append(&line, UNIX_EPOCH).unwrap();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for name in ["x.hlog", "x.hlog.1"] {
            let text = read(name);
            assert!(
                text.starts_with("#[Histogram log format version 1.3]\n#[StartTime: 0.000"),
                "{text}"
            );
            assert!(text.len() <= 400, "{name}: {}", text.len());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // A second run appends, with a head of its own.
        let before = read("x.hlog");
        LogFile::open(&path, 4_000).unwrap().append(&line, UNIX_EPOCH).unwrap();
        assert!(read("x.hlog").starts_with(&before));
        assert_eq!(read("x.hlog").matches("StartTime").count(), 2);
    }

    #[test]
    fn what_was_torn_is_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.hlog");
        let mut file = LogFile::open(&path, 4_000).unwrap();
        file.append(b"one\n", UNIX_EPOCH).unwrap();
        let whole = std::mem::replace(&mut file.file, File::open(&path).unwrap());
        file.append(b"two\n", UNIX_EPOCH).unwrap_err();
        file.file = whole;
        file.append(b"three\n", UNIX_EPOCH).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("one\n\nthree\n"));
    }
}
