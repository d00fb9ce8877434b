//! Why settings cannot be taken. Always fatal: the process ends before it begins.

/// A setting that cannot be taken: which one, its value and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

impl From<&str> for SettingsError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for SettingsError {
    fn from(text: String) -> Self {
        Self(text)
    }
}
