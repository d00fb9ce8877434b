//! Who listens to what.

use crate::clock::wall_ms;
use crate::listener::Tap;
use crate::random_generator::RandomGenerator;
use axum::extract::ws::Utf8Bytes;
use std::collections::{HashMap, HashSet};
use tokio::sync::mpsc::Sender;

/// Frames that may wait for one listener before it counts as dead.
pub const BACKLOG: usize = 65_536;

/// What goes to a connection's writer.
#[derive(Debug, Clone)]
pub enum Out {
    /// A text frame.
    Text(Utf8Bytes),
    /// A pong frame.
    Pong(Vec<u8>),
    /// Half a frame, then the end of the connection.
    Cut,
    /// The end of the connection.
    Close,
}

/// One connection.
#[derive(Debug)]
pub struct Listener {
    /// Where its frames go.
    pub sender: Sender<Out>,
    /// Which account it logged in as.
    pub account: Option<usize>,
    /// What it subscribed to.
    pub topics: HashSet<String>,
    /// Identifiers of its requests, which it may use only once.
    pub ids: HashSet<String>,
    /// Breaks it on demand.
    pub tap: Tap,
    /// Which path it came in by.
    pub path: &'static str,
}

/// A private message: account, topic and frame.
type Message = (usize, String, String);

/// Which private messages are meant, and how often.
#[derive(Debug)]
struct Mischief {
    account: Option<usize>,
    topic: Option<String>,
    chance: RandomGenerator,
}

impl Mischief {
    fn meets(&self, account: usize, topic: &str) -> bool {
        self.account.is_none_or(|one| one == account)
            && self.topic.as_deref().is_none_or(|one| one == topic)
    }
}

/// Most wall time for which a message is held back.
const HELD_MS: i64 = 2_000;

/// Private messages that come wrongly on demand.
#[derive(Debug, Default)]
pub struct Disorder {
    duplicate: Option<Mischief>,
    reorder: Option<Mischief>,
    /// Messages of one group that leaves backwards.
    group: u32,
    held: Vec<Message>,
    held_since: i64,
}

impl Disorder {
    /// Sends messages twice whenever the random generator strikes.
    pub fn duplicate(
        &mut self,
        account: Option<usize>,
        topic: Option<String>,
        chance: RandomGenerator,
    ) {
        self.duplicate = Some(Mischief { account, topic, chance });
    }

    /// Holds groups of messages and sends them backwards: one group of `count`, or with a
    /// probability group after group (of four without a count).
    pub fn reorder(
        &mut self,
        account: Option<usize>,
        topic: Option<String>,
        mut chance: RandomGenerator,
    ) {
        self.group = chance.count.unwrap_or(4).max(1);
        chance.count = (chance.probability >= 1.0).then_some(1);
        self.reorder = Some(Mischief { account, topic, chance });
    }

    /// Whether a message is held, and what leaves instead, in this order.
    fn hold(&mut self, account: usize, topic: &str, frame: &str) -> Option<Vec<Message>> {
        let mischief = self.reorder.as_mut().filter(|one| one.meets(account, topic))?;
        if self.held.is_empty() {
            if !mischief.chance.strikes() {
                return None;
            }
            self.held_since = wall_ms();
        }
        self.held.push((account, topic.to_owned(), frame.to_owned()));
        let full = self.held.len() >= usize::try_from(self.group).unwrap_or(1);
        Some(if full { self.release() } else { Vec::new() })
    }

    fn release(&mut self) -> Vec<Message> {
        let mut held = std::mem::take(&mut self.held);
        held.reverse();
        held
    }

    fn repeats(&mut self, account: usize, topic: &str) -> bool {
        let mischief = self.duplicate.as_mut().filter(|one| one.meets(account, topic));
        mischief.is_some_and(|one| one.chance.strikes())
    }
}

/// Every connection.
#[derive(Debug, Default)]
pub struct Hub {
    /// Private messages that come wrongly on demand.
    pub disorder: Disorder,
    listeners: HashMap<u64, Listener>,
    by_topic: HashMap<String, Vec<u64>>,
    next: u64,
}

