//! The hand-off: how a segment comes to a reader that was not born of its writer.
//!
//! What arrives: a Unix stream socket that a reader has connected. What leaves, in one message: a
//! greeting of 32 bytes and, as ancillary data (`SCM_RIGHTS`, `unix(7)`), a read-only descriptor
//! of the sealed file. The reader asks for nothing, so there is nothing to parse on the writer's
//! side. It promises that neither side waits for the other longer than [`PATIENCE`]; a greeting that
//! is not ours, or of another ABI version, is an error that names what was expected and found.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::layout::{ABI_VERSION, MAGIC};
use crate::segment::{Segment, SegmentError, SegmentView};

/// How long a reader waits for its greeting.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What a writer says to a reader, in the host's byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Greeting {
    magic: [u8; 8],
    abi_version: u32,
    /// Bytes of the greeting: a later version may say more behind these.
    greeting_bytes: u32,
    epoch: u64,
    reserved: u64,
}

const GREETING_BYTES: usize = size_of::<Greeting>();

/// Why a reader got no segment.
#[derive(Debug, thiserror::Error)]
pub enum HandOffError {
    /// Nobody answers there, or not whom the file's mode lets in.
    #[error("{}: {source}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What answers is no appliance.
    #[error("{}: expected an appliance's greeting, found {found}", path.display())]
    Stranger {
        /// The socket.
        path: PathBuf,
        /// What came instead.
        found: String,
    },
    /// An appliance of another ABI version.
    #[error("{}: this reader speaks ABI version {ours}, the appliance version {theirs}", path.display())]
    AbiVersion {
        /// The socket.
        path: PathBuf,
        /// This reader's.
        ours: u32,
        /// The appliance's.
        theirs: u32,
    },
    /// The descriptor is no segment.
    #[error(transparent)]
    Segment(#[from] SegmentError),
}

/// Greets a reader and gives it the segment, of which `shared` is the descriptor that
/// [`Segment::share`] made.
///
/// # Errors
///
/// sendmsg(2)'s, `EAGAIN` among them where the reader's socket takes nothing: this never waits.
pub fn greet(reader: &UnixStream, segment: &Segment, shared: &OwnedFd) -> io::Result<()> {
    let greeting = Greeting {
        magic: MAGIC,
        abi_version: ABI_VERSION,
        greeting_bytes: GREETING_BYTES as u32,
        epoch: segment.epoch(),
        reserved: 0,
    };
    let descriptors = [shared.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let bytes = [IoSlice::new(greeting.as_bytes())];
    sendmsg::<()>(reader.as_raw_fd(), &bytes, &rights, flags, None)?;
    Ok(())
}

impl SegmentView {
    /// The segment of the appliance that listens at `path`.
    ///
    /// # Errors
    ///
    /// [`HandOffError`] where nobody answers or the file's mode does not let this process in, and
    /// where what answers is no appliance of this ABI version.
    pub fn connect(path: &Path) -> Result<Self, HandOffError> {
        let unreachable = |source| HandOffError::Unreachable { path: path.into(), source };
        let stream = UnixStream::connect(path).map_err(unreachable)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
        let (greeting, received_bytes, descriptor) = receive(&stream).map_err(unreachable)?;
        let stranger = |found: String| HandOffError::Stranger { path: path.into(), found };
        if received_bytes < GREETING_BYTES {
            return Err(stranger(format!("{received_bytes} bytes")));
        }
        if greeting.magic != MAGIC {
            return Err(stranger(format!("the magic {}", greeting.magic.escape_ascii())));
        }
        if greeting.abi_version != ABI_VERSION {
            let (path, ours, theirs) = (path.into(), ABI_VERSION, greeting.abi_version);
            return Err(HandOffError::AbiVersion { path, ours, theirs });
        }
        let descriptor = descriptor.ok_or_else(|| stranger("no descriptor".to_owned()))?;
        let view = Self::open(descriptor)?;
        if view.epoch() != greeting.epoch {
            return Err(stranger("a segment of another epoch".to_owned()));
        }
        Ok(view)
    }
}

/// One message: the greeting as far as it came, how far that was, and the descriptor with it.
fn receive(stream: &UnixStream) -> io::Result<(Greeting, usize, Option<OwnedFd>)> {
    let mut greeting = Greeting::new_zeroed();
    let mut room = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut bytes = [IoSliceMut::new(greeting.as_mut_bytes())];
    // Waits for the whole greeting; one message's descriptors come with its first byte.
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
    let message = loop {
        match recvmsg::<()>(stream.as_fd().as_raw_fd(), &mut bytes, Some(&mut room), flags) {
            Err(Errno::EINTR) => {}
            outcome => break outcome?,
        }
    };
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            descriptors.extend(received.into_iter().map(own));
        }
    }
    let received_bytes = message.bytes;
    Ok((greeting, received_bytes, descriptors.pop()))
}

