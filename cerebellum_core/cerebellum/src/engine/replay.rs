//! Events of the journal, for whoever missed some.

use protocol::wire::{
    event::Event,
    field::{RequestId, V1},
    reply::Replay,
    Reply, MAX_FRAME_BYTES,
};

use super::thread::Engine;
use crate::journal::JournalError;

impl Engine {
    /// Events of the journal, as many as fit into one frame.
    pub(super) fn replay(
        &self,
        request_id: RequestId,
        since_seq: u64,
        limit: u32,
    ) -> Result<Reply, JournalError> {
        let bodies = self.journal.events_since(since_seq, limit)?;
        let last_seq = self.journal.last_seq();
        let mut space = MAX_FRAME_BYTES - 512;
        let mut events: Vec<Event> = Vec::with_capacity(bodies.len());
        for body in bodies {
            if body.len() + 1 > space {
                break;
            }
            space -= body.len() + 1;
            events.push(
                serde_json::from_str(&body)
                    .map_err(|error| JournalError::new(format!("journal: event: {error}")))?,
            );
        }
        let newest = events.last().map_or(since_seq, Event::seq);
        Ok(Reply::Replay(Replay {
            v: V1,
            ts: self.core.market_ms(),
            request_id,
            more: newest < last_seq && !events.is_empty(),
            events,
            last_seq,
        }))
    }
}
