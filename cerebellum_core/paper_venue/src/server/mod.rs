//! The rim: sockets, the wall clock, keys, limits and faults.

/// Status and faults for whoever runs the venue.
pub mod admin;
/// Who sent a request.
pub mod auth;
/// Batches of orders.
pub mod batch;
/// What goes wrong on demand.
pub mod faults;
/// Who may ask at all.
pub mod gate;
/// Rate limits.
pub mod limits;
/// Which parameters a query takes.
pub mod parameters;
/// Queries of orders, executions, positions and wallets.
pub mod private;
/// All that is read, without sockets.
pub mod probe;
/// Queries of market data.
pub mod public;
/// REST requests and answers.
pub mod rest;
/// Which requests a fault is for, and how often it strikes.
pub mod scope;
/// WebSocket connections.
pub mod sockets;

use crate::clock::MarketClock;
use crate::exchange::account::Opening;
use crate::exchange::Exchange;
use crate::feed::hub::Hub;
use crate::feed::Feed;
use crate::market::told::Event;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use axum::Router;
use limits::Limits;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Everything that changes, behind one lock.
#[derive(Debug)]
pub struct Core {
    /// Accounts, orders and matching.
    pub exchange: Exchange,
    /// Frames for those who listen.
    pub feed: Feed,
    /// Who listens.
    pub hub: Hub,
    /// Who asked how often.
    pub limits: Limits,
    /// HTTP requests of late, for the limit per address.
    pub visits: std::collections::VecDeque<i64>,
    /// What goes wrong on demand.
    pub faults: faults::Faults,
}

/// The venue.
#[derive(Debug)]
pub struct Venue {
    core: Mutex<Core>,
    clock: MarketClock,
    keys: Vec<Opening>,
    step_ms: i64,
    address_limit: usize,
}

impl Venue {
    /// A venue around an exchange.
    #[must_use]
    pub fn new(
        exchange: Exchange,
        clock: MarketClock,
        keys: Vec<Opening>,
        step_ms: i64,
        address_limit: usize,
    ) -> Self {
        let feed = Feed::new(exchange.instruments().len(), clock.speed());
        let core = Core {
            exchange,
            feed,
            hub: Hub::default(),
            limits: Limits::default(),
            visits: std::collections::VecDeque::new(),
            faults: faults::Faults::default(),
        };
        Self { core: Mutex::new(core), clock, keys, step_ms, address_limit }
    }

    /// Runs something at the market's now, and tells everybody what came of it.
    pub fn with<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let core = &mut *core;
        core.exchange.advance(self.clock.now());
        let result = act(core);
        core.feed.flush(&mut core.exchange, &mut core.hub);
        result
    }

    /// Runs something that has nothing to do with the market's time.
    pub fn quietly<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        act(&mut self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in what others just told of their market, and tells everybody here.
    pub fn told(&self, events: Vec<Event>) {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let core = &mut *core;
        let now = self.clock.now();
        for event in events {
            core.exchange.tell(now, event);
        }
        core.exchange.advance(now);
        core.feed.flush(&mut core.exchange, &mut core.hub);
    }

    /// Counts one HTTP request; says whether the address is inside its limit per five seconds.
    pub fn admits(&self, now: i64) -> bool {
        if self.address_limit == 0 {
            return true;
        }
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        while core.visits.front().is_some_and(|oldest| now - oldest >= 5_000) {
            core.visits.pop_front();
        }
        let admitted = core.visits.len() < self.address_limit;
        if admitted {
            core.visits.push_back(now);
        }
        admitted
    }

    /// The market clock.
    #[must_use]
    pub const fn clock(&self) -> &MarketClock {
        &self.clock
    }

    /// Lets market time run in steps until the process ends.
    pub async fn run(self: Arc<Self>) {
        #[allow(clippy::cast_precision_loss)]
        let wall_ms = (self.step_ms as f64 / self.clock.speed()).clamp(2.0, 1_000.0);
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(wall_ms / 1_000.0));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.quietly(|core| core.hub.release_late(crate::clock::wall_ms()));
            while self.step() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// One step of market time; says whether another one is due.
    fn step(&self) -> bool {
        let due = self.clock.now();
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let core = &mut *core;
        let next = (core.exchange.now().div_euclid(self.step_ms) + 1) * self.step_ms;
        if next > due || core.exchange.ended() {
            return false;
        }
        core.exchange.advance(next);
        core.feed.flush(&mut core.exchange, &mut core.hub);
        next + self.step_ms <= due
    }
}

/// All paths of the venue, behind a gate.
pub fn router(venue: Arc<Venue>, gate: gate::Gate) -> Router {
    Router::new()
        .route("/v5/public/linear", get(sockets::public))
        .route("/v5/private", get(sockets::private))
        .route("/v5/trade", get(sockets::trade))
        .route("/admin/{*what}", any(admin::handle))
        .fallback(rest::handle)
        .layer(from_fn_with_state(Arc::new(gate), gate::guard))
        .with_state(venue)
}
