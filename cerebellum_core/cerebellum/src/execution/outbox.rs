//! What a step hands out: effects in their sequence, and the number of every event.

use protocol::wire::event::Event;

use crate::execution::model::io::{Effect, Record};

/// Effects of the step under way.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct Outbox {
    seq: u64,
    effects: Vec<Effect>,
}

impl Outbox {
    /// An empty one that goes on numbering events after this number.
    pub(in crate::execution) fn after(seq: u64) -> Self {
        Self { seq, effects: Vec::new() }
    }

    /// The newest event's number.
    pub(in crate::execution) fn seq(&self) -> u64 {
        self.seq
    }

    /// The number of the next event.
    pub(in crate::execution) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub(in crate::execution) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Writes a row.
    pub(in crate::execution) fn record(&mut self, record: Record) {
        self.effects.push(Effect::Record(record));
    }

    /// Publishes an event.
    pub(in crate::execution) fn publish(&mut self, event: Event) {
        self.effects.push(Effect::Event(Box::new(event)));
    }

    /// Everything since the last call.
    pub(in crate::execution) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }
}
