//! What the kernel refuses: a fall-back that is logged, or an error that says
//! what to do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use common::{PATIENCE, Pair, skip, within, without_rights};
use tracing_subscriber::fmt::MakeWriter;
use wirebook_xdp::{
    AttachError, AttachMode, BindMode, Interface, LineKey, Mode, Receiver, SocketConfig,
    SteeringError, SteeringOptions, Timestamps, XdpError,
};

const NO_LINES: [(LineKey, u16); 0] = [];

#[test]
fn zero_copy_and_hugepages_fall_back_with_a_warning() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let config = SocketConfig { ring_size: 64, ..SocketConfig::new("rx0", 0) };
    let (result, log) = logged(|| pair.receiving(carrying_log(|| Receiver::open(&[config]))));
    let (_receiver, reports) = result.unwrap();
    assert!(!reports[0].zero_copy);
    assert!(log.contains("falling back to copy mode"), "{log}");
    // Whether the machine has hugepages is its own affair: log and report agree.
    assert_eq!(!reports[0].hugepages, log.contains("ordinary pages"), "{log}");
}

#[test]
fn zero_copy_or_nothing_is_an_error_on_veth() {
    let Some(pair) = Pair::new(1, 1) else { return };
    let config = SocketConfig {
        ring_size: 64,
        hugepages: false,
        bind: BindMode::ZeroCopy,
        ..SocketConfig::new("rx0", 0)
    };
    let error = pair.receiving(|| Receiver::open(&[config])).unwrap_err();
    assert!(error.to_string().contains("bind in copy mode"), "{error}");
}

#[test]
fn native_mode_falls_back_to_generic_with_a_warning() {
    // veth wants a receive queue for each of its peer's transmit queues.
    let Some(pair) = Pair::with_queues(1, 2, 1) else { return };
    let native = SteeringOptions { mode: AttachMode::Native, ..SteeringOptions::default() };
    let error = attach(&pair, &native).unwrap_err();
    assert!(matches!(reason(&error), AttachError::Queues(_)), "{error}");
    assert!(error.to_string().contains("numrxqueues"), "{error}");

    let (result, log) = logged(|| {
        pair.receiving(carrying_log(|| {
            Interface::attach("rx0", &SteeringOptions::default(), NO_LINES)
        }))
    });
    let interface = result.unwrap();
    assert_eq!(interface.mode(), Mode::Generic);
    assert_eq!(interface.timestamps(), Timestamps::Kernel);
    assert_eq!(interface.socket_config(0).bind, BindMode::Copy);
    assert!(log.contains("falling back to generic mode"), "{log}");
}

#[test]
fn a_second_program_is_refused_and_nothing_stays_after_the_first() {
    for mode in [AttachMode::Native, AttachMode::Generic] {
        let Some(pair) = Pair::new(1, 1) else { return };
        let options = SteeringOptions { mode, ..SteeringOptions::default() };
        let first = attach(&pair, &options).unwrap();
        assert!(pair.describe("rx0").contains("prog/xdp"));
        for second in [AttachMode::Auto, mode] {
            let options = SteeringOptions { mode: second, ..options };
            let error = attach(&pair, &options).unwrap_err();
            assert!(matches!(reason(&error), AttachError::Busy(_)), "{error}");
        }
        drop(first);
        // Soon, not at once: a child that another test is just starting holds a
        // copy of each descriptor until it runs its own program.
        let gone = || !pair.describe("rx0").contains("prog/xdp");
        assert!(within(PATIENCE, gone), "{mode:?}");
    }
}

#[test]
fn a_missing_interface_is_named() {
    let options = SteeringOptions::default();
    let error = Interface::attach("nosuch0", &options, NO_LINES).unwrap_err();
    assert!(error.to_string().contains("\"nosuch0\": not found"), "{error}");
    let Some(pair) = Pair::new(1, 1) else { return };
    let config =
        SocketConfig { ring_size: 64, hugepages: false, ..SocketConfig::new("nosuch0", 0) };
    let error = pair.receiving(|| Receiver::open(&[config])).unwrap_err();
    assert!(error.to_string().contains("nosuch0 queue 0"), "{error}");
    let config = SocketConfig { ring_size: 64, hugepages: false, ..SocketConfig::new("rx0", 7) };
    let error = pair.receiving(|| Receiver::open(&[config])).unwrap_err();
    assert!(error.to_string().contains("does the interface have this queue"), "{error}");
}

#[test]
fn missing_rights_are_named() {
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can give rights up");
    }
    let options = SteeringOptions::default();
    let error = without_rights(|| Interface::attach("lo", &options, NO_LINES)).unwrap_err();
    assert!(matches!(error, XdpError::Steering(SteeringError::LoadRights(_))), "{error}");
    assert!(error.to_string().contains("CAP_BPF"), "{error}");
    let config = SocketConfig { ring_size: 64, hugepages: false, ..SocketConfig::new("lo", 0) };
    let error = without_rights(|| Receiver::open(&[config])).unwrap_err();
    assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
}

#[test]
fn sizes_that_cannot_be_are_refused_before_the_kernel_sees_them() {
    let good = SocketConfig::new("lo", 0);
    for (ring_size, frame_bytes) in
        [(0, 2048), (63, 2048), (1000, 2048), (1 << 21, 2048), (64, 1024), (64, 3000), (64, 8192)]
    {
        let config = SocketConfig { ring_size, frame_bytes, ..good.clone() };
        let error = Receiver::open(&[config]).unwrap_err();
        assert!(matches!(error, XdpError::Size { .. }), "{ring_size} {frame_bytes}: {error}");
    }
}

fn attach(pair: &Pair, options: &SteeringOptions) -> Result<Interface, XdpError> {
    pair.receiving(|| Interface::attach("rx0", options, NO_LINES))
}

fn reason(error: &XdpError) -> &AttachError {
    match error {
        XdpError::Steering(SteeringError::Attach { reason, .. }) => reason,
        other => panic!("{other}"),
    }
}

/// Runs `work` and gives what it logged.
fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let value = tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (value, text)
}

/// Takes this thread's log along into the thread that runs `work`.
fn carrying_log<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    move || tracing::dispatcher::with_default(&dispatch, work)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
