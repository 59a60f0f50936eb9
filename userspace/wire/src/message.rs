//! How a venue's messages are declared: one table of layouts, one table of types.
//!
//! To add a message, add its fields to the venue's [`layouts!`] table, in wire order, named as
//! the specification names them, and its type to the venue's [`message_set!`] table. Everything
//! else follows: the struct, its length, the check of that length, the walk over its fields.

use crate::field::FieldVisitor;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Why bytes are not a message that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// No bytes at all.
    #[error("expected a message, found no bytes")]
    Empty,
    /// A type that the specification does not name: step over it.
    #[error("expected a message type of the specification, found {0:#04x}")]
    Unknown(u8),
    /// A known type, cut short.
    #[error("expected {expected} bytes, found {found}")]
    TooShort {
        /// Length of the message by the specification.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}

/// A borrowed view of one message.
pub trait MessageView {
    /// The message as the specification names it.
    const NAME: &'static str;

    /// Shows every field to `visitor`, in wire order.
    fn visit_fields(&self, visitor: &mut impl FieldVisitor);
}

/// The message `T` at the start of `bytes`; what a longer message has grown by is left.
#[inline]
pub(crate) fn view<T>(bytes: &[u8]) -> Result<&T, MessageError>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned,
{
    match T::ref_from_prefix(bytes) {
        Ok((message, _grown)) => Ok(message),
        Err(_) => Err(MessageError::TooShort { expected: size_of::<T>(), found: bytes.len() }),
    }
}

/// Declares message layouts: `"Name" Struct { field: Type, ... }`. The message type, which is
/// the first byte of every message, is not listed.
macro_rules! layouts {
    ($(
        $(#[$doc:meta])*
        $name:literal $message:ident { $($field:ident: $type:ty),+ $(,)? }
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(
            zerocopy::FromBytes, zerocopy::Immutable, zerocopy::IntoBytes, zerocopy::KnownLayout,
            zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub struct $message {
            /// The type of the message.
            pub message_type: $crate::field::Code,
            $(
                #[doc = concat!("`", stringify!($field), "` of the specification.")]
                pub $field: $type,
            )+
        }

        impl $crate::message::MessageView for $message {
            const NAME: &'static str = $name;

            fn visit_fields(&self, visitor: &mut impl $crate::field::FieldVisitor) {
                use $crate::field::Field;
                self.message_type.visit("message_type", visitor);
                $(self.$field.visit(stringify!($field), visitor);)+
            }
        }
    )+};
}
pub(crate) use layouts;

/// Declares the messages of a protocol: `b'T' => Struct, ...`. A layout that serves several
/// types lists them: `b'8' | b'5' => Struct`.
macro_rules! message_set {
    ($($($type:literal)|+ => $message:ident,)+) => {
        /// A message of this protocol, borrowed from its packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Message<'a> {
            $(
                #[doc = concat!("Type ", $("`", stringify!($type), "` ",)+)]
                $message(&'a $message),
            )+
        }

        impl<'a> Message<'a> {
            /// Every message type of this protocol and its length in bytes, type byte included.
            pub const LENGTHS: &'static [(u8, usize)] =
                &[$($(($type, size_of::<$message>()),)+)+];

            /// The message in `bytes`. One that has grown past its length is accepted, and the
            /// rest of it ignored.
            ///
            /// # Errors
            /// [`MessageError`](crate::MessageError): empty, too short, or of an unknown type.
            #[inline]
            pub fn parse(bytes: &'a [u8]) -> Result<Self, $crate::message::MessageError> {
                let Some(&message_type) = bytes.first() else {
                    return Err($crate::message::MessageError::Empty);
                };
                Ok(match message_type {
                    $($($type)|+ => Self::$message($crate::message::view(bytes)?),)+
                    unknown => return Err($crate::message::MessageError::Unknown(unknown)),
                })
            }

            /// The message as the specification names it.
            pub fn name(&self) -> &'static str {
                use $crate::message::MessageView;
                match self {
                    $(Self::$message(_) => $message::NAME,)+
                }
            }

            /// The message's length by the specification, in bytes.
            #[inline]
            pub fn length(&self) -> usize {
                match self {
                    $(Self::$message(_) => size_of::<$message>(),)+
                }
            }

            /// Shows every field to `visitor`, in wire order.
            pub fn visit_fields(&self, visitor: &mut impl $crate::field::FieldVisitor) {
                use $crate::message::MessageView;
                match self {
                    $(Self::$message(message) => message.visit_fields(visitor),)+
                }
            }
        }
    };
}
pub(crate) use message_set;
