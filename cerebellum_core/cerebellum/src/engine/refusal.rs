//! Faults as they are answered.

use protocol::wire::{field::V1, reply::ErrorReply, Fault, Reply};

/// A fault as it is answered.
pub(super) fn error_reply(fault: Fault, ts: u64) -> Reply {
    Reply::Error(ErrorReply {
        v: V1,
        ts,
        request_id: fault.request_id,
        code: fault.code,
        text: fault.text,
    })
}
