//! The system calls of each role, and why.
//!
//! Found by strace(1) over the tests of the running appliance, and by reading what the C library, the
//! standard library and tokio call in their place on other kernels. Calls of hot threads depend on no
//! argument where they happen often, so that the kernel answers from its table without running the
//! filter (`seccomp_cache_check_allow`, kernel/seccomp.c).

use libc::c_long;

/// A call, and what its arguments must be: any of these, or whatever where there are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) number: c_long,
    pub(super) arguments: &'static [Argument],
}

/// One argument: these bits of it have this value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    pub(super) index: u8,
    pub(super) mask: u64,
    pub(super) value: u64,
}

const INT: u64 = u32::MAX as u64;

const fn any(number: c_long) -> Call {
    Call { number, arguments: &[] }
}

const fn with(number: c_long, arguments: &'static [Argument]) -> Call {
    Call { number, arguments }
}

/// The first argument is this.
const fn first(value: i32) -> Argument {
    Argument { index: 0, mask: INT, value: value as u64 }
}

/// The second argument is this.
const fn second(value: u64) -> Argument {
    Argument { index: 1, mask: INT, value }
}

/// Memory that can be executed is for programs, and ours is loaded.
const NOT_EXECUTABLE: &[Argument] =
    &[Argument { index: 2, mask: libc::PROT_EXEC as u64, value: 0 }];

/// A thread of this process, in the namespaces of this process.
const A_THREAD: &[Argument] = &[Argument {
    index: 0,
    mask: (libc::CLONE_THREAD
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u64,
    value: libc::CLONE_THREAD as u64,
}];

/// Looked at, not set.
const NO_NEW_LIMIT: &[Argument] = &[Argument { index: 2, mask: u64::MAX, value: 0 }];

/// To receive, decode and keep books; to panic, and to end.
pub(super) const HOT: &[Call] = &[
    // The kernel's ends of AF_XDP rings, and UDP sockets.
    any(libc::SYS_sendto),
    any(libc::SYS_recvfrom),
    any(libc::SYS_recvmmsg),
    any(libc::SYS_recvmsg),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_poll),
    any(libc::SYS_ppoll),
    any(libc::SYS_close),
    // To wait, and to wake readers.
    any(libc::SYS_futex),
    any(libc::SYS_clock_nanosleep),
    any(libc::SYS_nanosleep),
    any(libc::SYS_sched_yield),
    any(libc::SYS_restart_syscall),
    // Where there is no vDSO.
    any(libc::SYS_clock_gettime),
    any(libc::SYS_gettimeofday),
    // What the C library's allocator asks for: what is taken at start is given back at the end.
    with(libc::SYS_mmap, NOT_EXECUTABLE),
    with(libc::SYS_mprotect, NOT_EXECUTABLE),
    any(libc::SYS_munmap),
    any(libc::SYS_mremap),
    any(libc::SYS_madvise),
    any(libc::SYS_brk),
    any(libc::SYS_getrandom),
    // A panic's message, and a signal's handler.
    any(libc::SYS_write),
    any(libc::SYS_writev),
    any(libc::SYS_rt_sigprocmask),
    any(libc::SYS_rt_sigreturn),
    any(libc::SYS_rt_sigaction),
    any(libc::SYS_sigaltstack),
    any(libc::SYS_gettid),
    any(libc::SYS_getpid),
    any(libc::SYS_tgkill),
    any(libc::SYS_set_robust_list),
    any(libc::SYS_rseq),
    any(libc::SYS_exit),
    any(libc::SYS_exit_group),
];

