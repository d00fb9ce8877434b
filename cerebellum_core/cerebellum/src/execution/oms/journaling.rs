//! What happens while the journal cannot be written as always: entries stop, exits go on.

use crate::execution::{model::journaling::Journaling, Core};

impl Core {
    /// Whether an order of this client order id only ever makes its agent's position smaller.
    #[must_use]
    pub fn is_exit(&self, link_id: &str) -> bool {
        self.orders.get(link_id).is_some_and(|order| order.intent.reduce_only)
    }

    /// Why entries are refused, if they are.
    pub(in crate::execution) fn journal_trouble(&self) -> Option<String> {
        match &self.journal.condition {
            Journaling::Whole => None,
            Journaling::Reserve(why) => Some(format!(
                "no room beyond the reserve that exits need ({why}); make room, it goes on by itself"
            )),
            Journaling::Held(why) => Some(format!(
                "the journal cannot be written ({why}); free it or make room, it goes on by itself"
            )),
        }
    }

    /// What an answer adds while what it reports is in memory only.
    pub(in crate::execution) fn durability_note(&self) -> &'static str {
        match self.journal.condition {
            Journaling::Held(_) => "; in memory only until the journal can be written",
            Journaling::Whole | Journaling::Reserve(_) => "",
        }
    }

    pub(in crate::execution) fn set_journaling(&mut self, journaling: Journaling) {
        self.journal.condition = journaling;
        match self.journal_trouble() {
            Some(why) => {
                let text = format!("entries are refused, exits go on: {why}");
                self.alarm("journal_unwritable", text, None, None);
            }
            None => {
                let text = "the journal is written again; entries are taken".to_owned();
                self.alarm("journal_written", text, None, None);
            }
        }
    }
}
