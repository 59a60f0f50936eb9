//! A GLIMPSE server's listener and connections.

use crate::exchange::servers::{Context, GlimpseCounts, now_ns};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;
use wirebook_simulator::{GlimpseConfig, GlimpseOutcome, GlimpseSession};

/// Most connections at once; more are closed as they come.
const CONNECTIONS_MAX: usize = 16;
/// How long a wait takes where there is nothing to do.
const CYCLE: Duration = Duration::from_millis(1);

/// Serves every client until the stop.
pub(super) fn serve(
    listener: &TcpListener,
    config: GlimpseConfig,
    context: &Context,
) -> std::io::Result<GlimpseCounts> {
    listener.set_nonblocking(true)?;
    let mut counts = GlimpseCounts::default();
    thread::scope(|scope| {
        let mut connections: Vec<ScopedJoinHandle<'_, GlimpseSession>> = Vec::new();
        while !context.stop.is_set() {
            for over in connections.extract_if(.., |connection| connection.is_finished()) {
                counts.add(over.join().ok());
            }
            match listener.accept() {
                Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                    counts.connections += 1;
                    connections.push(scope.spawn(move || connection(stream, config, context)));
                }
                Ok(_) => counts.turned_away += 1,
                Err(_) => thread::sleep(CYCLE),
            }
        }
        for connection in connections {
            counts.add(connection.join().ok());
        }
    });
    Ok(counts)
}

/// Serves one client; gives the session as it ended.
fn connection(mut stream: TcpStream, config: GlimpseConfig, context: &Context) -> GlimpseSession {
    let mut session = GlimpseSession::new(config, now_ns(context));
    let ready = stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true));
    while ready.is_ok() && !context.stop.is_set() {
        match step(&mut stream, &mut session, context) {
            Ok(true) => {}
            Ok(false) if session.is_over() && session.to_send().is_empty() => break,
            Ok(false) => thread::sleep(CYCLE),
            Err(_) => {
                // The client is gone; a session that is over stays what it has become.
                session.received(0, now_ns(context), &context.exchange());
                break;
            }
        }
    }
    session
}

/// Moves bytes both ways; false where there were none.
fn step(
    stream: &mut TcpStream,
    session: &mut GlimpseSession,
    context: &Context,
) -> std::io::Result<bool> {
    let mut moved = false;
    if !session.is_over()
        && let Some(byte_count) = unless_blocked(stream.read(session.room()))?
    {
        session.received(byte_count, now_ns(context), &context.exchange());
        moved = true;
    }
    session.tick(now_ns(context));
    if !session.to_send().is_empty()
        && let Some(byte_count) = unless_blocked(stream.write(session.to_send()))?
    {
        session.sent(byte_count);
        moved = true;
    }
    Ok(moved)
}

fn unless_blocked(result: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match result {
        Ok(byte_count) => Ok(Some(byte_count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl GlimpseCounts {
    fn add(&mut self, session: Option<GlimpseSession>) {
        let Some(session) = session else { return };
        self.messages += session.messages_sent();
        match session.outcome() {
            GlimpseOutcome::Complete => self.complete += 1,
            GlimpseOutcome::Refused => self.refused += 1,
            GlimpseOutcome::ClosedHalfway => self.closed_halfway += 1,
            GlimpseOutcome::Failed => self.failed += 1,
            GlimpseOutcome::UnderWay | GlimpseOutcome::Left => self.left += 1,
        }
    }
}
