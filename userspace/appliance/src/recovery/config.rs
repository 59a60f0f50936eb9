//! A channel's recovery in the configuration: the table `[channel.recovery]`.
//!
//! Arrives: the table, as text. Leaves: what the channel, the retransmitter and the snapshot client
//! are made from. Promises: an impossible value is named with its key, what was expected and what
//! was found; a password is never shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use wirebook_feed::{
    Doubtfulness, Policy, RetransmitPolicy, RetransmitterPolicy, SnapshotPolicy, WindowLimits,
};
use wirebook_wire::Protocol;
use wirebook_wire::glimpse::FIRST_SEQUENCE;
use wirebook_wire::soupbintcp::LoginRequest;

/// Longest wait that a configuration may name: an hour.
const WAIT_MS_MAX: u64 = 3_600_000;

/// How a channel's gaps are healed. Without servers they are not.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct RecoveryConfig {
    /// How long a gap waits for the other line before anything is asked for.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub reorder_wait_us: u64,
    /// Packets that may wait for the ones before them.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub window_packets: usize,
    /// Bytes of those packets.
    #[schemars(range(min = 2_048, max = 17_179_869_184_u64))]
    pub window_bytes: usize,
    /// MoldUDP64 re-request servers, the preferred one first.
    pub retransmit: Vec<RetransmitServer>,
    /// The most messages that one request may ask for, as the venue says.
    #[schemars(range(min = 1, max = 65_534))]
    pub request_messages_max: u16,
    /// Requests a second that the venue allows.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: u32,
    /// How long a server may take to answer before the next one is asked.
    #[schemars(range(min = 1, max = WAIT_MS_MAX))]
    pub answer_wait_ms: u64,
    /// How long a gap may be asked for until a snapshot must heal it.
    #[schemars(range(min = 1, max = WAIT_MS_MAX))]
    pub retransmit_deadline_ms: u64,
    /// A gap of more messages is not asked for: a snapshot is faster.
    #[schemars(range(min = 1, max = 1_099_511_627_776_u64))]
    pub retransmit_messages_max: u64,
    /// GLIMPSE servers, the preferred one first.
    pub snapshot: Vec<SnapshotServer>,
    /// How long a snapshot may take, over all servers.
    #[schemars(range(min = 1, max = WAIT_MS_MAX))]
    pub snapshot_deadline_ms: u64,
    /// How long books stay stale before a snapshot is asked for again.
    #[schemars(range(min = 1, max = WAIT_MS_MAX))]
    pub snapshot_retry_ms: u64,
    /// What becomes of books that nothing heals.
    pub unhealed: Unhealed,
}

/// What becomes of the books of a channel with a gap that no server heals.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Unhealed {
    /// They are stale until the next session.
    #[default]
    Stale,
    /// Each is stale until a message of the venue gives its whole state again.
    StaleUntilRestated,
}

/// A re-request server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct RetransmitServer {
    /// Its address and UDP port.
    #[schemars(with = "String", example = &"192.0.2.1:17001")]
    pub address: SocketAddr,
}

/// A snapshot server.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SnapshotServer {
    /// Its address and TCP port.
    #[schemars(with = "String", example = &"192.0.2.1:18001")]
    pub address: SocketAddr,
    /// The user name of the venue's agreement.
    #[serde(default)]
    #[schemars(example = &"user")]
    pub username: String,
    /// Its password, or else `password_file`.
    #[schemars(extend("x-instead-of" = "password_file"))]
    pub password: Option<Password>,
    /// The file whose first line is the password.
    #[schemars(example = &"/etc/wirebook/glimpse.password")]
    pub password_file: Option<PathBuf>,
    /// The session to log in to; empty for the current one.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub session: String,
}

/// A password; not to be seen in logs.
#[derive(Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// A login that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LoginConfigError {
    /// The password's file cannot be read.
    #[error("cannot read the password file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A field does not fit.
    #[error(transparent)]
    Field(#[from] wirebook_wire::soupbintcp::LoginError),
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            reorder_wait_us: 1_000,
            window_packets: 4_096,
            window_bytes: 4 << 20,
            retransmit: Vec::new(),
            request_messages_max: 1_000,
            requests_per_second: 1_000,
            answer_wait_ms: 20,
            retransmit_deadline_ms: 1_000,
            retransmit_messages_max: 100_000,
            snapshot: Vec::new(),
            snapshot_deadline_ms: 30_000,
            snapshot_retry_ms: 1_000,
            unhealed: Unhealed::Stale,
        }
    }
}

impl RecoveryConfig {
    /// The first mistake: its key, what was expected and what was found.
    pub fn mistake(&self, protocol: Protocol) -> Option<String> {
        self.mistake_in_numbers()
            .or_else(|| self.mistake_in_servers(protocol))
            .map(|mistake| format!("recovery.{mistake}"))
    }

