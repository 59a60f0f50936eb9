//! What the appliance gives up once it is set up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The rights that are given up.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct RightsConfig {
    /// Give up all capabilities but those that `keep` is about.
    pub drop_capabilities: bool,
    /// Let the housekeeping thread keep, not in effect, the capabilities with which an interface or a
    /// socket is opened again while the appliance runs. Without them, neither comes back.
    pub keep: bool,
    /// What becomes of system calls that the appliance has no use for.
    pub seccomp: Seccomp,
}

/// What becomes of system calls that the appliance has no use for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// They fail with EPERM.
    Enforce,
    /// The kernel logs them (in the audit log) and they go on.
    Log,
    /// No filter.
    Off,
}

impl Default for RightsConfig {
    fn default() -> Self {
        Self { drop_capabilities: true, keep: true, seccomp: Seccomp::Enforce }
    }
}
