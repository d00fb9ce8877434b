//! What goes wrong on demand: which fault, for which requests, how often.

use super::scope::{Request, Scope, Target};
use crate::feed::hub::{Hub, Out};
use crate::random_generator::RandomGenerator;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A fault as `POST /admin/fault` takes it, without its [`Scope`].
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Requests are carried out, then their connection dies without an answer.
    DropAck {},
    /// Answers come late.
    Delay {
        /// How late.
        ms: u64,
        /// Whether the request itself is late too, not just its answer.
        #[serde(default)]
        before: bool,
    },
    /// The server's clock is off when it checks time stamps, until it is set to zero again.
    ClockOffset {
        /// By so much.
        ms: i64,
    },
    /// Requests are over the limit.
    RateLimit {},
    /// Requests fail with an HTTP status (REST) or a code (trade socket).
    Error {
        /// HTTP status; 200 keeps the status and sends the code alone.
        #[serde(default = "unavailable")]
        status: u16,
        /// Code of the answer.
        #[serde(default = "server_error")]
        code: i64,
        /// Whether the request is carried out all the same.
        #[serde(default)]
        commit: bool,
    },
    /// Open sockets stay open and send nothing any more.
    Silent {
        /// `public`, `private`, `trade` or `all`.
        path: String,
    },
    /// Open sockets are closed.
    Close {
        /// `public`, `private`, `trade` or `all`.
        path: String,
    },
    /// Open sockets end in the middle of a frame.
    Cut {
        /// `public`, `private`, `trade` or `all`.
        path: String,
    },
    /// Book messages of a symbol leave out one update.
    Gap {},
    /// The book stream of a symbol begins again with a snapshot of `u` one.
    Restart {},
    /// Private messages come twice.
    DuplicatePrivate {},
    /// Private messages are held and come in reverse order.
    ReorderPrivate {},
    /// All faults that still wait are forgotten.
    Clear {},
}

const fn unavailable() -> u16 {
    503
}

const fn server_error() -> i64 {
    protocol::bybit::codes::SERVER_ERROR
}

impl Fault {
    /// The fields of a scope that this kind can use.
    #[must_use]
    pub const fn takes(&self) -> &'static [&'static str] {
        match self {
            Self::DropAck {} | Self::Delay { .. } | Self::RateLimit {} | Self::Error { .. } => {
                &["count", "probability", "seed", "endpoint", "symbol", "key", "channel"]
            }
            Self::ClockOffset { .. } | Self::Clear {} => &[],
            Self::Silent { .. } | Self::Close { .. } | Self::Cut { .. } => {
                &["key", "probability", "seed"]
            }
            Self::Gap {} => &["symbol", "count", "probability", "seed"],
            Self::Restart {} => &["symbol"],
            Self::DuplicatePrivate {} | Self::ReorderPrivate {} => {
                &["count", "probability", "seed", "key", "topic"]
            }
        }
    }

    /// Whether `count` or `probability` must state how often it happens.
    #[must_use]
    pub const fn is_counted(&self) -> bool {
        matches!(
            self,
            Self::DropAck {}
                | Self::Delay { .. }
                | Self::RateLimit {}
                | Self::Error { .. }
                | Self::DuplicatePrivate {}
                | Self::ReorderPrivate {}
        )
    }
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Its answer gets lost.
    DropAck,
    /// It is over the limit.
    RateLimit,
    /// It is late, or only its answer.
    Delay {
        /// How late.
        ms: u64,
        /// Whether the request itself is late, too.
        before: bool,
    },
    /// It fails.
    Error {
        /// HTTP status.
        status: u16,
        /// Code of the answer.
        code: i64,
        /// Whether it is carried out all the same.
        commit: bool,
    },
}

impl Effect {
    /// The group of endpoints that is meant when nobody names one.
    const fn usual_endpoint(self) -> &'static str {
        match self {
            Self::RateLimit => "any",
            _ => "order",
        }
    }
}

/// A fault that waits for its requests.
#[derive(Debug, Clone, Serialize)]
pub struct Armed {
    /// What happens.
    #[serde(flatten)]
    pub effect: Effect,
    /// To which requests.
    #[serde(flatten)]
    pub target: Target,
    /// How often.
    #[serde(flatten)]
    pub chance: RandomGenerator,
}

