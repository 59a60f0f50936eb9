//! What is logged: the level, which may change while the program runs.
//!
//! `WIREBOOK_LOG`, where it is set, is stronger than the configuration.

use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The environment variable that says what is logged.
const VARIABLE: &str = "WIREBOOK_LOG";

/// The filter of this process, once [`init`] has set it.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Logs to standard error from now on.
pub fn init() {
    let (filter, handle) = reload::Layer::new(filter(LevelFilter::INFO));
    let text = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(text).init();
    // A second call would have panicked above.
    let _ = FILTER.set(handle);
}

/// Logs this level from now on, and what is graver. Does nothing where `WIREBOOK_LOG` is set, or where
/// whoever runs the appliance logs in a way of his own.
pub fn set_level(level: LevelFilter) {
    if let Some(handle) = FILTER.get() {
        // Refused only where there is no subscriber any more.
        let _ = handle.reload(filter(level));
    }
}

fn filter(level: LevelFilter) -> EnvFilter {
    EnvFilter::builder()
        .with_env_var(VARIABLE)
        .with_default_directive(level.into())
        .from_env_lossy()
}