impl Hub {
    /// Takes a connection in.
    pub fn join(&mut self, path: &'static str, sender: Sender<Out>, tap: Tap) -> u64 {
        self.next += 1;
        let (topics, ids) = (HashSet::new(), HashSet::new());
        let listener = Listener { sender, account: None, topics, ids, tap, path };
        self.listeners.insert(self.next, listener);
        self.next
    }

    /// Lets a connection go.
    pub fn leave(&mut self, id: u64) {
        if let Some(listener) = self.listeners.remove(&id) {
            for topic in listener.topics {
                self.forget(&topic, id);
            }
        }
    }

    fn forget(&mut self, topic: &str, id: u64) {
        if let Some(ids) = self.by_topic.get_mut(topic) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_topic.remove(topic);
            }
        }
    }

    /// A connection.
    #[must_use]
    pub fn listener(&self, id: u64) -> Option<&Listener> {
        self.listeners.get(&id)
    }

    /// A connection, to change.
    pub fn listener_mut(&mut self, id: u64) -> Option<&mut Listener> {
        self.listeners.get_mut(&id)
    }

    /// Every connection, to change.
    pub fn each(&mut self) -> impl Iterator<Item = (&u64, &mut Listener)> {
        self.listeners.iter_mut()
    }

    /// Subscribes a connection to a topic.
    pub fn subscribe(&mut self, id: u64, topic: &str) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        if listener.topics.insert(topic.to_owned()) && listener.path == "public" {
            self.by_topic.entry(topic.to_owned()).or_default().push(id);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, id: u64, topic: &str) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.topics.remove(topic);
        }
        self.forget(topic, id);
    }

    /// Whether anybody listens to a public topic.
    #[must_use]
    pub fn wanted(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// Sends a frame to one connection.
    pub fn send(&mut self, id: u64, frame: impl Into<Utf8Bytes>) {
        self.deliver(id, Out::Text(frame.into()));
    }

    /// Sends a frame to everybody who listens to a public topic.
    pub fn publish(&mut self, topic: &str, frame: String) {
        let Some(ids) = self.by_topic.get(topic) else { return };
        let frame = Utf8Bytes::from(frame);
        for id in ids.clone() {
            self.deliver(id, Out::Text(frame.clone()));
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listeners.len()
    }

    /// Lets go of what was held back, and of all disorder.
    pub fn calm(&mut self) {
        let held = self.disorder.release();
        self.disorder = Disorder::default();
        for (account, topic, frame) in held {
            self.send_private(account, &topic, &frame);
        }
    }

    /// Sends what was held back for too long.
    pub fn release_late(&mut self, now: i64) {
        if !self.disorder.held.is_empty() && now - self.disorder.held_since >= HELD_MS {
            for (account, topic, frame) in self.disorder.release() {
                self.send_private(account, &topic, &frame);
            }
        }
    }

    /// Sends a frame to an account's connections that listen to a private topic.
    pub fn whisper(&mut self, account: usize, topic: &str, frame: &str) {
        if let Some(leaving) = self.disorder.hold(account, topic, frame) {
            for (account, topic, frame) in leaving {
                self.send_private(account, &topic, &frame);
            }
            return;
        }
        self.send_private(account, topic, frame);
        if self.disorder.repeats(account, topic) {
            self.send_private(account, topic, frame);
        }
    }

    /// Whether a connection of an account listens to a private topic.
    #[must_use]
    pub fn listens(&self, account: usize, topic: &str) -> bool {
        let categorised = format!("{topic}.linear");
        self.listeners.values().any(|one| {
            one.account == Some(account)
                && (one.topics.contains(topic) || one.topics.contains(&categorised))
        })
    }

    fn send_private(&mut self, account: usize, topic: &str, frame: &str) {
        let categorised = format!("{topic}.linear");
        let ids: Vec<u64> = self
            .listeners
            .iter()
            .filter(|(_, one)| one.account == Some(account) && one.path == "private")
            .filter(|(_, one)| one.topics.contains(topic) || one.topics.contains(&categorised))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.send(id, frame.to_owned());
        }
    }

    /// Hands something to a connection's writer; a full one is let go.
    pub fn deliver(&mut self, id: u64, out: Out) {
        let Some(listener) = self.listeners.get(&id) else {
            return;
        };
        if listener.sender.try_send(out).is_err() {
            tracing::warn!(connection = id, "a connection that does not read its frames is closed");
            self.leave(id);
        }
    }
}
