//! The log: what happens to the appliance, in lines for people and for programs.
//!
//! Arrives: events of `tracing`, their text for people and their fields (`channel`, `line`,
//! `interface`, `shard`, `thread`, …) for programs. Leaves: lines on standard error, as text or JSON,
//! or entries of the journal with a field for each (`WIREBOOK_CHANNEL=`). Promises: a storm of similar
//! lines is cut short and counted ([`limit`]); the level changes while the process runs. Hot threads
//! log nothing: what they have to say crosses to housekeeping as numbers.

pub mod limit;

use self::limit::{LeftOut, Limiter, RateLimit};
use crate::config::LogConfig;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// The environment variable that has precedence over the configured level.
const VARIABLE: &str = "WIREBOOK_LOG";

/// How lines are written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people, on standard error.
    Text,
    /// One JSON object a line, on standard error.
    Json,
    /// Entries of systemd's journal.
    Journald,
}

/// Why the log is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directives are none.
    #[error("expected a level or directives, found {found:?}: {source}")]
    Level {
        /// What was found.
        found: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process logs in a way of its own.
    #[error("the log was not set up by this program")]
    NotOurs,
}

type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;
type Limited = Layered<RateLimit, Filtered>;
type Output = Box<dyn Layer<Limited> + Send + Sync>;

/// What can be changed of the log while the process runs.
struct Log {
    level: reload::Handle<EnvFilter, Registry>,
    output: reload::Handle<Output, Limited>,
    limiter: Arc<Limiter>,
    /// By the command line, which has precedence.
    format: Option<Format>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Sets the log up, before the configuration is read; `format` is the command line's.
pub fn init(format: Option<Format>) {
    let limiter = Arc::new(Limiter::default());
    let (filter, level) =
        reload::Layer::new(filter_of_environment().unwrap_or_else(default_filter));
    let (output, handle) = reload::Layer::new(output_of(format));
    let subscriber = tracing_subscriber::registry();
    let subscriber = subscriber.with(filter).with(RateLimit(Arc::clone(&limiter))).with(output);
    // A user's own program may have set up its own.
    if subscriber.try_init().is_ok() {
        let _ = LOG.set(Log { level, output: handle, limiter, format });
    }
}

/// Makes the log what the configuration says, where neither the environment nor the command line say
/// otherwise.
///
/// # Errors
/// [`LogError::Level`] where the level is none.
pub fn configure(config: &LogConfig) -> Result<(), LogError> {
    let Some(log) = LOG.get() else { return Ok(()) };
    if log.format.is_none() && config.format.is_some() {
        let output = output_of(config.format);
        log.output.reload(output).map_err(|_| LogError::NotOurs)?;
    }
    set_level(&config.level)
}

/// Changes what is logged; `WIREBOOK_LOG` has precedence where it is set.
///
/// # Errors
/// [`LogError::Level`] where these are no directives; the level stays as it was then.
pub fn set_level(directives: &str) -> Result<(), LogError> {
    let wanted = EnvFilter::builder()
        .parse(directives)
        .map_err(|source| LogError::Level { found: directives.to_owned(), source })?;
    let log = LOG.get().ok_or(LogError::NotOurs)?;
    let filter = filter_of_environment().unwrap_or(wanted);
    log.level.reload(filter).map_err(|_| LogError::NotOurs)
}

/// Says how many lines were left out in the windows that are over; all of them where `all`.
pub fn tell_left_out(all: bool) {
    if let Some(log) = LOG.get() {
        let now = (!all).then(Instant::now);
        log.limiter.over(now).iter().for_each(LeftOut::log);
    }
}

/// How many lines were left out so far, by level.
pub fn left_out() -> impl Iterator<Item = (&'static str, u64)> {
    LOG.get().into_iter().flat_map(|log| log.limiter.counts())
}

fn default_filter() -> EnvFilter {
    EnvFilter::new("info")
}

fn filter_of_environment() -> Option<EnvFilter> {
    let directives = std::env::var(VARIABLE).ok().filter(|value| !value.is_empty())?;
    Some(
        EnvFilter::builder()
            .with_default_directive(tracing::Level::INFO.into())
            .parse_lossy(directives),
    )
}

/// Where lines go; a journal that is not there is replaced by text, and that is said.
fn output_of(format: Option<Format>) -> Output {
    let default = if is_journal(std::io::stderr()) { Format::Journald } else { Format::Text };
    match format.unwrap_or(default) {
        Format::Text => text(std::io::stderr, std::io::stderr().is_terminal()),
        Format::Json => json(std::io::stderr),
        Format::Journald => journal().unwrap_or_else(|error| {
            eprintln!("wirebook: the log is text: the journal cannot be reached: {error}");
            text(std::io::stderr, false)
        }),
    }
}

fn text<S, W>(writer: W, has_colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_target(false).with_ansi(has_colours);
    layer.with_writer(writer).boxed()
}

fn json<S, W>(writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_ansi(false);
    layer.with_writer(writer).boxed()
}

fn journal() -> std::io::Result<Output> {
    let layer = tracing_journald::layer()?
        .with_field_prefix(Some("WIREBOOK".to_owned()))
        .with_syslog_identifier("wirebook".to_owned());
    Ok(layer.boxed())
}

/// Whether this is the stream that systemd connected to the journal (systemd.exec(5),
/// `$JOURNAL_STREAM`: device and inode).
fn is_journal(stream: impl AsFd) -> bool {
    let Some(journal) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let stream = nix::sys::stat::fstat(stream);
    stream.is_ok_and(|found| journal == format!("{}:{}", found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests;
