//! What risk keeps in mind between two intents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::wire::field::{Name, Symbol};
use rust_decimal::Decimal;

use crate::execution::model::{day_book::DayBook, trading_state::States};

/// How many submits of an agent are remembered at most.
const REMEMBERED: usize = 1_000;

/// Trading states, the market day, and who submitted when.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct RiskState {
    /// Trading states.
    pub states: States,
    /// Where agents stood at the start of the market day.
    pub day: Option<DayBook>,
    /// Symbols whose positions cannot be valued, and were reported.
    pub unmarked: BTreeSet<Symbol>,
    submits: BTreeMap<Name, VecDeque<i64>>,
}

impl RiskState {
    pub(in crate::execution) fn new(states: States, day: Option<DayBook>) -> Self {
        Self { states, day, ..Self::default() }
    }

    /// Where an agent stood at the start of the market day.
    pub(in crate::execution) fn day_start(&self, agent: &Name) -> Decimal {
        self.day.as_ref().and_then(|day| day.start.get(agent.as_str())).copied().unwrap_or_default()
    }

    /// Counts a submit of an agent, ms.
    pub(in crate::execution) fn count_submit(&mut self, agent: &Name, now: i64) {
        let times = self.submits.entry(agent.clone()).or_default();
        times.drain(..times.partition_point(|at| *at <= now - 1000));
        if times.len() < REMEMBERED {
            times.push_back(now);
        }
    }

    /// How many submits of an agent the last second held.
    pub(in crate::execution) fn submits_of_late(&self, agent: &Name, now: i64) -> u32 {
        let since = now - 1000;
        // Times only ever grow, so the recent ones are the last.
        let recent = self
            .submits
            .get(agent)
            .map_or(0, |times| times.len() - times.partition_point(|at| *at <= since));
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// Forgets agents that were silent for a second.
    pub(in crate::execution) fn forget_silent(&mut self, now: i64) {
        let since = now - 1000;
        self.submits.retain(|_, times| times.back().is_some_and(|at| *at > since));
    }
}
