//! The engine: one thread that owns the sockets, the journal and the core.
//!
//! It takes what waits (commands, the venue's news, time), lets the core decide about each, writes
//! every row that the whole batch caused, commits once, and only then answers, publishes and sends.
//! So load turns into larger commits, and nothing is told that is not on disk.

/// What is taken into one commit.
mod batch;
/// The clock of the core: milliseconds that only ever go forward.
pub mod clock;
/// Doing what the core asks of the venue.
mod hands;
/// The queue into the engine, with a bell for its poll.
mod inbox;
/// What a batch may do, by whether its rows are on disk.
mod keep;
/// The publisher of market data, on a thread of its own.
pub mod market;
/// The ZeroMQ sockets.
pub mod sockets;

pub use self::{hands::Hands, inbox::Inbox, inbox::Letterbox};

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::wire::{
    self, event::Event, field::RequestId, field::V1, reply::ErrorReply, reply::Replay, Command,
    ErrorCode, Fault, Reply, MAX_FRAME_BYTES,
};

use self::{keep::Held, sockets::Sockets};
use crate::{
    bybit::wall_ms,
    execution::{
        model::{
            io::{Client, Effect, Execution, Input},
            order::link_id,
        },
        Core,
    },
    journal::{Journal, JournalError},
};

/// How often time is told to the core, ms.
const TICK_MS: i64 = 20;
/// How often the log tells what reconciliation still waits for, ms.
const WORD_MS: i64 = 5_000;
/// How long the engine looks for the next command after an answer before it sleeps: waking a thread
/// takes longer than most answers do, and whoever asks once often asks again.
const ATTENTION: Duration = Duration::from_micros(50);

/// What comes through the inbox.
#[derive(Debug)]
pub enum Letter {
    /// For the core.
    Input(Input),
    /// The answer to a pull; for the core if the pull is still wanted.
    Pulled {
        /// Which pull.
        number: u64,
        /// The answer.
        input: Input,
    },
    /// Stop in order.
    Stop,
}

/// Everything that the engine thread owns.
#[derive(Debug)]
pub struct Engine {
    core: Core,
    journal: Journal,
    sockets: Sockets,
    letterbox: Letterbox,
    hands: Hands,
    held: Held,
    next_tick: i64,
    // When to tell that reconciliation takes long.
    next_word: i64,
    last_commit: u64,
    // Commands taken since they were last counted.
    commands: u64,
    // Whether the last batch left something waiting.
    pressed: bool,
    answered_at: Option<Instant>,
}

/// What waits until the rows are on disk.
#[derive(Debug)]
enum Later {
    Reply(Client, Box<Reply>),
    Publish(Box<Event>, Arc<str>),
    Replay { client: Client, request_id: RequestId, since_seq: u64, limit: u32 },
    Venue(Effect),
    Ready,
}

impl Later {
    fn rank(&self) -> u8 {
        match self {
            Self::Reply(..) | Self::Replay { .. } => 0,
            Self::Venue(_) => 1,
            Self::Publish(..) | Self::Ready => 2,
        }
    }
}

impl Engine {
    /// An engine of its parts.
    #[must_use]
    pub fn new(
        core: Core,
        journal: Journal,
        sockets: Sockets,
        letterbox: Letterbox,
        hands: Hands,
    ) -> Self {
        let last_commit = core.last_seq();
        Self {
            core,
            journal,
            sockets,
            letterbox,
            hands,
            held: Held::default(),
            next_tick: 0,
            next_word: clock::now().ms + WORD_MS,
            last_commit,
            commands: 0,
            pressed: false,
            answered_at: None,
        }
    }

