//! The status page: `/` and `/status.json` on the port of the metrics.
//!
//! Arrives: requests. Leaves: one page that holds all it needs, and the [`Vitals`](crate::vitals::Vitals)
//! that it asks for each second. Promises: the segment is looked at when somebody asks, and once a
//! count however many ask; the page may ask nobody but where it came from (Content Security Policy,
//! Level 3); a count that is old is shown as old, by the browser's clock.

use crate::vitals::Observer;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::{Arc, Mutex, PoisonError};
use wirebook_client::{ClientError, Session};

const PAGE: &str = include_str!("status.html");

/// Style and script are in the page itself; nothing comes from elsewhere, and nothing goes there.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The routes of the status of the appliance of this name.
///
/// # Errors
/// [`ClientError`] where the segment is not laid out as an appliance's.
pub fn router(name: &str, session: Session) -> Result<Router, ClientError> {
    let observer = Arc::new(Mutex::new(Observer::new(name, session)?));
    Ok(Router::new().route("/", get(page)).route("/status.json", get(vitals)).with_state(observer))
}

async fn page() -> impl IntoResponse {
    (HEADERS, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE)
}

async fn vitals(State(observer): State<Arc<Mutex<Observer>>>) -> Response {
    // A look that panicked left the vitals before it, which are whole.
    let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
    match observer.look() {
        Ok(vitals) => (HEADERS, Json(vitals)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
