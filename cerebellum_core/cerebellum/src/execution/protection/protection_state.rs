//! What watches over positions: a guard for each, and the arena's heartbeat for all.

use std::collections::BTreeMap;

use crate::execution::model::{guard::Guard, ledger::Holding};

/// Guards and the dead-man switch.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct ProtectionState {
    /// What watches over each position.
    pub guards: BTreeMap<Holding, Guard>,
    /// Whether the dead-man switch tripped and nobody has set it back.
    pub deadman_tripped: bool,
    heartbeat_at: Option<i64>,
}

impl ProtectionState {
    pub(in crate::execution) fn new(guards: BTreeMap<Holding, Guard>) -> Self {
        Self { guards, ..Self::default() }
    }

    /// The arena is alive.
    pub(in crate::execution) fn note_heartbeat(&mut self, now: i64) {
        self.heartbeat_at = Some(now);
    }

    /// How long the arena has been silent, ms, if that is longer than the limit and it was ever
    /// received; nothing once the switch has tripped, or if the limit is 0.
    pub(in crate::execution) fn silence(&self, now: i64, limit_ms: i64) -> Option<i64> {
        let silent = now - self.heartbeat_at?;
        (limit_ms > 0 && !self.deadman_tripped && silent > limit_ms).then_some(silent)
    }
}