/// The faults that wait for their moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Faults {
    /// The server's clock is off by so much when it checks time stamps.
    pub clock_offset_ms: i64,
    /// Everything else, in the order in which it came.
    pub armed: Vec<Armed>,
}

impl Faults {
    /// Arms one of the faults that wait; the others are carried out where they belong.
    ///
    /// The same kind for the same requests takes the place of the one before.
    pub fn arm(&mut self, fault: &Fault, scope: &Scope, account: Option<usize>) {
        let effect = match *fault {
            Fault::ClockOffset { ms } => {
                self.clock_offset_ms = ms;
                return;
            }
            Fault::Clear {} => {
                *self = Self::default();
                return;
            }
            Fault::DropAck {} => Effect::DropAck,
            Fault::RateLimit {} => Effect::RateLimit,
            Fault::Delay { ms, before } => Effect::Delay { ms: ms.min(60_000), before },
            Fault::Error { status, code, commit } => Effect::Error { status, code, commit },
            _ => return,
        };
        let target = scope.target(effect.usual_endpoint(), account);
        let same = std::mem::discriminant(&effect);
        self.armed
            .retain(|one| std::mem::discriminant(&one.effect) != same || one.target != target);
        self.armed.push(Armed { effect, target, chance: scope.chance() });
        self.armed.retain(|one| !one.chance.is_spent());
    }

    fn strike(&mut self, request: &Request<'_>, kind: impl Fn(Effect) -> bool) -> Option<Effect> {
        let struck = self
            .armed
            .iter_mut()
            .filter(|one| kind(one.effect) && one.target.is_met(request))
            .find_map(|one| one.chance.strikes().then_some(one.effect));
        self.armed.retain(|one| !one.chance.is_spent());
        struck
    }

    /// Whether this request's answer gets lost.
    pub fn loses_ack(&mut self, request: &Request<'_>) -> bool {
        self.strike(request, |effect| effect == Effect::DropAck).is_some()
    }

    /// Whether this request is over the limit.
    pub fn limits(&mut self, request: &Request<'_>) -> bool {
        self.strike(request, |effect| effect == Effect::RateLimit).is_some()
    }

    /// How this request fails: HTTP status, code and whether it is carried out all the same.
    pub fn fails(&mut self, request: &Request<'_>) -> Option<(u16, i64, bool)> {
        match self.strike(request, |effect| matches!(effect, Effect::Error { .. }))? {
            Effect::Error { status, code, commit } => Some((status, code, commit)),
            _ => None,
        }
    }

    /// How late this request is: before it is carried out, and its answer.
    pub fn lateness(&mut self, request: &Request<'_>) -> (Duration, Duration) {
        match self.strike(request, |effect| matches!(effect, Effect::Delay { .. })) {
            Some(Effect::Delay { ms, before: true }) => (Duration::from_millis(ms), Duration::ZERO),
            Some(Effect::Delay { ms, .. }) => (Duration::ZERO, Duration::from_millis(ms)),
            _ => (Duration::ZERO, Duration::ZERO),
        }
    }
}

/// The open sockets of a path, of one account if given, that the random generator picks.
fn picked(
    hub: &mut Hub,
    path: &str,
    account: Option<usize>,
    chance: &mut RandomGenerator,
) -> Vec<u64> {
    let mut ids: Vec<u64> = hub
        .each()
        .filter(|(_, one)| path == "all" || one.path == path)
        .filter(|(_, one)| account.is_none() || one.account == account)
        .map(|(id, _)| *id)
        .collect();
    ids.sort_unstable();
    ids.retain(|_| chance.strikes());
    ids
}

/// Breaks open sockets; returns how many.
pub fn break_sockets(
    hub: &mut Hub,
    path: &str,
    account: Option<usize>,
    chance: &mut RandomGenerator,
    how: &Out,
) -> usize {
    let ids = picked(hub, path, account, chance);
    for id in &ids {
        hub.deliver(*id, how.clone());
    }
    ids.len()
}

/// Makes open sockets send nothing any more; returns how many.
pub fn silence(
    hub: &mut Hub,
    path: &str,
    account: Option<usize>,
    chance: &mut RandomGenerator,
) -> usize {
    let ids = picked(hub, path, account, chance);
    for id in &ids {
        if let Some(listener) = hub.listener(*id) {
            listener.tap.mute();
        }
    }
    ids.len()
}
