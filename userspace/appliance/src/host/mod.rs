//! What this host is: facts for `wirebook doctor` and `wirebook tune`, and the writes of the latter.
//!
//! Arrives: sysfs and procfs below a root folder, and the answers of programs (`ethtool`, `ip`, …).
//! Leaves: facts as plain values, each read once. Promises: nothing here judges, and a fact that
//! cannot be had is absent, with the reason where a program gave one, never a guess. `ethtool` is
//! asked for text, which all its versions print alike; its JSON covers other commands in each.

mod cores;
pub mod drivers;
pub mod ethtool;
mod interface;
mod memory;
mod needs;
mod pages;

pub use self::cores::{Cores, CpuSet, IdleState};
pub(crate) use self::interface::interrupts;
pub use self::interface::{AttachedXdp, Interface, Interrupt};
pub use self::memory::{HUGEPAGE_BYTES, HugepagePool, gigantic_pools, hugepage_pools};
pub use self::needs::{NeededLine, Needs};
pub use self::pages::{Pages, placed, tell};

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that answer questions about a host.
pub trait Tools {
    /// Runs a program to its end and gives its standard output.
    ///
    /// # Errors
    /// [`ToolError`], where it is missing or fails.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ToolError>;
}

/// Why a program gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolError {
    /// It is not installed.
    #[error("expected the program `{0}`, found none")]
    Missing(String),
    /// It failed.
    #[error("`{command}`: {said}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// Its last words.
        said: String,
    },
}

/// A host, or a picture of one below a folder.
pub struct Host {
    root: PathBuf,
    tools: Box<dyn Tools>,
}

impl Host {
    /// This host, as this process sees it.
    pub fn system() -> Self {
        Self::at("/", Installed)
    }

    /// A host whose files are below `root`.
    pub fn at(root: impl Into<PathBuf>, tools: impl Tools + 'static) -> Self {
        Self { root: root.into(), tools: Box::new(tools) }
    }

