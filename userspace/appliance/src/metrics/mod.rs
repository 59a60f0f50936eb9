//! What is counted and timed, for the tools that watch: `/metrics` and `/healthz`.
//!
//! Arrives: the running segment, as any reader has it. Leaves: its counters and histograms in the
//! OpenMetrics text format, at the configured address; nothing where none is configured. So a scrape
//! costs the hot threads nothing: what they count is in memory already, about a second old. Beside it,
//! where a file is named, the HdrHistogram interval log of all stages.
//!
//! [`families`] is the one table of what is told and how it is called; docs/metrics.md is made of it.

mod exposition;
pub mod families;
mod health;
mod hlog;
pub mod labels;
mod server;

use crate::config::Config;
use crate::housekeeping::Stop;
use crate::status;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use exposition::Exposition;
pub use hlog::{Hlog, HlogCount, HlogCounters};
pub use server::Server;
use std::sync::Arc;
use std::time::Duration;
use wirebook_client::Session;
use wirebook_shm::board::BoardReader;
use wirebook_shm::{Segment, SegmentView, names};

/// OpenMetrics 1.0, section "Overall Structure": the media type of the text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The configured endpoint: its socket, taken, and what it will tell.
pub struct Endpoint {
    server: Server,
    router: Router,
}

/// What every route reads.
#[derive(Clone)]
pub struct Told {
    /// The segment, as any reader has it.
    pub session: Session,
    /// The shards' boards.
    pub boards: Arc<[BoardReader]>,
    /// The channels' names by their numbers, as boards have them.
    pub channels: Arc<[String]>,
    /// How long a thread may stand, and the heartbeat with it.
    pub no_progress: Duration,
}

impl Endpoint {
    /// Takes the configured address; `None` where there is none.
    ///
    /// # Errors
    /// Where the address is in use or not one of this host's, or the segment cannot be mapped.
    pub fn open(config: &Config, segment: &Segment) -> anyhow::Result<Option<Self>> {
        let Some(address) = config.metrics.listen else { return Ok(None) };
        let server = Server::bind(address)?;
        tracing::info!("metrics at http://{}/metrics", server.address()?);
        let told = Told::new(config, segment)?;
        let status = status::router(&config.name, told.session.clone())?;
        Ok(Some(Self { server, router: router(told).merge(status) }))
    }

    /// Answers until `stop`, on this thread.
    pub fn run(self, stop: &Stop) {
        if let Err(error) = self.server.serve(self.router, stop) {
            tracing::error!("metrics are not told any more, the appliance goes on: {error:#}");
        }
    }
}

impl Told {
    /// What is told of this segment.
    ///
    /// # Errors
    /// Where the segment cannot be mapped.
    pub fn new(config: &Config, segment: &Segment) -> anyhow::Result<Self> {
        let view = SegmentView::open(segment.share()?)?;
        let boards = (0..config.shard_count()).map(|shard| view.board(&names::board(shard)));
        let boards = boards.collect::<Result<_, _>>()?;
        let channels = config.channels.iter().map(|channel| channel.name.clone()).collect();
        let no_progress = config.supervision.no_progress();
        Ok(Self { session: Session::of(view), boards, channels, no_progress })
    }
}

/// The routes of what is counted; those of the status stand beside them.
fn router(told: Told) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).with_state(told)
}

async fn metrics(State(told): State<Told>) -> impl IntoResponse {
    let text = Exposition::new(&told).map_err(|error| error.to_string());
    let text = text.and_then(|now| now.encode().map_err(|error| error.to_string()));
    match text {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn healthz(State(told): State<Told>) -> impl IntoResponse {
    match health::mistake(&told) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}
