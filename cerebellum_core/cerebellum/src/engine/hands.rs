//! Doing what the core asks of the venue; every answer comes back as an input.

use std::{future::Future, time::Duration};

use super::Inbox;
use crate::{
    bybit::{outcome, rest::RestClient, wall_ms},
    core::io::{Effect, Input},
};

/// The way to the venue.
#[derive(Clone, Debug)]
pub struct Hands {
    rest: RestClient,
    inbox: Inbox,
    runtime: tokio::runtime::Handle,
}

impl Hands {
    /// Hands that work on a runtime.
    #[must_use]
    pub fn new(rest: RestClient, inbox: Inbox, runtime: tokio::runtime::Handle) -> Self {
        Self { rest, inbox, runtime }
    }

    /// Starts what an effect asks of the venue.
    pub fn act(&self, effect: Effect, market_ms: u64) {
        let (rest, inbox) = (self.rest.clone(), self.inbox.clone());
        match effect {
            Effect::Create(order) => self.start(async move {
                let answer = rest.create(&order).await;
                if let outcome::Answer::Code { code, reset_at, .. } = &answer {
                    if *code == 10_002 {
                        let _ = rest.sync_clock().await;
                    }
                    if let Some(until) = reset_at {
                        let _ = inbox.send(Input::Pause(*until));
                    }
                }
                let outcome = outcome::of_create(answer, wall_ms());
                tracing::debug!(order = order.link_id, ?outcome, "create");
                let _ = inbox.send(Input::CreateReply { link_id: order.link_id, outcome });
            }),
            Effect::Cancel { link_id, symbol } => self.start(async move {
                let outcome = outcome::of_cancel(rest.cancel(&link_id, &symbol).await);
                tracing::debug!(order = link_id, ?outcome, "cancel");
                let _ = inbox.send(Input::CancelReply { link_id, outcome });
            }),
            Effect::Amend { link_id, symbol, qty, price } => self.start(async move {
                let answer = rest.amend(&link_id, &symbol, qty, price).await;
                let outcome = outcome::of_amend(answer, wall_ms());
                tracing::debug!(order = link_id, ?outcome, "amend");
                let _ = inbox.send(Input::AmendReply { link_id, outcome });
            }),
            Effect::Ask { link_id, symbol } => self.start(async move {
                let found = rest.look_up(&link_id, &symbol).await;
                let _ = inbox.send(Input::Asked {
                    link_id,
                    seen: found.seen,
                    executions: found.executions,
                    complete: found.complete,
                });
            }),
            Effect::PullExecutions { since_ts } => self.start(async move {
                let executions =
                    insist(|| rest.executions(since_ts, market_ms), "executions").await;
                let _ = inbox.send(Input::Executions { executions, pulled: true });
            }),
            Effect::PullPositions => self.start(async move {
                let positions = insist(|| rest.positions(), "positions").await;
                if let Ok(Some(balance)) = rest.wallet().await {
                    let _ = inbox.send(Input::Wallet(balance));
                }
                let _ = inbox.send(Input::Positions(positions));
            }),
            _ => {}
        }
    }

    fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }
}

/// Asks until there is an answer.
async fn insist<T, W>(mut ask: impl FnMut() -> W, what: &str) -> T
where
    W: Future<Output = Result<T, crate::bybit::rest::NoAnswer>>,
{
    let mut wait = Duration::from_millis(250);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                tracing::warn!(%error, what, "asking again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(5));
            }
        }
    }
}
