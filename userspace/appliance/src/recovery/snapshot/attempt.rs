//! One try at a snapshot: one connection to one server.

use super::super::Outlet;
use super::super::buffer::{BUFFER_BYTES, Batch};
use super::super::link::Answer;
use super::SnapshotFailure;
use nix::poll::PollFlags;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use wirebook_wire::Session;
use wirebook_wire::glimpse::{self, Message};
use wirebook_wire::soupbintcp::{ClientSession, Event, LoginRequest, SessionError};

/// The longest packet that a server may send: ITCH's messages have 50 bytes at most, a debug
/// packet may have a line of text.
const PACKET_LENGTH_MAX: u16 = 4_095;

/// Reads of a connection before the other channels have their turn.
const READS_A_TURN: usize = 16;

/// How far an attempt has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is nothing to do until something comes, or buffers are free again.
    Waiting,
    /// The snapshot is whole and has been handed over.
    Whole,
}

/// A connection that is being made, or read.
#[derive(Debug)]
pub(super) struct Attempt {
    phase: Phase,
    deadline_ns: u64,
}

#[derive(Debug)]
enum Phase {
    Connecting { socket: Socket, login: LoginRequest },
    Reading(Box<Reading>),
}

#[derive(Debug)]
struct Reading {
    stream: TcpStream,
    session: ClientSession,
    batch: Option<Batch>,
    /// The worker has all batches: nothing is read until some come back.
    is_held_up: bool,
}

impl Attempt {
    /// Begins to connect.
    pub(super) fn connect(
        server: SocketAddr,
        login: LoginRequest,
        deadline_ns: u64,
    ) -> Result<Self, SnapshotFailure> {
        let connect = || {
            let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.set_tcp_nodelay(true)?;
            match socket.connect(&server.into()) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok(socket),
            }
        };
        let socket = connect().map_err(|_| SnapshotFailure::Unreachable)?;
        Ok(Self { phase: Phase::Connecting { socket, login }, deadline_ns })
    }

    /// The socket to wait on, and for what.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.phase {
            Phase::Connecting { socket, .. } => Some((socket.as_fd(), PollFlags::POLLOUT)),
            Phase::Reading(reading) => {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::POLLIN, !reading.is_held_up);
                flags.set(PollFlags::POLLOUT, !reading.session.to_send().is_empty());
                (!flags.is_empty()).then(|| (reading.stream.as_fd(), flags))
            }
        }
    }

    /// Goes on as far as it may.
    pub(super) fn serve(
        &mut self,
        session: Session,
        wanted: u64,
        out: &mut Outlet<'_>,
    ) -> Result<Progress, SnapshotFailure> {
        let is_over = out.now_ns >= self.deadline_ns;
        if let Phase::Connecting { socket, login } = &self.phase {
            if !is_connected(socket)? {
                let late = Err(SnapshotFailure::Unreachable);
                return if is_over { late } else { Ok(Progress::Waiting) };
            }
            let stream = socket.try_clone().map_err(|_| SnapshotFailure::Unreachable)?.into();
            let session = ClientSession::new(*login, PACKET_LENGTH_MAX, out.now_ns);
            let reading = Reading { stream, session, batch: None, is_held_up: false };
            self.phase = Phase::Reading(Box::new(reading));
        }
        let Phase::Reading(reading) = &mut self.phase else { return Ok(Progress::Waiting) };
        let progress = reading.serve(session, wanted, out)?;
        if is_over && progress == Progress::Waiting {
            return Err(SnapshotFailure::Overdue);
        }
        Ok(progress)
    }

    /// Logs out, as far as the connection takes it at once, and closes.
    pub(super) fn end(self, now_ns: u64) {
        if let Phase::Reading(mut reading) = self.phase {
            reading.session.log_out(now_ns);
            // The connection is closed in any case.
            let _ = reading.write();
        }
    }
}

