//! The door: a Unix socket at which readers get the segment.
//!
//! Arrives: connections, which the file's mode and group let in. Leaves: to each, the greeting and a
//! read-only descriptor ([`wirebook_shm::handoff`]), and a line in the log that says who it was.
//! Promises: one appliance a path: while one lives, another is refused; what a dead one left behind
//! is replaced; the file goes when the appliance ends. Nothing that a reader says is read, and no hot
//! thread knows of readers.

use crate::config::{Config, SegmentConfig};
use anyhow::{Context, anyhow, bail};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, Shutdown, SockFlag, SockType, UnixAddr};
use nix::sys::socket::{UnixCredentials, sockopt};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::Group;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wirebook_shm::{Segment, handoff};

/// Where sockets lie that the configuration does not name.
pub const FOLDER: &str = "/run/wirebook";

/// How long to wait where the host has no descriptor for one more connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The socket, as long as the appliance lives.
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: whether the file there is still ours.
    identity: (u64, u64),
    shared: OwnedFd,
    closed: AtomicBool,
}

impl Door {
    /// Takes the socket's path; `None`, with a warning, where the configuration names none and there
    /// is no folder for it.
    ///
    /// # Errors
    /// Fails where another appliance lives there, or the file, its mode or its group cannot be made.
    pub fn open(config: &Config, segment: &Segment) -> anyhow::Result<Option<Self>> {
        let Some(path) = path(config) else { return Ok(None) };
        let door = Self::open_at(&path, &config.segment, segment)
            .with_context(|| format!("cannot open the socket {}", path.display()))?;
        Ok(Some(door))
    }

    fn open_at(path: &Path, config: &SegmentConfig, segment: &Segment) -> anyhow::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Two that start at once take turns: looking for the other and taking its place is one step.
        let folder = File::open(folder.unwrap_or(Path::new(".")))?;
        folder.lock()?;
        remove_left_behind(path)?;
        let socket =
            socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // A socket's file gets the mode that the socket has (`unix_bind`, net/unix/af_unix.c): nobody
        // else's until group and mode are right.
        fchmod(&socket, Mode::from_bits_truncate(0o600))?;
        socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        let metadata = fs::symlink_metadata(path)?;
        let door = Self {
            listener: socket.into(),
            path: path.into(),
            identity: (metadata.dev(), metadata.ino()),
            shared: segment.share()?,
            closed: AtomicBool::new(false),
        };
        if let Some(group) = &config.socket_group {
            chown(path, None, Some(group_id(group)?))?;
        }
        fs::set_permissions(path, Permissions::from_mode(config.socket_mode))?;
        socket::listen(&door.listener, Backlog::MAXCONN)?;
        Ok(door)
    }

    /// Answers until the door is closed.
    pub fn answer(&self, segment: &Segment) {
        tracing::info!(socket = %self.path.display(), "readers connect to {}", self.path.display());
        while !self.closed.load(Ordering::Relaxed) {
            match self.listener.accept() {
                Ok((reader, _)) => self.greet(&reader, segment),
                Err(_) if self.closed.load(Ordering::Relaxed) => return,
                Err(error) => {
                    tracing::warn!(socket = %self.path.display(), "{}: no reader could be let in: {error}", self.path.display());
                    std::thread::sleep(EXHAUSTED);
                }
            }
        }
    }

    fn greet(&self, reader: &UnixStream, segment: &Segment) {
        let (process, who) = match socket::getsockopt(reader, sockopt::PeerCredentials) {
            Ok(peer) => (Some(peer.pid()), describe(&peer)),
            Err(errno) => (None, format!("unknown ({errno})")),
        };
        match handoff::greet(reader, segment, &self.shared) {
            Ok(()) => tracing::info!(process, "a reader has the segment: {who}"),
            Err(error) => {
                tracing::warn!(process, "a reader did not take the segment: {who}: {error}")
            }
        }
    }

    /// Lets [`Door::answer`] return.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes a thread in accept(2) ("This means receive shutdown", net/unix/af_unix.c).
        let woken = socket::shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        debug_assert_eq!(woken, Ok(()), "a listening socket can be shut down");
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("{} is left behind: {error}", self.path.display());
        }
    }
}

/// The configured path, or the default one where its folder can be written.
fn path(config: &Config) -> Option<PathBuf> {
    if let Some(path) = &config.segment.socket {
        return Some(path.clone());
    }
    let folder = Path::new(FOLDER);
    let may_write = nix::unistd::access(folder, nix::unistd::AccessFlags::W_OK);
    if let Err(errno) = may_write {
        tracing::warn!(
            "readers cannot connect: {FOLDER}: {errno} (make the folder, or name a segment.socket)"
        );
        return None;
    }
    Some(folder.join(format!("{}.sock", config.name)))
}

/// Makes room at `path`, unless somebody answers there or it is no socket.
fn remove_left_behind(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(found) if !found.file_type().is_socket() => {
            bail!("expected a socket or nothing, found another file");
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        // Nobody listens: what a killed appliance leaves.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::info!("{} was left behind and is replaced", path.display());
            fs::remove_file(path).map_err(Into::into)
        }
        Ok(_) => Err(anyhow!(
            "another appliance answers there: stop it, or give this one another name or segment.socket"
        )),
        Err(error) => Err(error.into()),
    }
}

fn group_id(group: &str) -> anyhow::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    match Group::from_name(group) {
        Ok(Some(found)) => Ok(found.gid.as_raw()),
        Ok(None) | Err(Errno::ENOENT) => bail!("socket_group: no group is named {group:?}"),
        Err(errno) => Err(errno.into()),
    }
}

fn describe(peer: &UnixCredentials) -> String {
    let program = fs::read_to_string(format!("/proc/{}/comm", peer.pid())).unwrap_or_default();
    let program = program.trim_end().escape_debug();
    format!("process {} ({program}), user {}, group {}", peer.pid(), peer.uid(), peer.gid())
}
