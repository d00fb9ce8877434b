//! The publisher of market data, on a thread of its own.

use std::sync::mpsc::Receiver;

use protocol::wire::{encode, Market};

use super::{
    error::EngineError,
    sockets::{bind, socket},
};

/// How many messages may wait for a slow subscriber.
const MESSAGES_WAITING: i32 = 100_000;

/// Binds the market socket and returns it with its address, port resolved.
///
/// # Errors
/// The address, what went wrong, and the next step.
pub fn publisher(
    context: &zmq::Context,
    address: &str,
) -> Result<(zmq::Socket, String), EngineError> {
    let publisher = socket(context, zmq::PUB, address)?;
    let setting = |source| EngineError::Socket { address: address.to_owned(), source };
    publisher.set_sndhwm(MESSAGES_WAITING).map_err(setting)?;
    publisher.set_linger(0).map_err(setting)?;
    let bound = bind(&publisher, address)?;
    Ok((publisher, bound))
}

/// Publishes until nobody sends any more.
pub fn run(publisher: &zmq::Socket, messages: &Receiver<Market>) {
    while let Ok(message) = messages.recv() {
        let frame = match encode(&message) {
            Ok(frame) => frame,
            Err(fault) => {
                tracing::error!(%fault, "a market message could not be written");
                continue;
            }
        };
        let topic = message.topic();
        if let Err(error) = publisher.send_multipart([topic.as_bytes(), &frame], zmq::DONTWAIT) {
            tracing::warn!(%error, topic, "a market message could not be sent");
        }
    }
}
