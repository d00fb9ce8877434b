//! Frames: one JSON object each, read as one of the four families of messages, and written.

use serde::{de::DeserializeOwned, Serialize};
use serde_json::Value;

use super::{
    fault::{ErrorCode, Fault},
    field::{RequestId, WIRE_VERSION},
};

/// The largest frame that is read, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

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
pub fn request_id_of(frame: &[u8]) -> Option<RequestId> {
    if frame.len() > MAX_FRAME_BYTES {
        return None;
    }
    let value: Value = serde_json::from_slice(frame).ok()?;
    RequestId::new(value.get("request_id")?.as_str()?).ok()
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
    let request_id =
        value.get("request_id").and_then(Value::as_str).and_then(|text| RequestId::new(text).ok());
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
