//! The host and the build that figures were taken on. What cannot be found out says `unknown`.

use serde::Serialize;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fmt, fs};

/// What a figure depends on besides the code.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// Seconds since the UNIX epoch at which the run began.
    pub unix_seconds: u64,
    /// The processor's name.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// `systemd-detect-virt`'s word: `none` on bare metal.
    pub virtualization: String,
    /// Load of the host over the last minute when the run began.
    pub load: String,
    /// Kernel release.
    pub kernel: String,
    /// Compiler version.
    pub compiler: String,
    /// Commit of the code, with `-dirty` where files were changed since.
    pub commit: String,
    /// With which settings the code was compiled.
    pub profile: &'static str,
}

impl Host {
    /// This host, now.
    pub fn read() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let load = first_line("/proc/loadavg").map(|line| line.split(' ').take(1).collect());
        Self {
            unix_seconds: since.map_or(0, |since| since.as_secs()),
            processor: processor().unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            virtualization: said("systemd-detect-virt", &[]).unwrap_or_else(unknown),
            load: load.unwrap_or_else(unknown),
            kernel: first_line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            compiler: said("rustc", &["--version"]).unwrap_or_else(unknown),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=12"])
                .unwrap_or_else(unknown),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        }
    }
}

/// Two lines: the machine, and the build.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            processor, cores, virtualization, kernel, load, compiler, profile, commit, ..
        } = self;
        writeln!(f, "{processor} ({cores} cores, {virtualization}), Linux {kernel}, load {load}")?;
        write!(f, "{compiler}, {profile} profile, commit {commit}")
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches(['\t', ' ', ':']).to_owned())
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}

/// The first line of what a program prints, whatever its status: `systemd-detect-virt` fails on bare
/// metal.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}
