//! Fair sharing of the venue's orders per second among agents.

use std::collections::{BTreeMap, VecDeque};

use protocol::wire::field::Name;

/// Orders that wait for their turn: exits first, then agents in turn.
#[derive(Clone, Debug)]
pub struct Pacer {
    per_second: usize,
    exits: VecDeque<String>,
    queues: BTreeMap<Name, VecDeque<String>>,
    last_served: Option<Name>,
    sent_at: VecDeque<i64>,
    paused_until: i64,
}

impl Pacer {
    /// A pacer that releases at most so many orders in any one second.
    #[must_use]
    pub fn new(per_second: usize) -> Self {
        Self {
            per_second: per_second.max(1),
            exits: VecDeque::new(),
            queues: BTreeMap::new(),
            last_served: None,
            sent_at: VecDeque::new(),
            paused_until: 0,
        }
    }

    /// Changes how many orders are released in any one second.
    pub fn set_per_second(&mut self, per_second: usize) {
        self.per_second = per_second.max(1);
    }

    /// Queues an agent's order.
    pub fn push(&mut self, agent: &Name, link_id: String) {
        self.queues.entry(agent.clone()).or_default().push_back(link_id);
    }

    /// Queues an order that closes a position; it goes before all others.
    pub fn push_exit(&mut self, link_id: String) {
        self.exits.push_back(link_id);
    }

    /// Takes a waiting order out.
    pub fn remove(&mut self, link_id: &str) {
        self.exits.retain(|waiting| waiting != link_id);
        for queue in self.queues.values_mut() {
            queue.retain(|waiting| waiting != link_id);
        }
        self.queues.retain(|_, queue| !queue.is_empty());
    }

    /// Whether an order waits here.
    #[must_use]
    pub fn holds(&self, link_id: &str) -> bool {
        self.exits.iter().chain(self.queues.values().flatten()).any(|waiting| waiting == link_id)
    }

    /// Releases nothing before this time, ms of the clock that `release` is told.
    pub fn pause_until(&mut self, ms: i64) {
        self.paused_until = self.paused_until.max(ms);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exits.is_empty() && self.queues.is_empty()
    }

    /// The next order that may be sent now, if any: the first that `may_go` lets through.
    ///
    /// An order that may not go keeps its place and is passed over.
    pub fn release(&mut self, ms: i64, may_go: impl Fn(&str) -> bool) -> Option<String> {
        while self.sent_at.front().is_some_and(|at| *at <= ms - 1000) {
            self.sent_at.pop_front();
        }
        if ms < self.paused_until || self.sent_at.len() >= self.per_second {
            return None;
        }
        let next = take_first(&mut self.exits, &may_go).or_else(|| self.next_in_turn(&may_go))?;
        self.sent_at.push_back(ms);
        Some(next)
    }

    fn next_in_turn(&mut self, may_go: &impl Fn(&str) -> bool) -> Option<String> {
        let last = self.last_served.as_ref();
        let (later, sooner): (Vec<&Name>, Vec<&Name>) =
            self.queues.keys().partition(|name| last.is_none_or(|last| *name > last));
        let turn = later.into_iter().chain(sooner).find(|name| {
            self.queues.get(*name).is_some_and(|queue| queue.iter().any(|link| may_go(link)))
        });
        let agent = turn?.clone();
        let queue = self.queues.get_mut(&agent)?;
        let next = take_first(queue, may_go);
        if queue.is_empty() {
            self.queues.remove(&agent);
        }
        self.last_served = Some(agent);
        next
    }
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

fn take_first(queue: &mut VecDeque<String>, may_go: &impl Fn(&str) -> bool) -> Option<String> {
    let at = queue.iter().position(|link| may_go(link))?;
    queue.remove(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_loud_agent_does_not_starve_a_quiet_one() {
        let mut pacer = Pacer::new(4);
        for at in 0..20 {
            pacer.push(&name("loud"), format!("loud-{at}"));
        }
        pacer.push(&name("quiet"), "quiet-0".to_owned());
        let first: Vec<_> = std::iter::from_fn(|| pacer.release(0, |_| true)).collect();
        assert_eq!(first.len(), 4);
        assert!(first.contains(&"quiet-0".to_owned()), "{first:?}");
    }

    #[test]
    fn no_second_holds_more_orders_than_the_venue_allows() {
        let mut pacer = Pacer::new(10);
        for at in 0..100 {
            pacer.push(&name("a"), at.to_string());
        }
        let mut sent: Vec<i64> = Vec::new();
        for now in 0..5000 {
            while pacer.release(now, |_| true).is_some() {
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
            let mut pacer = Pacer::new(per_second);
            // The first agents have more waiting than ten seconds can serve, the others now and then.
            for agent in &names[..backlog] {
                for at in 0..10 * per_second {
                    pacer.push(agent, format!("{agent}-{at}"));
                }
            }
            let mut served: BTreeMap<Name, usize> = BTreeMap::new();
            for now in 0..10_000 {
                for (agent, at) in &arrivals {
                    if *at == now && *agent >= backlog {
                        pacer.push(&names[*agent], format!("{}-late", names[*agent]));
                    }
                }
                while let Some(link) = pacer.release(now, |_| true) {
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
        let mut pacer = Pacer::new(10);
        pacer.push(&name("a"), "entry".to_owned());
        pacer.push_exit("exit".to_owned());
        pacer.pause_until(500);
        assert_eq!(pacer.release(499, |_| true), None);
        assert_eq!(pacer.release(500, |_| true).as_deref(), Some("exit"));
        pacer.remove("entry");
        assert!(pacer.is_empty());
    }
}
