//! What is logged, and how: `[log]`.

use crate::log::Format;
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
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
        // A word alone would be taken for a module of that name, of which everything is logged.
        let is_directive = |part: &str| part.contains(['=', '[']) || is_level(part.trim());
        let is_right = self.level.split(',').all(is_directive)
            && EnvFilter::builder().parse(&self.level).is_ok();
        (!is_right).then(|| {
            format!(
                "log.level: expected error, warn, info, debug, trace or off, or directives such as \
                 \"wirebook=debug,warn\", found {:?}",
                self.level
            )
        })
    }
}

fn is_level(text: &str) -> bool {
    text.parse::<LevelFilter>().is_ok()
}
