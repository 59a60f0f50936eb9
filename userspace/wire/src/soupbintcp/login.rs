//! What a client logs in with.

use std::fmt;

/// The fields of a login request (§2.3.1), padded. Its `Debug` does not show the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LoginRequest {
    /// `Username`, padded on the right.
    pub username: [u8; 6],
    /// `Password`, padded on the right.
    pub password: [u8; 10],
    /// `Requested Session`, padded on the left; blank for the current one.
    pub session: [u8; 10],
    /// `Requested Sequence Number`: the next message wanted; 0 for the most recent.
    pub sequence: u64,
}

/// A field that cannot be sent. The value is not shown: it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Longer than the field.
    #[error("{field}: expected at most {length_max} characters, found {found}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Its length.
        length_max: usize,
        /// The value's length.
        found: usize,
    },
    /// Not printable ASCII.
    #[error("{field}: expected printable ASCII characters, found another")]
    NotPrintable {
        /// The field.
        field: &'static str,
    },
}

impl LoginRequest {
    /// Pads the fields.
    ///
    /// # Errors
    /// [`LoginError`] where a field is too long or not printable ASCII.
    pub fn new(
        username: &str,
        password: &str,
        session: &str,
        sequence: u64,
    ) -> Result<Self, LoginError> {
        Ok(Self {
            username: padded("username", username, Padding::Right)?,
            password: padded("password", password, Padding::Right)?,
            session: padded("session", session, Padding::Left)?,
            sequence,
        })
    }
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("username", &format_args!("\"{}\"", self.username.escape_ascii()))
            .field("session", &format_args!("\"{}\"", self.session.escape_ascii()))
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Padding {
    Left,
    Right,
}

fn padded<const N: usize>(
    field: &'static str,
    text: &str,
    padding: Padding,
) -> Result<[u8; N], LoginError> {
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(LoginError::NotPrintable { field });
    }
    let Some(spaces) = N.checked_sub(text.len()) else {
        return Err(LoginError::TooLong { field, length_max: N, found: text.len() });
    };
    let start = match padding {
        Padding::Left => spaces,
        Padding::Right => 0,
    };
    let mut bytes = [b' '; N];
    bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_padded_on_their_own_side() {
        let login = LoginRequest::new("user", "secret", "42", 1).unwrap();
        assert_eq!(&login.username, b"user  ");
        assert_eq!(&login.password, b"secret    ");
        assert_eq!(&login.session, b"        42");
    }

    #[test]
    fn a_field_that_does_not_fit_is_refused_and_not_shown() {
        let error = LoginRequest::new("user", "much too secret", "", 1).unwrap_err();
        assert_eq!(error.to_string(), "password: expected at most 10 characters, found 15");
        let error = LoginRequest::new("us\ner", "", "", 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "username: expected printable ASCII characters, found another"
        );
        assert!(LoginRequest::new("", "", "üüüüüü", 1).is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = LoginRequest::new("user", "hunter2", "", 1).unwrap();
        assert!(!format!("{login:?}").contains("hunter2"));
        assert!(!format!("{login:?}").contains("104"), "nor its bytes");
    }
}
