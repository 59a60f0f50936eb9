//! What it takes more than two looks to know: how long a line is silent, and how a p99 went.

use super::Vitals;
use std::collections::{HashMap, VecDeque};

/// How many intervals are remembered.
const INTERVALS: usize = 120;

/// The intervals so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    p99_ns: HashMap<String, VecDeque<u64>>,
    silent_s: HashMap<(String, String), f64>,
}

impl History {
    /// Takes in the next interval, and adds to it what those before say.
    pub fn add(&mut self, vitals: &mut Vitals) {
        for stage in &mut vitals.stages {
            let history = self.p99_ns.entry(stage.stage.clone()).or_default();
            history.push_back(stage.p99_ns.unwrap_or(0));
            history.drain(..history.len().saturating_sub(INTERVALS));
            stage.p99_history_ns = history.iter().copied().collect();
        }
        for line in vitals.lines.iter_mut().filter(|line| line.packets > 0) {
            let key = (line.channel.clone(), line.line.clone());
            let silent_s = self.silent_s.entry(key).or_default();
            *silent_s = if line.packets_per_s > 0.0 { 0.0 } else { *silent_s + vitals.interval_s };
            line.silent_s = Some(*silent_s);
        }
    }
}
