//! Logs and metrics.

use axum::{
    extract::Request,
    http::{header, HeaderMap, HeaderName, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
    Router,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use protocol::lines::LogLines;

/// Libraries that write whole frames and headers, logins included, when they are asked for details.
const TALKATIVE: [&str; 6] = [
    "tungstenite=info",
    "tokio_tungstenite=info",
    "hyper=info",
    "hyper_util=info",
    "h2=info",
    "reqwest=info",
];

/// Why logs or metrics cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A filter that cannot be read.
    #[error("--log {filter}: {reason}")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong.
        reason: String,
    },
    /// Logs go somewhere already.
    #[error("logs: {0}")]
    Logs(String),
    /// Metrics are collected already.
    #[error("metrics: {0}")]
    Recorder(String),
    /// An address that cannot be bound.
    #[error("--metrics {address}: {source}")]
    Address {
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// JSON lines on stderr; keys never reach them, whatever the filter is.
///
/// # Errors
/// When the filter cannot be read.
pub fn start_logs(filter: &str) -> Result<(), TelemetryError> {
    let unreadable = |reason: String| TelemetryError::Filter { filter: filter.to_owned(), reason };
    let mut directives = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| unreadable(error.to_string()))?;
    for directive in TALKATIVE {
        let directive =
            directive.parse().map_err(|error: tracing_subscriber::filter::ParseError| {
                unreadable(error.to_string())
            })?;
        directives = directives.add_directive(directive);
    }
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(directives)
        .with_writer(|| LogLines)
        // Its own complaints go to standard error by a way that panics.
        .log_internal_errors(false)
        .try_init()
        .map_err(|error| TelemetryError::Logs(error.to_string()))
}

/// Collects metrics and serves them at `/metrics`; returns the address, port resolved.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve_metrics(address: &str) -> Result<String, TelemetryError> {
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| TelemetryError::Recorder(error.to_string()))?;
    let unbound = |source| TelemetryError::Address { address: address.to_owned(), source };
    let listener = tokio::net::TcpListener::bind(address).await.map_err(unbound)?;
    let bound = listener.local_addr().map_err(unbound)?;
    let router = Router::new()
        .route("/metrics", get(move || render(recorder.clone())))
        .layer(middleware::from_fn(admit));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics stopped");
        }
    });
    Ok(format!("http://{bound}/metrics"))
}

/// Answers 403 to the pages of others, whatever they ask for.
async fn admit(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let reported = protocol::local_http::admit(
        only(headers, header::HOST).as_deref(),
        only(headers, header::ORIGIN).as_deref(),
    );
    match reported {
        Ok(()) => next.run(request).await,
        Err(error) => (StatusCode::FORBIDDEN, format!("{error}\n")).into_response(),
    }
}

/// A header that is given: as text, all of it if it comes more than once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter();
    let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

async fn render(recorder: PrometheusHandle) -> String {
    recorder.run_upkeep();
    if let Some(kib) = resident_kib() {
        metrics::gauge!("cerebellum_resident_bytes").set(kib * 1024.0);
    }
    recorder.render()
}

fn resident_kib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
