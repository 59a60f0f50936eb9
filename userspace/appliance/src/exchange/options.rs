//! Servers and senders as the command line names them.

use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::str::FromStr;
use wirebook_simulator::{GlimpseConfig, GlimpseFault, RetransmitFault};

const NS_PER_MILLISECOND: u64 = 1_000_000;

/// The exchange's servers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Servers")]
pub struct ServerArgs {
    /// Answer retransmission requests (UDP) here, once more for each server; a server misbehaves
    /// with a fault: slow:MS, silent, short, twice or lying.
    #[arg(long, value_name = "ADDRESS:PORT[,FAULT]")]
    pub retransmit: Vec<RetransmitAt>,
    /// Most messages that one retransmission request gets.
    #[arg(long, value_name = "N", default_value_t = 10_000,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub request_limit: u16,
    /// Serve GLIMPSE snapshots (TCP) here, once more for each server; a server misbehaves with a
    /// fault: refuse, half, slow:MESSAGES-A-SECOND or back.
    #[arg(long, value_name = "ADDRESS:PORT[,FAULT]")]
    pub glimpse: Vec<GlimpseAt>,
    /// User name and password of GLIMPSE; any are taken where none are named.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = login)]
    pub glimpse_login: Option<Login>,
    /// Stay for so long after the end of the session, saying so once a second, so that receivers
    /// can still recover.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub linger: u64,
}

/// How packets are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SendBy {
    /// As Ethernet frames through an AF_PACKET socket; needs CAP_NET_RAW.
    Frames,
    /// As Ethernet frames through an AF_XDP socket on queue 0, up to 32 in a system call; zero-copy
    /// where the driver has it. Needs CAP_NET_RAW.
    Xdp,
    /// The same in copy mode, for a driver that sends in zero-copy only with an XDP program.
    XdpCopy,
    /// Through ordinary UDP sockets.
    Socket,
}

/// A retransmit server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetransmitAt {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it misbehaves.
    pub fault: RetransmitFault,
}

/// A GLIMPSE server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlimpseAt {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it misbehaves.
    pub fault: GlimpseFault,
}

/// User name and password, padded.
pub type Login = ([u8; 6], [u8; 10]);

impl ServerArgs {
    /// True where a server is to be started.
    pub fn any(&self) -> bool {
        !self.retransmit.is_empty() || !self.glimpse.is_empty()
    }

    /// What a GLIMPSE server keeps to.
    pub fn glimpse_config(&self, fault: GlimpseFault) -> GlimpseConfig {
        GlimpseConfig { login: self.glimpse_login, fault }
    }
}

impl FromStr for RetransmitAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, fault) = parts(text)?;
        let fault = match fault.split_once(':').unwrap_or((fault, "")) {
            ("", "") => RetransmitFault::None,
            ("silent", "") => RetransmitFault::Silent,
            ("short", "") => RetransmitFault::Short,
            ("twice", "") => RetransmitFault::Twice,
            ("lying", "") => RetransmitFault::Lying,
            ("slow", ms) if ms.parse::<u32>().is_ok() => {
                let ms = ms.parse::<u32>().map_or(0, u64::from);
                RetransmitFault::Slow { delay_ns: ms * NS_PER_MILLISECOND }
            }
            _ => {
                let expected = "expected slow:MS, silent, short, twice or lying";
                return Err(format!("{expected}, found {fault:?}"));
            }
        };
        Ok(Self { address, fault })
    }
}

impl FromStr for GlimpseAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, fault) = parts(text)?;
        let fault = match fault.split_once(':').unwrap_or((fault, "")) {
            ("", "") => GlimpseFault::None,
            ("refuse", "") => GlimpseFault::Refuses,
            ("half", "") => GlimpseFault::ClosesHalfway,
            ("back", "") => GlimpseFault::GoesBack,
            ("slow", rate) if rate.parse::<u32>().is_ok_and(|rate| rate > 0) => {
                let messages_per_second = rate.parse::<u32>().map_or(1, u64::from);
                GlimpseFault::Slow { messages_per_second }
            }
            _ => {
                let expected = "expected refuse, half, slow:MESSAGES-A-SECOND or back";
                return Err(format!("{expected}, found {fault:?}"));
            }
        };
        Ok(Self { address, fault })
    }
}

fn parts(text: &str) -> Result<(SocketAddr, &str), String> {
    let (address, fault) = text.split_once(',').unwrap_or((text, ""));
    let address = address.parse().map_err(|_| {
        format!("expected an address and port as 10.99.0.1:26500, found {address:?}")
    })?;
    Ok((address, fault))
}

fn login(text: &str) -> Result<Login, String> {
    let (user, password) = text.split_once(':').ok_or("expected USER:PASSWORD")?;
    let padded = wirebook_wire::soupbintcp::LoginRequest::new(user, password, "", 1);
    padded.map(|login| (login.username, login.password)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_and_maybe_a_fault() {
        let at = |text: &str| text.parse::<RetransmitAt>().map(|at| at.fault);
        assert_eq!(at("10.99.0.1:26500"), Ok(RetransmitFault::None));
        assert_eq!(at("[::1]:1,lying"), Ok(RetransmitFault::Lying));
        let slow = RetransmitFault::Slow { delay_ns: 200_000_000 };
        assert_eq!(at("10.99.0.1:26500,slow:200"), Ok(slow));
        let at = |text: &str| text.parse::<GlimpseAt>().map(|at| at.fault);
        assert_eq!(at("127.0.0.1:1,half"), Ok(GlimpseFault::ClosesHalfway));
        let slow = GlimpseFault::Slow { messages_per_second: 5 };
        assert_eq!(at("127.0.0.1:1,slow:5"), Ok(slow));
        for wrong in ["", "10.99.0.1", "10.99.0.1:1,slow", "10.99.0.1:1,slow:0", "1.1.1.1:1,rude"] {
            assert!(wrong.parse::<GlimpseAt>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_login_is_padded_and_its_password_never_shown() {
        assert_eq!(login("user:secret"), Ok((*b"user  ", *b"secret    ")));
        let error = login("user:much too secret").unwrap_err();
        assert!(!error.contains("much"), "{error}");
    }
}
