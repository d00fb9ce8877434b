//! What ends the process. Always fatal; the text names the thing and the next step.

use crate::{
    bybit::{keys::KeysError, rest::ClientError},
    engine::EngineError,
    execution::model::limits::LimitsError,
    journal::JournalError,
    run_folder::RunFolderError,
    telemetry::TelemetryError,
    uplink::UplinkError,
};

/// Why the process cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The limits.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The folder of the sockets.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Logs or metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The REST client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The venue.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The runtime.
    #[error("runtime: {0}")]
    Runtime(std::io::Error),
    /// Signals.
    #[error("{0}")]
    Signals(std::io::Error),
    /// A thread that cannot be started.
    #[error("{name} thread: {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A task that broke.
    #[error("{name}: {source}")]
    Task {
        /// Which.
        name: &'static str,
        /// How.
        source: tokio::task::JoinError,
    },
    /// A stop that took too long.
    #[error("the engine did not stop in time; the journal is whole")]
    SlowStop,
    /// The engine broke.
    #[error("the engine thread ended without a word")]
    EngineGone,
}
