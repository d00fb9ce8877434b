//! What a batch may do: all of it once its rows are on disk; while they cannot be written, what makes
//! positions smaller.
//!
//! Rows, events and answers that speak of entries wait in memory, in their order, for a commit that
//! works. Exits, cancels and questions leave at once: a position that nobody closes is worse than a row
//! that comes late. The record of the decision is `docs/decisions/0073-*.md`.

use std::time::{Duration, Instant};

use protocol::wire::{
    reply::{Ack, AckStatus},
    Reply,
};

use super::{clock, deferred::Deferred, error::EngineError, thread::Engine};
use crate::execution::model::{
    io::{AmendOutcome, CreateOutcome, Effect, Input},
    journaling::Journaling,
};

/// How often a commit is tried again, ms.
const RETRY_MS: i64 = 200;
/// How often the log reports that it still does not work.
const REMIND: Duration = Duration::from_secs(10);
/// How long a stop waits for the last rows to be written.
const LAST_ROWS: Duration = Duration::from_secs(3);

impl Engine {
    /// Commits; returns what may be done now.
    pub(super) fn keep(&mut self, later: Vec<Deferred>) -> Result<Vec<Deferred>, EngineError> {
        let now = clock::now().ms;
        let holds = matches!(self.held.condition, Journaling::Held(_));
        if holds && now < self.held.retry_at {
            return Ok(self.release_exits(later));
        }
        match self.journal.commit() {
            Ok(()) => {
                self.set_condition(match self.journal.shortage() {
                    None => Journaling::Whole,
                    Some(why) => Journaling::Reserve(why.to_owned()),
                });
                if self.held.later.is_empty() {
                    return Ok(later);
                }
                let mut all = std::mem::take(&mut self.held.later);
                all.extend(later);
                Ok(all)
            }
            Err(error) if error.may_pass() => {
                self.held.retry_at = now + RETRY_MS;
                self.remind(&error.to_string());
                self.set_condition(Journaling::Held(error.to_string()));
                Ok(self.release_exits(later))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Tries for a while to write what still waits, because the process ends.
    pub(super) fn keep_last_rows(&mut self) -> Result<(), EngineError> {
        let begun = Instant::now();
        while self.journal.waiting() > 0 {
            match self.journal.commit() {
                Ok(()) => {}
                Err(error) if error.may_pass() && begun.elapsed() < LAST_ROWS => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(source) => {
                    let rows = self.journal.waiting();
                    return Err(EngineError::RowsLost { rows, source });
                }
            }
        }
        Ok(())
    }

    fn set_condition(&mut self, condition: Journaling) {
        if condition.level() == self.held.condition.level() {
            return;
        }
        metrics::gauge!("cerebellum_journal_trouble").set(f64::from(condition.level()));
        self.held.condition = condition.clone();
        self.held.pending.push(Input::Journal(condition));
    }

    fn remind(&mut self, error: &str) {
        if self.held.reminded.is_some_and(|at| at.elapsed() < REMIND) {
            return;
        }
        self.held.reminded = Some(Instant::now());
        let rows = self.journal.waiting();
        tracing::error!(error, rows, "rows wait in memory; entries are refused, exits go on");
    }

    /// Lets out what makes positions smaller, and holds or gives back the rest.
    fn release_exits(&mut self, later: Vec<Deferred>) -> Vec<Deferred> {
        let mut out = Vec::new();
        for thing in later {
            match thing {
                Deferred::Venue(Effect::Create(order)) if !self.core.is_exit(&order.link_id) => {
                    let outcome = CreateOutcome::NotExecuted {
                        retry_at: clock::now().ms,
                        text: "it could not be journaled before it left".to_owned(),
                    };
                    let link_id = order.link_id;
                    self.held.pending.push(Input::CreateReply { link_id, outcome });
                }
                Deferred::Venue(Effect::Amend { link_id, .. }) if !self.core.is_exit(&link_id) => {
                    let outcome = AmendOutcome::NotExecuted {
                        retry_at: clock::now().ms,
                        text: "it could not be journaled before it left".to_owned(),
                    };
                    self.held.pending.push(Input::AmendReply { link_id, outcome });
                }
                Deferred::Publish(..) => self.held.later.push(thing),
                Deferred::Reply(_, ref reply) if self.concerns_entry(reply) => {
                    self.held.later.push(thing);
                }
                _ => out.push(thing),
            }
        }
        out
    }

    /// Whether an answer promises that an entry is on disk which is not.
    fn concerns_entry(&self, reply: &Reply) -> bool {
        let Reply::Ack(Ack { intent_id: Some(id), status, .. }) = reply else { return false };
        *status != AckStatus::Rejected && self.journal.awaits_entry(id)
    }
}
