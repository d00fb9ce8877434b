//! The ZeroMQ wire between arena and Cerebellum, as `docs/reference/wire.md` describes it.
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
/// Reading and writing one frame.
mod frame;
/// Market data for the arena: candles, tops, book features, levels, trades, stale marks.
pub mod market;
/// Reading a command whose `v` and `type` come first.
mod ordered;
/// What Cerebellum answers: ack, error, snapshot, replay.
pub mod reply;

pub use command::Command;
pub use decimal_text::{DecimalError, DecimalText};
pub use event::Event;
pub use fault::{ErrorCode, Fault, RejectCode};
pub use field::{FieldError, WIRE_VERSION};
pub use frame::{decode, encode, request_id_of, Family, MAX_FRAME_BYTES};
pub use market::Market;
pub use reply::Reply;
