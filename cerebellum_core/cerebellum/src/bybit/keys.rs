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
    pub fn new(key: &str, secret: &str) -> Result<Self, String> {
        let fine = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if fine(key) && fine(secret) {
            let source = "the key given".to_owned();
            Ok(Self { key: key.to_owned(), secret: secret.to_owned(), source })
        } else {
            Err("key and secret must be visible ASCII and not empty; copy them again".to_owned())
        }
    }

    /// Keys from `BYBIT_API_KEY` and `BYBIT_API_SECRET`, else from the file.
    ///
    /// # Errors
    /// When neither gives a key, or when others may read the file.
    pub fn find(file: Option<&Path>) -> Result<Self, String> {
        match (std::env::var("BYBIT_API_KEY"), std::env::var("BYBIT_API_SECRET")) {
            (Ok(key), Ok(secret)) => {
                let source = "BYBIT_API_KEY in the environment".to_owned();
                let keys = Self::new(&key, &secret);
                keys.map(|keys| Self { source, ..keys })
                    .map_err(|error| format!("BYBIT_API_KEY: {error}"))
            }
            (Ok(_), Err(_)) => {
                Err("BYBIT_API_KEY is set, BYBIT_API_SECRET is not; set both".into())
            }
            (Err(_), Ok(_)) => {
                Err("BYBIT_API_SECRET is set, BYBIT_API_KEY is not; set both".into())
            }
            (Err(_), Err(_)) => Self::read(
                file.ok_or("no keys: set BYBIT_API_KEY and BYBIT_API_SECRET, or give --keys FILE")?,
            ),
        }
    }

    /// Keys from a JSON file `[{"key": ..., "secret": ...}]`; the first entry counts.
    ///
    /// # Errors
    /// When others may read the file, or when it is no such list.
    pub fn read(path: &Path) -> Result<Self, String> {
        use std::os::unix::fs::PermissionsExt;
        let name = path.display();
        let metadata = std::fs::metadata(path)
            .map_err(|error| format!("keys file {name}: {error}; check --keys"))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(format!("keys file {name} has rights {mode:o}; run chmod 600 {name}"));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("keys file {name}: {error}; check --keys"))?;
        // The parser's own words could quote the file, so they are not passed on.
        let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|_| {
            format!("keys file {name} is not a list like [{{\"key\": ..., \"secret\": ...}}]")
        })?;
        let first = entries.first().ok_or(format!("keys file {name} is an empty list"))?;
        let source = format!("keys file {name}");
        let keys = Self::new(&first.key, &first.secret);
        keys.map_err(|error| format!("{source}: {error}"))
            .map(|keys| Self { source: source.clone(), ..keys })
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
        let error = Keys::read(file(text, 0o644).path()).unwrap_err();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_secret() {
        let keys = Keys::new("visible-key", "hidden-secret").unwrap();
        assert!(!format!("{keys:?}").contains("hidden-secret"));
        let error = Keys::read(file("[{\"secret\": \"hidden-secret\"}", 0o600).path()).unwrap_err();
        assert!(!error.contains("hidden-secret"), "{error}");
    }

    #[test]
    fn a_text_of_the_venue_that_quotes_key_or_secret_is_shown_without_them() {
        let keys = Keys::new("abc", "abc-secret").unwrap();
        let text = "error sign! origin_string[17abc5000symbol=X] abc-secret abc";
        assert_eq!(keys.hide(text), "error sign! origin_string[17***5000symbol=X] *** ***");
    }
}
