//! The loss of one market day (UTC), for each agent and for all.

use std::collections::BTreeMap;

use protocol::wire::field::{Name, TradingState};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{
    io::{Effect, Record},
    Core,
};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Where each agent stood when the market day began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayBook {
    /// Days since 1970.
    pub day: u64,
    /// Cash and marked positions at the start of the day; an agent that is left out stood at 0.
    pub start: BTreeMap<String, Decimal>,
}

impl Core {
    /// Cash plus positions at their marks, for every agent that ever traded.
    pub(super) fn equities(&self) -> BTreeMap<Name, Decimal> {
        let mut all: BTreeMap<Name, Decimal> =
            self.ledger.agent_cash().map(|(agent, cash)| (agent.clone(), *cash)).collect();
        for ((agent, symbol), position) in self.ledger.positions() {
            let value = match self.quotes.get(symbol) {
                Some(quote) => position.qty.saturating_mul(quote.mid()),
                None => position.cost,
            };
            *all.entry(agent.clone()).or_default() += value;
        }
        all
    }

    /// Why an agent may open nothing more today, if it lost the day's limit.
    pub(super) fn daily_loss_of(&self, agent: &Name) -> Option<String> {
        let limits = &self.setup.limits.daily_loss;
        if limits.agent.is_none() && limits.total.is_none() {
            return None;
        }
        let start = |name: &Name| {
            self.day
                .as_ref()
                .and_then(|day| day.start.get(name.as_str()))
                .copied()
                .unwrap_or_default()
        };
        let equities = self.equities();
        let lost = equities.get(agent).map_or(Decimal::ZERO, |equity| start(agent) - *equity);
        if let Some(most) = limits.agent.filter(|most| lost >= *most) {
            return Some(format!(
                "{agent} lost {} today, limit {most}; an operator can set_state tomorrow",
                lost.round_dp(8).normalize()
            ));
        }
        let total: Decimal = equities.iter().map(|(name, equity)| start(name) - *equity).sum();
        limits.total.filter(|most| total >= *most).map(|most| {
            format!(
                "all agents lost {} today, limit {most}; an operator can set_state tomorrow",
                total.round_dp(8).normalize()
            )
        })
    }

    /// Turns the day when market time does, and moves down whoever lost the limit.
    pub(super) fn watch_daily_loss(&mut self) {
        let limits = self.setup.limits.daily_loss.clone();
        if self.market_ms == 0 || (limits.agent.is_none() && limits.total.is_none()) {
            return;
        }
        let day = self.market_ms / DAY_MS;
        let equities = self.equities();
        if self.day.as_ref().is_none_or(|book| book.day != day) {
            let start = equities.iter().map(|(n, e)| (n.as_str().to_owned(), *e)).collect();
            let book = DayBook { day, start };
            self.day = Some(book.clone());
            self.out.push(Effect::Record(Record::Day(book)));
            return;
        }
        let Some(book) = &self.day else { return };
        let losses: Vec<(Name, Decimal)> = equities
            .into_iter()
            .map(|(name, equity)| {
                let lost = book.start.get(name.as_str()).copied().unwrap_or_default() - equity;
                (name, lost)
            })
            .collect();
        let total: Decimal = losses.iter().map(|(_, lost)| *lost).sum();
        if limits.total.is_some_and(|most| total >= most) {
            self.move_down((None, None), TradingState::ReduceOnly, "daily_loss");
        }
        for (agent, lost) in losses {
            if limits.agent.is_some_and(|most| lost >= most) {
                self.move_down((Some(agent), None), TradingState::ReduceOnly, "daily_loss");
            }
        }
    }
}
