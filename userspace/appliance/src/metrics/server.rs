//! The HTTP server of metrics and status: one thread that is not hot.
//!
//! Arrives: a listening socket, the routes, a [`Stop`]. Leaves: answers. Promises: the address is taken
//! before anything of the host is touched, so one that is in use is an error at the start; at most
//! `CONNECTIONS_MAX` connections at a time, others are closed at once; one that asks nothing, or does
//! not take its answer, for `PATIENCE` is closed; request lines and headers are bounded by hyper;
//! whatever a client does, no hot thread knows of it. Ends within `FAREWELL` of the stop.

use crate::housekeeping::Stop;
use anyhow::Context as _;
use axum::Router;
use axum::serve::Listener;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Connections at a time: a few Prometheus servers and a few people.
const CONNECTIONS_MAX: usize = 32;

/// How long a connection may rest between an answer and the whole next request: longer than scrapes
/// usually lie apart, so that they share one.
const PATIENCE: Duration = Duration::from_secs(75);

/// How long answers that are on their way are waited for at the end.
const FAREWELL: Duration = Duration::from_millis(500);

/// How often the server looks at the stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long to wait where the host has no descriptor for one more connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// A socket that listens, and nothing behind it yet.
pub struct Server {
    listener: TcpListener,
    patience: Duration,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// Where it is in use, or not one of this host's.
    pub fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .with_context(|| format!("cannot listen on {address} (metrics.listen)"))?;
        Ok(Self { listener, patience: PATIENCE })
    }

    /// Where it listens: the port that the kernel chose, where port 0 was asked for.
    ///
    /// # Errors
    /// getsockname(2)'s.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop`, on this thread.
    ///
    /// # Errors
    /// Where the host has no room for an event loop.
    pub fn serve(self, router: Router, stop: &Stop) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stopped = || {
            let stop = stop.clone();
            async move {
                while !stop.is_set() {
                    sleep(LOOK).await;
                }
            }
        };
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            let listener = Bounded { listener, patience: self.patience, place: Arc::new(()) };
            let serving = axum::serve(listener, router).with_graceful_shutdown(stopped());
            let serving = tokio::spawn(serving.into_future());
            stopped().await;
            // Connections that are still open then end with the runtime.
            let _ended = timeout(FAREWELL, serving).await;
            Ok(())
        })
    }
}

/// A listener that lets in only so many.
struct Bounded {
    listener: tokio::net::TcpListener,
    patience: Duration,
    /// Each connection has a clone.
    place: Arc<()>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(_) if Arc::strong_count(&self.place) > CONNECTIONS_MAX => {}
                Ok((stream, from)) => {
                    let (patience, place) = (self.patience, Arc::clone(&self.place));
                    let until = Box::pin(sleep(patience));
                    return (Connection { stream, patience, until, _place: place }, from);
                }
                Err(error) => {
                    tracing::debug!("no connection to the metrics could be taken: {error}");
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with an end to its patience, which an answer renews.
struct Connection {
    stream: TcpStream,
    patience: Duration,
    until: Pin<Box<Sleep>>,
    _place: Arc<()>,
}

impl Connection {
    /// What is not ready stays so, or is an error once the patience is over.
    fn or_over<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                self.until.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        let polled = Pin::new(&mut connection.stream).poll_read(cx, buffer);
        connection.or_over(polled, cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let polled = Pin::new(&mut connection.stream).poll_write(cx, bytes);
        if polled.is_ready() {
            connection.until.as_mut().reset(Instant::now() + connection.patience);
        }
        connection.or_over(polled, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::io::{Read, Write};
    use std::net::TcpStream as Client;
    use std::thread;
    use std::time::Instant;

    /// Longer than anything here takes on a busy host.
    const LONG: Duration = Duration::from_secs(20);

    fn client(address: SocketAddr) -> Client {
        let client = Client::connect(address).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client
    }

    /// What comes until the connection ends; whether it ended by itself.
    fn rest(mut client: Client) -> (String, bool) {
        let mut bytes = Vec::new();
        let began = Instant::now();
        // A reset is an end too.
        let _reset = client.read_to_end(&mut bytes);
        (String::from_utf8_lossy(&bytes).into_owned(), began.elapsed() < LONG)
    }

    #[test]
    fn whoever_asks_nothing_is_closed_and_an_answer_renews_the_patience() {
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = Server { patience: Duration::from_secs(3), ..server };
        let (address, stop) = (server.address().unwrap(), Stop::new());
        let never = || std::future::pending::<&str>();
        let router = Router::new().route("/", get(|| async { "well" })).route("/never", get(never));
        thread::scope(|scope| {
            scope.spawn(|| server.serve(router, &stop).unwrap());
            assert_eq!(rest(client(address)), (String::new(), true));
            let mut half = client(address);
            half.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
            assert!(rest(half).1, "half a request");
            let mut patient = client(address);
            for _ in 0..3 {
                patient.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
                let mut answer = [0; 512];
                let length = patient.read(&mut answer).unwrap();
                assert!(answer[..length].ends_with(b"well"));
                thread::sleep(Duration::from_millis(1_100));
            }
            // An answer that never comes holds up no end.
            let mut waiting = client(address);
            waiting.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stop.set();
        });
        assert!(Client::connect(address).is_err(), "nobody listens any more");
    }
}
