//! The ZeroMQ wire between arena and Cerebellum, as `docs/reference/wire.md` tells it.
//!
//! Strict on both sides: every field present, no field more, finite numbers, decimal strings kept
//! as they were written, at most [`MAX_FRAME_BYTES`] a frame.

/// What the arena sends: submit, amend, cancel, flatten, state, limits, heartbeat, snapshot, replay.
pub mod command;
/// Decimal strings that keep their spelling.
pub mod decimal_text;
/// The numbered events of the journal.
pub mod event;
/// Codes of faults and of rejections.
pub mod fault;
/// Small field types shared by all messages.
pub mod field;
/// Market data for the arena: candles, tops, book features, trades, stale marks.
pub mod market;
/// Reading a command whose `v` and `type` come first.
mod ordered;
/// What Cerebellum answers: ack, error, snapshot, replay.
pub mod reply;

pub use command::Command;
pub use decimal_text::DecimalText;
pub use event::Event;
pub use fault::{ErrorCode, Fault, RejectCode};
pub use market::Market;
pub use reply::Reply;

/// The largest frame that is read, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// The version of the wire that this code speaks.
pub const WIRE_VERSION: u64 = 1;

use serde::{de::DeserializeOwned, Serialize};
use serde_json::Value;

/// Reads one frame as `T`, one of the four families of messages.
///
/// # Errors
/// A [`Fault`] with the code that `docs/reference/wire.md` gives to the first thing wrong.
pub fn decode<T: DeserializeOwned + Family>(frame: &[u8]) -> Result<T, Fault> {
    if frame.len() > MAX_FRAME_BYTES {
        return Err(Fault::new(
            ErrorCode::TooLarge,
            None,
            format!(
                "frame of {} bytes; send at most {MAX_FRAME_BYTES} bytes a message",
                frame.len()
            ),
        ));
    }
    match T::read(frame) {
        Ok(message) => Ok(message),
        Err(error) => Err(explain::<T>(frame, &error)),
    }
}

/// Writes one message as a frame.
///
/// # Errors
/// A [`Fault`] with code `internal` if the message cannot be written as JSON.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(message).map_err(|error| {
        Fault::new(ErrorCode::Internal, None, format!("a message could not be written: {error}"))
    })
}

/// A family of messages: the `type` names that belong together on one socket.
pub trait Family: Sized {
    /// Every `type` of the family.
    const TYPES: &'static [&'static str];

    /// Reads a message that is not too large.
    ///
    /// # Errors
    /// Those of the parser.
    fn read(frame: &[u8]) -> serde_json::Result<Self>
    where
        Self: DeserializeOwned,
    {
        serde_json::from_slice(frame)
    }
}

/// The `request_id` of a frame, if it can be read at all; an error reply repeats it.
#[must_use]
pub fn request_id_of(frame: &[u8]) -> Option<field::RequestId> {
    if frame.len() > MAX_FRAME_BYTES {
        return None;
    }
    let value: Value = serde_json::from_slice(frame).ok()?;
    field::RequestId::new(value.get("request_id")?.as_str()?).ok()
}

fn explain<T: Family>(frame: &[u8], error: &serde_json::Error) -> Fault {
    let value: Value = match serde_json::from_slice(frame) {
        Ok(value) => value,
        Err(bad) => {
            return Fault::new(
                ErrorCode::BadJson,
                None,
                format!("not one JSON object: {bad}; send one UTF-8 JSON object a frame"),
            )
        }
    };
    let request_id = value
        .get("request_id")
        .and_then(Value::as_str)
        .and_then(|text| field::RequestId::new(text).ok());
    let Some(object) = value.as_object() else {
        return Fault::new(
            ErrorCode::BadJson,
            request_id,
            "not a JSON object; send one JSON object a frame".to_owned(),
        );
    };
    match object.get("v") {
        Some(version) if version.as_u64() == Some(WIRE_VERSION) => {}
        Some(version) => {
            return Fault::new(
                ErrorCode::BadVersion,
                request_id,
                format!("v is {version}; this side speaks v {WIRE_VERSION}"),
            )
        }
        None => {
            return Fault::new(
                ErrorCode::BadVersion,
                request_id,
                format!("v is missing; send \"v\":{WIRE_VERSION}"),
            )
        }
    }
    match object.get("type").and_then(Value::as_str) {
        Some(kind) if T::TYPES.contains(&kind) => Fault::new(
            ErrorCode::BadField,
            request_id,
            format!("{kind}: {}; see docs/reference/wire.md", strip_position(error)),
        ),
        Some(kind) => Fault::new(
            ErrorCode::UnknownType,
            request_id,
            format!("type {kind:?} is not known here; known are {}", T::TYPES.join(", ")),
        ),
        None => Fault::new(
            ErrorCode::UnknownType,
            request_id,
            format!("type is missing; known are {}", T::TYPES.join(", ")),
        ),
    }
}

fn strip_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
