//! A venue's name for an instrument, held without allocation.

use std::fmt;

/// A symbol of at most [`Symbol::LENGTH_MAX`] visible ASCII bytes, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol {
    bytes: [u8; Symbol::LENGTH_MAX],
}

impl Symbol {
    /// The longest symbol, in bytes.
    pub const LENGTH_MAX: usize = 64;

    /// A symbol from a venue's padded field: trailing spaces and zeros go.
    ///
    /// Bytes outside visible ASCII become `?`, so that no surface ever shows a control character;
    /// bytes past [`Symbol::LENGTH_MAX`] are cut.
    pub fn from_padded(field: &[u8]) -> Self {
        let length = field
            .iter()
            .rposition(|&byte| byte != b' ' && byte != 0)
            .map_or(0, |last| last + 1)
            .min(Self::LENGTH_MAX);
        let mut bytes = [0; Self::LENGTH_MAX];
        for (to, &from) in bytes.iter_mut().zip(&field[..length]) {
            *to = if from.is_ascii_graphic() || from == b' ' { from } else { b'?' };
        }
        Self { bytes }
    }

    /// The symbol as text, without padding.
    pub fn as_str(&self) -> &str {
        let length = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(Self::LENGTH_MAX);
        std::str::from_utf8(&self.bytes[..length]).unwrap_or_default()
    }

    /// The symbol padded with zeros.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH_MAX] {
        &self.bytes
    }

    /// True where the venue gave no name.
    pub fn is_empty(&self) -> bool {
        self.bytes[0] == 0
    }
}

impl Default for Symbol {
    fn default() -> Self {
        Self { bytes: [0; Self::LENGTH_MAX] }
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_and_text_stays() {
        assert_eq!(Symbol::from_padded(b"AAPL    ").as_str(), "AAPL");
        assert_eq!(Symbol::from_padded(b"AAC+\0\0\0\0").as_str(), "AAC+");
        assert_eq!(Symbol::from_padded(b"A B     ").as_str(), "A B");
        assert!(Symbol::from_padded(b"        ").is_empty());
    }

    #[test]
    fn control_characters_never_reach_a_surface() {
        assert_eq!(Symbol::from_padded(b"A\x1b[2J\xff").as_str(), "A?[2J?");
        assert_eq!(Symbol::from_padded(b"\0A").as_str(), "?A");
    }

    #[test]
    fn a_long_field_is_cut_at_the_limit() {
        assert_eq!(Symbol::from_padded(&[b'X'; 100]).as_str().len(), Symbol::LENGTH_MAX);
    }
}
