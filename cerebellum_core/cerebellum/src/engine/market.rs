//! The publisher of market data, on a thread of its own.

use std::{collections::BTreeSet, sync::mpsc::Receiver};

use protocol::wire::{encode, Market};

use super::{
    error::EngineError,
    sockets::{bind, socket},
};
use crate::book::levels::{self, Levels};

/// How many messages may wait for a slow subscriber.
const MESSAGES_WAITING: i32 = 100_000;

/// What is handed to the publisher.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // It lives until it is sent.
pub enum Publication {
    /// A message as it is.
    Message(Market),
    /// Levels of a book, which become a message where somebody wants it.
    Levels(Levels),
}

/// Binds the market socket and returns it with its address, port resolved.
///
/// # Errors
/// The address, what went wrong, and the next step.
pub fn publisher(
    context: &zmq::Context,
    address: &str,
) -> Result<(zmq::Socket, String), EngineError> {
    // A PUB socket that also receives what is subscribed to.
    let publisher = socket(context, zmq::XPUB, address)?;
    let setting = |source| EngineError::Socket { address: address.to_owned(), source };
    publisher.set_sndhwm(MESSAGES_WAITING).map_err(setting)?;
    publisher.set_linger(0).map_err(setting)?;
    let bound = bind(&publisher, address)?;
    Ok((publisher, bound))
}

/// Publishes until nobody sends any more.
pub fn run(publisher: &zmq::Socket, publications: &Receiver<Publication>) {
    let mut wanted = Wanted::default();
    while let Ok(publication) = publications.recv() {
        let message = match publication {
            Publication::Message(message) => message,
            Publication::Levels(levels) => {
                wanted.receive(publisher);
                if !wanted.levels_of(levels.symbol.as_str()) {
                    continue;
                }
                levels.message()
            }
        };
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

/// What subscribers want: beginnings of topics. The socket reports the first that wants one, and the
/// last that does no more.
#[derive(Debug, Default)]
struct Wanted(BTreeSet<Vec<u8>>);

impl Wanted {
    /// Takes in what was subscribed to and what no longer is.
    fn receive(&mut self, publisher: &zmq::Socket) {
        while let Ok(frame) = publisher.recv_bytes(zmq::DONTWAIT) {
            match frame.split_first() {
                Some((1, topic)) => self.0.insert(topic.to_vec()),
                Some((0, topic)) => self.0.remove(topic),
                _ => continue, // A subscriber may send what it likes.
            };
        }
    }

    /// Whether anybody wants the levels of a symbol.
    fn levels_of(&self, symbol: &str) -> bool {
        let topic = symbol.bytes().chain([b'.']).chain(levels::KIND.bytes());
        self.0.iter().any(|start| topic.clone().take(start.len()).eq(start.iter().copied()))
    }
}

#[cfg(test)]
#[path = "market_tests.rs"]
mod tests;
