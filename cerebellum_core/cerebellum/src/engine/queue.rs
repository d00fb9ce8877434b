//! The queue into the engine, with a wake-up for its poll.

use std::{
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc,
    },
};

use super::{error::EngineError, message::Message};
use crate::execution::model::io::Input;

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Inbox {
    messages: mpsc::Sender<Message>,
    wake_up: Arc<WakeUp>,
}

#[derive(Debug)]
struct WakeUp {
    pending: AtomicBool,
    stopping: AtomicBool,
    wire: UnixStream,
}

/// The receiving end.
#[derive(Debug)]
pub struct Queue {
    messages: mpsc::Receiver<Message>,
    wake_up: Arc<WakeUp>,
    wire: UnixStream,
}

/// Makes both ends.
///
/// # Errors
/// When the operating system gives no socket pair.
pub fn pair() -> Result<(Inbox, Queue), EngineError> {
    let (ours, theirs) = UnixStream::pair().map_err(EngineError::Pair)?;
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).map_err(EngineError::Pair)?;
    }
    let (sender, receiver) = mpsc::channel();
    let wake_up = Arc::new(WakeUp {
        pending: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        wire: ours,
    });
    let inbox = Inbox { messages: sender, wake_up: Arc::clone(&wake_up) };
    Ok((inbox, Queue { messages: receiver, wake_up, wire: theirs }))
}

impl Inbox {
    /// Makes both ends.
    ///
    /// # Errors
    /// When the operating system gives no socket pair.
    pub fn pair() -> Result<(Self, Queue), EngineError> {
        pair()
    }

    /// Sends an input to the core.
    ///
    /// # Errors
    /// When the engine is gone.
    #[allow(clippy::result_unit_err)] // There is one reason only.
    pub fn send(&self, input: Input) -> Result<(), ()> {
        self.post(Message::Input(input))
    }

    /// Asks the engine to stop in order, before it reads what else waits.
    ///
    /// # Errors
    /// When the engine is gone.
    #[allow(clippy::result_unit_err)] // There is one reason only.
    pub fn stop(&self) -> Result<(), ()> {
        self.wake_up.stopping.store(true, Ordering::Release);
        self.post(Message::Stop)
    }

    pub(super) fn post(&self, message: Message) -> Result<(), ()> {
        self.messages.send(message).map_err(|_| ())?;
        if !self.wake_up.pending.swap(true, Ordering::AcqRel) {
            // A full pipe wakes just as well.
            let _ = (&self.wake_up.wire).write(&[1]);
        }
        Ok(())
    }
}

impl Queue {
    /// The descriptor that becomes readable when a message waits.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.wire.as_raw_fd()
    }

    /// Takes the wake-up; messages that come later wake again.
    pub fn settle(&self) {
        let mut scratch = [0_u8; 64];
        while matches!((&self.wire).read(&mut scratch), Ok(count) if count == scratch.len()) {}
        self.wake_up.pending.store(false, Ordering::Release);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.wake_up.stopping.load(Ordering::Acquire)
    }

    /// The next message, if one waits.
    pub fn take(&mut self) -> Option<Message> {
        self.messages.try_recv().ok()
    }
}
