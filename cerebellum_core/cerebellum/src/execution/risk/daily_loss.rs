//! The loss of one market day (UTC), for each agent and for all.

use std::collections::{BTreeMap, BTreeSet};

use protocol::wire::field::{Name, Symbol, TradingState};
use rust_decimal::Decimal;

use crate::execution::{
    model::{day_book::DayBook, io::Record},
    risk::checks::DayLoss,
    Core,
};

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Cash plus marked positions of every agent that ever traded, or a symbol that has no mark.
type Equities = BTreeMap<Name, Result<Decimal, Symbol>>;

impl Core {
    /// Cash plus positions at their marks, for every agent that ever traded.
    ///
    /// An agent with a position in a symbol without a trustworthy book has no known equity.
    fn equities(&self) -> Equities {
        let mut all: Equities =
            self.ledger.agent_cash().map(|(agent, cash)| (agent.clone(), Ok(*cash))).collect();
        for ((agent, symbol), position) in self.ledger.positions() {
            let equity = all.entry(agent.clone()).or_insert(Ok(Decimal::ZERO));
            match (self.market.quotes.get(symbol), &mut *equity) {
                (Some(quote), Ok(sum)) => *sum += position.qty.saturating_mul(quote.mid()),
                (None, Ok(_)) => *equity = Err(symbol.clone()),
                (_, Err(_)) => {}
            }
        }
        all
    }

    /// What is known of an agent's loss, and of that of all, since the market day began.
    pub(in crate::execution) fn daily_loss_of(&self, agent: &Name) -> DayLoss {
        let limits = &self.setup.limits.daily_loss;
        if limits.agent.is_none() && limits.total.is_none() {
            return DayLoss::Inside;
        }
        let unknown = |symbol: &Symbol| {
            DayLoss::Unknown(format!(
                "the day's loss is not known: the book of {symbol} is stale and a position is held \
                 in it; wait for {symbol}.stale to say false, or close the position"
            ))
        };
        let equities = self.equities();
        if let Some(most) = limits.agent {
            let lost = match equities.get(agent) {
                None => Decimal::ZERO,
                Some(Ok(equity)) => self.risk.day_start(agent) - *equity,
                Some(Err(symbol)) => return unknown(symbol),
            };
            if lost >= most {
                return DayLoss::Reached(format!(
                    "{agent} lost {} today, limit {most}; lift it from the next market day: \
                     crucible resume --operator NAME --agent {agent}",
                    lost.round_dp(8).normalize()
                ));
            }
        }
        let Some(most) = limits.total else { return DayLoss::Inside };
        let mut lost = Decimal::ZERO;
        for (name, equity) in &equities {
            match equity {
                Ok(equity) => lost += self.risk.day_start(name) - *equity,
                Err(symbol) => return unknown(symbol),
            }
        }
        if lost < most {
            return DayLoss::Inside;
        }
        DayLoss::Reached(format!(
            "all agents lost {} today, limit {most}; lift it from the next market day: \
             crucible resume --operator NAME",
            lost.round_dp(8).normalize()
        ))
    }

    /// Turns the day when market time does, and moves down whoever lost the limit.
    ///
    /// The day turns without limits, too: one that is set later counts from the start of the day.
    /// While a position cannot be valued the day does not turn and nobody is judged; entries that the
    /// figure matters to are refused meanwhile.
    pub(in crate::execution) fn watch_daily_loss(&mut self) {
        let limits = self.setup.limits.daily_loss.clone();
        let limited = limits.agent.is_some() || limits.total.is_some();
        let day = self.market.ms / DAY_MS;
        let turns = self.risk.day.as_ref().is_none_or(|book| book.day != day);
        if !limited {
            self.risk.unmarked.clear();
        }
        if self.market.ms == 0 || !(limited || turns) {
            return;
        }
        let equities = self.equities();
        if limited {
            self.report_missing_marks(&equities);
        }
        let known: BTreeMap<Name, Decimal> = equities
            .iter()
            .filter_map(|(name, equity)| Some((name.clone(), *equity.as_ref().ok()?)))
            .collect();
        let whole = known.len() == equities.len();
        if turns {
            if whole {
                let start = known.iter().map(|(n, e)| (n.as_str().to_owned(), *e)).collect();
                let book = DayBook { day, start };
                self.risk.day = Some(book.clone());
                self.outbox.record(Record::Day(book));
            }
            return;
        }
        let losses: Vec<(Name, Decimal)> = known
            .into_iter()
            .map(|(name, equity)| {
                let lost = self.risk.day_start(&name) - equity;
                (name, lost)
            })
            .collect();
        let total: Decimal = losses.iter().map(|(_, lost)| *lost).sum();
        if whole && limits.total.is_some_and(|most| total >= most) {
            self.move_down((None, None), TradingState::ReduceOnly, "daily_loss");
        }
        for (agent, lost) in losses {
            if limits.agent.is_some_and(|most| lost >= most) {
                self.move_down((Some(agent), None), TradingState::ReduceOnly, "daily_loss");
            }
        }
    }

    /// Alarms once for every symbol that cannot be valued, until it can be again.
    fn report_missing_marks(&mut self, equities: &Equities) {
        let missing: BTreeSet<Symbol> =
            equities.values().filter_map(|equity| equity.as_ref().err().cloned()).collect();
        for symbol in missing.difference(&self.risk.unmarked.clone()) {
            let text = format!(
                "the day's loss is not known: the book of {symbol} is stale and a position is held \
                 in it; entries that it matters to are refused until the book is back"
            );
            self.alarm("mark_unknown", text, None, Some(symbol.clone()));
        }
        self.risk.unmarked = missing;
    }
}
