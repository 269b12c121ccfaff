//! Floor 4: the port for machines that watch the server.
//!
//! `/health` answers while the process does; `/ready` is 200 only while clients can connect and write; `/metrics` is
//! Prometheus text. It listens only when configured, and carries no names, no query texts and nothing personal.

pub(crate) mod figures;

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::engine::activity::BackendState;

/// What the answers are made from.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Asked for sessions and the store's figures.
    pub engine: Arc<Engine>,
    /// Fires when the server begins to stop.
    pub stopping: CancellationToken,
}

/// Serves until the server stops.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let stopping = admin.stopping.clone();
    let router = Router::new()
        .route("/health", get(|| async { "ok\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the admin port ended");
    }
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    if admin.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match admin.engine.store().failed() {
        Some(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("read-only: {}\n", error.sqlstate)),
        None if admin.engine.store().disk_full() => {
            (StatusCode::SERVICE_UNAVAILABLE, "read-only: disk full\n".to_owned())
        }
        None => (StatusCode::OK, "ready\n".to_owned()),
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render(&admin.engine))
}

/// All figures, one family after the other.
fn render(engine: &Engine) -> String {
    let status = engine.store().status();
    let states: Vec<BackendState> = engine.activity().list().iter().map(|backend| backend.status().state).collect();
    let count = |wanted: BackendState| states.iter().filter(|state| **state == wanted).count() as u64;
    let uptime = engine.started_at().elapsed().unwrap_or_default().as_secs();
    let mut text = String::new();
    gauge(&mut text, "uptime_seconds", "Seconds since the engine was opened.", uptime);
    gauge(&mut text, "sessions_active", "Sessions that run a statement.", count(BackendState::Active));
    gauge(&mut text, "sessions_idle", "Sessions waiting outside a transaction.", count(BackendState::Idle));
    gauge(
        &mut text,
        "sessions_idle_in_transaction",
        "Sessions waiting inside a transaction.",
        count(BackendState::IdleInTransaction) + count(BackendState::IdleInFailedTransaction),
    );
    gauge(&mut text, "commit_sequence", "Number of the newest commit.", status.seq);
    gauge(&mut text, "checkpoint_age_seconds", "Time since the last checkpoint.", status.checkpoint_age.as_secs());
    gauge(&mut text, "delta_bytes", "Bytes of rows not yet in part files.", status.delta_bytes);
    gauge(&mut text, "parts", "Part files of all tables.", status.parts as u64);
    gauge(&mut text, "commit_queue_depth", "Requests waiting for the commit thread.", status.queue_depth as u64);
    let begun = engine.activity().list().iter().filter_map(|backend| backend.status().transaction_started_at).min();
    let oldest = begun.and_then(|at| at.elapsed().ok()).unwrap_or_default().as_secs_f64();
    gauge(&mut text, "snapshot_oldest_seconds", "Age of the oldest transaction that is open.", oldest);
    figures::render(&mut text);
    let help = "How often the metadata store was made again, at the start or since.";
    figures::counter(&mut text, "meta_rebuilds_total", help, status.meta_rebuilds);
    if let Some(bytes) = status.free_bytes {
        gauge(&mut text, "disk_free_bytes", "Free bytes of the data directory's file system.", bytes);
    }
    text
}

fn gauge(text: &mut String, name: &str, help: &str, value: impl std::fmt::Display) {
    writeln!(text, "# HELP tributary_{name} {help}\n# TYPE tributary_{name} gauge\ntributary_{name} {value}")
        .expect("writing to a string cannot fail");
}
