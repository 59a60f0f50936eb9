//! The appliance: configuration, topology, stages and commands.
//!
//! To follow one packet, read [`topology`], then [`worker`], [`router`] and [`shard`].

mod answers;
pub mod appliance;
pub mod attend;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod counts;
pub mod cycles;
pub mod doctor;
pub mod door;
pub mod exchange;
pub mod handover;
pub mod host;
pub mod housekeeping;
pub mod idle;
pub mod incidents;
pub mod intake;
pub mod intervals;
pub mod lines;
pub mod links;
pub mod log;
pub mod machines;
pub mod metrics;
pub mod nic;
pub mod notices;
pub mod notify;
pub mod progress;
pub mod published;
pub mod recorder;
pub mod recovery;
pub mod refresh;
pub mod reload;
pub mod repair;
pub mod replay;
pub mod report;
pub mod rights;
pub mod router;
pub mod samples;
pub mod self_check;
pub mod shard;
pub mod source;
pub mod stages;
pub mod state_digest;
pub mod status;
pub mod stream;
pub mod top;
pub mod topology;
pub mod tune;
pub mod vitals;
pub mod watch;
pub mod worker;

pub use appliance::Appliance;
