//! Fair sharing of the venue's orders per second among agents.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound::{Excluded, Unbounded},
};

use foldhash::HashMap;
use protocol::wire::field::{Name, Symbol};

use crate::execution::model::order::Order;

/// How far behind the first waiting order of a lane one that may go is looked for.
const LOOK_BEHIND: usize = 32;

/// Orders that wait for the same: of one symbol, what closes or what opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    /// Of what.
    pub symbol: Symbol,
    /// Whether its orders only close.
    pub closes: bool,
}

impl Lane {
    /// The lane of an order.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        Self { symbol: order.intent.symbol.clone(), closes: order.intent.reduce_only }
    }
}

/// Orders that wait for their turn: exits first, then agents in turn; of an agent the first to come.
#[derive(Clone, Debug)]
pub struct RateLimiter {
    per_second: usize,
    exits: Line,
    queues: BTreeMap<Name, BTreeMap<Lane, Line>>,
    places: HashMap<String, Place>,
    arrivals: u64,
    last_served: Option<Name>,
    sent_at: VecDeque<i64>,
    paused_until: i64,
}

/// Waiting orders by their arrival.
type Line = BTreeMap<u64, String>;

/// Where an order waits; one without an agent among the exits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    queue: Option<(Name, Lane)>,
    arrival: u64,
}

impl RateLimiter {
    /// A rate limiter that releases at most so many orders in any one second.
    #[must_use]
    pub fn new(per_second: usize) -> Self {
        Self {
            per_second: per_second.max(1),
            exits: Line::new(),
            queues: BTreeMap::new(),
            places: HashMap::default(),
            arrivals: 0,
            last_served: None,
            sent_at: VecDeque::new(),
            paused_until: 0,
        }
    }

    /// Changes how many orders are released in any one second.
    pub fn set_per_second(&mut self, per_second: usize) {
        self.per_second = per_second.max(1);
    }

    /// Queues an agent's order; one that waits already keeps its place.
    pub fn push(&mut self, agent: &Name, lane: Lane, link_id: String) {
        if self.holds(&link_id) {
            return;
        }
        let arrival = self.arrive();
        let place = Place { queue: Some((agent.clone(), lane.clone())), arrival };
        self.places.insert(link_id.clone(), place);
        let lanes = self.queues.entry(agent.clone()).or_default();
        lanes.entry(lane).or_default().insert(arrival, link_id);
    }

    /// Queues an order that closes a position; it goes before all others.
    pub fn push_exit(&mut self, link_id: String) {
        if self.holds(&link_id) {
            return;
        }
        let arrival = self.arrive();
        self.places.insert(link_id.clone(), Place { queue: None, arrival });
        self.exits.insert(arrival, link_id);
    }

    fn arrive(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Takes a waiting order out.
    pub fn remove(&mut self, link_id: &str) {
        let Some(Place { queue, arrival }) = self.places.remove(link_id) else { return };
        let Some((agent, lane)) = queue else {
            self.exits.remove(&arrival);
            return;
        };
        let Some(lanes) = self.queues.get_mut(&agent) else { return };
        if let Some(line) = lanes.get_mut(&lane) {
            line.remove(&arrival);
            if line.is_empty() {
                lanes.remove(&lane);
            }
        }
        if lanes.is_empty() {
            self.queues.remove(&agent);
        }
    }

    /// Whether an order waits here.
    #[must_use]
    pub fn holds(&self, link_id: &str) -> bool {
        self.places.contains_key(link_id)
    }

    /// How many orders wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// How many orders of an agent wait.
    #[must_use]
    pub fn len_of(&self, agent: &Name) -> usize {
        self.queues.get(agent).map_or(0, |lanes| lanes.values().map(Line::len).sum())
    }

    /// Releases nothing before this time, ms of the clock that `release` is given.
    pub fn pause_until(&mut self, ms: i64) {
        self.paused_until = self.paused_until.max(ms);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The next order that may be sent now, if any: the first of an open lane that `may_go` lets
    /// through.
    ///
    /// An order that may not go keeps its place and is passed over.
    pub fn release(
        &mut self,
        ms: i64,
        is_open: impl Fn(&Lane) -> bool,
        may_go: impl Fn(&str) -> bool,
    ) -> Option<String> {
        while self.sent_at.front().is_some_and(|at| *at <= ms - 1000) {
            self.sent_at.pop_front();
        }
        if ms < self.paused_until || self.sent_at.len() >= self.per_second {
            return None;
        }
        let next = match first_of(&self.exits, &may_go) {
            Some((_, link)) => link.clone(),
            None => {
                let (agent, link) = self.next_in_turn(&is_open, &may_go)?;
                self.last_served = Some(agent);
                link
            }
        };
        self.remove(&next);
        self.sent_at.push_back(ms);
        Some(next)
    }

    fn next_in_turn(
        &self,
        is_open: &impl Fn(&Lane) -> bool,
        may_go: &impl Fn(&str) -> bool,
    ) -> Option<(Name, String)> {
        let first = |lanes: &BTreeMap<Lane, Line>| {
            let open = lanes.iter().filter(|(lane, _)| is_open(lane));
            let firsts = open.filter_map(|(_, line)| first_of(line, may_go));
            firsts.min_by_key(|(arrival, _)| **arrival).map(|(_, link)| link.clone())
        };
        let find = |queues: std::collections::btree_map::Range<'_, Name, BTreeMap<Lane, Line>>| {
            let mut queues = queues;
            queues.find_map(|(agent, lanes)| Some((agent.clone(), first(lanes)?)))
        };
        let Some(last) = &self.last_served else { return find(self.queues.range::<Name, _>(..)) };
        find(self.queues.range::<Name, _>((Excluded(last), Unbounded)))
            .or_else(|| find(self.queues.range::<Name, _>(..=last)))
    }
}

fn first_of<'a>(line: &'a Line, may_go: &impl Fn(&str) -> bool) -> Option<(&'a u64, &'a String)> {
    line.iter().take(LOOK_BEHIND).find(|(_, link)| may_go(link))
}

