//! The venue: everything that changes, behind one lock, and the market clock that drives it.

use super::faults::Faults;
use super::limits::Limits;
use crate::clock::MarketClock;
use crate::exchange::account::Opening;
use crate::exchange::Exchange;
use crate::feed::hub::Hub;
use crate::feed::Feed;
use crate::market::reported::Event;
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
    pub faults: Faults,
}

/// The venue.
#[derive(Debug)]
pub struct Venue {
    core: Mutex<Core>,
    clock: MarketClock,
    pub(super) keys: Vec<Opening>,
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
            faults: Faults::default(),
        };
        Self { core: Mutex::new(core), clock, keys, step_ms, address_limit }
    }

    /// Runs something at the market's now, and sends everybody what came of it.
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

    /// Takes in what others just reported of their market, and sends everybody here.
    pub fn reported(&self, events: Vec<Event>) {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let core = &mut *core;
        let now = self.clock.now();
        for event in events {
            core.exchange.receive_event(now, event);
        }
        core.exchange.advance(now);
        core.feed.flush(&mut core.exchange, &mut core.hub);
    }

    /// Counts one HTTP request; returns whether the address is inside its limit per five seconds.
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

    /// One step of market time; returns whether another one is due.
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