    /// A file's text without blanks around it; none where it cannot be read.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.place(path)).ok().map(|text| text.trim().to_owned())
    }

    /// A file's number.
    pub fn number(&self, path: impl AsRef<Path>) -> Option<i64> {
        self.read(path)?.parse().ok()
    }

    /// A setting of the kernel by its name in /proc/sys, with slashes.
    pub fn sysctl(&self, name: &str) -> Option<String> {
        self.read(Path::new("proc/sys").join(name))
    }

    /// Writes a file that is there.
    ///
    /// # Errors
    /// As of write(2): the kernel's own refusal.
    pub fn write(&self, path: impl AsRef<Path>, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).truncate(true).open(self.place(path))?;
        io::Write::write_all(&mut file, text.as_bytes())
    }

    /// True where there is something.
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.place(path).exists()
    }

    /// The names in a folder, in order; none where there is no folder.
    pub fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.place(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        names
    }

    /// Where a link leads, its last part alone.
    pub fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        let target = fs::read_link(self.place(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// Runs a program: [`Tools::run`].
    ///
    /// # Errors
    /// [`ToolError`], where it is missing or fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ToolError> {
        self.tools.run(program, arguments)
    }

    /// The release of the running kernel as (major, minor), and its whole name.
    pub fn kernel(&self) -> Option<((u32, u32), String)> {
        let release = self.sysctl("kernel/osrelease")?;
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return None;
        };
        Some(((major, minor), release))
    }

    /// The options that the kernel was built with: from /proc/config.gz or /boot/config-RELEASE.
    pub fn kernel_options(&self) -> Option<HashMap<String, String>> {
        let text = self.packed("proc/config.gz").or_else(|| {
            let (_, release) = self.kernel()?;
            self.read(format!("boot/config-{release}"))
        })?;
        let set = text.lines().filter_map(|line| line.split_once('='));
        Some(set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A parameter of the kernel's command line; the last one counts.
    pub fn boot_parameter(&self, name: &str) -> Option<String> {
        let line = self.read("proc/cmdline")?;
        let mut parameters = line.split_whitespace().filter_map(|word| word.split_once('='));
        parameters.rfind(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    }

    /// The process ids of programs with this name.
    pub fn processes(&self, name: &str) -> Vec<u32> {
        self.processes_with(|of| of == name)
    }

    /// The process ids of programs with such a name.
    pub fn processes_with(&self, is_meant: impl Fn(&str) -> bool) -> Vec<u32> {
        let pids = self.names("proc").into_iter().filter_map(|name| name.parse().ok());
        let name = |pid: &u32| self.read(format!("proc/{pid}/comm"));
        pids.filter(|pid| name(pid).is_some_and(|name| is_meant(&name))).collect()
    }

    /// The process ids of running appliances.
    pub fn appliances(&self) -> Vec<u32> {
        let mut pids = self.processes("wirebook");
        pids.retain(|pid| {
            let line = self.read(format!("proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').nth(1).is_some_and(|command| matches!(command, "run" | "record"))
        });
        pids
    }

    /// Every interface of this network namespace but the loopback, in order.
    pub fn interfaces(&self) -> Vec<String> {
        let mut names = self.names("sys/class/net");
        names.retain(|name| name != "lo" && self.exists(format!("sys/class/net/{name}/ifindex")));
        names
    }

    fn packed(&self, path: &str) -> Option<String> {
        let file = fs::File::open(self.place(path)).ok()?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn place(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// The programs that are installed.
struct Installed;

impl Tools for Installed {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, ToolError> {
        let command = || format!("{program} {}", arguments.join(" "));
        // Its words are parsed, so they are asked for untranslated.
        let output = Command::new(program).args(arguments).env("LC_ALL", "C").output();
        let output = output.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ToolError::Missing(program.to_owned()),
            _ => ToolError::Failed { command: command(), said: error.to_string() },
        })?;
        let standard = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            return Ok(standard.into_owned());
        }
        let error = String::from_utf8_lossy(&output.stderr);
        let last =
            |text: &str| text.lines().rev().find(|line| !line.trim().is_empty()).map(String::from);
        let said = last(&error).or_else(|| last(&standard));
        let said = said.unwrap_or_else(|| output.status.to_string());
        Err(ToolError::Failed { command: command(), said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_a_host_answers_like_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["proc/sys/kernel", "boot", "proc/77"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("proc/sys/kernel/osrelease"), "6.1.0-13-amd64\n").unwrap();
        fs::write(root.join("boot/config-6.1.0-13-amd64"), "CONFIG_BPF=y\n# CONFIG_X is not set\n")
            .unwrap();
        fs::write(root.join("proc/cmdline"), "ro isolcpus=1 quiet isolcpus=2-3\n").unwrap();
        fs::write(root.join("proc/77/comm"), "irqbalance\n").unwrap();
        let host = Host::at(root, Installed);
        assert_eq!(host.kernel().unwrap().0, (6, 1));
        let options = host.kernel_options().unwrap();
        assert_eq!(options.get("CONFIG_BPF").unwrap(), "y");
        assert_eq!(options.len(), 1);
        assert_eq!(host.boot_parameter("isolcpus").unwrap(), "2-3");
        assert_eq!(host.boot_parameter("iso"), None);
        assert_eq!(host.processes("irqbalance"), [77]);
        assert!(host.write("proc/sys/kernel/absent", "1").is_err(), "nothing is made anew");
    }

    #[test]
    fn a_missing_program_and_a_failing_one_are_two_things() {
        let host = Host::system();
        let missing = host.run("wirebook-has-no-such-program", &[]);
        assert!(matches!(missing, Err(ToolError::Missing(_))), "{missing:?}");
        let failed = host.run("ls", &["/nowhere-at-all"]).unwrap_err().to_string();
        assert!(failed.contains("/nowhere-at-all"), "{failed}");
    }
}