    /// Runs until a stop letter comes; calls `ready` once everything is reconciled.
    ///
    /// # Errors
    /// When rows contradict the journal or a socket fails; a restart is safe.
    pub fn run(&mut self, ready: &mut dyn FnMut()) -> Result<(), String> {
        loop {
            self.wait()?;
            let mut later = Vec::new();
            let stop = self.take_batch(&mut later).map_err(|error| error.to_string())?;
            let commit = Instant::now();
            let mut later = self.keep(later)?;
            let committed_in = commit.elapsed();
            // Whoever waits for an answer hears first, then orders leave, then events are told; each
            // kind in its order.
            later.sort_by_key(Later::rank);
            let mut answered = false;
            for thing in later {
                let answers = matches!(thing, Later::Reply(..));
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

    /// Waits for a command, a letter or the next tick.
    fn wait(&mut self) -> Result<(), String> {
        let patience = if self.pressed || !self.held.news.is_empty() {
            0
        } else if self.answered_at.is_some_and(|at| at.elapsed() < ATTENTION) {
            // Whoever carries the answer goes first.
            std::thread::yield_now();
            0
        } else {
            self.core.patience_ms().clamp(1, TICK_MS)
        };
        self.sockets.wait(&self.letterbox, patience)
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

    fn command(
        &mut self,
        client: Client,
        frame: &Result<Vec<u8>, Fault>,
        later: &mut Vec<Later>,
    ) -> Result<(), JournalError> {
        let command = match frame {
            Ok(frame) => wire::decode::<Command>(frame),
            Err(fault) => Err(fault.clone()),
        };
        let command = match command {
            Ok(command) => command,
            Err(fault) => {
                tracing::warn!(%fault, "command refused");
                metrics::counter!("cerebellum_bad_frames_total").increment(1);
                later.push(Later::Reply(
                    client,
                    Box::new(error_reply(fault, self.core.market_ms())),
                ));
                return Ok(());
            }
        };
        let intent_id = match &command {
            Command::Submit(submit) => Some(&submit.intent_id),
            Command::Amend(amend) => Some(&amend.intent_id),
            Command::Cancel(cancel) => Some(&cancel.intent_id),
            _ => None,
        };
        let recorded = match intent_id {
            Some(id) if !self.core.knows(&link_id(id)) => match self.journal.order_of(id) {
                Err(error) if error.may_pass() => {
                    let asked = Some(command.request_id().clone());
                    let text = format!("{error}; send it again");
                    let fault = Fault::new(ErrorCode::Internal, asked, text);
                    let reply = error_reply(fault, self.core.market_ms());
                    later.push(Later::Reply(client, Box::new(reply)));
                    return Ok(());
                }
                found => found?,
            },
            _ => None,
        };
        self.commands += 1;
        let recorded = recorded.map(Box::new);
        self.step(Input::Command { client, command: Box::new(command), recorded }, later)
    }

    /// Takes an input; one that the journal cannot be asked about now is taken again later.
    fn input(&mut self, input: Input, later: &mut Vec<Later>) -> Result<(), JournalError> {
        let asks = matches!(
            input,
            Input::OrderSeen(_)
                | Input::Executions { .. }
                | Input::Asked { .. }
                | Input::OpenOrders(_)
        );
        let again = asks.then(|| input.clone());
        match (self.take_input(input, later), again) {
            (Err(error), Some(input)) if error.may_pass() => {
                self.held.unread.push(input);
                Ok(())
            }
            (taken, _) => taken,
        }
    }

    /// Adds to an input what only the journal knows, then takes it.
    fn take_input(&mut self, input: Input, later: &mut Vec<Later>) -> Result<(), JournalError> {
        if matches!(input, Input::PrivateDown) {
            self.hands.drop_pulls();
        }
        let input = match input {
            Input::OrderSeen(seen) => {
                self.recall(&seen.link_id, &seen.order_id, later)?;
                Input::OrderSeen(seen)
            }
            Input::Executions { executions, pulled } => {
                Input::Executions { executions: self.unbooked(executions, later)?, pulled }
            }
            Input::Asked { link_id, seen, executions, complete } => {
                let executions = self.unbooked(executions, later)?;
                Input::Asked { link_id, seen, executions, complete }
            }
            Input::OpenOrders(orders) => {
                for seen in &orders {
                    self.recall(&seen.link_id, &seen.order_id, later)?;
                }
                Input::OpenOrders(orders)
            }
            other => clock::translate(other, wall_ms(), clock::now()),
        };
        self.step(input, later)
    }

    fn unbooked(
        &mut self,
        executions: Vec<Execution>,
        later: &mut Vec<Later>,
    ) -> Result<Vec<Execution>, JournalError> {
        let mut fresh = Vec::with_capacity(executions.len());
        for execution in executions {
            if self.core.has_booked(&execution.exec_id)
                || self.journal.has_execution(&execution.exec_id)?
            {
                metrics::counter!("cerebellum_duplicate_executions_total").increment(1);
                continue;
            }
            self.recall(&execution.link_id, &execution.order_id, later)?;
            fresh.push(execution);
        }
        Ok(fresh)
    }

    fn recall(
        &mut self,
        link: &str,
        order_id: &str,
        later: &mut Vec<Later>,
    ) -> Result<(), JournalError> {
        if self.core.knows(link) || self.core.link_of_order_id(order_id).is_some() {
            return Ok(());
        }
        let mut order = None;
        if !link.is_empty() {
            order = self.journal.order_by_link(link)?;
        }
        if order.is_none() && !order_id.is_empty() {
            order = self.journal.order_by_order_id(order_id)?;
        }
        match order {
            Some(order) => self.step(Input::Recall(Box::new(order)), later),
            None => Ok(()),
        }
    }

    fn step(&mut self, input: Input, later: &mut Vec<Later>) -> Result<(), JournalError> {
        let effects = self.core.step(clock::now(), input);
        for effect in effects {
            match effect {
                Effect::Record(record) => self.journal.write(record),
                Effect::Event(event) => {
                    let body: Arc<str> = serde_json::to_string(&*event)
                        .map_err(|error| JournalError::new(format!("event: {error}")))?
                        .into();
                    self.journal.write_event(&event, Arc::clone(&body), self.core.market_ms());
                    later.push(Later::Publish(event, body));
                }
                Effect::Reply(client, reply) => later.push(Later::Reply(client, reply)),
                Effect::Replay { client, request_id, since_seq, limit } => {
                    later.push(Later::Replay { client, request_id, since_seq, limit });
                }
                Effect::Ready => later.push(Later::Ready),
                venue => later.push(Later::Venue(venue)),
            }
        }
        Ok(())
    }

    /// Events of the journal, as many as fit into one frame.
    fn replay(
        &self,
        request_id: RequestId,
        since_seq: u64,
        limit: u32,
    ) -> Result<Reply, JournalError> {
        let bodies = self.journal.events_since(since_seq, limit)?;
        let last_seq = self.journal.last_seq();
        let mut room = MAX_FRAME_BYTES - 512;
        let mut events: Vec<Event> = Vec::with_capacity(bodies.len());
        for body in bodies {
            if body.len() + 1 > room {
                break;
            }
            room -= body.len() + 1;
            events.push(
                serde_json::from_str(&body)
                    .map_err(|error| JournalError::new(format!("journal: event: {error}")))?,
            );
        }
        let newest = events.last().map_or(since_seq, Event::seq);
        Ok(Reply::Replay(Replay {
            v: V1,
            ts: self.core.market_ms(),
            request_id,
            more: newest < last_seq && !events.is_empty(),
            events,
            last_seq,
        }))
    }

    fn act(&mut self, thing: Later, ready: &mut dyn FnMut()) -> Result<(), String> {
        match thing {
            Later::Reply(client, reply) => self.sockets.reply(&client, &reply),
            Later::Replay { client, request_id, since_seq, limit } => {
                let asked = Some(request_id.clone());
                let reply = match self.replay(request_id, since_seq, limit) {
                    Ok(reply) => reply,
                    Err(error) if error.may_pass() => {
                        let fault = Fault::new(ErrorCode::Internal, asked, error.to_string());
                        error_reply(fault, self.core.market_ms())
                    }
                    Err(error) => return Err(error.to_string()),
                };
                self.sockets.reply(&client, &reply)
            }
            Later::Publish(event, body) => {
                note(&event);
                self.sockets.publish_event(&body)
            }
            Later::Venue(effect) => {
                self.hands.act(effect, self.core.market_ms());
                Ok(())
            }
            Later::Ready => {
                ready();
                Ok(())
            }
        }
    }
}

/// What an operator wants to see of an event without reading the journal.
fn note(event: &Event) {
    metrics::counter!("cerebellum_events_total", "type" => event.kind()).increment(1);
    match event {
        Event::Risk(risk) => tracing::warn!(code = risk.code, text = risk.text, "risk"),
        Event::State(state) => {
            tracing::warn!(state = ?state.state, reason = %state.reason, "state");
        }
        Event::Order(event) => tracing::debug!(
            order = event.order.order_link_id,
            status = event.order.status.as_str(),
            "order"
        ),
        Event::Fill(fill) => tracing::debug!(
            exec_id = fill.exec_id,
            order = fill.order_link_id,
            qty = %fill.qty,
            price = %fill.price,
            "fill"
        ),
        Event::Funding(_) | Event::Position(_) => {}
    }
}

fn error_reply(fault: Fault, ts: u64) -> Reply {
    Reply::Error(ErrorReply {
        v: V1,
        ts,
        request_id: fault.request_id,
        code: fault.code,
        text: fault.text,
    })
}
