//! Nasdaq's daily files: a two-byte big-endian length before each ITCH message.
//!
//! A zero length ends the file normally; so does its end between two messages. Source: Nasdaq
//! "BinaryFILE", and the names that Nasdaq gives the files (`01302020.NASDAQ_ITCH50.gz`,
//! `S022717-v50.txt.gz`).

use super::CaptureError;
use super::window::Window;
use jiff::civil::Date;
use std::ops::Range;

const LENGTH_BYTES: usize = 2;

/// True where a file begins as a day's messages do: with a system event of its 12 bytes.
pub(super) fn is_daily(first: &[u8]) -> bool {
    first.starts_with(&[0, 12, b'S'])
}

/// True where the name is one that such files have.
pub(super) fn is_daily_name(name: &str) -> bool {
    let name = stem(name);
    let upper = name.to_ascii_uppercase();
    upper.ends_with(".NASDAQ_ITCH50")
        || upper.ends_with(".ITCH50")
        || (upper.starts_with('S') && upper.ends_with("-V50.TXT"))
}

/// The trading day in the name, where there is one: messages tell nanoseconds since midnight only.
pub(super) fn date_in_name(name: &str) -> Option<Date> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then_some(());
    let name = stem(name);
    let (day, century) = match name.strip_prefix(['S', 's']) {
        Some(rest) => (rest.get(..6)?, 2000),
        None => (name.get(..8)?, 0),
    };
    digits(day)?;
    let year = century + day[4..].parse::<i16>().ok()?;
    Date::new(year, day[..2].parse().ok()?, day[2..4].parse().ok()?).ok()
}

/// The bytes of the next message, at the head of the window after its length.
pub(super) fn next(window: &mut Window) -> Result<Option<Range<usize>>, CaptureError> {
    if !window.require(LENGTH_BYTES)? {
        return Ok(None);
    }
    let length = window.data().first_chunk().copied().map_or(0, u16::from_be_bytes);
    if length == 0 {
        return after_end(window);
    }
    let end = LENGTH_BYTES + usize::from(length);
    window.require(end)?;
    Ok(Some(LENGTH_BYTES..end))
}

/// A zero length was found: nothing may follow it, or messages would be lost in silence.
fn after_end(window: &mut Window) -> Result<Option<Range<usize>>, CaptureError> {
    match window.require(LENGTH_BYTES + 1) {
        Err(CaptureError::Truncated { found: LENGTH_BYTES, .. }) => {
            window.consume(LENGTH_BYTES);
            Ok(None)
        }
        Err(error) => Err(error),
        Ok(_) => Err(window.damaged("expected nothing after the zero length that ends the file")),
    }
}

fn stem(name: &str) -> &str {
    name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name)
}
