//! What is logged, and how: `[log]`.

use crate::log::Format;
use schemars::JsonSchema;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The log.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Directives of `tracing_subscriber::EnvFilter`: `info`, or `wirebook=debug,warn`; a reload
    /// changes them. The environment's `WIREBOOK_LOG` has precedence.
    pub level: String,
    /// How lines are written; absent, `journald` where standard error is the journal, else `text`.
    #[schemars(example = &"json")]
    pub format: Option<Format>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: None }
    }
}

impl LogConfig {
    pub(super) fn mistake(&self) -> Option<String> {
        let error = EnvFilter::builder().parse(&self.level).err()?;
        Some(format!(
            "log.level: expected a level such as \"info\", or directives such as \
             \"wirebook=debug,warn\", found {:?} ({error})",
            self.level
        ))
    }
}