#[allow(unsafe_code, reason = "descriptors out of a message are plain numbers")]
fn own(descriptor: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: the kernel made this descriptor for us with the message that carried it (`unix(7)`,
    // SCM_RIGHTS), each one is taken from there once, and nothing else in the process knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PageKind, SegmentLayout};
    use std::io::Write;
    use std::mem::offset_of;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_shapes_of_the_abi() {
        assert_eq!((GREETING_BYTES, offset_of!(Greeting, abi_version)), (32, 8));
        assert_eq!(offset_of!(Greeting, greeting_bytes), 12);
        assert_eq!(offset_of!(Greeting, epoch), 16);
    }

    /// What a reader says to a listener that does `answer`.
    fn connect(answer: impl FnOnce(UnixStream) + Send + 'static) -> Result<SegmentView, String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("wirebook-handoff-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let answering = std::thread::spawn(move || answer(listener.accept().unwrap().0));
        let view = SegmentView::connect(&path).map_err(|error| error.to_string());
        answering.join().unwrap();
        std::fs::remove_file(path).unwrap();
        view
    }

    fn greeting() -> Greeting {
        Greeting {
            magic: MAGIC,
            abi_version: ABI_VERSION,
            greeting_bytes: 32,
            epoch: 1,
            reserved: 0,
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn a_reader_gets_the_segment() {
        let layout = SegmentLayout::new().open_ring("output-0", 64);
        let segment = Segment::create(&layout, PageKind::Ordinary).unwrap();
        let epoch = segment.epoch();
        let view = connect(move |reader| {
            greet(&reader, &segment, &segment.share().unwrap()).unwrap();
        });
        assert_eq!(view.unwrap().epoch(), epoch);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn what_is_no_greeting_is_refused() {
        let answered = |bytes: Vec<u8>| {
            connect(move |mut reader| reader.write_all(&bytes).unwrap()).err().unwrap()
        };
        assert!(answered(vec![]).contains("found 0 bytes"));
        assert!(answered(b"HTTP/1.1 400".to_vec()).contains("found 12 bytes"));
        assert!(answered(vec![b'x'; 32]).contains("the magic xxxxxxxx"));
        assert!(answered(greeting().as_bytes().to_vec()).contains("no descriptor"));
        let other = Greeting { abi_version: 7, ..greeting() };
        let both = format!("speaks ABI version {ABI_VERSION}, the appliance version 7");
        assert!(answered(other.as_bytes().to_vec()).contains(&both));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn a_file_that_is_no_segment_is_refused() {
        let foreign = connect(|reader| {
            let file = std::fs::File::open("/dev/null").unwrap();
            let descriptors = [file.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&descriptors)];
            let greeting = greeting();
            let bytes = [IoSlice::new(greeting.as_bytes())];
            sendmsg::<()>(reader.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None).unwrap();
        });
        assert!(foreign.err().unwrap().contains("seals"));
    }
}
