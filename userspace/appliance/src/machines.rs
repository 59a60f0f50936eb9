//! Which machines stand behind each book.
//!
//! Arrives: the names in the configuration and the machines that a user's own program brings.
//! Leaves: a [`Chain`] for each shard. A name that nobody knows is an error that lists those known.

use crate::config::MachinesConfig;
use anyhow::Context;
use wirebook_machine::{Chain, Machine, Supervision, machines};

type AddTo = dyn Fn(&mut Chain) + Send + Sync;

/// The kinds of machines that a configuration can name.
pub struct MachineKinds {
    /// A user's own, in the order in which they were brought.
    own: Vec<(String, Box<AddTo>)>,
}

impl MachineKinds {
    /// Those that Wirebook brings.
    pub fn new() -> Self {
        Self { own: Vec::new() }
    }

    /// Adds a user's own kind: each instrument gets a clone of `prototype`. Where the configuration
    /// does not name it, it stands at the end of the chain.
    pub fn add<M: Machine + Sync>(&mut self, name: &str, prototype: M) {
        let kind = name.to_owned();
        let add = move |chain: &mut Chain| chain.add(&kind, prototype.clone());
        self.own.push((name.to_owned(), Box::new(add)));
    }

    /// True where no machine is to run.
    pub fn are_none(&self, config: &MachinesConfig) -> bool {
        self.own.is_empty() && config.run.is_empty()
    }

    /// A shard's chain as the configuration wants it.
    ///
    /// # Errors
    /// Fails for a name that is neither Wirebook's nor a user's.
    pub fn chain(&self, config: &MachinesConfig, instruments: usize) -> anyhow::Result<Chain> {
        let MachinesConfig { rebuilds_max, log_records, .. } = *config;
        let mut chain = Chain::new(instruments, Supervision { rebuilds_max, log_records });
        for name in &config.run {
            match self.own.iter().find(|(own, _)| own == name) {
                Some((_, add)) => add(&mut chain),
                None => machines::by_name(name).context("machines.run")?(&mut chain),
            }
        }
        for (_, add) in self.own.iter().filter(|(own, _)| !config.run.contains(own)) {
            add(&mut chain);
        }
        Ok(chain)
    }
}

impl Default for MachineKinds {
    fn default() -> Self {
        Self::new()
    }
}
