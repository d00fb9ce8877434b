//! The loop of the engine thread: wait, take a batch, commit, then answer, send and publish.

use std::time::{Duration, Instant};

use protocol::wire::{ErrorCode, Fault};

use super::{
    clock, deferred::Deferred, error::EngineError, gateway::Gateway, held::Held, logging::note,
    queue::Queue, refusal::error_reply, sockets::Sockets,
};
use crate::{execution::Core, journal::Journal};

/// How often the core is ticked, ms.
pub(super) const TICK_MS: i64 = 20;
/// How often the log reports what reconciliation still waits for, ms.
pub(super) const REPORT_MS: i64 = 5_000;
/// How long the engine looks for the next command after an answer before it sleeps: waking a thread
/// takes longer than most answers do, and whoever asks once often asks again.
const ATTENTION: Duration = Duration::from_micros(50);

/// Everything that the engine thread owns.
#[derive(Debug)]
pub struct Engine {
    pub(super) core: Core,
    pub(super) journal: Journal,
    pub(super) sockets: Sockets,
    pub(super) queue: Queue,
    pub(super) gateway: Gateway,
    pub(super) held: Held,
    pub(super) next_tick: i64,
    // When to report that reconciliation takes long.
    pub(super) next_report: i64,
    pub(super) last_commit: u64,
    // Commands taken since they were last counted.
    pub(super) commands: u64,
    // Whether the last batch left something waiting.
    pub(super) pressed: bool,
    pub(super) answered_at: Option<Instant>,
}

impl Engine {
    /// An engine of its parts.
    #[must_use]
    pub fn new(
        core: Core,
        journal: Journal,
        sockets: Sockets,
        queue: Queue,
        gateway: Gateway,
    ) -> Self {
        let last_commit = core.last_seq();
        Self {
            core,
            journal,
            sockets,
            queue,
            gateway,
            held: Held::default(),
            next_tick: 0,
            next_report: clock::now().ms + REPORT_MS,
            last_commit,
            commands: 0,
            pressed: false,
            answered_at: None,
        }
    }

    /// Runs until a stop message comes; calls `ready` once everything is reconciled.
    ///
    /// # Errors
    /// When rows contradict the journal or a socket fails; a restart is safe.
    pub fn run(&mut self, ready: &mut dyn FnMut()) -> Result<(), EngineError> {
        loop {
            self.wait()?;
            let mut later = Vec::new();
            let stop = self.take_batch(&mut later)?;
            let commit = Instant::now();
            let mut later = self.keep(later)?;
            let committed_in = commit.elapsed();
            // Whoever waits for an answer is answered first, then orders leave, then events are reported; each
            // kind in its order.
            later.sort_by_key(Deferred::rank);
            let mut answered = false;
            for thing in later {
                let answers = matches!(thing, Deferred::Reply(..));
                if answered && !answers {
                    std::thread::yield_now();
                }
                if answers {
                    self.answered_at = Some(Instant::now());
                }
                answered = answers;
                self.act(thing, ready)?;
            }
            self.count(committed_in);
            if stop {
                return self.keep_last_rows();
            }
        }
    }

    /// Waits for a command, a message or the next tick.
    fn wait(&mut self) -> Result<(), EngineError> {
        let patience = if self.pressed || !self.held.pending.is_empty() {
            0
        } else if self.answered_at.is_some_and(|at| at.elapsed() < ATTENTION) {
            // Whoever carries the answer goes first.
            std::thread::yield_now();
            0
        } else {
            self.core.patience_ms().clamp(1, TICK_MS)
        };
        self.sockets.wait(&self.queue, patience)
    }

    /// What an operator wants to see of a batch; nobody waits for it.
    fn count(&mut self, committed_in: Duration) {
        if self.commands > 0 {
            metrics::gauge!("cerebellum_waiting_orders").set(self.core.waiting() as f64);
            metrics::counter!("cerebellum_commands_total").increment(self.commands);
            self.commands = 0;
        }
        if self.core.last_seq() != self.last_commit {
            self.last_commit = self.core.last_seq();
            metrics::histogram!("cerebellum_commit_seconds").record(committed_in.as_secs_f64());
            metrics::gauge!("cerebellum_last_seq").set(self.last_commit as f64);
        }
    }

    fn act(&mut self, thing: Deferred, ready: &mut dyn FnMut()) -> Result<(), EngineError> {
        match thing {
            Deferred::Reply(client, reply) => self.sockets.reply(&client, &reply),
            Deferred::Replay { client, request_id, since_seq, limit } => {
                let asked = Some(request_id.clone());
                let reply = match self.replay(request_id, since_seq, limit) {
                    Ok(reply) => reply,
                    Err(error) if error.may_pass() => {
                        let fault = Fault::new(ErrorCode::Internal, asked, error.to_string());
                        error_reply(fault, self.core.market_ms())
                    }
                    Err(error) => return Err(error.into()),
                };
                self.sockets.reply(&client, &reply)
            }
            Deferred::Publish(event, body) => {
                note(&event);
                self.sockets.publish_event(&body)
            }
            Deferred::Venue(effect) => {
                self.gateway.act(effect, self.core.market_ms());
                Ok(())
            }
            Deferred::Ready => {
                ready();
                Ok(())
            }
        }
    }
}
