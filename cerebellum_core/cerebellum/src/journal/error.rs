//! What can go wrong with the journal: what may pass, and what only a new start heals.

use rusqlite::ErrorCode;

/// What went wrong with the journal, with the next step.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct JournalError {
    text: String,
    may_pass: bool,
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        // Rows that contradict the journal are a fault of this program, and only a new start, which
        // reads everything again, heals it. All else lies with the disk or with another program.
        let ours = [
            ErrorCode::ConstraintViolation,
            ErrorCode::TypeMismatch,
            ErrorCode::ApiMisuse,
            ErrorCode::ParameterOutOfRange,
            ErrorCode::NotADatabase,
            ErrorCode::Unknown,
        ];
        let may_pass = error.sqlite_error_code().is_some_and(|code| !ours.contains(&code));
        Self { text: format!("journal: {error}; check the disk and the file"), may_pass }
    }
}

impl JournalError {
    /// An error with its own words.
    #[must_use]
    pub fn new(text: impl std::fmt::Display) -> Self {
        Self { text: text.to_string(), may_pass: false }
    }

    /// Whether the same may work later: a disk without room, a journal that another program holds.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.may_pass
    }
}
