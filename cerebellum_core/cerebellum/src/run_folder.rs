//! The folder of the ipc sockets: ours alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

/// Why a folder is not ours alone.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// It cannot be created.
    #[error("run folder {folder}: {source}; create its parent or name another")]
    Create {
        /// Which.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It cannot be looked at.
    #[error("run folder {folder}: {source}")]
    Look {
        /// Which.
        folder: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Something else lies there.
    #[error("run folder {0} is no folder; name another")]
    NoFolder(String),
    /// Others may enter it.
    #[error(
        "run folder {folder} has rights {mode:o}: other users could give orders; \
         run chmod 700 {folder} or name a new folder"
    )]
    Rights {
        /// Which.
        folder: String,
        /// Its rights.
        mode: u32,
    },
    /// Somebody else's.
    #[error("run folder {0} belongs to another user; name a folder of your own")]
    Foreign(String),
    /// Its lock file cannot be opened.
    #[error("{path}: {source}")]
    Lock {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process holds it.
    #[error("run folder {0} is in use by another cerebellum; stop it or name another")]
    InUse(String),
}

/// Creates the folder with rights 0700, or refuses one that others may enter, and locks it.
///
/// # Errors
/// The folder, its rights and the next step.
pub fn claim(folder: &Path) -> Result<File, RunFolderError> {
    let name = || folder.display().to_string();
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(RunFolderError::Create { folder: name(), source }),
    }
    let metadata = std::fs::symlink_metadata(folder)
        .map_err(|source| RunFolderError::Look { folder: name(), source })?;
    if !metadata.is_dir() {
        return Err(RunFolderError::NoFolder(name()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(RunFolderError::Rights { folder: name(), mode });
    }
    let me = std::fs::metadata("/proc/self").map(|own| own.uid());
    if me.is_ok_and(|me| me != metadata.uid()) {
        return Err(RunFolderError::Foreign(name()));
    }
    let path = folder.join("cerebellum.lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| RunFolderError::Lock { path: path.display().to_string(), source })?;
    lock.try_lock().map_err(|_| RunFolderError::InUse(name()))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_ours_alone_and_a_second_claim_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run");
        let lock = claim(&folder).unwrap();
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        assert!(claim(&folder).unwrap_err().to_string().contains("in use"));
        drop(lock);
        claim(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = claim(&folder).unwrap_err().to_string();
        assert!(error.contains("755") && error.contains("chmod 700"), "{error}");
    }
}
