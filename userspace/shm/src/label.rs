//! Names as they lie in shared memory: of counters, and of histograms.
//!
//! What arrives: a name, once. What leaves: the same, or nothing before it is there. It promises: who
//! sees a name sees all of it, and everything that was stored before it.

use crate::sync::{AtomicU64, Ordering, fence};

/// The longest name.
pub const NAME_BYTES: usize = 120;
/// Words of a name.
pub(crate) const NAME_WORDS: usize = NAME_BYTES / 8;

/// A name that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {NAME_BYTES} visible ASCII characters and blanks, found {0:?}")]
pub struct NameError(pub String);

/// Stores a name where there is none so far.
pub(crate) fn store(words: &[AtomicU64], name: [u64; NAME_WORDS]) {
    for (shared, word) in words.iter().zip(name).skip(1) {
        shared.store(word, Ordering::Relaxed);
    }
    // Last, so that whoever sees the name's beginning sees all of it, and what was stored before.
    words[0].store(name[0], Ordering::Release);
}

/// A name as words, filled up with zero bytes.
pub(crate) fn encode(name: &str) -> Result<[u64; NAME_WORDS], NameError> {
    let mut bytes = [0; NAME_BYTES];
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    match bytes.get_mut(..name.len()) {
        Some(start) if !name.is_empty() && name.bytes().all(is_visible) => {
            start.copy_from_slice(name.as_bytes());
        }
        _ => return Err(NameError(name.to_owned())),
    }
    Ok(zerocopy::transmute!(bytes))
}

/// The name in these [`NAME_WORDS`] words; `None` before there is one.
pub(crate) fn load(words: &[AtomicU64]) -> Option<String> {
    // Relaxed and a fence: read-only memory knows no acquire load (see `ring`).
    let first = words[0].load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    if first == 0 {
        return None;
    }
    let rest = words[1..].iter().map(|word| word.load(Ordering::Relaxed));
    let bytes: Vec<u8> = [first].into_iter().chain(rest).flat_map(u64::to_ne_bytes).collect();
    let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}
