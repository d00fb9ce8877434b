//! Taking commands and inputs: what only the journal knows is added, then the core decides.

use std::sync::Arc;

use protocol::wire::{self, Command, ErrorCode, Fault};

use super::{clock, deferred::Deferred, thread::Engine};
use crate::{
    bybit::wall_ms,
    engine::refusal::error_reply,
    execution::model::{
        io::{Client, Effect, Execution, Input},
        order::link_id,
    },
    journal::JournalError,
};

impl Engine {
    pub(super) fn command(
        &mut self,
        client: Client,
        frame: &Result<Vec<u8>, Fault>,
        later: &mut Vec<Deferred>,
    ) -> Result<(), JournalError> {
        let command = match frame {
            Ok(frame) => wire::decode::<Command>(frame),
            Err(fault) => Err(fault.clone()),
        };
        let command = match command {
            Ok(command) => command,
            Err(fault) => {
                tracing::warn!(%fault, "command refused");
                metrics::counter!("cerebellum_bad_frames_total").increment(1);
                later.push(Deferred::Reply(
                    client,
                    Box::new(error_reply(fault, self.core.market_ms())),
                ));
                return Ok(());
            }
        };
        let intent_id = match &command {
            Command::Submit(submit) => Some(&submit.intent_id),
            Command::Amend(amend) => Some(&amend.intent_id),
            Command::Cancel(cancel) => Some(&cancel.intent_id),
            _ => None,
        };
        let recorded = match intent_id {
            Some(id) if !self.core.knows(&link_id(id)) => match self.journal.order_of(id) {
                Err(error) if error.may_pass() => {
                    let asked = Some(command.request_id().clone());
                    let text = format!("{error}; send it again");
                    let fault = Fault::new(ErrorCode::Internal, asked, text);
                    let reply = error_reply(fault, self.core.market_ms());
                    later.push(Deferred::Reply(client, Box::new(reply)));
                    return Ok(());
                }
                found => found?,
            },
            _ => None,
        };
        self.commands += 1;
        let recorded = recorded.map(Box::new);
        self.step(Input::Command { client, command: Box::new(command), recorded }, later)
    }

    /// Takes an input; one that the journal cannot be asked about now is taken again later.
    pub(super) fn input(
        &mut self,
        input: Input,
        later: &mut Vec<Deferred>,
    ) -> Result<(), JournalError> {
        let asks = matches!(
            input,
            Input::OrderSeen(_)
                | Input::Executions { .. }
                | Input::Asked { .. }
                | Input::OpenOrders(_)
        );
        let again = asks.then(|| input.clone());
        match (self.take_input(input, later), again) {
            (Err(error), Some(input)) if error.may_pass() => {
                self.held.unread.push(input);
                Ok(())
            }
            (taken, _) => taken,
        }
    }

    /// Adds to an input what only the journal knows, then takes it.
    pub(super) fn take_input(
        &mut self,
        input: Input,
        later: &mut Vec<Deferred>,
    ) -> Result<(), JournalError> {
        if matches!(input, Input::PrivateDown) {
            self.gateway.drop_pulls();
        }
        let input = match input {
            Input::OrderSeen(seen) => {
                self.recall(&seen.link_id, &seen.order_id, later)?;
                Input::OrderSeen(seen)
            }
            Input::Executions { executions, pulled } => {
                Input::Executions { executions: self.unbooked(executions, later)?, pulled }
            }
            Input::Asked { link_id, seen, executions, complete } => {
                let executions = self.unbooked(executions, later)?;
                Input::Asked { link_id, seen, executions, complete }
            }
            Input::OpenOrders(orders) => {
                for seen in &orders {
                    self.recall(&seen.link_id, &seen.order_id, later)?;
                }
                Input::OpenOrders(orders)
            }
            other => clock::translate(other, wall_ms(), clock::now()),
        };
        self.step(input, later)
    }

    pub(super) fn unbooked(
        &mut self,
        executions: Vec<Execution>,
        later: &mut Vec<Deferred>,
    ) -> Result<Vec<Execution>, JournalError> {
        let mut fresh = Vec::with_capacity(executions.len());
        for execution in executions {
            if self.core.has_booked(&execution.exec_id)
                || self.journal.has_execution(&execution.exec_id)?
            {
                metrics::counter!("cerebellum_duplicate_executions_total").increment(1);
                continue;
            }
            self.recall(&execution.link_id, &execution.order_id, later)?;
            fresh.push(execution);
        }
        Ok(fresh)
    }

    pub(super) fn recall(
        &mut self,
        link: &str,
        order_id: &str,
        later: &mut Vec<Deferred>,
    ) -> Result<(), JournalError> {
        if self.core.knows(link) || self.core.link_of_order_id(order_id).is_some() {
            return Ok(());
        }
        let mut order = None;
        if !link.is_empty() {
            order = self.journal.order_by_link(link)?;
        }
        if order.is_none() && !order_id.is_empty() {
            order = self.journal.order_by_order_id(order_id)?;
        }
        match order {
            Some(order) => self.step(Input::Recall(Box::new(order)), later),
            None => Ok(()),
        }
    }

    pub(super) fn step(
        &mut self,
        input: Input,
        later: &mut Vec<Deferred>,
    ) -> Result<(), JournalError> {
        let effects = self.core.step(clock::now(), input);
        for effect in effects {
            match effect {
                Effect::Record(record) => self.journal.write(record),
                Effect::Event(event) => {
                    let body: Arc<str> = serde_json::to_string(&*event)
                        .map_err(|error| JournalError::new(format!("event: {error}")))?
                        .into();
                    self.journal.write_event(&event, Arc::clone(&body), self.core.market_ms());
                    later.push(Deferred::Publish(event, body));
                }
                Effect::Reply(client, reply) => later.push(Deferred::Reply(client, reply)),
                Effect::Replay { client, request_id, since_seq, limit } => {
                    later.push(Deferred::Replay { client, request_id, since_seq, limit });
                }
                Effect::Ready => later.push(Deferred::Ready),
                venue => later.push(Deferred::Venue(venue)),
            }
        }
        Ok(())
    }
}
