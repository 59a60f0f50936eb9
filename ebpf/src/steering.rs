//! Loads the steering program, attaches it, and keeps its maps.
//!
//! Arrives: an interface, lines and sockets. Leaves: frames steered while the
//! [`Steering`] lives; the link is a descriptor of this process, so the kernel
//! detaches the program when the process ends. Each fall-back (no device-bound
//! load, no native mode) is logged once and reported.
#![allow(
    unsafe_code,
    reason = "libbpf-rs attaches without flags; choosing the mode takes libbpf's own call"
)]

use std::fmt;
use std::iter::Sum;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;
use libbpf_rs::{
    MapCore, MapFlags, MapHandle, Object, ObjectBuilder, PrintLevel, ProgramInput, ProgramMut,
};

use crate::{AttachError, LineKey, STEER_HARDWARE_OBJECT, STEER_OBJECT, SteeringError};

/// Which XDP mode to attach in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// Native, or generic where the driver refuses.
    #[default]
    Auto,
    /// Native or an error.
    Native,
    /// Generic or an error.
    Generic,
}

/// The XDP mode that the program runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before a socket buffer is made.
    Native,
    /// In the kernel's receive path, after a socket buffer was made.
    Generic,
}

/// Where the time of arrival comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// The device is asked for each packet; where it has none, the kernel
    /// clock. Each packet's metadata says which it was.
    Hardware,
    /// The kernel clock (CLOCK_TAI) when the steering program runs.
    Kernel,
}

/// How to attach the steering program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteeringOptions {
    /// Which mode to attach in.
    pub mode: AttachMode,
    /// Whether to ask the device for timestamps where its driver lets us.
    pub hardware_timestamps: bool,
}

impl Default for SteeringOptions {
    fn default() -> Self {
        Self { mode: AttachMode::Auto, hardware_timestamps: true }
    }
}

/// What the steering program did with the frames it saw, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Redirected to a socket.
    pub steered: u64,
    /// Given to the kernel because no line matched.
    pub passed: u64,
    /// Given to the kernel because a header does not hold together.
    pub malformed: u64,
    /// Given to the kernel although a line matched: no socket on the queue.
    pub no_socket: u64,
}

/// A loaded, and as a rule attached, steering program. Dropping it detaches.
#[derive(Debug)]
pub struct Steering {
    // Before the object: detached before its maps and program go.
    link: Option<OwnedFd>,
    lines: MapHandle,
    sockets: MapHandle,
    counts: MapHandle,
    object: Object,
    timestamps: Timestamps,
}

impl Steering {
    /// Loads the program without attaching it, with kernel timestamps.
    ///
    /// # Errors
    /// [`SteeringError::LoadRights`] or [`SteeringError::Load`].
    pub fn load() -> Result<Self, SteeringError> {
        Self::load_object(None)
    }

