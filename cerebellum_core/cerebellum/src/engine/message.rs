//! What comes through the queue into the engine.

use crate::execution::model::io::Input;

/// What comes through the inbox.
#[derive(Debug)]
pub enum Message {
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