    /// What the channel is to do about gaps; it has `line_count` lines.
    pub fn channel_policy(&self, line_count: usize) -> Policy {
        let retransmit = RetransmitPolicy {
            deadline_ns: nanos_of_ms(self.retransmit_deadline_ms),
            messages_max: self.retransmit_messages_max,
        };
        let snapshot = SnapshotPolicy {
            deadline_ns: nanos_of_ms(self.snapshot_deadline_ms),
            retry_after_ns: Some(nanos_of_ms(self.snapshot_retry_ms)),
        };
        Policy {
            lines: u8::try_from(line_count).unwrap_or(u8::MAX),
            reorder_wait_ns: self.reorder_wait_us.saturating_mul(1_000),
            window: WindowLimits { packets: self.window_packets, bytes: self.window_bytes },
            retransmit: (!self.retransmit.is_empty()).then_some(retransmit),
            snapshot: (!self.snapshot.is_empty()).then_some(snapshot),
            doubt: Doubtfulness::default(),
            ..Policy::default()
        }
    }

    /// What the re-request servers allow; `None` where there are none.
    pub fn retransmitter_policy(&self) -> Option<RetransmitterPolicy> {
        (!self.retransmit.is_empty()).then(|| RetransmitterPolicy {
            servers: self.retransmit.len(),
            request_messages_max: self.request_messages_max,
            answer_wait_ns: nanos_of_ms(self.answer_wait_ms),
            deadline_ns: nanos_of_ms(self.retransmit_deadline_ms),
            requests_per_second: self.requests_per_second,
            ..RetransmitterPolicy::default()
        })
    }

    /// True where no server could heal anything.
    pub fn has_servers(&self) -> bool {
        !self.retransmit.is_empty() || !self.snapshot.is_empty()
    }

    fn mistake_in_numbers(&self) -> Option<String> {
        let ranges = [
            ("reorder_wait_us", self.reorder_wait_us, 1, 10_000_000),
            ("window_packets", self.window_packets as u64, 1, 1 << 24),
            ("window_bytes", self.window_bytes as u64, 2_048, 1 << 34),
            // 65,535 messages in a MoldUDP64 header would be the end of a session.
            ("request_messages_max", u64::from(self.request_messages_max), 1, 65_534),
            ("requests_per_second", u64::from(self.requests_per_second), 1, 1_000_000),
            ("answer_wait_ms", self.answer_wait_ms, 1, WAIT_MS_MAX),
            ("retransmit_deadline_ms", self.retransmit_deadline_ms, 1, WAIT_MS_MAX),
            ("retransmit_messages_max", self.retransmit_messages_max, 1, 1 << 40),
            ("snapshot_deadline_ms", self.snapshot_deadline_ms, 1, WAIT_MS_MAX),
            ("snapshot_retry_ms", self.snapshot_retry_ms, 1, WAIT_MS_MAX),
        ];
        ranges.into_iter().find_map(|(key, found, least, most)| {
            let fits = (least..=most).contains(&found);
            (!fits).then(|| format!("{key}: expected {least} to {most}, found {found}"))
        })
    }

    fn mistake_in_servers(&self, protocol: Protocol) -> Option<String> {
        if protocol != Protocol::Itch50 && self.has_servers() {
            let key = if self.retransmit.is_empty() { "snapshot" } else { "retransmit" };
            return Some(format!(
                "{key}: expected no servers (MoldUDP64 and GLIMPSE ones serve itch50), \
                 found some for {protocol}"
            ));
        }
        let retransmit = self.retransmit.iter().enumerate().find_map(|(number, server)| {
            mistake_in_address(server.address)
                .map(|mistake| format!("retransmit[{number}].address: {mistake}"))
        });
        retransmit.or_else(|| {
            self.snapshot.iter().enumerate().find_map(|(number, server)| {
                server.mistake().map(|mistake| format!("snapshot[{number}].{mistake}"))
            })
        })
    }
}

impl SnapshotServer {
    /// What to log in with; reads the password's file.
    ///
    /// # Errors
    /// [`LoginConfigError`] where the file cannot be read or a field does not fit.
    pub fn login(&self) -> Result<LoginRequest, LoginConfigError> {
        let password = match (&self.password, &self.password_file) {
            (Some(password), _) => password.0.clone(),
            (None, Some(path)) => first_line(path)?,
            (None, None) => String::new(),
        };
        Ok(LoginRequest::new(&self.username, &password, &self.session, FIRST_SEQUENCE)?)
    }

    fn mistake(&self) -> Option<String> {
        if let Some(mistake) = mistake_in_address(self.address) {
            return Some(format!("address: {mistake}"));
        }
        if self.password.is_some() && self.password_file.is_some() {
            return Some("password: expected it or password_file, found both".into());
        }
        // The file may be readable only where the appliance runs.
        let password = self.password.as_ref().map_or("", |password| &password.0);
        LoginRequest::new(&self.username, password, &self.session, FIRST_SEQUENCE)
            .err()
            .map(|error| error.to_string())
    }
}

fn first_line(path: &Path) -> Result<String, LoginConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| LoginConfigError::Read { path: path.into(), source })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn mistake_in_address(address: SocketAddr) -> Option<String> {
    let host = address.ip();
    if host.is_unspecified() || host.is_multicast() {
        return Some(format!("expected the address of one host, found {host}"));
    }
    (address.port() == 0).then(|| "expected a port from 1 up, found 0".into())
}

fn nanos_of_ms(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
