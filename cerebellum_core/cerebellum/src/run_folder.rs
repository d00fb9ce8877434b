//! The folder of the ipc sockets: ours alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

/// Creates the folder with rights 0700, or refuses one that others may enter, and locks it.
///
/// # Errors
/// The folder, its rights and the next step.
pub fn claim(folder: &Path) -> Result<File, String> {
    let name = folder.display();
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(format!("run folder {name}: {error}; create its parent or name another"))
        }
    }
    let metadata =
        std::fs::symlink_metadata(folder).map_err(|error| format!("run folder {name}: {error}"))?;
    if !metadata.is_dir() {
        return Err(format!("run folder {name} is no folder; name another"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "run folder {name} has rights {mode:o}: other users could give orders; \
             run chmod 700 {name} or name a new folder"
        ));
    }
    let me = std::fs::metadata("/proc/self").map(|own| own.uid());
    if me.is_ok_and(|me| me != metadata.uid()) {
        return Err(format!(
            "run folder {name} belongs to another user; name a folder of your own"
        ));
    }
    let path = folder.join("cerebellum.lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    lock.try_lock().map_err(|_| {
        format!("run folder {name} is in use by another cerebellum; stop it or name another")
    })?;
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
        assert!(claim(&folder).unwrap_err().contains("in use"));
        drop(lock);
        claim(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("run");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = claim(&folder).unwrap_err();
        assert!(error.contains("755") && error.contains("chmod 700"), "{error}");
    }
}
