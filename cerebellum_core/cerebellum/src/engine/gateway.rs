//! Doing what the core asks of the venue; every answer comes back as an input.
//!
//! Of each kind of pull (executions, positions, open orders) at most one is under way: a newer one
//! takes its place. The first two end when the private stream goes down, since the next connect begins
//! anew.

use std::{future::Future, time::Duration};

use tokio::task::AbortHandle;

use super::{message::Message, queue::Inbox};
use crate::{
    bybit::{
        orders::Orders,
        outcome,
        rest::{NoAnswer, RestClient},
        wall_ms,
    },
    execution::model::io::{CreateOrder, Effect, Input},
};

/// The connection to the venue.
#[derive(Debug)]
pub struct Gateway {
    orders: Orders,
    inbox: Inbox,
    runtime: tokio::runtime::Handle,
    pulls: Pulls,
}

/// The pulls under way.
#[derive(Debug, Default)]
struct Pulls {
    executions: Option<Pull>,
    positions: Option<Pull>,
    open_orders: Option<Pull>,
    count: u64,
}

#[derive(Debug)]
struct Pull {
    number: u64,
    since_ts: u64,
    work: AbortHandle,
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Gateway {
    /// Gateway that work on a runtime.
    #[must_use]
    pub fn new(orders: Orders, inbox: Inbox, runtime: tokio::runtime::Handle) -> Self {
        Self { orders, inbox, runtime, pulls: Pulls::default() }
    }

    /// Starts what an effect asks of the venue.
    pub fn act(&mut self, effect: Effect, market_ms: u64) {
        let (orders, inbox) = (self.orders.clone(), self.inbox.clone());
        match effect {
            Effect::Create(order) => self.start(create(orders, inbox, *order)),
            Effect::Cancel { link_id, symbol } => self.start(async move {
                let outcome = outcome::of_cancel(orders.cancel(&link_id, &symbol).await);
                tracing::debug!(order = link_id, ?outcome, "cancel");
                let _ = inbox.send(Input::CancelReply { link_id, outcome });
            }),
            Effect::CancelForeign { order_id, symbol } => self.start(async move {
                // The next list of open orders reports whether it is gone.
                let outcome = outcome::of_cancel(orders.cancel_foreign(&order_id, &symbol).await);
                tracing::info!(order_id, %symbol, ?outcome, "cancel of an order that is not ours");
            }),
            Effect::Amend { link_id, symbol, qty, price } => self.start(async move {
                let answer =
                    orders.amend(&link_id, &symbol, qty.as_deref(), price.as_deref()).await;
                let outcome = outcome::of_amend(answer, wall_ms());
                tracing::debug!(order = link_id, ?outcome, "amend");
                let _ = inbox.send(Input::AmendReply { link_id, outcome });
            }),
            Effect::Ask { link_id, symbol } => self.start(async move {
                let found = orders.rest().look_up(&link_id, &symbol).await;
                let _ = inbox.send(Input::Asked {
                    link_id,
                    seen: found.seen,
                    executions: found.executions,
                    complete: found.complete,
                });
            }),
            Effect::PullExecutions { since_ts } => self.pull_executions(since_ts, market_ms),
            Effect::PullPositions => self.pull_positions(),
            Effect::PullOpenOrders => self.pull_open_orders(),
            _ => {}
        }
    }

    /// Ends the pulls whose answers are of no use now that the private stream is down.
    pub fn drop_pulls(&mut self) {
        self.pulls.executions = None;
        self.pulls.positions = None;
    }

    /// Whether an answer belongs to a pull that is still wanted; the pull is then done.
    pub fn takes(&mut self, number: u64) -> bool {
        let pulls = &mut self.pulls;
        for slot in [&mut pulls.executions, &mut pulls.positions, &mut pulls.open_orders] {
            if slot.as_ref().is_some_and(|pull| pull.number == number) {
                *slot = None;
                return true;
            }
        }
        metrics::counter!("cerebellum_superseded_pulls_total").increment(1);
        false
    }

    fn pull_executions(&mut self, since_ts: u64, market_ms: u64) {
        // What a pull under way was to fetch is not given up.
        let since_ts =
            self.pulls.executions.take().map_or(since_ts, |pull| pull.since_ts.min(since_ts));
        let (rest, inbox, number) = self.begin();
        let work = self.runtime.spawn(async move {
            let executions =
                retry_until_answered(|| rest.executions(since_ts, market_ms), "executions").await;
            let input = Input::Executions { executions, pulled: true };
            let _ = inbox.post(Message::Pulled { number, input });
        });
        self.pulls.executions = Some(Pull { number, since_ts, work: work.abort_handle() });
    }

    fn pull_positions(&mut self) {
        self.pulls.positions = None;
        let (rest, inbox, number) = self.begin();
        let work = self.runtime.spawn(async move {
            let positions = retry_until_answered(|| rest.positions(), "positions").await;
            if let Ok(Some(balance)) = rest.wallet().await {
                let _ = inbox.send(Input::Wallet(balance));
            }
            let _ = inbox.post(Message::Pulled { number, input: Input::Positions(positions) });
        });
        self.pulls.positions = Some(Pull { number, since_ts: 0, work: work.abort_handle() });
    }

    fn pull_open_orders(&mut self) {
        self.pulls.open_orders = None;
        let (rest, inbox, number) = self.begin();
        let work = self.runtime.spawn(async move {
            let orders = retry_until_answered(|| rest.open_orders(), "open orders").await;
            let _ = inbox.post(Message::Pulled { number, input: Input::OpenOrders(orders) });
        });
        self.pulls.open_orders = Some(Pull { number, since_ts: 0, work: work.abort_handle() });
    }

    fn begin(&mut self) -> (RestClient, Inbox, u64) {
        self.pulls.count += 1;
        (self.orders.rest().clone(), self.inbox.clone(), self.pulls.count)
    }

    fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(work);
    }
}

