//! Forbidden calls, each in a process of its own: this test program again, which gives up its rights
//! and tries.
#![allow(unsafe_code, reason = "no safe function makes these calls with arguments that do nothing")]

use super::common;
use super::live::PATIENCE;
use super::live::net::within;
use libc::c_long;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use wirebook::config::Config;
use wirebook::rights::{Rights, Role};
use wirebook_xdp::{Interface, Receiver, SteeringOptions, XdpError};

/// Set for the process that gives up its rights: which test it is to be.
const CHILD: &str = "WIREBOOK_TEST_GIVES_UP";

/// What no thread of the appliance may call; with no arguments none does anything.
const FORBIDDEN: &[(&str, c_long)] = &[
    ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat),
    ("ptrace", libc::SYS_ptrace),
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("pivot_root", libc::SYS_pivot_root),
    ("chroot", libc::SYS_chroot),
    ("setns", libc::SYS_setns),
    ("unshare", libc::SYS_unshare),
    ("init_module", libc::SYS_init_module),
    ("finit_module", libc::SYS_finit_module),
    ("delete_module", libc::SYS_delete_module),
    ("kexec_load", libc::SYS_kexec_load),
    ("reboot", libc::SYS_reboot),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("request_key", libc::SYS_request_key),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("mknodat", libc::SYS_mknodat),
    ("symlinkat", libc::SYS_symlinkat),
    ("linkat", libc::SYS_linkat),
    ("setuid", libc::SYS_setuid),
    ("setgroups", libc::SYS_setgroups),
    ("kill", libc::SYS_kill),
    ("settimeofday", libc::SYS_settimeofday),
    ("sethostname", libc::SYS_sethostname),
    ("swapon", libc::SYS_swapon),
    ("personality", libc::SYS_personality),
];

/// What service threads may not call besides.
const NOT_OF_SERVICES: &[(&str, c_long)] = &[("bpf", libc::SYS_bpf)];

/// What hot threads may not call besides.
const NOT_OF_HOT: &[(&str, c_long)] = &[
    ("openat", libc::SYS_openat),
    ("read", libc::SYS_read),
    ("socket", libc::SYS_socket),
    ("connect", libc::SYS_connect),
    ("sendmsg", libc::SYS_sendmsg),
    ("unlinkat", libc::SYS_unlinkat),
    ("ioctl", libc::SYS_ioctl),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("prctl", libc::SYS_prctl),
    ("capset", libc::SYS_capset),
    ("seccomp", libc::SYS_seccomp),
    ("setsockopt", libc::SYS_setsockopt),
];

/// The error of a call whose arguments are all this.
fn error_of(number: c_long, argument: c_long) -> i32 {
    // SAFETY: with these arguments, null or out of every range, the calls of the tables above have
    // nothing to write to and nothing to do.
    let result = unsafe { libc::syscall(number, argument, argument, argument, argument, argument) };
    if result >= 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap() }
}

/// No descriptor, no address, no process.
const NOTHING: c_long = -1;

fn refused(calls: &[(&str, c_long)]) -> Vec<String> {
    let not_refused = |(_, number): &&(&str, c_long)| error_of(*number, NOTHING) != libc::EPERM;
    calls.iter().filter(not_refused).map(|(name, _)| (*name).to_owned()).collect()
}

fn assert_refused(role: &str, calls: &[(&str, c_long)]) {
    let passed = refused(calls);
    assert!(passed.is_empty(), "{role} threads may call {passed:?}");
}

fn rights(extra: &str) -> Rights {
    let folder = common::folder();
    let text = format!(
        "[[worker]]\nname = \"w0\"\ninterface = [{{ name = \"rx0\" }}]\n[[shard]]\n[[channel]]\n\
         name = \"c0\"\nprotocol = \"itch50\"\nworker = \"w0\"\nline = [{{ name = \"A\", \
         interface = \"rx0\", group = \"239.0.0.1\", port = 1 }}]\n[rights]\n{extra}\n"
    );
    let config = Config::read(&common::write(&folder, "wirebook.toml", text)).unwrap();
    Rights::of_config(&config).unwrap()
}

