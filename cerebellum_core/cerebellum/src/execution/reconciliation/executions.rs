//! Which executions are booked, and which payments wait to be shared.

use std::collections::{HashSet, VecDeque};

use crate::execution::model::io::Execution;

/// How many executions are remembered outside the journal.
const REMEMBERED: usize = 4096;

/// Executions as far as memory reaches.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct Executions {
    booked: HashSet<String>,
    sequence: VecDeque<String>,
    /// The newest execution's market time, ms, once nothing older is missing.
    pub newest_ts: Option<u64>,
    /// Funding payments that positions do not explain yet, with the time they came, ms.
    pub funding: Vec<(Execution, i64)>,
}

impl Executions {
    pub(in crate::execution) fn since(newest_ts: Option<u64>) -> Self {
        Self { newest_ts, ..Self::default() }
    }

    /// Whether an execution is booked.
    pub(in crate::execution) fn contains(&self, exec_id: &str) -> bool {
        self.booked.contains(exec_id)
    }

    /// Remembers an execution; whether it is the first time.
    pub(in crate::execution) fn insert(&mut self, exec_id: &str) -> bool {
        if !self.booked.insert(exec_id.to_owned()) {
            return false;
        }
        self.sequence.push_back(exec_id.to_owned());
        if self.sequence.len() > REMEMBERED {
            if let Some(oldest) = self.sequence.pop_front() {
                self.booked.remove(&oldest);
            }
        }
        true
    }
}