impl Reading {
    fn serve(
        &mut self,
        session: Session,
        wanted: u64,
        out: &mut Outlet<'_>,
    ) -> Result<Progress, SnapshotFailure> {
        self.session.tick(out.now_ns)?;
        self.write().map_err(|_| SnapshotFailure::ClosedEarly)?;
        for _ in 0..READS_A_TURN {
            if self.take_events(session, wanted, out)? == Progress::Whole {
                return Ok(Progress::Whole);
            }
            if self.is_held_up {
                break;
            }
            match self.stream.read(self.session.room()) {
                Ok(0) => {
                    self.session.closed()?;
                    return Err(SnapshotFailure::ClosedEarly);
                }
                Ok(length) => self.session.received(length, out.now_ns),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return Err(SnapshotFailure::ClosedEarly),
            }
        }
        self.hand_over(out);
        Ok(Progress::Waiting)
    }

    fn take_events(
        &mut self,
        session: Session,
        wanted: u64,
        out: &mut Outlet<'_>,
    ) -> Result<Progress, SnapshotFailure> {
        while self.has_room(out) {
            let Some(batch) = &mut self.batch else { break };
            match self.session.next_event()? {
                None => break,
                Some(Event::LoggedIn { sequence: glimpse::FIRST_SEQUENCE, .. }) => {
                    out.link.send(Answer::SnapshotBegins { session });
                }
                Some(Event::LoggedIn { .. }) => return Err(SnapshotFailure::Garbage),
                Some(Event::EndOfSession) => return Err(SnapshotFailure::ClosedEarly),
                Some(Event::Message { message, .. }) => {
                    match glimpse::parse(message).map_err(|_| SnapshotFailure::Garbage)? {
                        Message::Itch(message) => {
                            let has_room = batch.push(message);
                            debug_assert!(has_room, "room was made before");
                            out.counters.snapshot_messages += 1;
                        }
                        Message::End { sequence } if sequence < wanted => {
                            return Err(SnapshotFailure::Behind);
                        }
                        Message::End { sequence } => {
                            self.hand_over(out);
                            out.link.send(Answer::SnapshotEnds { session, sequence });
                            return Ok(Progress::Whole);
                        }
                    }
                }
            }
        }
        Ok(Progress::Waiting)
    }

    /// Whether the next message has a place, whatever its length.
    fn has_room(&mut self, out: &mut Outlet<'_>) -> bool {
        let message_bytes = 2 + usize::from(PACKET_LENGTH_MAX);
        if self.batch.as_ref().is_some_and(|batch| batch.bytes() + message_bytes > BUFFER_BYTES) {
            self.hand_over(out);
        }
        if self.batch.is_none() {
            self.batch = out.link.batch();
            let was_held_up = std::mem::replace(&mut self.is_held_up, self.batch.is_none());
            out.counters.snapshot_backpressure += u64::from(self.is_held_up && !was_held_up);
        }
        self.batch.is_some()
    }

    fn hand_over(&mut self, out: &mut Outlet<'_>) {
        if let Some(batch) = self.batch.take_if(|batch| batch.count() > 0) {
            out.link.send(Answer::SnapshotMessages(batch));
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.session.to_send().is_empty() {
            match self.stream.write(self.session.to_send()) {
                Ok(length) => self.session.sent(length),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether a connection that was begun has been made.
fn is_connected(socket: &Socket) -> Result<bool, SnapshotFailure> {
    if !matches!(socket.take_error(), Ok(None)) {
        return Err(SnapshotFailure::Unreachable);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(_) => Err(SnapshotFailure::Unreachable),
    }
}

impl From<SessionError> for SnapshotFailure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Refused(reason) => Self::Refused(reason),
            SessionError::Silent { .. } => Self::Silent,
            SessionError::Closed { .. } => Self::ClosedEarly,
            SessionError::Frame(_)
            | SessionError::Packet(_)
            | SessionError::Unexpected { .. }
            | SessionError::OtherSession { .. } => Self::Garbage,
        }
    }
}