    /// Loads the program and attaches it to an interface of this thread's
    /// network namespace. Gives the mode it got, too.
    ///
    /// # Errors
    /// As [`Steering::load`], and [`SteeringError::Attach`].
    pub fn attach(
        interface_index: u32,
        options: &SteeringOptions,
    ) -> Result<(Self, Mode), SteeringError> {
        if options.hardware_timestamps && options.mode != AttachMode::Generic {
            let bound = Self::load_object(Some(interface_index))
                .and_then(|steering| steering.linked(interface_index, Mode::Native));
            match bound {
                Ok(steering) => return Ok((steering, Mode::Native)),
                Err(error) => tracing::info!(
                    interface_index,
                    %error,
                    "no hardware timestamps: a device-bound program is not accepted"
                ),
            }
        }
        if options.mode != AttachMode::Generic {
            match Self::load()?.linked(interface_index, Mode::Native) {
                Ok(steering) => return Ok((steering, Mode::Native)),
                Err(SteeringError::Attach { reason, .. })
                    if options.mode == AttachMode::Auto && reason.may_fall_back() =>
                {
                    tracing::warn!(
                        interface_index,
                        %reason,
                        "native XDP refused: falling back to generic mode, which is slower"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        let steering = Self::load()?.linked(interface_index, Mode::Generic)?;
        Ok((steering, Mode::Generic))
    }

    /// Steers the frames of `key` as line number `line`.
    ///
    /// # Errors
    /// [`SteeringError::Vlan`] or [`SteeringError::Line`].
    pub fn set_line(&mut self, key: LineKey, line: u16) -> Result<(), SteeringError> {
        if !key.has_valid_vlan() {
            return Err(SteeringError::Vlan(key));
        }
        self.lines
            .update(&key.to_bytes(), &line.to_ne_bytes(), MapFlags::ANY)
            .map_err(|source| SteeringError::Line { line, key, source })
    }

    /// Gives the frames of `key` back to the kernel; nothing where it is no line's.
    ///
    /// # Errors
    /// [`SteeringError::NotRemoved`].
    pub fn remove_line(&mut self, key: LineKey) -> Result<(), SteeringError> {
        match self.lines.delete(&key.to_bytes()) {
            Err(error) if error.kind() != libbpf_rs::ErrorKind::NotFound => {
                Err(SteeringError::NotRemoved { key, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Gives the frames of RX queue `queue` to `socket`, an AF_XDP socket. The
    /// kernel drops the entry when the socket closes.
    ///
    /// # Errors
    /// [`SteeringError::Socket`].
    pub fn set_socket(&mut self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), SteeringError> {
        self.sockets
            .update(&queue.to_ne_bytes(), &socket.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
            .map_err(|source| SteeringError::Socket { queue, source })
    }

    /// What the program did so far.
    ///
    /// # Errors
    /// [`SteeringError::Counters`].
    pub fn counters(&self) -> Result<Counters, SteeringError> {
        let rows = self
            .counts
            .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(SteeringError::Counters)?
            .unwrap_or_default();
        Ok(rows.iter().map(|row| Counters::from_bytes(row)).sum())
    }

    /// Where timestamps come from.
    pub fn timestamps(&self) -> Timestamps {
        self.timestamps
    }

    /// The loaded program, for the kernel's test-run call.
    ///
    /// # Errors
    /// [`SteeringError::Missing`] when the object has none.
    pub fn program(&self) -> Result<ProgramMut<'_>, SteeringError> {
        self.object
            .progs_mut()
            .find(|program| program.name() == "steer")
            .ok_or(SteeringError::Missing("program `steer`"))
    }

    /// Lets the kernel run the program on `frame` as if it had arrived on queue 0 of the interface,
    /// and carry out what it says (`BPF_F_TEST_XDP_LIVE_FRAMES`, Documentation/bpf/bpf_prog_run.rst;
    /// Linux 5.18): a frame of a line goes into its socket, any other one to the kernel's stack.
    ///
    /// # Errors
    /// [`SteeringError::Inject`]; with EINVAL for a program with [`Timestamps::Hardware`], as
    /// device-bound ones are not test-run (`bpf_prog_test_run_xdp` in net/bpf/test_run.c).
    pub fn inject(&self, interface_index: u32, frame: &[u8]) -> Result<(), SteeringError> {
        /// include/uapi/linux/bpf.h
        const LIVE_FRAMES: u32 = 1 << 1;
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        // Live frames need room for their metadata to stand at 0.
        let mut context = [0; 24];
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        context[4..8].copy_from_slice(&length.to_ne_bytes());
        context[12..16].copy_from_slice(&interface_index.to_ne_bytes());
        let input = ProgramInput {
            context_in: Some(&mut context),
            data_in: Some(frame),
            flags: LIVE_FRAMES,
            repeat: 1,
            ..ProgramInput::default()
        };
        self.program()?.test_run(input).map(|_| ()).map_err(SteeringError::Inject)
    }

    /// Loads bound to a device, or the plain object for any.
    fn load_object(device: Option<u32>) -> Result<Self, SteeringError> {
        libbpf_rs::set_print(Some((PrintLevel::Debug, log_libbpf)));
        let (bytes, timestamps) = match device {
            Some(_) => (STEER_HARDWARE_OBJECT, Timestamps::Hardware),
            None => (STEER_OBJECT, Timestamps::Kernel),
        };
        let mut open = ObjectBuilder::default().open_memory(bytes).map_err(SteeringError::load)?;
        if let Some(interface_index) = device {
            for mut program in open.progs_mut() {
                program.set_ifindex(interface_index);
                program.set_flags(libbpf_sys::BPF_F_XDP_DEV_BOUND_ONLY);
            }
        }
        let object = open.load().map_err(SteeringError::load)?;
        Ok(Self {
            link: None,
            lines: map(&object, "lines")?,
            sockets: map(&object, "sockets")?,
            counts: map(&object, "counts")?,
            object,
            timestamps,
        })
    }

    /// Attaches the program by a link that this process holds.
    fn linked(mut self, interface_index: u32, mode: Mode) -> Result<Self, SteeringError> {
        let link = link(&self.program()?, interface_index, mode)
            .map_err(|reason| SteeringError::Attach { interface_index, mode, reason })?;
        self.link = Some(link);
        Ok(self)
    }
}

/// `bpf_link_create` in one mode; libbpf-rs offers the kernel's choice only.
fn link(
    program: &ProgramMut<'_>,
    interface_index: u32,
    mode: Mode,
) -> Result<OwnedFd, AttachError> {
    let target =
        i32::try_from(interface_index).map_err(|_| AttachError::from_errno(libc::ENODEV))?;
    let options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
        flags: match mode {
            Mode::Native => libbpf_sys::XDP_FLAGS_DRV_MODE,
            Mode::Generic => libbpf_sys::XDP_FLAGS_SKB_MODE,
        },
        ..Default::default()
    };
    // SAFETY: the program's descriptor is open while `program` is borrowed, and
    // `options` is a live struct whose `sz` tells its true size; libbpf keeps
    // neither after the call.
    let link = unsafe {
        libbpf_sys::bpf_link_create(
            program.as_fd().as_raw_fd(),
            target,
            libbpf_sys::BPF_XDP,
            &raw const options,
        )
    };
    if link < 0 {
        return Err(AttachError::from_errno(-link));
    }
    // SAFETY: `bpf_link_create` gave this descriptor to us alone, and it is not
    // negative, so it is open and nobody else closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

impl Counters {
    /// One CPU's row, `struct counters` in `steer.bpf.c`.
    fn from_bytes(row: &[u8]) -> Self {
        let mut fields = row.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
        let mut next = || fields.next().unwrap_or_default();
        Self { steered: next(), passed: next(), malformed: next(), no_socket: next() }
    }
}

impl Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(rows: I) -> Self {
        rows.fold(Self::default(), |sum, row| Self {
            steered: sum.steered + row.steered,
            passed: sum.passed + row.passed,
            malformed: sum.malformed + row.malformed,
            no_socket: sum.no_socket + row.no_socket,
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

fn map(object: &Object, name: &'static str) -> Result<MapHandle, SteeringError> {
    let map = object.maps().find(|map| map.name() == name).ok_or(SteeringError::Missing(name))?;
    MapHandle::try_from(&map).map_err(SteeringError::load)
}

/// libbpf prints to standard error by default; its words belong in the log.
fn log_libbpf(_: PrintLevel, text: String) {
    tracing::debug!(target: "libbpf", "{}", text.trim_end());
}
