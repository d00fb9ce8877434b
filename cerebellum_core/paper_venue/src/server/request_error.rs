//! What is wrong with a request of whoever runs the venue. Recoverable: it may be sent again, mended.

/// The field or the key, its value and what is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RequestError(String);

impl From<&str> for RequestError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for RequestError {
    fn from(text: String) -> Self {
        Self(text)
    }
}
