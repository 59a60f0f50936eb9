//! What rights the threads of a process have, as the kernel says (proc_pid_status(5)).
//!
//! Arrives: a process's folder in /proc. Leaves: a line for each of its threads. A thread that ends
//! meanwhile is left out.

use super::RightsError;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The rights of all threads of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// In the order of their ids.
    pub threads: Vec<ThreadRights>,
}

/// The rights of one thread. Sets of capabilities are masks: bit n is capability number n.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadRights {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// What it can do now.
    pub effective: u64,
    /// What it can bring into effect.
    pub permitted: u64,
    /// What a program that it starts could inherit.
    pub inheritable: u64,
    /// What a program that it starts would have.
    pub ambient: u64,
    /// What a program that it starts could ever get.
    pub bounding: u64,
    /// A program that it starts gets no more than it has.
    pub no_new_privs: bool,
    /// Its system calls go through a filter.
    pub is_filtered: bool,
    /// How many filters they go through.
    pub filters: u32,
}

impl Remaining {
    /// The threads of the process with this folder in /proc.
    ///
    /// # Errors
    /// [`RightsError::Unknown`] where it cannot be read.
    pub fn of_process(folder: &Path) -> Result<Self, RightsError> {
        let tasks = folder.join("task");
        let unknown = |source| RightsError::Unknown { path: tasks.display().to_string(), source };
        let mut threads = Vec::new();
        for task in fs::read_dir(&tasks).map_err(unknown)? {
            match fs::read_to_string(task.map_err(unknown)?.path().join("status")) {
                Ok(status) => threads.push(ThreadRights::of_status(&status)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // ESRCH: it ended between open(2) and read(2).
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => return Err(unknown(error)),
            }
        }
        threads.sort_by_key(|thread| thread.id);
        Ok(Self { threads })
    }
}

impl ThreadRights {
    /// What a status file says. What it does not say counts as every right.
    fn of_status(status: &str) -> Self {
        let field = |name: &str| {
            let lines = status.lines().filter_map(|line| line.split_once(':'));
            lines.into_iter().find_map(|(found, value)| (found == name).then(|| value.trim()))
        };
        let number = |name| field(name).and_then(|value| value.parse::<u32>().ok()).unwrap_or(0);
        let set = |name| {
            field(name).and_then(|value| u64::from_str_radix(value, 16).ok()).unwrap_or(u64::MAX)
        };
        Self {
            id: number("Pid") as i32,
            name: field("Name").unwrap_or_default().to_owned(),
            effective: set("CapEff"),
            permitted: set("CapPrm"),
            inheritable: set("CapInh"),
            ambient: set("CapAmb"),
            bounding: set("CapBnd"),
            no_new_privs: number("NoNewPrivs") == 1,
            // SECCOMP_MODE_FILTER
            is_filtered: number("Seccomp") == 2,
            filters: number("Seccomp_filters"),
        }
    }
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.threads.iter().try_for_each(|thread| writeln!(f, "{thread}"))
    }
}

impl fmt::Display for ThreadRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, effective, permitted, bounding, ambient, .. } = self;
        write!(
            f,
            "{name:<16} effective {effective:x}, permitted {permitted:x}, bounding {bounding:x}, \
             ambient {ambient:x}, no new privileges {}, filters {}",
            if self.no_new_privs { "yes" } else { "no" },
            self.filters
        )
    }
}