/// Runs this test alone in a process that may give up its rights; true in that process.
fn is_child(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    false
}

/// A thread with the rights of a role, and what `work` gives in it.
fn in_role<T: Send + 'static>(
    rights: &Rights,
    role: Role,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    // Waited for by a loop: a hot thread's end needs nothing of this one.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            rights.enter(role).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn forbidden_calls_fail_on_every_thread() {
    if !is_child("calls::forbidden_calls_fail_on_every_thread") {
        return;
    }
    if nix::unistd::geteuid().is_root() {
        // They fail, but not for want of a right: what is refused below is refused by the filter.
        let refused_before: Vec<_> = FORBIDDEN
            .iter()
            .filter(|(name, _)| *name != "setns")
            .filter(|(_, number)| error_of(*number, NOTHING) == libc::EPERM)
            .collect();
        assert!(refused_before.is_empty(), "{refused_before:?}");
    }
    // One that was there before has the filter too.
    let (ask, asked) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || {
        asked.recv().unwrap();
        answer.send(refused(FORBIDDEN)).unwrap();
    });
    // Its capabilities are its own, which is not what is tested here.
    let rights = rights("drop_capabilities = false");
    rights.give_up().unwrap();
    assert_refused("housekeeping", FORBIDDEN);
    assert_ne!(error_of(libc::SYS_bpf, NOTHING), libc::EPERM);
    ask.send(()).unwrap();
    assert_eq!(answered.recv().unwrap(), Vec::<String>::new());
    let error = Command::new("/bin/true").exec();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
    in_role(&rights, Role::Service, || {
        assert_refused("service", FORBIDDEN);
        assert_refused("service", NOT_OF_SERVICES);
        assert_eq!(error_of(libc::SYS_openat, NOTHING), libc::EFAULT);
        // A thread, yes; a process, or a user namespace with all capabilities in it, no.
        std::thread::spawn(|| {}).join().unwrap();
        assert_eq!(error_of(libc::SYS_clone, libc::SIGCHLD.into()), libc::EPERM);
        assert_eq!(error_of(libc::SYS_clone, libc::CLONE_NEWUSER.into()), libc::EPERM);
        assert_eq!(error_of(libc::SYS_clone3, NOTHING), libc::ENOSYS);
        assert_eq!(error_of(libc::SYS_socket, libc::AF_XDP.into()), libc::EPERM);
        assert_eq!(error_of(libc::SYS_socket, libc::AF_PACKET.into()), libc::EPERM);
    });
    in_role(&rights, Role::Hot, || {
        assert_refused("hot", FORBIDDEN);
        assert_refused("hot", NOT_OF_SERVICES);
        assert_refused("hot", NOT_OF_HOT);
        let panicked = std::panic::catch_unwind(|| std::hint::black_box(Vec::<u8>::new())[1]);
        assert!(panicked.is_err(), "a book may fall, and the thread goes on");
        std::thread::sleep(std::time::Duration::from_millis(1));
    });
}

#[test]
fn memory_that_can_be_written_cannot_be_executed() {
    if !is_child("calls::memory_that_can_be_written_cannot_be_executed") {
        return;
    }
    let rights = rights("drop_capabilities = false");
    rights.give_up().unwrap();
    let map = |protection: i32| {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping that nothing uses.
        let place = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
        place != libc::MAP_FAILED
    };
    assert!(map(libc::PROT_READ | libc::PROT_WRITE));
    assert!(!map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC));
    assert!(!map(libc::PROT_READ | libc::PROT_EXEC));
}

