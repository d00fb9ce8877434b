//! What a step asks for and must wait until its rows are on disk.

use std::sync::Arc;

use protocol::wire::{event::Event, field::RequestId, Reply};

use crate::execution::model::io::{Client, Effect};

/// What waits until the rows are on disk.
#[derive(Debug)]
pub(super) enum Deferred {
    Reply(Client, Box<Reply>),
    Publish(Box<Event>, Arc<str>),
    Replay { client: Client, request_id: RequestId, since_seq: u64, limit: u32 },
    Venue(Effect),
    Ready,
}

impl Deferred {
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Reply(..) | Self::Replay { .. } => 0,
            Self::Venue(_) => 1,
            Self::Publish(..) | Self::Ready => 2,
        }
    }
}
