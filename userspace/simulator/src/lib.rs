//! An exchange in a box: a seeded Nasdaq-like market as ITCH 5.0 over MoldUDP64.
//!
//! Arrives: a seed and a size. Leaves: ITCH messages ([`Market`]), packets of them ([`Packets`]),
//! Ethernet frames of those ([`Line`]), and the records of a pcap file ([`pcap`]); each packet
//! with its time, so that a player can pace by it. Promises: the same configuration gives the
//! same bytes on every host; every order reference is valid when it is used; no book is ever
//! crossed; the market knows what every book must be ([`Market::expected_book`]), by a model that
//! shares no code with the appliance. Nothing here does I/O or reads a clock.
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
mod flow;
mod frame;
mod itch;
mod market;
mod packets;
mod timing;

pub mod pcap;

pub use book::{ExpectedBook, ExpectedLevel};
pub use frame::Line;
pub use itch::{Body, Message, Side};
pub use market::{ConfigError, Market, MarketConfig};
pub use packets::{Packet, PacketConfig, PacketKind, Packets};