#[test]
fn without_the_right_to_open_interfaces_their_counters_can_still_be_read() {
    if !is_child("calls::without_the_right_to_open_interfaces_their_counters_can_still_be_read") {
        return;
    }
    let rights = rights("drop_capabilities = false\nkeep = false");
    rights.give_up().unwrap();
    assert_ne!(error_of(libc::SYS_bpf, 5), libc::EPERM);
    rights.settle().unwrap();
    // BPF_PROG_LOAD and BPF_MAP_LOOKUP_ELEM
    assert_eq!(error_of(libc::SYS_bpf, 5), libc::EPERM);
    assert_ne!(error_of(libc::SYS_bpf, 1), libc::EPERM);
    assert_eq!(error_of(libc::SYS_socket, libc::AF_XDP.into()), libc::EPERM);
}

/// The namespace in which the child is to open the interface `rx0`.
const NAMESPACE: &str = "WIREBOOK_TEST_NAMESPACE";

#[test]
fn an_interface_is_opened_again_after_rights_are_gone() {
    const NAME: &str = "calls::an_interface_is_opened_again_after_rights_are_gone";
    if std::env::var_os(NAMESPACE).is_none() {
        let Some(wire) = super::wire(1, 1) else { return };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &wire.receiver]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture"]).env(NAMESPACE, &wire.receiver);
        let output = command.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}");
        return;
    }
    let rights = rights("");
    rights.give_up().unwrap();
    let open = || -> Result<_, XdpError> {
        let mut interface = Interface::attach("rx0", &SteeringOptions::default(), [])?;
        let (receiver, _) = Receiver::open(&[interface.socket_config(0)])?;
        assert_eq!(interface.serve(&receiver)?, 1);
        Ok((interface, receiver))
    };
    assert!(open().is_err(), "what is kept is not in effect");
    for _ in 0..2 {
        let (interface, receiver) = once_free(|| rights.raised(open).unwrap());
        assert_eq!(interface.counters().unwrap().steered, 0);
        drop((interface, receiver));
    }
}

/// Opens what needs a queue. The kernel takes the queue from a closed socket a while later, on a
/// thread of its own (`xp_put_pool` in net/xdp/xsk_buff_pool.c), and until then it is busy.
fn once_free<T>(mut open: impl FnMut() -> Result<T, XdpError>) -> T {
    let mut opened = None;
    let free = within(PATIENCE, || match open() {
        Err(error) if error.is_busy_queue() => false,
        result => {
            opened = Some(result.unwrap());
            true
        }
    });
    assert!(free, "the queue stays busy");
    opened.unwrap()
}

#[test]
fn a_thread_that_was_forgotten_is_an_error() {
    if !is_child("calls::a_thread_that_was_forgotten_is_an_error") {
        return;
    }
    if caps::read(None, caps::CapSet::Permitted).unwrap().is_empty() {
        return super::live::net::skip("no capabilities to forget");
    }
    let rights = rights("");
    rights.give_up().unwrap();
    let (ask, asked) = mpsc::channel::<()>();
    let forgotten = std::thread::Builder::new().name("forgotten".to_owned());
    let forgotten = forgotten.spawn(move || asked.recv()).unwrap();
    let error = rights.check().unwrap_err().to_string();
    drop(ask);
    let _ = forgotten.join();
    assert!(error.contains("expected a thread without rights, found "), "{error}");
}

#[test]
fn what_is_kept_is_in_effect_while_it_is_raised() {
    if !is_child("calls::what_is_kept_is_in_effect_while_it_is_raised") {
        return;
    }
    let effective = || caps::read(None, caps::CapSet::Effective).unwrap();
    let before = effective();
    let rights = rights("");
    rights.give_up().unwrap();
    assert!(effective().is_empty());
    let kept =
        wirebook::rights::TO_OPEN_INTERFACES.into_iter().filter(|kept| before.contains(kept));
    assert_eq!(rights.raised(effective).unwrap(), kept.collect());
    assert!(effective().is_empty());
    let caught = std::panic::catch_unwind(|| rights.raised(|| panic!("as the test wants")));
    assert!(caught.is_err() && effective().is_empty(), "lowered by a panic too");
}
