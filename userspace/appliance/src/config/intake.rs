//! How interfaces are waited for: `[intake]`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Longest wait that a configuration may name: a day.
const WAIT_S_MAX: u64 = 86_400;

/// How interfaces are waited for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IntakeConfig {
    /// Seconds after which a start without a single interface is given up; with one, the others are
    /// awaited for as long as it takes.
    #[schemars(range(max = 86_400))]
    pub wait_s: u64,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self { wait_s: 30 }
    }
}

impl IntakeConfig {
    /// The wait.
    pub fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_s)
    }

    pub(super) fn mistake(&self) -> Option<String> {
        let found = self.wait_s;
        (found > WAIT_S_MAX)
            .then(|| format!("intake.wait_s: expected 0 to {WAIT_S_MAX}, found {found}"))
    }
}
