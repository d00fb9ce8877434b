//! The engine: one thread that owns the sockets, the journal and the core.
//!
//! It takes what waits (commands, the venue's news, time), lets the core decide about each, writes
//! every row that the whole batch caused, commits once, and only then answers, publishes and sends.
//! So load turns into larger commits, and nothing is published that is not on disk.
//!
//! Entry points: [`Engine::run`] on its thread, [`Inbox`] for whoever has something for it. Invariant:
//! an answer, an order and an event leave only after the commit that holds their rows, except for what
//! makes positions smaller while the journal cannot be written (`commit`).

/// What is taken into one commit.
mod batch;
/// The clock of the core: milliseconds that only ever go forward.
pub mod clock;
/// What a batch may do, by whether its rows are on disk.
mod commit;
/// What must wait until rows are on disk.
mod deferred;
/// What ends the engine.
mod error;
/// Doing what the core asks of the venue.
mod gateway;
/// What waits while the journal takes no rows.
mod held;
/// Taking commands and inputs.
mod intake;
/// What an operator sees of events.
mod logging;
/// The publisher of market data, on a thread of its own.
pub mod market;
/// What comes through the queue.
mod message;
/// The queue into the engine, with a wake-up for its poll.
mod queue;
/// Faults as they are answered.
mod refusal;
/// Events of the journal, for whoever missed some.
mod replay;
/// The ZeroMQ sockets.
pub mod sockets;
/// The loop of the engine thread.
mod thread;

pub use self::{
    error::EngineError,
    gateway::Gateway,
    message::Message,
    queue::{Inbox, Queue},
    thread::Engine,
};
