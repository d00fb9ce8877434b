//! What ends the engine. Always fatal: a restart reads the journal and is safe.

use protocol::wire::Fault;

use crate::journal::JournalError;

/// Why the engine cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system gives no pair of sockets.
    #[error("socket pair: {0}")]
    Pair(std::io::Error),
    /// A socket that cannot be made or set.
    #[error("{address}: {source}")]
    Socket {
        /// What it was meant for.
        address: String,
        /// Why not.
        source: zmq::Error,
    },
    /// An address that cannot be bound.
    #[error("cannot bind {address}: {source}; is it in use already?")]
    Bind {
        /// The address.
        address: String,
        /// Why not.
        source: zmq::Error,
    },
    /// Waiting for a command failed.
    #[error("poll: {0}")]
    Poll(zmq::Error),
    /// Events cannot be published any more.
    #[error("events socket: {0}")]
    Events(zmq::Error),
    /// A reply that cannot be written.
    #[error("{}", .0)]
    Reply(Fault),
    /// The journal contradicts what is to be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A stop came while the journal could not be written.
    #[error("stopped with {rows} rows that are not on disk: {source}")]
    RowsLost {
        /// How many.
        rows: usize,
        /// Why not.
        source: JournalError,
    },
}
