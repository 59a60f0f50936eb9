//! Lost messages, asked for by UDP unicast and handed over as packets.
//!
//! Arrives: ranges that a worker's channel wants, and the servers' answers. Leaves: requests, and
//! answers that were asked for, whole, as the raw MoldUDP64 packets that they are; ranges that
//! nobody brought are reported. Which server is asked for what and when is decided by the
//! [`Retransmitter`]; here are its sockets. Counts what does not fit in [`RecoveryCounters`](super::RecoveryCounters).

use super::config::RecoveryConfig;
use super::link::Answer;
use super::{Outlet, RecoveryError};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use wirebook_feed::{Retransmitter, Task};
use wirebook_wire::moldudp64::{self, Request};
use wirebook_wire::{Session, TransportPacket};

/// Datagrams taken from one server before the others have their turn.
const DATAGRAMS_A_TURN: usize = 64;

/// The re-request servers of one channel.
#[derive(Debug)]
pub(super) struct RetransmitClient {
    /// One a server, connected: other hosts' packets do not come in.
    sockets: Vec<UdpSocket>,
    retransmitter: Retransmitter<Session>,
    /// The session that was last asked for.
    session: Option<Session>,
}

impl RetransmitClient {
    /// Sockets to every server; `None` where the configuration names none.
    pub(super) fn open(config: &RecoveryConfig) -> Result<Option<Self>, RecoveryError> {
        let Some(policy) = config.retransmitter_policy() else { return Ok(None) };
        let open = |address| {
            connected(address).map_err(|source| RecoveryError::Socket { address, source })
        };
        let sockets = config
            .retransmit
            .iter()
            .map(|server| open(server.address))
            .collect::<Result<_, _>>()?;
        Ok(Some(Self { sockets, retransmitter: Retransmitter::new(policy), session: None }))
    }

    /// Wants messages of a session.
    pub(super) fn want(&mut self, session: Session, messages: Range<u64>, out: &mut Outlet<'_>) {
        self.session = Some(session);
        let is_ours = matches!(session, Session::MoldUdp64(_));
        if !is_ours || !self.retransmitter.want(session, messages.clone(), out.now_ns) {
            out.link.send(Answer::RetransmitFailed { session, messages });
            out.counters.retransmit_failures += 1;
        }
    }

    /// Nothing is wanted any more.
    pub(super) fn end(&mut self) {
        self.retransmitter.cancel();
    }

    /// The sockets to wait on.
    pub(super) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Takes what has come and sends what is due. `datagram` is where packets are read to.
    pub(super) fn serve(&mut self, datagram: &mut [u8], out: &mut Outlet<'_>) {
        for server in 0..self.sockets.len() {
            self.receive(server, datagram, out);
        }
        while let Some(task) = self.retransmitter.poll(out.now_ns) {
            match task {
                Task::Send { server, session, first, message_count } => {
                    self.send(server, session, first, message_count, out);
                }
                Task::GiveUp { session, first, end } => {
                    out.warn(
                        "retransmit-failed",
                        format_args!("no server sent the messages {first} to {} again", end - 1),
                    );
                    out.counters.retransmit_failures += 1;
                    out.link.send(Answer::RetransmitFailed { session, messages: first..end });
                }
            }
        }
        let counters = self.retransmitter.counters();
        out.counters.requests = counters.requests;
        out.counters.answers = counters.answers;
        out.counters.short_answers = counters.short_answers;
        out.counters.unasked_answers = counters.unasked_answers;
        out.counters.timeouts = counters.timeouts;
    }

    fn receive(&mut self, server: usize, datagram: &mut [u8], out: &mut Outlet<'_>) {
        for _ in 0..DATAGRAMS_A_TURN {
            match self.sockets[server].recv(datagram) {
                Ok(length) => self.answer(server, &datagram[..length], out),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(server, &error, out),
            }
        }
    }

    fn answer(&mut self, server: usize, payload: &[u8], out: &mut Outlet<'_>) {
        let Some(packet) = whole_packet(payload) else {
            out.counters.malformed_answers += 1;
            return out.warn(
                "malformed-answer",
                format_args!(
                    "retransmit server {server} sent {} bytes that are no whole packet",
                    payload.len()
                ),
            );
        };
        if packet.count == 0 {
            out.counters.empty_answers += 1;
        }
        // Without a buffer the answer is as good as lost, and is to be asked for again.
        let Some(mut buffer) = out.link.packet_buffer() else {
            out.counters.unbuffered_answers += 1;
            return;
        };
        let TransportPacket { session, sequence, count, .. } = packet;
        if !self.retransmitter.answer(server, session, sequence, count, out.now_ns) {
            return out.warn("unasked-answer", format_args!(
                "retransmit server {server} sent {count} messages of {session} from {sequence} on, \
                 which were not asked for"
            ));
        }
        if buffer.append(&[payload]) {
            out.link.send(Answer::Packet(buffer));
        } else {
            out.counters.unbuffered_answers += 1;
        }
    }

    fn send(
        &mut self,
        server: usize,
        session: Session,
        sequence: u64,
        count: u16,
        out: &mut Outlet<'_>,
    ) {
        let Session::MoldUdp64(session) = session else { return };
        let request = Request { session, sequence, count };
        if let Err(error) = self.sockets[server].send(&request.encode()) {
            // The retransmitter sees no answer, and asks another server.
            out.counters.unsent_requests += 1;
            if error.kind() != ErrorKind::WouldBlock {
                self.fail(server, &error, out);
            }
        }
    }

    /// The host says that no server is there: as good as an answer without messages, and at once.
    fn fail(&mut self, server: usize, error: &io::Error, out: &mut Outlet<'_>) {
        out.counters.unreachable_servers += 1;
        out.warn("unreachable-retransmit", format_args!("retransmit server {server}: {error}"));
        if let Some(session) = self.session {
            self.retransmitter.answer(server, session, 0, 0, out.now_ns);
        }
    }
}

fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The packet in a payload, if it holds exactly the messages that its header says.
fn whole_packet(payload: &[u8]) -> Option<TransportPacket<'_>> {
    let packet = moldudp64::parse(payload).ok()?;
    packet.blocks.into_iter().all(|block| block.is_ok()).then_some(packet)
}
