//! Which of the newest intents are journaled, without a question to the file.

use std::collections::BTreeSet;

use protocol::wire::field::IntentId;
use rusqlite::Connection;

use crate::journal::{columns::text, JournalError};

/// The highest intent ids of a journal, up to a number of them.
///
/// Ids begin with their time, so a new intent nearly always lies above the lowest id held here, and
/// then it is journaled only if it is held here as well.
#[derive(Debug)]
pub(super) struct Newest {
    ids: BTreeSet<IntentId>,
    most: usize,
    // Whether ids below the lowest one may be journaled.
    more_below: bool,
}

impl Newest {
    /// From the highest ids of a journal, at most `most` of them.
    pub(super) fn of(ids: BTreeSet<IntentId>, most: usize) -> Self {
        let more_below = ids.len() >= most;
        Self { ids, most, more_below }
    }

    /// Takes note of an id that is journaled.
    pub(super) fn add(&mut self, id: &IntentId) {
        self.ids.insert(id.clone());
        if self.ids.len() > self.most {
            self.ids.pop_first();
            self.more_below = true;
        }
    }

    /// Whether an id is certainly not journaled.
    pub(super) fn excludes(&self, id: &IntentId) -> bool {
        let in_reach = !self.more_below || self.ids.first().is_some_and(|lowest| id > lowest);
        in_reach && !self.ids.contains(id)
    }
}

/// The highest intent ids of a journal.
pub(super) fn newest_intents(connection: &Connection, most: usize) -> Result<Newest, JournalError> {
    let mut statement =
        connection.prepare("SELECT intent_id FROM orders ORDER BY intent_id DESC LIMIT ?1")?;
    let mut rows = statement.query([i64::try_from(most).unwrap_or(i64::MAX)])?;
    let mut ids = BTreeSet::new();
    while let Some(row) = rows.next()? {
        ids.insert(IntentId::new(&text(row, 0)?).map_err(JournalError::new)?);
    }
    Ok(Newest::of(ids, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> IntentId {
        IntentId::new(&format!("01890a5d-ac96-774b-bcce-{number:012x}")).unwrap()
    }

    #[test]
    fn an_id_is_excluded_only_when_no_row_can_hold_it() {
        let mut newest = Newest::of(BTreeSet::new(), 3);
        assert!(newest.excludes(&id(1)), "an empty journal holds nothing");
        for number in [10, 30, 20] {
            newest.add(&id(number));
        }
        assert!(newest.excludes(&id(1)), "all there is fits, so what is not held is not there");
        assert!(!newest.excludes(&id(20)));
        newest.add(&id(40));
        assert!(!newest.excludes(&id(10)), "it is journaled and no longer held");
        assert!(!newest.excludes(&id(15)), "below the lowest held nothing is known");
        assert!(newest.excludes(&id(25)));
        assert!(newest.excludes(&id(99)));
    }

    #[test]
    fn a_journal_that_fills_what_is_held_may_hold_more_below() {
        let newest = Newest::of([id(5), id(6)].into(), 2);
        assert!(!newest.excludes(&id(4)));
        assert!(newest.excludes(&id(7)));
    }
}
