//! Keys: from the environment or from a file that only we may read; never shown.

use std::{fmt, path::Path};

use serde::Deserialize;

/// A key and its secret.
#[derive(Clone)]
pub struct Keys {
    key: String,
    secret: String,
    source: String,
}

/// Why there are no keys; nothing of a key is ever shown.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// What was given is no key.
    #[error("key and secret must be visible ASCII and not empty; copy them again")]
    NotVisible,
    /// What was found there is no key.
    #[error("{place}: {source}")]
    At {
        /// Where it was found.
        place: String,
        /// What is wrong.
        source: Box<KeysError>,
    },
    /// One variable of two.
    #[error("{0} is set, {1} is not; set both")]
    Half(&'static str, &'static str),
    /// Neither variables nor a file.
    #[error("no keys: set BYBIT_API_KEY and BYBIT_API_SECRET, or give --keys FILE")]
    Nowhere,
    /// The file cannot be read.
    #[error("keys file {path}: {source}; check --keys")]
    Unreadable {
        /// Where it should lie.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("keys file {path} has rights {mode:o}; run chmod 600 {path}")]
    Rights {
        /// Where it lies.
        path: String,
        /// Its rights.
        mode: u32,
    },
    /// The file is no list of keys.
    #[error("keys file {0} is not a list like [{{\"key\": ..., \"secret\": ...}}]")]
    NoList(String),
    /// The file names no key.
    #[error("keys file {0} is an empty list")]
    Empty(String),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(hidden)")
    }
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    secret: String,
}

impl Keys {
    /// Keys of two texts.
    ///
    /// # Errors
    /// When one is empty or holds anything but visible ASCII.
    pub fn new(key: &str, secret: &str) -> Result<Self, KeysError> {
        let fine = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if fine(key) && fine(secret) {
            let source = "the key given".to_owned();
            Ok(Self { key: key.to_owned(), secret: secret.to_owned(), source })
        } else {
            Err(KeysError::NotVisible)
        }
    }

    /// Keys from `BYBIT_API_KEY` and `BYBIT_API_SECRET`, else from the file.
    ///
    /// # Errors
    /// When neither gives a key, or when others may read the file.
    pub fn find(file: Option<&Path>) -> Result<Self, KeysError> {
        match (std::env::var("BYBIT_API_KEY"), std::env::var("BYBIT_API_SECRET")) {
            (Ok(key), Ok(secret)) => {
                let source = "BYBIT_API_KEY in the environment".to_owned();
                let keys = Self::new(&key, &secret);
                keys.map(|keys| Self { source, ..keys }).map_err(|error| KeysError::At {
                    place: "BYBIT_API_KEY".to_owned(),
                    source: Box::new(error),
                })
            }
            (Ok(_), Err(_)) => Err(KeysError::Half("BYBIT_API_KEY", "BYBIT_API_SECRET")),
            (Err(_), Ok(_)) => Err(KeysError::Half("BYBIT_API_SECRET", "BYBIT_API_KEY")),
            (Err(_), Err(_)) => Self::read(file.ok_or(KeysError::Nowhere)?),
        }
    }

    /// Keys from a JSON file `[{"key": ..., "secret": ...}]`; the first entry counts.
    ///
    /// # Errors
    /// When others may read the file, or when it is no such list.
    pub fn read(path: &Path) -> Result<Self, KeysError> {
        use std::os::unix::fs::PermissionsExt;
        let name = || path.display().to_string();
        let unreadable = |source| KeysError::Unreadable { path: name(), source };
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::Rights { path: name(), mode });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        // The parser's own words could quote the file, so they are not passed on.
        let entries: Vec<Entry> =
            serde_json::from_str(&text).map_err(|_| KeysError::NoList(name()))?;
        let first = entries.first().ok_or_else(|| KeysError::Empty(name()))?;
        let source = format!("keys file {}", name());
        let keys = Self::new(&first.key, &first.secret);
        match keys {
            Ok(keys) => Ok(Self { source, ..keys }),
            Err(error) => Err(KeysError::At { place: source, source: Box::new(error) }),
        }
    }

    /// Where the key was found, to name it without showing it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A text with `***` in place of the key and the secret: the venue quotes what it was sent.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        // The longer first: one may be a part of the other.
        let mut words = [self.key.as_str(), self.secret.as_str()];
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.into_iter().fold(text.to_owned(), |text, word| text.replace(word, "***"))
    }

    /// The key, as it travels.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The secret's bytes, for signing.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_keys_file_that_others_may_read_is_refused() {
        let text = r#"[{"key": "k1", "secret": "s1", "usdt": "100000"}]"#;
        assert_eq!(Keys::read(file(text, 0o600).path()).unwrap().key(), "k1");
        let error = Keys::read(file(text, 0o644).path()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_secret() {
        let keys = Keys::new("visible-key", "hidden-secret").unwrap();
        assert!(!format!("{keys:?}").contains("hidden-secret"));
        let error = Keys::read(file("[{\"secret\": \"hidden-secret\"}", 0o600).path())
            .unwrap_err()
            .to_string();
        assert!(!error.contains("hidden-secret"), "{error}");
    }

    #[test]
    fn a_text_of_the_venue_that_quotes_key_or_secret_is_shown_without_them() {
        let keys = Keys::new("abc", "abc-secret").unwrap();
        let text = "error sign! origin_string[17abc5000symbol=X] abc-secret abc";
        assert_eq!(keys.hide(text), "error sign! origin_string[17***5000symbol=X] *** ***");
    }
}
