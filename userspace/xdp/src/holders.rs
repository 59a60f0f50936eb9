//! Who holds AF_XDP sockets, to say so where a queue is busy.
#![allow(unsafe_code, reason = "getxattr(2), by which the kernel names a socket's protocol")]

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The extended attribute of a socket's file that names its protocol (`sockfs_xattr_get`,
/// net/socket.c).
const PROTOCOL: &std::ffi::CStr = c"system.sockprotoname";

/// The protocol's name (`xsk_proto`, net/xdp/xsk.c).
const XDP: &[u8] = b"XDP\0";

/// Processes other than this one that hold AF_XDP sockets, of whatever queue: `name (process id)`.
/// Those that this process may not look into are left out.
pub fn socket_holders() -> Vec<String> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ours = std::process::id().to_string();
    let mut holders = Vec::new();
    for process in processes.flatten() {
        let id = process.file_name().to_string_lossy().into_owned();
        if id == ours || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(mut files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files.any(|file| file.is_ok_and(|file| is_xdp_socket(&file.path()))) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            holders.push(format!("{} (process {id})", name.trim_end()));
        }
    }
    holders
}

fn is_xdp_socket(file: &Path) -> bool {
    let Ok(path) = CString::new(file.as_os_str().as_bytes()) else { return false };
    let mut name = [0_u8; 32];
    // SAFETY: both names end with a zero byte, and the kernel writes at most as many bytes as the
    // buffer has, whose pointer and length these are.
    let length = unsafe {
        libc::getxattr(path.as_ptr(), PROTOCOL.as_ptr(), name.as_mut_ptr().cast(), name.len())
    };
    usize::try_from(length).is_ok_and(|length| name.get(..length) == Some(XDP))
}
