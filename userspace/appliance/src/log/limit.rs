//! No more than so many similar lines in a window of time.
//!
//! Arrives: every event that is about to be logged. Leaves: the first [`LINES`] of a window of similar
//! ones, errors too; of the others, when the window is over, one line that says how many they were.
//! Similar are events of the same place in the code about the same channel, line, interface, shard,
//! worker or thread. Counts what is left out, by level. Memory is bounded: where more kinds come at
//! once than [`KINDS_MAX`], those of one place in the code count as one kind.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, callsite};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Similar lines of one window.
pub const LINES: u32 = 10;
/// A window.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Kinds of lines that are told apart at one time.
pub const KINDS_MAX: usize = 1_024;

/// Whose events are never left out: those that say what was.
const TARGET: &str = "wirebook::left_out";
/// The fields that tell what an event is about.
const ABOUT: [&str; 8] =
    ["channel", "line", "interface", "shard", "worker", "thread", "machine", "kind"];
/// Characters of a line that are kept to say what was left out.
const SAMPLE_MAX: usize = 240;

/// The levels, by the index of their count.
const LEVELS: [(Level, &str); 5] = [
    (Level::ERROR, "error"),
    (Level::WARN, "warn"),
    (Level::INFO, "info"),
    (Level::DEBUG, "debug"),
    (Level::TRACE, "trace"),
];

/// The windows of all kinds.
#[derive(Debug, Default)]
pub struct Limiter {
    windows: Mutex<Windows>,
    left_out: [AtomicU64; LEVELS.len()],
}

#[derive(Debug, Default)]
struct Windows {
    open: HashMap<Kind, Window>,
    /// What is still to be told of windows that were followed by another; at most [`KINDS_MAX`].
    over: Vec<LeftOut>,
}

/// A place in the code, and what its events are about.
type Kind = (callsite::Identifier, u64);

#[derive(Debug)]
struct Window {
    began: Instant,
    level: Level,
    lines: u32,
    left_out: u64,
    /// The first line that was left out.
    sample: String,
}

/// What was left out in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    level: Level,
    /// How many lines.
    pub lines: u64,
    /// The first of them.
    pub sample: String,
}

impl Limiter {
    /// Whether this event is to be logged.
    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        if metadata.target() == TARGET {
            return true;
        }
        let mut about = About(DefaultHasher::new());
        event.record(&mut about);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kind = (metadata.callsite(), about.0.finish());
        let Windows { open, over } = &mut *windows;
        if open.len() >= KINDS_MAX && !open.contains_key(&kind) {
            open.retain(|_, window| !window.is_over(now) || window.left_out > 0);
            if open.len() >= KINDS_MAX {
                kind.1 = 0;
            }
        }
        let level = *metadata.level();
        let window = open.entry(kind).or_insert_with(|| Window::new(level, now));
        if window.is_over(now) {
            let before = std::mem::replace(window, Window::new(level, now));
            over.extend(before.close().filter(|_| over.len() < KINDS_MAX));
        }
        if window.lines < LINES {
            window.lines += 1;
            return true;
        }
        if window.left_out == 0 {
            window.sample = sample_of(event);
        }
        window.left_out += 1;
        if let Some(index) = LEVELS.iter().position(|(other, _)| *other == level) {
            self.left_out[index].fetch_add(1, Ordering::Relaxed);
        }
        false
    }

    /// What was left out in the windows that are over at `now`, each once; of all without a time.
    pub fn over(&self, now: Option<Instant>) -> Vec<LeftOut> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Windows { open, over } = &mut *windows;
        let closing = open.extract_if(|_, window| now.is_none_or(|now| window.is_over(now)));
        over.drain(..).chain(closing.filter_map(|(_, window)| window.close())).collect()
    }

    /// Lines that were left out so far, by level.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.left_out.iter().map(|count| count.load(Ordering::Relaxed));
        LEVELS.iter().map(|(_, name)| *name).zip(counts)
    }
}

impl Window {
    fn new(level: Level, now: Instant) -> Self {
        Self { began: now, level, lines: 0, left_out: 0, sample: String::new() }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= WINDOW
    }

    /// What it left out, if anything.
    fn close(self) -> Option<LeftOut> {
        let Self { level, left_out: lines, sample, .. } = self;
        (lines > 0).then_some(LeftOut { level, lines, sample })
    }
}

impl LeftOut {
    /// Says it in the log.
    pub fn log(&self) {
        let Self { lines, sample, .. } = self;
        macro_rules! say {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    left_out = lines,
                    "{lines} similar lines left out, the first: {sample}"
                )
            };
        }
        match self.level {
            Level::ERROR => say!(Level::ERROR),
            Level::WARN => say!(Level::WARN),
            Level::INFO => say!(Level::INFO),
            Level::DEBUG => say!(Level::DEBUG),
            Level::TRACE => say!(Level::TRACE),
        }
    }
}

/// A layer that lets through what the limiter admits.
pub struct RateLimit(pub Arc<Limiter>);

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        self.0.admits(event, Instant::now())
    }
}

/// Hashes the fields that say what an event is about.
struct About(DefaultHasher);

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if ABOUT.contains(&field.name()) {
            field.name().hash(&mut self.0);
            // Writing to a hasher does not fail.
            let _ = write!(self, "{value:?}");
        }
    }
}

impl Write for About {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// The text of an event and its fields, within reason.
fn sample_of(event: &Event<'_>) -> String {
    let mut sample = Sample::default();
    event.record(&mut sample);
    let text = sample.message + &sample.fields;
    match text.char_indices().nth(SAMPLE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[derive(Default)]
struct Sample {
    message: String,
    fields: String,
}

impl Visit for Sample {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
