//! What is logged: `[log]`.

use schemars::JsonSchema;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;

/// What is logged.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`; a reload changes it.
    #[serde(deserialize_with = "level_by_name")]
    #[schemars(with = "String")]
    pub level: LevelFilter,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: LevelFilter::INFO }
    }
}

fn level_by_name<'de, D: serde::Deserializer<'de>>(input: D) -> Result<LevelFilter, D::Error> {
    let text = String::deserialize(input)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "expected error, warn, info, debug, trace or off, found {text:?}"
        ))
    })
}
