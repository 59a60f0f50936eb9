//! An exchange in a box: a Nasdaq-like market as ITCH 5.0 over MoldUDP64, and what goes wrong with it.
//!
//! Arrives: a seed and a size, or the flow of another exchange. Leaves: ITCH messages ([`Market`],
//! [`Day`] for one of full size, [`Transcoder`]), packets of them ([`Packets`]), what lines A and B make of those ([`Faults`]),
//! Ethernet frames ([`Line`]) and the records of a pcap file ([`pcap`]), and the answers of the
//! exchange's servers ([`RetransmitServer`], [`GlimpseSession`]) from what it has said so far
//! ([`Exchange`]); each with its time, so that a player can pace by it.
//!
//! Promises: the same configuration gives the same bytes on every host; every order reference is
//! valid when it is used; no book of a generated market is ever crossed; every book is known
//! ([`Model`]), order by order, by a model that shares no code with the appliance. Nothing here
//! does I/O or reads a clock: time is an argument.
//!
//! ```
//! use wirebook_simulator::{Line, Market, MarketConfig, PacketConfig, Packets};
//!
//! let market = Market::new(MarketConfig { messages: 1_000, instruments: 5, ..Default::default() })?;
//! let mut packets = Packets::new(market, PacketConfig::default());
//! let line = Line::new("239.192.12.111:26477".parse().unwrap());
//! let mut frame = Vec::new();
//! for packet in packets.by_ref() {
//!     line.frame(&packet.payload, &mut frame);
//! }
//! let book = packets.market().expected_book("WB001").unwrap();
//! assert!(book.bids[0].price < book.asks[0].price);
//! # Ok::<(), wirebook_simulator::ConfigError>(())
//! ```
#![forbid(unsafe_code)]

mod book;
mod chance;
mod day;
mod exchange;
mod faults;
mod flow;
mod frame;
mod glimpse;
mod halts;
mod instrument;
mod itch;
mod market;
mod messages;
mod model;
mod packets;
mod retransmit;
mod source;
mod timing;
mod transcode;

pub mod pcap;

pub use book::{ExpectedBook, ExpectedLevel};
pub use chance::Chance;
pub use day::{Day, DayConfig, DayError, Layout};
pub use exchange::Exchange;
pub use faults::{BurstLoss, Delivery, FaultCounts, Faults, LineFaults, REPEATED_PACKETS};
pub use frame::Line;
pub use glimpse::{GlimpseConfig, GlimpseFault, GlimpseOutcome, GlimpseSession, SEND_BYTES_MAX};
pub use itch::{Body, Message, Side};
pub use market::{ConfigError, Market, MarketConfig};
pub use messages::Messages;
pub use model::{Model, ModelError, ModelOrder};
pub use packets::{Packet, PacketConfig, PacketKind, Packets};
pub use retransmit::{
    Answer, RetransmitConfig, RetransmitCounts, RetransmitFault, RetransmitServer,
};
pub use source::MessageSource;
pub use transcode::{TranscodeCounts, Transcoder};
