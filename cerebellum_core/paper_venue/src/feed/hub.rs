//! Who listens to what.

use crate::doors::Tap;
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
    /// Breaks it on demand.
    pub tap: Tap,
    /// Which path it came in by.
    pub path: &'static str,
}

/// Private messages that come wrongly on demand.
#[derive(Debug, Default)]
pub struct Disorder {
    /// So many come twice.
    pub duplicate: u32,
    /// So many come in reverse order.
    pub reorder: u32,
    held: Vec<(usize, String, String)>,
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
        let listener = Listener { sender, account: None, topics: HashSet::new(), tap, path };
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
    pub fn tell(&mut self, id: u64, frame: impl Into<Utf8Bytes>) {
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
        let held = std::mem::take(&mut self.disorder).held;
        for (account, topic, frame) in held.into_iter().rev() {
            self.send_private(account, &topic, &frame);
        }
    }

    /// Sends a frame to an account's connections that listen to a private topic.
    pub fn whisper(&mut self, account: usize, topic: &str, frame: &str) {
        if self.disorder.reorder > 0 {
            self.disorder.held.push((account, topic.to_owned(), frame.to_owned()));
            self.disorder.reorder -= 1;
            if self.disorder.reorder == 0 {
                for (account, topic, frame) in
                    std::mem::take(&mut self.disorder.held).into_iter().rev()
                {
                    self.send_private(account, &topic, &frame);
                }
            }
            return;
        }
        self.send_private(account, topic, frame);
        if self.disorder.duplicate > 0 {
            self.disorder.duplicate -= 1;
            self.send_private(account, topic, frame);
        }
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
            self.tell(id, frame.to_owned());
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
