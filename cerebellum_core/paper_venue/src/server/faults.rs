//! What goes wrong on demand.

use crate::feed::hub::{Hub, Out};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A fault as `POST /admin/fault` takes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The next order requests are carried out, then their connection dies without an answer.
    DropAck {
        /// How many.
        count: u32,
    },
    /// Answers to the next order requests come late.
    Delay {
        /// How many.
        count: u32,
        /// How late.
        ms: u64,
        /// Whether the order itself is late too, not just its answer.
        #[serde(default)]
        before: bool,
    },
    /// The server's clock is off when it checks time stamps, until it is set to zero again.
    ClockOffset {
        /// By so much.
        ms: i64,
    },
    /// The next private requests are over the limit.
    RateLimit {
        /// How many.
        count: u32,
    },
    /// The next order requests fail with an HTTP status (REST) or a code (trade socket).
    Error {
        /// How many.
        count: u32,
        /// HTTP status; 200 keeps the status and sends the code alone.
        #[serde(default = "unavailable")]
        status: u16,
        /// Code of the answer.
        #[serde(default = "server_error")]
        code: i64,
        /// Whether the order is carried out all the same.
        #[serde(default)]
        commit: bool,
    },
    /// Open sockets stay open and say nothing any more.
    Silent {
        /// `public`, `private` or `trade`.
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
    /// The next book message of a symbol leaves out one update.
    Gap {
        /// Symbol.
        symbol: String,
    },
    /// The book stream of a symbol begins again with a snapshot of `u` one.
    Restart {
        /// Symbol.
        symbol: String,
    },
    /// The next private messages come twice.
    DuplicatePrivate {
        /// How many.
        count: u32,
    },
    /// The next private messages of an account come in reverse order.
    ReorderPrivate {
        /// How many.
        count: u32,
    },
    /// All faults that still wait are forgotten.
    Clear,
}

const fn unavailable() -> u16 {
    503
}

const fn server_error() -> i64 {
    protocol::bybit::codes::SERVER_ERROR
}

/// An error that waits.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Failure {
    /// How many are left.
    pub count: u32,
    /// HTTP status.
    pub status: u16,
    /// Code of the answer.
    pub code: i64,
    /// Whether the order is carried out all the same.
    pub commit: bool,
}

/// A delay that waits.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Lateness {
    /// How many are left.
    pub count: u32,
    /// How late.
    pub ms: u64,
    /// Whether the order itself is late, too.
    pub before: bool,
}

/// The faults that wait for their moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Faults {
    /// The server's clock is off by so much when it checks time stamps.
    pub clock_offset_ms: i64,
    /// Order requests whose answer gets lost.
    pub drop_ack: u32,
    /// Private requests over the limit.
    pub rate_limit: u32,
    /// Late answers.
    pub delay: Option<Lateness>,
    /// Failing requests.
    pub error: Option<Failure>,
}

fn take(count: &mut u32) -> bool {
    let due = *count > 0;
    *count = count.saturating_sub(1);
    due
}

impl Faults {
    /// Whether this order request's answer gets lost.
    pub fn loses_ack(&mut self) -> bool {
        take(&mut self.drop_ack)
    }

    /// Whether this private request is over the limit.
    pub fn limits(&mut self) -> bool {
        take(&mut self.rate_limit)
    }

    /// How this order request fails.
    pub fn fails(&mut self) -> Option<Failure> {
        let failure = self.error.as_mut()?;
        take(&mut failure.count).then_some(*failure)
    }

    /// How late this order request is: before it is carried out, and its answer.
    pub fn lateness(&mut self) -> (Duration, Duration) {
        let Some(late) = self.delay.as_mut() else { return (Duration::ZERO, Duration::ZERO) };
        let ms =
            if take(&mut late.count) { Duration::from_millis(late.ms) } else { Duration::ZERO };
        if late.before {
            (ms, Duration::ZERO)
        } else {
            (Duration::ZERO, ms)
        }
    }

    /// Arms one of the faults that wait; the others are carried out where they belong.
    pub fn arm(&mut self, fault: &Fault) {
        match *fault {
            Fault::DropAck { count } => self.drop_ack = count,
            Fault::Delay { count, ms, before } => {
                self.delay = Some(Lateness { count, ms: ms.min(60_000), before })
            }
            Fault::ClockOffset { ms } => self.clock_offset_ms = ms,
            Fault::RateLimit { count } => self.rate_limit = count,
            Fault::Error { count, status, code, commit } => {
                self.error = Some(Failure { count, status, code, commit });
            }
            Fault::Clear => *self = Self::default(),
            _ => {}
        }
    }
}

/// What breaks the sockets of a path.
pub fn break_sockets(hub: &mut Hub, path: &str, how: &Out) -> usize {
    let ids: Vec<u64> = hub
        .each()
        .filter(|(_, one)| path == "all" || one.path == path)
        .map(|(id, _)| *id)
        .collect();
    for id in &ids {
        hub.deliver(*id, how.clone());
    }
    ids.len()
}

/// Makes the open sockets of a path say nothing any more.
pub fn silence(hub: &mut Hub, path: &str) -> usize {
    let listeners = hub.each().filter(|(_, one)| path == "all" || one.path == path);
    listeners.map(|(_, one)| one.tap.mute()).count()
}
