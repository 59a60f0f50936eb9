//! What the books' own tests compare with: one source for drawn events and for fuzzed ones.
#![allow(dead_code, reason = "the tests use all of it")]
#![allow(clippy::unwrap_used, reason = "a body fails by panicking")]

#[path = "../../userspace/machine/tests/common/inverse.rs"]
pub(crate) mod inverse;
#[path = "../../userspace/machine/tests/common/plain.rs"]
pub(crate) mod plain;
#[path = "../../userspace/machine/tests/common/properties.rs"]
pub(crate) mod properties;
