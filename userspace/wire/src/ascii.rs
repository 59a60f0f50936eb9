//! Numbers written in ASCII, as Nasdaq's stream protocols pad them: on the left, with spaces.

/// Digits of the longest `u64`, and the length of every such field.
pub(crate) const NUMBER_BYTES: usize = 20;

/// The number in a field: spaces, then at least one digit, and nothing else. A field filled with
/// zeros is a number too. `None` for anything else, and where the number does not fit.
pub(crate) fn parse_number(field: &[u8; NUMBER_BYTES]) -> Option<u64> {
    let digits = field.trim_ascii_start();
    if digits.is_empty() || digits.len() + leading_spaces(field) != NUMBER_BYTES {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The field of a number.
pub(crate) fn format_number(number: u64) -> [u8; NUMBER_BYTES] {
    let mut field = [b' '; NUMBER_BYTES];
    let mut rest = number;
    for place in field.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    field
}

/// `trim_ascii_start` takes tabs and line ends too; only spaces are padding.
fn leading_spaces(field: &[u8]) -> usize {
    field.iter().take_while(|byte| **byte == b' ').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_there_and_back() {
        for number in [0, 1, 9, 10, 48_325, u64::MAX] {
            assert_eq!(parse_number(&format_number(number)), Some(number));
        }
        assert_eq!(&format_number(48_325), b"               48325");
        assert_eq!(&format_number(0), b"                   0");
        assert_eq!(parse_number(b"00000000000000000042"), Some(42));
    }

    #[test]
    fn anything_but_a_padded_number_is_none() {
        for field in [
            b"                    ",
            b"42                  ",
            b"                 4 2",
            b"                 -42",
            b"                 +42",
            b"                4 2 ",
            b"\t                 42",
            b"                4.20",
            b"18446744073709551616",
            b"99999999999999999999",
        ] {
            assert_eq!(parse_number(field), None, "{}", field.escape_ascii());
        }
    }
}
