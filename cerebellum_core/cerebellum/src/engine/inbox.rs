//! The queue into the engine, with a bell for its poll.

use std::{
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc, Arc,
    },
};

use super::Letter;
use crate::execution::model::io::Input;

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Inbox {
    letters: mpsc::Sender<Letter>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    stopping: AtomicBool,
    wire: UnixStream,
}

/// The receiving end.
#[derive(Debug)]
pub struct Letterbox {
    letters: mpsc::Receiver<Letter>,
    bell: Arc<Bell>,
    wire: UnixStream,
}

/// Makes both ends.
///
/// # Errors
/// When the operating system gives no socket pair.
pub fn pair() -> Result<(Inbox, Letterbox), String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| format!("socket pair: {error}"))?;
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).map_err(|error| format!("socket pair: {error}"))?;
    }
    let (sender, receiver) = mpsc::channel();
    let bell = Arc::new(Bell {
        rung: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
        wire: ours,
    });
    let inbox = Inbox { letters: sender, bell: Arc::clone(&bell) };
    Ok((inbox, Letterbox { letters: receiver, bell, wire: theirs }))
}

impl Inbox {
    /// Makes both ends.
    ///
    /// # Errors
    /// When the operating system gives no socket pair.
    pub fn pair() -> Result<(Self, Letterbox), String> {
        pair()
    }

    /// Sends an input to the core.
    ///
    /// # Errors
    /// When the engine is gone.
    #[allow(clippy::result_unit_err)] // There is one reason only.
    pub fn send(&self, input: Input) -> Result<(), ()> {
        self.post(Letter::Input(input))
    }

    /// Asks the engine to stop in order, before it reads what else waits.
    ///
    /// # Errors
    /// When the engine is gone.
    #[allow(clippy::result_unit_err)] // There is one reason only.
    pub fn stop(&self) -> Result<(), ()> {
        self.bell.stopping.store(true, Ordering::Release);
        self.post(Letter::Stop)
    }

    pub(super) fn post(&self, letter: Letter) -> Result<(), ()> {
        self.letters.send(letter).map_err(|_| ())?;
        if !self.bell.rung.swap(true, Ordering::AcqRel) {
            // A full pipe rings just as well.
            let _ = (&self.bell.wire).write(&[1]);
        }
        Ok(())
    }
}

impl Letterbox {
    /// The descriptor that becomes readable when a letter waits.
    #[must_use]
    pub fn descriptor(&self) -> i32 {
        self.wire.as_raw_fd()
    }

    /// Silences the bell; letters that come later ring again.
    pub fn silence(&self) {
        let mut scratch = [0_u8; 64];
        while matches!((&self.wire).read(&mut scratch), Ok(count) if count == scratch.len()) {}
        self.bell.rung.store(false, Ordering::Release);
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.bell.stopping.load(Ordering::Acquire)
    }

    /// The next letter, if one waits.
    pub fn take(&mut self) -> Option<Letter> {
        self.letters.try_recv().ok()
    }
}
