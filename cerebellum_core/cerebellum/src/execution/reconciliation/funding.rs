//! Funding: paid on the net position, shared among the agents that held it at that moment.

use protocol::wire::{
    event::{Event, FundingEvent},
    field::{Name, V1},
    DecimalText,
};
use rust_decimal::Decimal;

use crate::execution::{
    model::{
        io::{Execution, Record},
        ledger::shares,
    },
    Core,
};

/// How long a payment waits for the fills before it, when positions do not explain it yet, ms.
const PATIENCE_MS: i64 = 30_000;

impl Core {
    /// Books what positions at the moment of payment explain.
    ///
    /// A payment can be reported before fills that were earlier, and long after the position was closed.
    /// One that positions never explain is shared by what is known, or is foreign if nothing is.
    pub(in crate::execution) fn settle_funding(&mut self) {
        for (execution, since) in std::mem::take(&mut self.executions.funding) {
            let held = self.ledger.held_at(&execution.symbol, execution.exec_ts, execution.qty);
            let waited = self.now.ms - since > PATIENCE_MS;
            match held {
                Some(held) => self.share(&execution, &held),
                None if waited => {
                    let held = self.ledger.held_before(&execution.symbol, execution.exec_ts);
                    self.share(&execution, &held);
                }
                None => self.executions.funding.push((execution, since)),
            }
        }
    }

    fn share(&mut self, execution: &Execution, held: &[(Name, Decimal)]) {
        let shares = shares(held, execution.fee);
        if shares.is_empty() {
            self.foreign(execution, "is funding while no agent held the symbol");
            return;
        }
        for (agent, amount) in shares {
            self.ledger.book_funding(&agent, amount);
            self.outbox.record(Record::Funding {
                exec_id: execution.exec_id.clone(),
                agent: agent.clone(),
                symbol: execution.symbol.clone(),
                amount,
                exec_ts: execution.exec_ts,
            });
            let (ts, seq) = self.next_seq();
            self.publish(Event::Funding(FundingEvent {
                v: V1,
                ts,
                seq,
                exec_id: execution.exec_id.clone(),
                agent,
                symbol: execution.symbol.clone(),
                amount: DecimalText::from(amount),
                exec_ts: execution.exec_ts,
            }));
        }
    }
}
