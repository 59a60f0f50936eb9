//! The venue protocols by name.

use crate::field::FieldVisitor;
use crate::message::MessageError;
use crate::transport::Transport;
use crate::{iex_deep, iex_tops, iex_tp, itch50};
use std::fmt;
use std::str::FromStr;

/// A venue protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Nasdaq TotalView-ITCH 5.0, `itch50`.
    Itch50,
    /// IEX DEEP 1.0, `iex-deep`.
    IexDeep,
    /// IEX TOPS 1.6, `iex-tops`.
    IexTops,
}

/// A name that no protocol has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a protocol (itch50, iex-deep or iex-tops), found {0:?}")]
pub struct UnknownProtocol(
    /// The name.
    pub String,
);

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 3] = [Self::Itch50, Self::IexDeep, Self::IexTops];

    /// The name in configurations and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Itch50 => "itch50",
            Self::IexDeep => "iex-deep",
            Self::IexTops => "iex-tops",
        }
    }

    /// The transport that carries the protocol on multicast.
    pub fn transport(self) -> Transport {
        match self {
            Self::Itch50 => Transport::MoldUdp64,
            Self::IexDeep => Transport::IexTp { message_protocol_id: iex_tp::DEEP_1_0 },
            Self::IexTops => Transport::IexTp { message_protocol_id: iex_tp::TOPS_1_6 },
        }
    }

    /// Shows the fields of `message` to `visitor` and gives the message's name.
    ///
    /// # Errors
    /// [`MessageError`]: empty, too short, or of an unknown type. No field was shown then.
    pub fn visit_fields(
        self,
        message: &[u8],
        visitor: &mut impl FieldVisitor,
    ) -> Result<&'static str, MessageError> {
        macro_rules! visit {
            ($venue:ident) => {{
                let message = $venue::Message::parse(message)?;
                message.visit_fields(visitor);
                Ok(message.name())
            }};
        }
        match self {
            Self::Itch50 => visit!(itch50),
            Self::IexDeep => visit!(iex_deep),
            Self::IexTops => visit!(iex_tops),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or_else(|| UnknownProtocol(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert_eq!(Protocol::from_str("ITCH"), Err(UnknownProtocol("ITCH".into())));
    }
}
