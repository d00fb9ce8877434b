//! What the venue sent and cannot be read: logged, counted, and reported as an alarm, each place at most
//! once a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{engine::Inbox, execution::model::io::Input};

/// How long a place is not reported again.
const QUIET: Duration = Duration::from_secs(60);
/// How long a trouble that only a person can end is not reported again.
const LONG_QUIET: Duration = Duration::from_secs(600);
/// How much of a text is reported.
const LONGEST: usize = 500;

/// Where unreadable rows are reported; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Unreadable {
    inbox: Option<Inbox>,
    reported: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Unreadable {
    /// Alarms go to the engine.
    #[must_use]
    pub fn new(inbox: Inbox) -> Self {
        Self { inbox: Some(inbox), reported: Arc::default() }
    }

    /// Reports that something of a place (a path, a topic) cannot be read.
    pub fn report(&self, place: &str, text: impl std::fmt::Display) {
        let text = text.to_string();
        metrics::counter!("cerebellum_unreadable_total", "place" => place.to_owned()).increment(1);
        tracing::error!(place, text, "the venue sent what cannot be read");
        if !self.is_due(place, QUIET) {
            return;
        }
        self.notice("venue_unreadable", format!("{place}: {text}"));
    }

    /// Reports a trouble that lasts until a person acts, as an alarm of this code, now and then.
    pub fn trouble(&self, code: &'static str, text: String) {
        if self.is_due(code, LONG_QUIET) {
            tracing::error!(code, text, "a person is needed");
            self.notice(code, text);
        }
    }

    /// Reports something else of the venue to a person, as an alarm of this code.
    pub fn notice(&self, code: &'static str, text: String) {
        if let Some(inbox) = &self.inbox {
            let text: String = text.chars().take(LONGEST).collect();
            let _ = inbox.send(Input::Notice { code, text, symbol: None });
        }
    }

    /// The same of a symbol that is not traded here, so that it hides nothing of one that is.
    pub fn show_foreign(&self, place: &str, text: impl std::fmt::Display) {
        self.report(&format!("{place} of a symbol not traded here"), text);
    }

    fn is_due(&self, place: &str, quiet: Duration) -> bool {
        let now = Instant::now();
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let due = reported.get(place).is_none_or(|at| now.duration_since(*at) >= quiet);
        if due {
            reported.insert(place.to_owned(), now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Message;

    #[test]
    fn a_place_that_goes_on_is_one_alarm_a_minute_and_another_place_is_another() {
        let (inbox, mut queue) = Inbox::pair().unwrap();
        let unreadable = Unreadable::new(inbox);
        for place in ["execution", "execution", "/v5/position/list"] {
            unreadable.report(place, "row lacks execFee");
        }
        let mut reported = Vec::new();
        while let Some(message) = queue.take() {
            let Message::Input(Input::Notice { code, text, .. }) = message else { panic!() };
            reported.push((code, text));
        }
        assert_eq!(
            reported,
            [
                ("venue_unreadable", "execution: row lacks execFee".to_owned()),
                ("venue_unreadable", "/v5/position/list: row lacks execFee".to_owned()),
            ]
        );
    }
}
