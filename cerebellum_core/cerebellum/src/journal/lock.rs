//! One writer a journal, whatever name it is opened by.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::JournalError;

/// Held as long as the journal is open: two writers would number events twice.
#[derive(Debug)]
pub(super) struct Lock {
    // The lock of the file itself: a link or another path leads to the same one.
    _file: File,
    // And the one beside it, by which other programs see that the journal is in use.
    _beside: File,
}

impl Lock {
    /// Takes both locks, making the journal's file if there is none; returns its path without links.
    pub(super) fn take(path: &Path) -> Result<(Self, PathBuf), JournalError> {
        let file = open(path)?;
        file.try_lock().map_err(|_| in_use(path))?;
        let real = path.canonicalize().map_err(|error| unusable(path, &error))?;
        let names = file.metadata().map_err(|error| unusable(path, &error))?.nlink();
        if names > 1 {
            // SQLite's log lies beside the name, so under another name its rows would be missing.
            tracing::warn!(
                journal = %real.display(),
                names,
                "the journal has several names (hard links); always start with the same one"
            );
        }
        let mut name = real.as_os_str().to_owned();
        name.push(".lock");
        let beside = PathBuf::from(name);
        let beside = open(&beside)?;
        beside.try_lock().map_err(|_| in_use(path))?;
        Ok((Self { _file: file, _beside: beside }, real))
    }
}

fn open(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> JournalError {
    JournalError::new(format!("journal {}: {error}; check --journal", path.display()))
}

fn in_use(path: &Path) -> JournalError {
    JournalError::new(format!(
        "journal {} is in use by another process; stop that one first",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_journal_is_locked_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        let (held, real) = Lock::take(&at("real/j.sqlite")).unwrap();
        assert_eq!(real, at("real/j.sqlite").canonicalize().unwrap());
        symlink(at("real/j.sqlite"), at("link.sqlite")).unwrap();
        symlink(at("real"), at("folder")).unwrap();
        std::fs::hard_link(at("real/j.sqlite"), at("hard.sqlite")).unwrap();
        for name in ["real/j.sqlite", "link.sqlite", "folder/j.sqlite", "real/../hard.sqlite"] {
            let reported = Lock::take(&at(name)).unwrap_err().to_string();
            assert!(reported.contains("in use"), "{name}: {reported}");
        }
        drop(held);
        let (_held, real) = Lock::take(&at("link.sqlite")).unwrap();
        assert_eq!(real, at("real/j.sqlite").canonicalize().unwrap());
    }
}
