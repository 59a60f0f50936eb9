//! What the process may still do once it is set up: as little as its threads need.
//!
//! Arrives: a process with the capabilities to open AF_XDP sockets and load programs, all of it set
//! up, on the thread that will keep house. Leaves: no privileges to gain (`no_new_privs`), no
//! capabilities on any thread but those that housekeeping keeps out of effect, and on each thread a
//! seccomp filter of the system calls that its role needs.
//!
//! ```text
//!                  capabilities                        system calls
//!  housekeeping    kept, in effect only while raised   those below, and what opens an interface again
//!  service         none                                files, sockets, threads
//!  hot             none                                none of these: memory, sleep, its sockets
//! ```
//!
//! Promises: nothing here can be taken back by the process itself; a thread that cannot give its
//! rights up does not run; [`Rights::check`] asks the kernel about every thread, so one that was
//! forgotten is an error at start. Threads share memory: a hot thread that somebody has taken over may
//! still reach into housekeeping's stack. With `[rights] keep = false` nothing is left there to reach
//! for once everything has been opened ([`Rights::settle`]).
//!
//! In order: [`Rights::give_up`] before threads start, [`Rights::enter`] by each of them,
//! [`Rights::check`] before packets come, [`Rights::raised`] around what opens an interface.

mod calls;
mod capabilities;
mod filter;
pub mod remaining;

use self::filter::Filters;
use self::remaining::{Remaining, ThreadRights};
use crate::config::{Config, RightsConfig, Seccomp, Source};
use caps::CapsHashSet;
use std::path::Path;
use std::time::{Duration, Instant};

pub use self::capabilities::{TO_OPEN_INTERFACES, TO_OPEN_SOCKETS};

/// How long threads are given to begin.
const BEGIN: Duration = Duration::from_secs(5);
/// How often they are looked at meanwhile.
const LOOK: Duration = Duration::from_millis(1);

/// What a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It handles packets, events or books: bytes from outside, and no business with the system.
    Hot,
    /// It serves files, readers or servers.
    Service,
}

/// Why rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// capset(2)'s or prctl(2)'s.
    #[error("cannot give up capabilities: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// prctl(2)'s.
    #[error("cannot give up privileges: {0}")]
    Privileges(#[from] rustix::io::Errno),
    /// seccomp(2)'s, or a filter that does not compile.
    #[error(
        "cannot install a seccomp filter: {0} (expected a kernel with CONFIG_SECCOMP_FILTER; \
         `[rights] seccomp = \"off\"` does without)"
    )]
    Filter(seccompiler::Error),
    /// /proc cannot be read.
    #[error("cannot read what rights remain in {path}: {source}")]
    Unknown {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A thread has more than it should.
    #[error("expected a thread without rights, found {0}")]
    TooMany(Box<ThreadRights>),
}

/// What is given up, and what of it housekeeping keeps.
#[derive(Debug, Default)]
pub struct Rights {
    drop_capabilities: bool,
    /// Until [`Rights::settle`], or for good.
    kept: CapsHashSet,
    keeps_for_good: bool,
    filters: Option<Filters>,
}

impl Rights {
    /// Gives nothing up: for a process that is not Wirebook's own.
    pub fn untouched() -> Self {
        Self::default()
    }

    /// What this configuration says to give up.
    ///
    /// # Errors
    /// [`RightsError::Filter`] on an architecture that seccompiler does not know.
    pub fn of_config(config: &Config) -> Result<Self, RightsError> {
        let settings = config.rights;
        let has_xdp = config.workers.iter().any(|worker| worker.source == Source::Xdp);
        let kept = match has_xdp {
            true => TO_OPEN_INTERFACES.into(),
            false => TO_OPEN_SOCKETS.into(),
        };
        let filters = match settings.seccomp {
            Seccomp::Off => None,
            mode => Some(Filters::new(mode).map_err(RightsError::Filter)?),
        };
        let RightsConfig { drop_capabilities, keep: keeps_for_good, .. } = settings;
        Ok(Self { drop_capabilities, kept, keeps_for_good, filters })
    }

    /// Gives up, for the calling thread and all that it starts from now on; the filter holds for all
    /// threads at once. To be called before threads are started: capabilities are each thread's own.
    ///
    /// # Errors
    /// [`RightsError`] says what the kernel refused.
    pub fn give_up(&self) -> Result<(), RightsError> {
        if self.drop_capabilities {
            capabilities::keep_out_of_effect(&self.kept)?;
            rustix::thread::set_no_new_privs(true)?;
        }
        self.filters.as_ref().map_or(Ok(()), Filters::apply_to_all).map_err(RightsError::Filter)
    }

    /// Gives up what a thread of this role has no use for. To be called by it, before its work.
    ///
    /// # Errors
    /// [`RightsError`] says what the kernel refused.
    pub fn enter(&self, role: Role) -> Result<(), RightsError> {
        if self.drop_capabilities {
            capabilities::drop_all()?;
        }
        let apply = |filters: &Filters| filters.apply_to_this(role);
        self.filters.as_ref().map_or(Ok(()), apply).map_err(RightsError::Filter)
    }

    /// Everything has been opened: gives up, on the thread that keeps house, what opens more, unless
    /// it is to be kept.
    ///
    /// # Errors
    /// [`RightsError`] says what the kernel refused.
    pub fn settle(&self) -> Result<(), RightsError> {
        if self.keeps_for_good {
            return Ok(());
        }
        if self.drop_capabilities {
            capabilities::drop_all()?;
        }
        self.filters.as_ref().map_or(Ok(()), Filters::close).map_err(RightsError::Filter)
    }

    /// Does `work` with the capabilities that are still there in effect, on the thread that keeps
    /// house.
    ///
    /// # Errors
    /// [`RightsError::Capabilities`] where they could not be raised; `work` is not done then.
    pub fn raised<T>(&self, work: impl FnOnce() -> T) -> Result<T, RightsError> {
        if !self.drop_capabilities {
            return Ok(work());
        }
        let _lowered_when_over = capabilities::raise()?;
        Ok(work())
    }

    /// Asks the kernel whether every thread of the process has given up, and gives what remains.
    /// Threads that have just been started are waited for.
    ///
    /// # Errors
    /// [`RightsError::TooMany`] names the first that has not.
    pub fn check(&self) -> Result<Remaining, RightsError> {
        let deadline = Instant::now() + BEGIN;
        loop {
            let remaining = Remaining::of_process(Path::new("/proc/self"))?;
            let Some(thread) = remaining.threads.iter().find(|thread| !self.permits(thread)) else {
                return Ok(remaining);
            };
            if Instant::now() >= deadline {
                return Err(RightsError::TooMany(Box::new(thread.clone())));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn permits(&self, thread: &ThreadRights) -> bool {
        let is_keeper = thread.id == rustix::thread::gettid().as_raw_nonzero().get();
        let kept = self.kept.iter().map(caps::Capability::bitmask).sum::<u64>();
        let kept = if is_keeper { kept } else { 0 };
        let has_dropped = thread.effective == 0
            && thread.permitted & !kept == 0
            && (thread.inheritable, thread.ambient) == (0, 0)
            && thread.no_new_privs;
        (!self.drop_capabilities || has_dropped) && (self.filters.is_none() || thread.is_filtered)
    }
}
