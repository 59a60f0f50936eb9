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
        Ok(Self { listener })
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
            let listener = Bounded::new(tokio::net::TcpListener::from_std(self.listener)?);
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
    /// Each connection has a clone.
    place: Arc<()>,
}

impl Bounded {
    fn new(listener: tokio::net::TcpListener) -> Self {
        Self { listener, place: Arc::new(()) }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(_) if Arc::strong_count(&self.place) > CONNECTIONS_MAX => {}
                Ok((stream, from)) => return (Connection::new(stream, &self.place), from),
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
    patience: Pin<Box<Sleep>>,
    _place: Arc<()>,
}

impl Connection {
    fn new(stream: TcpStream, place: &Arc<()>) -> Self {
        Self { stream, patience: Box::pin(sleep(PATIENCE)), _place: Arc::clone(place) }
    }

    /// What is not ready stays so, or is an error once the patience is over.
    fn or_over<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => {
                self.patience.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
            connection.patience.as_mut().reset(Instant::now() + PATIENCE);
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