async fn create(orders: Orders, inbox: Inbox, order: CreateOrder) {
    let answer = orders.create(&order).await;
    if let outcome::Answer::Code { reset_at: Some(until), .. } = &answer {
        let _ = inbox.send(Input::Pause(*until));
    }
    let outcome = outcome::of_create(answer, wall_ms());
    tracing::debug!(order = order.link_id, ?outcome, "create");
    let _ = inbox.send(Input::CreateReply { link_id: order.link_id, outcome });
}

/// Asks until there is an answer.
async fn retry_until_answered<T, W>(mut ask: impl FnMut() -> W, what: &str) -> T
where
    W: Future<Output = Result<T, NoAnswer>>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bybit::keys::Keys;

    fn gateway(runtime: &tokio::runtime::Runtime) -> Gateway {
        let (inbox, queue) = Inbox::pair().unwrap();
        std::mem::forget(queue);
        // Nobody listens on the discard port, so every pull asks for ever.
        let rest =
            RestClient::new("http://127.0.0.1:9", Keys::new("k", "s").unwrap(), 5_000).unwrap();
        Gateway::new(Orders::new(rest, None), inbox, runtime.handle().clone())
    }

    fn alive(runtime: &tokio::runtime::Runtime) -> usize {
        // Aborted tasks are gone once the runtime had a turn.
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
        runtime.handle().metrics().num_alive_tasks()
    }

    #[test]
    fn a_thousand_pulls_of_a_dead_venue_leave_one_of_each_kind_and_none_after_a_disconnect() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut gateway = gateway(&runtime);
        for turn in 0..1_000 {
            gateway.act(Effect::PullExecutions { since_ts: 5_000 - turn }, 9_000);
            gateway.act(Effect::PullPositions, 9_000);
        }
        assert_eq!(alive(&runtime), 2);
        let kept = gateway.pulls.executions.as_ref().map(|pull| pull.since_ts);
        assert_eq!(kept, Some(4_001), "the earliest start wins");
        gateway.drop_pulls();
        assert_eq!(alive(&runtime), 0);
    }

    #[test]
    fn an_answer_of_a_superseded_pull_is_not_taken() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut gateway = gateway(&runtime);
        gateway.act(Effect::PullPositions, 0);
        let old = gateway.pulls.count;
        gateway.act(Effect::PullPositions, 0);
        assert!(!gateway.takes(old));
        assert!(gateway.takes(old + 1));
        assert!(!gateway.takes(old + 1), "an answer is taken once");
    }
}
