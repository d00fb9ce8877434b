//! The ZeroMQ sockets: commands and events.

use protocol::wire::{encode, field::RequestId, ErrorCode, Fault, Reply, MAX_FRAME_BYTES};

use super::{error::EngineError, queue::Queue};
use crate::execution::model::io::Client;

/// A message is refused before it is read into memory when it is larger than this.
const LARGEST_MESSAGE: i64 = 4 * MAX_FRAME_BYTES as i64;
/// How many events may wait for a slow subscriber; it can replay the rest.
const EVENTS_WAITING: i32 = 100_000;

/// The sockets that the engine thread owns.
pub struct Sockets {
    commands: zmq::Socket,
    events: zmq::Socket,
    commands_address: String,
    events_address: String,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets")
            .field("commands", &self.commands_address)
            .field("events", &self.events_address)
            .finish_non_exhaustive()
    }
}

impl Sockets {
    /// Binds both sockets.
    ///
    /// # Errors
    /// The address, what went wrong, and the next step.
    pub fn bind(context: &zmq::Context, commands: &str, events: &str) -> Result<Self, EngineError> {
        let router = socket(context, zmq::ROUTER, commands)?;
        let setting = |source| EngineError::Socket { address: commands.to_owned(), source };
        router.set_maxmsgsize(LARGEST_MESSAGE).map_err(setting)?;
        router.set_linger(500).map_err(setting)?;
        let publisher = socket(context, zmq::PUB, events)?;
        publisher.set_sndhwm(EVENTS_WAITING).map_err(setting)?;
        publisher.set_linger(500).map_err(setting)?;
        let (commands_address, events_address) =
            (bind(&router, commands)?, bind(&publisher, events)?);
        Ok(Self { commands: router, events: publisher, commands_address, events_address })
    }

    /// The address of the commands socket, port resolved.
    #[must_use]
    pub fn commands_address(&self) -> &str {
        &self.commands_address
    }

    /// The address of the events socket, port resolved.
    #[must_use]
    pub fn events_address(&self) -> &str {
        &self.events_address
    }

    /// Waits for a command or a message, at most so long.
    ///
    /// # Errors
    /// When polling fails for another reason than a signal.
    pub fn wait(&self, queue: &Queue, at_most_ms: i64) -> Result<(), EngineError> {
        let mut items = [
            self.commands.as_poll_item(zmq::POLLIN),
            zmq::PollItem::from_fd(queue.descriptor(), zmq::POLLIN),
        ];
        match zmq::poll(&mut items, at_most_ms) {
            Ok(_) | Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(EngineError::Poll(error)),
        }
        if items[1].is_readable() {
            queue.settle();
        }
        Ok(())
    }

    /// The next command frame, or what is wrong with how it was framed.
    pub fn next_command(&self) -> Option<(Client, Result<Vec<u8>, Fault>)> {
        let mut frames = self.commands.recv_multipart(zmq::DONTWAIT).ok()?;
        if frames.is_empty() {
            return None;
        }
        let client = frames.remove(0);
        let frame = match frames.pop() {
            Some(frame) if frames.is_empty() => Ok(frame),
            other => Err(Fault::new(
                ErrorCode::BadJson,
                None::<RequestId>,
                format!(
                    "{} frames; send one JSON frame from a DEALER",
                    frames.len() + usize::from(other.is_some())
                ),
            )),
        };
        Some((client, frame))
    }

    /// Answers a client; one that is gone is no fault.
    ///
    /// # Errors
    /// When the reply cannot be written as JSON.
    pub fn reply(&self, client: &[u8], reply: &Reply) -> Result<(), EngineError> {
        let frame = encode(reply).map_err(EngineError::Reply)?;
        match self.commands.send_multipart([client, frame.as_slice()], zmq::DONTWAIT) {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "a reply could not be sent"),
        }
        Ok(())
    }

    /// Publishes an event.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn publish_event(&self, body: &str) -> Result<(), EngineError> {
        match self.events.send_multipart(["event", body], zmq::DONTWAIT) {
            Ok(()) | Err(zmq::Error::EAGAIN) => Ok(()),
            Err(error) => Err(EngineError::Events(error)),
        }
    }
}

/// A socket of a kind.
///
/// # Errors
/// The address it was meant for and what went wrong.
pub(super) fn socket(
    context: &zmq::Context,
    kind: zmq::SocketType,
    address: &str,
) -> Result<zmq::Socket, EngineError> {
    context
        .socket(kind)
        .map_err(|source| EngineError::Socket { address: address.to_owned(), source })
}

/// Binds and returns the address with its port resolved.
///
/// # Errors
/// The address, what went wrong, and the next step.
pub(super) fn bind(socket: &zmq::Socket, address: &str) -> Result<String, EngineError> {
    socket
        .bind(address)
        .map_err(|source| EngineError::Bind { address: address.to_owned(), source })?;
    match socket.get_last_endpoint() {
        Ok(Ok(bound)) => Ok(bound),
        _ => Ok(address.to_owned()),
    }
}
