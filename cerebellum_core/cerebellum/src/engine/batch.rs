//! What is taken into one commit: commands and news, for a moment each, then time.

use std::time::{Duration, Instant};

use super::{
    clock,
    deferred::Deferred,
    message::Message,
    thread::{Engine, REPORT_MS, TICK_MS},
};
use crate::{execution::model::io::Input, journal::JournalError};

/// How many commands and news are taken into one commit.
const BATCH: usize = 256;
/// How long one commit's commands and news are taken at most, so that a flood of them holds up neither
/// what protects a position nor a stop.
const BATCH_TIME: Duration = Duration::from_millis(10);

impl Engine {
    pub(super) fn take_batch(&mut self, later: &mut Vec<Deferred>) -> Result<bool, JournalError> {
        for pending in std::mem::take(&mut self.held.pending) {
            self.step(pending, later)?;
        }
        for input in std::mem::take(&mut self.held.unread) {
            self.input(input, later)?;
        }
        if self.queue.is_stopping() {
            return Ok(true);
        }
        // After a quiet moment the first command is taken alone, so that its answer does not wait for
        // a look at whether there are more. Of many clients each has its turn: the socket sees to it.
        let most = if self.pressed { BATCH } else { 1 };
        self.pressed = true;
        let begun = Instant::now();
        let mut emptied = false;
        for _ in 0..most {
            let Some((client, frame)) = self.sockets.next_command() else {
                emptied = true;
                break;
            };
            self.command(client, &frame, later)?;
            if begun.elapsed() > BATCH_TIME {
                break;
            }
        }
        for _ in 0..BATCH {
            match self.queue.take() {
                None => {
                    self.pressed = !emptied;
                    break;
                }
                Some(Message::Stop) => return Ok(true),
                Some(Message::Input(input)) => self.input(input, later)?,
                Some(Message::Pulled { number, input }) if self.gateway.takes(number) => {
                    self.input(input, later)?;
                }
                Some(Message::Pulled { .. }) => {}
            }
            if begun.elapsed() > 2 * BATCH_TIME {
                break;
            }
        }
        let now = clock::now().ms;
        if now >= self.next_tick {
            self.next_tick = now + TICK_MS;
            self.step(Input::Tick, later)?;
            self.report_what_lasts(now);
        }
        Ok(false)
    }

    /// A reconciliation that lasts is reported with what it waits for, so that none hangs in silence.
    fn report_what_lasts(&mut self, now: i64) {
        let awaited = self.core.awaits();
        if awaited.is_some() && now < self.next_report {
            return;
        }
        if let Some(what) = awaited {
            tracing::warn!(what, "not reconciled with the venue yet");
        }
        self.next_report = now + REPORT_MS;
    }
}
