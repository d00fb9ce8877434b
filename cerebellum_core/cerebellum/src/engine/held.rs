//! What waits while the journal takes no rows.

use std::time::Instant;

use super::deferred::Deferred;
use crate::execution::model::{io::Input, journaling::Journaling};

/// What waits while the journal takes no rows.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) later: Vec<Deferred>,
    /// What the journal could not be asked about.
    pub(super) unread: Vec<Input>,
    /// For the core, before anything else.
    pub(super) pending: Vec<Input>,
    pub(super) condition: Journaling,
    pub(super) retry_at: i64,
    pub(super) reminded: Option<Instant>,
}
