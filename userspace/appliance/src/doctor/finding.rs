//! What the doctor found: one fact, whether it hurts, why, and what mends it.

use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Pass,
    /// Costs latency or hides something, or could not be learned.
    Warn,
    /// Loses packets, or keeps the appliance from starting.
    Fail,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, the same in each version: `queues.count`.
    pub id: &'static str,
    /// The interface, core, … that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// What is looked at and why it matters.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// [`Finding::id`].
    pub id: &'static str,
    /// [`Finding::why`].
    pub why: &'static str,
}

impl Check {
    /// All is well.
    pub fn pass(self, found: impl Into<String>) -> Finding {
        self.finding(Level::Pass, found.into(), None)
    }

    /// It costs something.
    pub fn warn(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.finding(Level::Warn, found.into(), Some(mend.into()))
    }

    /// It must be mended.
    pub fn fail(self, found: impl Into<String>, mend: impl Into<String>) -> Finding {
        self.finding(Level::Fail, found.into(), Some(mend.into()))
    }

    /// It costs something or could not be learned, and no command mends it.
    pub fn unmendable(self, found: impl Into<String>) -> Finding {
        self.finding(Level::Warn, found.into(), None)
    }

    fn finding(self, level: Level, found: String, mend: Option<String>) -> Finding {
        Finding { id: self.id, about: None, level, found, why: self.why, mend }
    }
}

impl Finding {
    /// The same, about something.
    pub fn about(mut self, what: impl Into<String>) -> Self {
        self.about = Some(what.into());
        self
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}