/// What service threads call besides: files of the recorder and of the system's counters, sockets of
/// readers, servers and watchers, threads that come and go.
pub(super) const SERVICE: &[Call] = &[
    // Files.
    any(libc::SYS_openat),
    any(libc::SYS_read),
    any(libc::SYS_readv),
    any(libc::SYS_pread64),
    any(libc::SYS_pwrite64),
    any(libc::SYS_pwritev),
    any(libc::SYS_lseek),
    any(libc::SYS_fstat),
    any(libc::SYS_newfstatat),
    any(libc::SYS_statx),
    any(libc::SYS_fstatfs),
    any(libc::SYS_statfs),
    any(libc::SYS_faccessat),
    any(libc::SYS_faccessat2),
    any(libc::SYS_getdents64),
    any(libc::SYS_readlinkat),
    any(libc::SYS_getcwd),
    any(libc::SYS_mkdirat),
    any(libc::SYS_unlinkat),
    any(libc::SYS_renameat2),
    any(libc::SYS_ftruncate),
    any(libc::SYS_fallocate),
    any(libc::SYS_fadvise64),
    any(libc::SYS_fsync),
    any(libc::SYS_fdatasync),
    any(libc::SYS_flock),
    any(libc::SYS_fchmod),
    any(libc::SYS_copy_file_range),
    any(libc::SYS_fcntl),
    any(libc::SYS_dup),
    any(libc::SYS_dup3),
    with(
        libc::SYS_ioctl,
        &[
            second(libc::FIONBIO),
            second(libc::FIONREAD),
            second(libc::FIOCLEX),
            second(libc::TCGETS),
            // isatty(3) since glibc 2.42
            second(0x802c_542a),
            second(libc::TIOCGWINSZ),
        ],
    ),
    // Long lines for the journal.
    any(libc::SYS_memfd_create),
    // Sockets.
    with(libc::SYS_socket, &[first(libc::AF_UNIX), first(libc::AF_INET), first(libc::AF_INET6)]),
    with(libc::SYS_socketpair, &[first(libc::AF_UNIX)]),
    any(libc::SYS_bind),
    any(libc::SYS_listen),
    any(libc::SYS_accept),
    any(libc::SYS_accept4),
    any(libc::SYS_connect),
    any(libc::SYS_shutdown),
    any(libc::SYS_getsockname),
    any(libc::SYS_getpeername),
    any(libc::SYS_getsockopt),
    any(libc::SYS_setsockopt),
    any(libc::SYS_sendmsg),
    any(libc::SYS_sendmmsg),
    any(libc::SYS_epoll_create1),
    any(libc::SYS_epoll_ctl),
    any(libc::SYS_epoll_pwait),
    any(libc::SYS_epoll_pwait2),
    any(libc::SYS_eventfd2),
    any(libc::SYS_pipe2),
    any(libc::SYS_timerfd_create),
    any(libc::SYS_timerfd_settime),
    // Threads. `clone3` is refused by a filter of its own.
    with(libc::SYS_clone, A_THREAD),
    any(libc::SYS_clone3),
    any(libc::SYS_sched_setaffinity),
    any(libc::SYS_sched_getaffinity),
    any(libc::SYS_membarrier),
    with(libc::SYS_prlimit64, NO_NEW_LIMIT),
    with(
        libc::SYS_prctl,
        &[
            first(libc::PR_SET_NAME),
            first(libc::PR_GET_NAME),
            // The C library names the memory of its allocator.
            first(libc::PR_SET_VMA),
            // What follows is for giving up more.
            first(libc::PR_SET_NO_NEW_PRIVS),
            first(libc::PR_GET_NO_NEW_PRIVS),
            first(libc::PR_CAPBSET_READ),
        ],
    ),
    any(libc::SYS_capget),
    any(libc::SYS_capset),
    any(libc::SYS_seccomp),
    // Who and where we are.
    any(libc::SYS_getuid),
    any(libc::SYS_geteuid),
    any(libc::SYS_getgid),
    any(libc::SYS_getegid),
    any(libc::SYS_getppid),
    any(libc::SYS_getrusage),
    any(libc::SYS_sysinfo),
    any(libc::SYS_uname),
    any(libc::SYS_clock_getres),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_open),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_stat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_lstat),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_access),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_readlink),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_mkdir),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_rmdir),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_unlink),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_rename),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_chmod),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_epoll_wait),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_pipe),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_time),
];

/// bpf(2)'s commands on maps that are open already (include/uapi/linux/bpf.h): lookup, update,
/// delete, next key, and an open object's description.
const ON_OPEN_MAPS: &[Argument] = &[first(1), first(2), first(3), first(4), first(15)];

/// What housekeeping calls besides: the counters of the steering programs, which lines they steer, an
/// interface's number, to join groups on it, and whether it is up.
pub(super) const READER: &[Call] = &[
    with(libc::SYS_bpf, ON_OPEN_MAPS),
    with(libc::SYS_socket, &[first(libc::AF_NETLINK)]),
    with(
        libc::SYS_ioctl,
        &[second(libc::SIOCGIFINDEX), second(libc::SIOCGIFNAME), second(libc::SIOCGIFFLAGS)],
    ),
];

/// What housekeeping calls to open an interface: a program to load and to attach, its AF_XDP sockets,
/// and what their library asks of the device.
pub(super) const OPENER: &[Call] = &[
    any(libc::SYS_bpf),
    with(libc::SYS_socket, &[first(libc::AF_XDP)]),
    with(libc::SYS_ioctl, &[second(libc::SIOCETHTOOL)]),
    any(libc::SYS_prlimit64),
    any(libc::SYS_mlock),
    // Who holds a busy queue.
    any(libc::SYS_getxattr),
];
