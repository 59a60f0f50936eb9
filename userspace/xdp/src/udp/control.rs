//! Control messages of a datagram: when it came, and how many did not.
//!
//! Arrives: the bytes that recvmmsg(2) wrote. Leaves: the two values we asked
//! for, where they are there; other messages are stepped over, and a length
//! that does not hold ends the walk.

/// Room for a timestamp (16 + 16 bytes) and a drop count (16 + 8).
pub(super) const CONTROL_BYTES: usize = 64;

const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();
const ALIGNMENT: usize = size_of::<usize>();

/// The control buffer of one datagram.
#[derive(Clone, Debug)]
#[repr(C, align(8))]
pub(super) struct Control {
    pub(super) bytes: [u8; CONTROL_BYTES],
}

/// What a control buffer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Receive time, nanoseconds since the UNIX epoch.
    pub(super) ts_ns: Option<u64>,
    /// Datagrams dropped by this socket since it was opened, modulo 2^32.
    pub(super) dropped: Option<u32>,
}

impl Control {
    pub(super) const EMPTY: Self = Self { bytes: [0; CONTROL_BYTES] };

    /// Reads the first `length` bytes (cmsg(3)).
    pub(super) fn parse(&self, length: usize) -> Parsed {
        let mut parsed = Parsed::default();
        let mut rest = &self.bytes[..length.min(CONTROL_BYTES)];
        while let Some((kind, value, after)) = next_message(rest) {
            match kind {
                libc::SCM_TIMESTAMPNS => parsed.ts_ns = timestamp_ns(value),
                libc::SO_RXQ_OVFL => {
                    parsed.dropped = value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
                }
                _ => {}
            }
            rest = after;
        }
        parsed
    }
}

/// Kind and value of the first socket-level message, and what comes after it.
/// A message of another level gets kind -1.
fn next_message(bytes: &[u8]) -> Option<(i32, &[u8], &[u8])> {
    let (header, _) = bytes.split_at_checked(HEADER_BYTES)?;
    let (length, kinds) = header.split_first_chunk::<ALIGNMENT>()?;
    let length = usize::from_ne_bytes(*length);
    let (level, kind) = kinds.split_first_chunk::<4>()?;
    let level = i32::from_ne_bytes(*level);
    let kind = i32::from_ne_bytes(*kind.first_chunk()?);
    let value = bytes.get(HEADER_BYTES..length)?;
    let after = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    let kind = if level == libc::SOL_SOCKET { kind } else { -1 };
    Some((kind, value, after))
}

/// A `struct timespec` of two 64-bit integers.
fn timestamp_ns(value: &[u8]) -> Option<u64> {
    let (seconds, rest) = value.split_first_chunk()?;
    let nanoseconds = i64::from_ne_bytes(*rest.first_chunk()?);
    let seconds = i64::from_ne_bytes(*seconds);
    u64::try_from(seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, kind: i32, value: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER_BYTES + value.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes
    }

    fn control(messages: &[Vec<u8>]) -> (Control, usize) {
        let joined = messages.concat();
        let mut control = Control::EMPTY;
        control.bytes[..joined.len()].copy_from_slice(&joined);
        (control, joined.len())
    }

    #[test]
    fn both_values_are_found_in_any_order() {
        let time = [5i64.to_ne_bytes(), 7i64.to_ne_bytes()].concat();
        let stamp = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time);
        let drops = message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &9u32.to_ne_bytes());
        let expected = Parsed { ts_ns: Some(5_000_000_007), dropped: Some(9) };
        for messages in [[stamp.clone(), drops.clone()], [drops, stamp]] {
            let (control, length) = control(&messages);
            assert_eq!(control.parse(length), expected);
        }
    }

    #[test]
    fn lengths_that_do_not_hold_end_the_walk() {
        let drops = message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &9u32.to_ne_bytes());
        let (mut control, length) = control(&[drops]);
        for cut in 0..HEADER_BYTES + 4 {
            assert_eq!(control.parse(cut), Parsed::default(), "cut to {cut}");
        }
        for wrong in [0, 1, HEADER_BYTES - 1, CONTROL_BYTES + 1, usize::MAX] {
            control.bytes[..ALIGNMENT].copy_from_slice(&wrong.to_ne_bytes());
            assert_eq!(control.parse(length), Parsed::default(), "length {wrong}");
        }
    }
}
