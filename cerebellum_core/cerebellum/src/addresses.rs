//! Addresses that settings may name: those of this machine, and sockets in the run folder.

use std::path::Path;

use protocol::settings_error::SettingsError;

/// The host that a URL names; nothing for one with a user or of another scheme.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "http" | "https" | "ws" | "wss") {
        return None;
    }
    let authority = rest.split('/').next()?;
    if authority.contains('@') {
        return None;
    }
    if let Some(inside) = authority.strip_prefix('[') {
        return inside.split(']').next();
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The longest ipc path that the operating system takes.
const LONGEST_PATH: usize = 107;

/// The address of one of the sockets: in the run folder, or on loopback.
///
/// # Errors
/// The address and the next step.
pub(crate) fn socket_address(
    name: &str,
    given: Option<String>,
    run_folder: &Path,
) -> Result<String, SettingsError> {
    let address = match given {
        Some(address) => address,
        None => {
            let folder = std::path::absolute(run_folder)
                .map_err(|error| format!("--run-folder {}: {error}", run_folder.display()))?;
            format!("ipc://{}/{name}", folder.display())
        }
    };
    if let Some(path) = address.strip_prefix("ipc://") {
        if path.len() > LONGEST_PATH {
            return Err(format!(
                "the {name} socket's path has {} bytes, the system takes {LONGEST_PATH}: {path}; \
                 use a shorter --run-folder such as /tmp/crucible-1",
                path.len()
            )
            .into());
        }
        let folder = std::path::absolute(run_folder).unwrap_or_else(|_| run_folder.to_owned());
        if Path::new(path).parent() != Some(folder.as_path()) {
            return Err(format!(
                "--{name} {address} lies outside the run folder {}, where others might reach it",
                folder.display()
            )
            .into());
        }
        return Ok(address);
    }
    let loopback = address
        .strip_prefix("tcp://")
        .and_then(|rest| rest.rsplit_once(':'))
        .is_some_and(|(host, port)| {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (port == "*" || port.parse::<u16>().is_ok()) && is_loopback(host)
        });
    if loopback {
        // ZeroMQ spells a free port as a star.
        return Ok(match address.strip_suffix(":0") {
            Some(start) => format!("{start}:*"),
            None => address,
        });
    }
    Err(format!(
        "--{name} {address} is neither ipc nor tcp on loopback; orders would travel unencrypted. \
         Bind loopback and use a tunnel (WireGuard or SSH)"
    )
    .into())
}
