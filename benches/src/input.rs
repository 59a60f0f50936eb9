//! Which days are generated, as all benchmarks on them take it from their arguments.

use clap::Args;
use serde::Serialize;
use wirebook_simulator::{DayConfig, Layout};

/// The size of the generated days.
#[derive(Args, Clone, Debug, Serialize)]
pub struct InputArguments {
    /// Seed of the generated day.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Instruments.
    #[arg(long, default_value_t = 8_700)]
    pub instruments: u16,
    /// Orders that rest at the day's peak.
    #[arg(long, default_value_t = 1_500_000)]
    pub live_orders: u32,
    /// Messages of the day.
    #[arg(long, default_value_t = 20_000_000)]
    pub messages: u64,
    /// Messages a packet.
    #[arg(long, default_value_t = 30)]
    pub packet_messages: u16,
}

impl InputArguments {
    /// The day in bursts and the cold one, with their names.
    pub fn days(&self) -> [(&'static str, DayConfig); 2] {
        [("bursty", Layout::Bursty), ("cold", Layout::Cold)].map(|(name, layout)| {
            let Self { seed, instruments, live_orders, messages, .. } = *self;
            (name, DayConfig { seed, instruments, live_orders, messages, layout })
        })
    }
}
