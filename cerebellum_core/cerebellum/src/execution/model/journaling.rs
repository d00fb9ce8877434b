//! How the journal takes rows.

/// How the journal takes rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Journaling {
    /// As always.
    #[default]
    Whole,
    /// Out of its reserve, which is kept for exits; why.
    Reserve(String),
    /// Not now: rows wait in memory; why.
    Held(String),
}

impl Journaling {
    /// 0, 1 or 2: the worse, the higher.
    #[must_use]
    pub fn level(&self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Reserve(_) => 1,
            Self::Held(_) => 2,
        }
    }
}

/// What the core knows of the journal.
#[derive(Clone, Debug, Default)]
pub(in crate::execution) struct JournalView {
    /// How it takes rows.
    pub condition: Journaling,
    /// The oldest intent's market time, ms.
    pub first_intent_ts: Option<u64>,
}
