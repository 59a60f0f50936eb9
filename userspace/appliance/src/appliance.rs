//! The appliance as a library: a user's own machines beside Wirebook's.
//!
//! Arrives: a configuration and machines. Leaves: a run until a signal, an end of session or the
//! given [`Stop`], or a replay of files through the same path. Promises nothing beyond [`topology`]
//! and [`replay`](crate::replay).
//!
//! ```no_run
//! use wirebook::Appliance;
//! # use wirebook_machine::{Fault, Machine, SavedStateError, restore_state, save_state};
//! # use wirebook_model::{RecordSink, dbn::RecordRef};
//! # #[derive(Clone, Default)]
//! # struct Counter(u64);
//! # impl Machine for Counter {
//! #     fn record(&mut self, _: RecordRef<'_>, _: &mut dyn RecordSink) -> Result<(), Fault> {
//! #         self.0 += 1;
//! #         Ok(())
//! #     }
//! #     fn save(&self, bytes: &mut Vec<u8>) {
//! #         save_state(1, &self.0, bytes);
//! #     }
//! #     fn restore(&mut self, bytes: &[u8]) -> Result<(), SavedStateError> {
//! #         restore_state(1, bytes).map(|count| self.0 = count)
//! #     }
//! # }
//! let finished = Appliance::from_config("wirebook.toml")?.machine("counter", Counter::default()).run()?;
//! println!("{}", finished.summary);
//! # anyhow::Ok(())
//! ```

use crate::config::{Config, ConfigError};
use crate::housekeeping::{Duties, Housekeeping, Stop};
use crate::machines::MachineKinds;
use crate::reload::Reread;
use crate::rights::Rights;
use crate::topology::{self, Finished};
use std::path::Path;
use wirebook_machine::Machine;

/// An appliance that is about to run.
pub struct Appliance {
    config: Config,
    kinds: MachineKinds,
    stop: Option<Stop>,
    duties: Duties,
    gives_up_rights: bool,
}

impl Appliance {
    /// An appliance as a configuration file describes it; SIGHUP makes it read the file again.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the first mistake in it.
    pub fn from_config(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref().to_path_buf();
        let config = Config::read(&path)?;
        let reread = Some(Reread::new(move || Config::read(&path)));
        Ok(Self::new(config).duties(Duties { reread, ..Duties::default() }))
    }

    /// An appliance with this configuration.
    pub fn new(config: Config) -> Self {
        let (kinds, duties) = (MachineKinds::new(), Duties::default());
        Self { config, kinds, stop: None, duties, gives_up_rights: false }
    }

    /// Puts a machine behind each book: a clone of `prototype` for each instrument. The configuration
    /// may say where in the chain by this name; otherwise it stands at the end.
    pub fn machine<M: Machine + Sync>(mut self, name: &str, prototype: M) -> Self {
        self.kinds.add(name, prototype);
        self
    }

    /// Gives housekeeping its duties.
    pub fn duties(mut self, duties: Duties) -> Self {
        self.duties = duties;
        self
    }

    /// Stops when `stop` says so, not at SIGINT and SIGTERM.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Gives up, once set up, what the configuration's `[rights]` say: for the whole process, and for
    /// good. For a program that runs an appliance and does nothing else.
    pub fn giving_up_rights(mut self) -> Self {
        self.gives_up_rights = true;
        self
    }

    /// Checks the machines' names, as everything else was checked when the file was read.
    ///
    /// # Errors
    /// Fails for a name that is neither Wirebook's nor a user's.
    pub fn check(&self) -> anyhow::Result<()> {
        self.kinds.chain(&self.config.machines, 1).map(|_| ())
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// Fails where the configuration, the host or a thread fails.
    pub fn run(self) -> anyhow::Result<Finished> {
        let stop = match self.stop {
            Some(stop) => stop,
            None => Stop::on_signals()?,
        };
        let mut housekeeping = Housekeeping::new(self.duties, &self.config.supervision)?;
        if self.gives_up_rights {
            housekeeping.rights = Rights::of_config(&self.config)?.into();
        }
        topology::run(&self.config, &self.kinds, &stop, housekeeping)
    }
}
