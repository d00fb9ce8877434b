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

    /// Releases nothing before this wall time, ms.
    pub fn pause_until(&mut self, wall_ms: i64) {
        self.paused_until = self.paused_until.max(wall_ms);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exits.is_empty() && self.queues.is_empty()
    }

    /// The next order that may be sent now, if any.
    pub fn release(&mut self, wall_ms: i64) -> Option<String> {
        while self.sent_at.front().is_some_and(|at| *at <= wall_ms - 1000) {
            self.sent_at.pop_front();
        }
        if wall_ms < self.paused_until || self.sent_at.len() >= self.per_second {
            return None;
        }
        let next = self.exits.pop_front().or_else(|| self.next_in_turn())?;
        self.sent_at.push_back(wall_ms);
        Some(next)
    }

    fn next_in_turn(&mut self) -> Option<String> {
        let after = self
            .last_served
            .as_ref()
            .and_then(|last| self.queues.keys().find(|name| *name > last))
            .or_else(|| self.queues.keys().next())?
            .clone();
        let queue = self.queues.get_mut(&after)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&after);
        }
        self.last_served = Some(after);
        next
    }
}

#[cfg(test)]
mod tests {
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
        let first: Vec<_> = std::iter::from_fn(|| pacer.release(0)).collect();
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
            while pacer.release(now).is_some() {
                sent.push(now);
            }
        }
        for (at, first) in sent.iter().enumerate() {
            let inside = sent[at..].iter().filter(|other| **other < first + 1000).count();
            assert!(inside <= 10, "{inside} orders in the second from {first}");
        }
        assert_eq!(sent.len(), 50);
    }

    #[test]
    fn exits_go_first_and_a_pause_holds_everything() {
        let mut pacer = Pacer::new(10);
        pacer.push(&name("a"), "entry".to_owned());
        pacer.push_exit("exit".to_owned());
        pacer.pause_until(500);
        assert_eq!(pacer.release(499), None);
        assert_eq!(pacer.release(500).as_deref(), Some("exit"));
        pacer.remove("entry");
        assert!(pacer.is_empty());
    }
}
