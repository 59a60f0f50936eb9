//! The exchange's I/O: where its flow is read from, where its packets go, its servers' sockets.
//!
//! Arrives: what the command line asks for. Leaves: a simulated exchange on wires and sockets. What
//! it says, loses and answers is decided in [`wirebook_simulator`], which does no I/O; here are the
//! clock, the files, the sockets and the threads, and the judge that says what every receiver must
//! end with.

mod faults;
mod flow;
mod glimpse;
mod judge;
mod options;
mod outlet;
mod pace;
mod retransmit;
mod servers;
mod stage;

pub use faults::{FaultArgs, PerLine};
pub use flow::{FlowFiles, Source};
pub use judge::{Judge, Truth};
pub use options::{GlimpseAt, Login, RetransmitAt, SendBy, ServerArgs};
pub use outlet::{Outlet, Sent};
pub use pace::Pace;
pub use servers::{ServerReport, Servers};
pub use stage::{Played, Shared, Stage};
