//! Why a session with a stream ended. Always recoverable: the next connection begins anew.

use super::{read_error::ReadError, socket::SocketError};

/// What ended a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A frame that cannot be read.
    #[error(transparent)]
    Frame(#[from] ReadError),
    /// A row that cannot be read, which may be a fill.
    #[error("{place}: {source}")]
    Row {
        /// Where it came.
        place: &'static str,
        /// Why not.
        source: ReadError,
    },
    /// The venue refused a login or a subscription.
    #[error("{op} refused: {text}")]
    Refused {
        /// What was asked for.
        op: String,
        /// What the venue reported.
        text: String,
    },
    /// The venue did not answer.
    #[error("no answer to {op} in {seconds} s")]
    NoAnswer {
        /// What was asked for.
        op: String,
        /// For how long.
        seconds: u64,
    },
    /// The login of a socket, named by its address.
    #[error("{url}: {source}")]
    Login {
        /// The address.
        url: String,
        /// What went wrong.
        source: Box<SessionError>,
    },
    /// The venue asks for another connection.
    #[error("the venue restarts its socket")]
    Restarting,
    /// Nothing came after a request.
    #[error("silent for {0} s after a request")]
    Silent(u64),
}
