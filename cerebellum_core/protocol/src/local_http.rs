//! Who may ask a service that listens on the loopback interface: programs of this machine and the
//! service's own pages, never the page of another origin that a browser here has open.
//!
//! A browser reports where a page comes from (`Origin`), and which name it asked for (`Host`): a page whose
//! own name was made to point here (DNS rebinding) asks for that name.

use std::net::IpAddr;

/// Why a request is turned away; its text is for the body of an HTTP 403.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLocal {
    /// It names no host.
    #[error("Host is missing; ask for 127.0.0.1 or localhost")]
    NoHost,
    /// It asks for another name than that of this machine.
    #[error("Host {0:?} is not this machine; ask for 127.0.0.1 or localhost")]
    Host(String),
    /// It comes from the page of another origin.
    #[error("Origin {origin:?} is another page; only pages of http://{host} may ask")]
    Origin {
        /// Where the page comes from.
        origin: String,
        /// The host whose pages may ask.
        host: String,
    },
}

/// Checks the headers of a request; several of one name are none.
///
/// # Errors
/// What is wrong.
pub fn admit(host: Option<&str>, origin: Option<&str>) -> Result<(), NotLocal> {
    let host = host.ok_or(NotLocal::NoHost)?;
    if !is_loopback(host) {
        return Err(NotLocal::Host(shown(host)));
    }
    match origin {
        Some(origin) if origin.strip_prefix("http://") != Some(host) => {
            Err(NotLocal::Origin { origin: shown(origin), host: host.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Whether an authority names the loopback interface, with or without a port.
fn is_loopback(authority: &str) -> bool {
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    match (bare, name.parse::<IpAddr>()) {
        (Some(bare), _) => bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        (None, Ok(IpAddr::V4(address))) => address.is_loopback(),
        _ => false,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::admit;

    #[test]
    fn programs_and_own_pages_may_ask() {
        for host in ["127.0.0.1:8500", "localhost:8500", "LOCALHOST", "[::1]:8500", "127.0.0.1"] {
            assert_eq!(admit(Some(host), None), Ok(()), "{host}");
            assert_eq!(admit(Some(host), Some(&format!("http://{host}"))), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_and_other_pages_may_not() {
        let strange = [
            "",
            "evil.example",
            "evil.example:8500",
            "127.0.0.1.evil.example",
            "127.0.0.1:x",
            "10.0.0.1",
            "localhost.evil.example:80",
            "::1",
            "[::1",
            "[::1]evil",
            "127.0.0.1@evil.example",
            "0.0.0.0:8500",
            "localhost:80:80",
        ];
        for host in strange {
            assert!(admit(Some(host), None).is_err(), "{host}");
        }
        assert!(admit(None, None).is_err());
        let others = [
            "null",
            "",
            "http://evil.example",
            "https://127.0.0.1:8500",
            "http://127.0.0.1:8400",
            "http://localhost:8500",
            "http://127.0.0.1:8500.evil.example",
        ];
        for origin in others {
            assert!(admit(Some("127.0.0.1:8500"), Some(origin)).is_err(), "{origin}");
        }
    }
}
