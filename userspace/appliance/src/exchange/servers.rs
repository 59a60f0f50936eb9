//! The exchange's servers: one thread each, from the first packet to the end.

use crate::exchange::{ServerArgs, glimpse, retransmit};
use crate::housekeeping::Stop;
use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use wirebook_simulator::{Exchange, RetransmitConfig, RetransmitCounts};

/// What became of a GLIMPSE server's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GlimpseCounts {
    /// Connections taken.
    pub connections: u64,
    /// Connections beyond the limit.
    pub turned_away: u64,
    /// Whole snapshots.
    pub complete: u64,
    /// Logins refused.
    pub refused: u64,
    /// Connections closed half-way, as told.
    pub closed_halfway: u64,
    /// Connections with garbage or a silent client.
    pub failed: u64,
    /// Clients that went, or were still there when the exchange stopped.
    pub left: u64,
    /// Messages of snapshots.
    pub messages: u64,
}

/// What the servers were asked.
#[derive(Clone, Debug, Default)]
pub struct ServerReport {
    /// Each retransmit server with its address.
    pub retransmit: Vec<(SocketAddr, RetransmitCounts)>,
    /// Each GLIMPSE server with its address.
    pub glimpse: Vec<(SocketAddr, GlimpseCounts)>,
}

/// Servers that are running.
pub struct Servers {
    stop: Stop,
    retransmit: Vec<Server<RetransmitCounts>>,
    glimpse: Vec<Server<GlimpseCounts>>,
}

struct Server<T> {
    address: SocketAddr,
    thread: JoinHandle<std::io::Result<T>>,
}

/// What a server's thread works with.
pub(super) struct Context {
    pub(super) stop: Stop,
    began: Instant,
    exchange: Arc<RwLock<Exchange>>,
}

impl Context {
    pub(super) fn exchange(&self) -> RwLockReadGuard<'_, Exchange> {
        self.exchange.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nanoseconds since the servers began.
pub(super) fn now_ns(context: &Context) -> u64 {
    context.began.elapsed().as_nanos() as u64
}

impl Servers {
    /// Starts the servers that `args` name.
    ///
    /// # Errors
    /// Fails where an address cannot be had.
    pub fn start(args: &ServerArgs, exchange: &Arc<RwLock<Exchange>>) -> anyhow::Result<Self> {
        let mut servers = Self { stop: Stop::new(), retransmit: Vec::new(), glimpse: Vec::new() };
        let began = Instant::now();
        let context =
            |stop: &Stop| Context { stop: stop.clone(), began, exchange: Arc::clone(exchange) };
        for (at, seed) in args.retransmit.iter().zip(1..) {
            let socket = UdpSocket::bind(at.address)
                .with_context(|| format!("cannot answer requests on {}", at.address))?;
            let config = RetransmitConfig {
                messages_max: args.request_limit,
                fault: at.fault,
                seed,
                ..RetransmitConfig::default()
            };
            let (address, context) = (socket.local_addr()?, context(&servers.stop));
            let thread = spawn(move || retransmit::serve(&socket, config, &context))?;
            servers.retransmit.push(Server { address, thread });
        }
        for at in &args.glimpse {
            let listener = TcpListener::bind(at.address)
                .with_context(|| format!("cannot serve snapshots on {}", at.address))?;
            let config = args.glimpse_config(at.fault);
            let (address, context) = (listener.local_addr()?, context(&servers.stop));
            let thread = spawn(move || glimpse::serve(&listener, config, &context))?;
            servers.glimpse.push(Server { address, thread });
        }
        Ok(servers)
    }

    /// Where the retransmit servers listen, in order.
    pub fn retransmit_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.retransmit.iter().map(|server| server.address)
    }

    /// Where the GLIMPSE servers listen, in order.
    pub fn glimpse_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.glimpse.iter().map(|server| server.address)
    }

    /// Stops them.
    ///
    /// # Errors
    /// Fails where a thread died or its socket did.
    pub fn finish(mut self) -> anyhow::Result<ServerReport> {
        self.stop.set();
        Ok(ServerReport {
            retransmit: join(std::mem::take(&mut self.retransmit))?,
            glimpse: join(std::mem::take(&mut self.glimpse))?,
        })
    }
}

/// Servers that nobody finishes, after an error elsewhere, stop too.
impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.set();
    }
}

impl ServerReport {
    /// Every server as JSON.
    ///
    /// # Errors
    /// None in practice: every part is plain numbers and text.
    pub fn to_json(&self) -> serde_json::Result<Value> {
        let retransmit = self.retransmit.iter().map(|(address, counts)| {
            let named = counts.named().into_iter().map(|(name, count)| (name.into(), json!(count)));
            with_address(*address, named.collect())
        });
        let glimpse = self.glimpse.iter().map(|(address, counts)| {
            let counts = match serde_json::to_value(counts)? {
                Value::Object(counts) => counts,
                other => Map::from_iter([("counts".to_owned(), other)]),
            };
            Ok(with_address(*address, counts))
        });
        Ok(json!({
            "retransmit": retransmit.collect::<Vec<_>>(),
            "glimpse": glimpse.collect::<serde_json::Result<Vec<_>>>()?,
        }))
    }
}

fn with_address(address: SocketAddr, counts: Map<String, Value>) -> Value {
    let mut object = Map::from_iter([("address".to_owned(), json!(address.to_string()))]);
    object.extend(counts);
    Value::Object(object)
}

fn spawn<T: Send + 'static>(
    serve: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> anyhow::Result<JoinHandle<std::io::Result<T>>> {
    thread::Builder::new().spawn(serve).context("cannot start a server's thread")
}

fn join<T>(servers: Vec<Server<T>>) -> anyhow::Result<Vec<(SocketAddr, T)>> {
    let joined = servers.into_iter().map(|Server { address, thread }| {
        let counts = thread.join().map_err(|_| anyhow!("the server on {address} died"))?;
        Ok((address, counts.with_context(|| format!("the server on {address}"))?))
    });
    joined.collect()
}