/// So many of something in a stretch of time.
#[derive(Clone, Debug)]
pub struct Budget {
    every_ms: i64,
    most: u32,
    since: i64,
    used: u32,
}

impl Budget {
    /// At most so many in a stretch of so many ms.
    #[must_use]
    pub fn new(most: u32, every_ms: i64) -> Self {
        Self { every_ms, most, since: i64::MIN, used: 0 }
    }

    /// Whether there is one left at this time, ms.
    #[must_use]
    pub fn left(&self, ms: i64) -> bool {
        self.used < self.most || ms.saturating_sub(self.since) >= self.every_ms
    }

    /// Takes one, if there is one left at this time, ms.
    pub fn take(&mut self, ms: i64) -> bool {
        if ms.saturating_sub(self.since) >= self.every_ms {
            (self.since, self.used) = (ms, 0);
        }
        let left = self.used < self.most;
        self.used += u32::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::execution::oms::rate_limit::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn lane() -> Lane {
        Lane { symbol: Symbol::new("BTCUSDT").unwrap(), closes: false }
    }

    #[test]
    fn a_loud_agent_does_not_starve_a_quiet_one() {
        let mut limiter = RateLimiter::new(4);
        for at in 0..20 {
            limiter.push(&name("loud"), lane(), format!("loud-{at}"));
        }
        limiter.push(&name("quiet"), lane(), "quiet-0".to_owned());
        let first: Vec<_> = std::iter::from_fn(|| limiter.release(0, |_| true, |_| true)).collect();
        assert_eq!(first.len(), 4);
        assert!(first.contains(&"quiet-0".to_owned()), "{first:?}");
    }

    #[test]
    fn no_second_holds_more_orders_than_the_venue_allows() {
        let mut limiter = RateLimiter::new(10);
        for at in 0..100 {
            limiter.push(&name("a"), lane(), at.to_string());
        }
        let mut sent: Vec<i64> = Vec::new();
        for now in 0..5000 {
            while limiter.release(now, |_| true, |_| true).is_some() {
                sent.push(now);
            }
        }
        for (at, first) in sent.iter().enumerate() {
            let inside = sent[at..].iter().filter(|other| **other < first + 1000).count();
            assert!(inside <= 10, "{inside} orders in the second from {first}");
        }
        assert_eq!(sent.len(), 50);
    }

    proptest! {
        #[test]
        fn agents_that_always_have_something_waiting_get_equal_shares(
            per_second in 1_usize..20,
            arrivals in prop::collection::vec((0_usize..4, 0_i64..10_000), 0..200),
            backlog in 1_usize..4,
        ) {
            let names = ["a", "b", "c", "d"].map(name);
            let mut limiter = RateLimiter::new(per_second);
            // The first agents have more waiting than ten seconds can serve, the others now and then.
            for agent in &names[..backlog] {
                for at in 0..10 * per_second {
                    limiter.push(agent, lane(), format!("{agent}-{at}"));
                }
            }
            let mut served: BTreeMap<Name, usize> = BTreeMap::new();
            for now in 0..10_000 {
                for (agent, at) in &arrivals {
                    if *at == now && *agent >= backlog {
                        limiter.push(&names[*agent], lane(), format!("{}-late", names[*agent]));
                    }
                }
                while let Some(link) = limiter.release(now, |_| true, |_| true) {
                    let agent = link.split_once('-').unwrap().0;
                    *served.entry(name(agent)).or_default() += 1;
                }
                let busy = names[..backlog].iter().map(|agent| served.get(agent).copied().unwrap_or(0));
                let (least, most) = (busy.clone().min().unwrap(), busy.max().unwrap());
                prop_assert!(most - least <= 1, "{:?} after {} ms", served, now);
            }
        }
    }

    #[test]
    fn a_budget_that_is_spent_is_whole_again_after_its_stretch() {
        let mut budget = Budget::new(3, 100);
        let taken = |budget: &mut Budget, ms| (0..5).filter(|_| budget.take(ms)).count();
        assert_eq!([1_000, 1_099, 1_100, 5_000].map(|ms| taken(&mut budget, ms)), [3, 0, 3, 3]);
    }

    #[test]
    fn exits_go_first_and_a_pause_holds_everything() {
        let mut limiter = RateLimiter::new(10);
        limiter.push(&name("a"), lane(), "entry".to_owned());
        limiter.push_exit("exit".to_owned());
        limiter.pause_until(500);
        assert_eq!(limiter.release(499, |_| true, |_| true), None);
        assert_eq!(limiter.release(500, |_| true, |_| true).as_deref(), Some("exit"));
        limiter.remove("entry");
        assert!(limiter.is_empty());
    }
}
