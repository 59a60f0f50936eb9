//! A retransmit server's socket.

use crate::exchange::servers::{Context, now_ns};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use wirebook_simulator::{RetransmitConfig, RetransmitCounts, RetransmitServer};

/// How long one wait for a request takes at most.
const CYCLE: Duration = Duration::from_millis(2);

/// Answers requests until the stop.
pub(super) fn serve(
    socket: &UdpSocket,
    config: RetransmitConfig,
    context: &Context,
) -> std::io::Result<RetransmitCounts> {
    socket.set_read_timeout(Some(CYCLE))?;
    let mut server = RetransmitServer::new(config);
    let mut late: BTreeMap<(u64, u64), (SocketAddr, Vec<u8>)> = BTreeMap::new();
    let mut number = 0;
    let mut request = [0; 2_048];
    while !context.stop.is_set() {
        // A timeout, or an ICMP error of a client that has gone: neither ends the server.
        if let Ok((length, client)) = socket.recv_from(&mut request) {
            for answer in server.answer(now_ns(context), &request[..length], &context.exchange()) {
                number += 1;
                late.insert((answer.at_ns, number), (client, answer.payload));
            }
        }
        while let Some(first) = late.first_entry().filter(|e| e.key().0 <= now_ns(context)) {
            let (client, payload) = first.remove();
            if let Err(error) = socket.send_to(&payload, client) {
                tracing::warn!("cannot answer {client}: {error}");
            }
        }
    }
    Ok(server.counts())
}
