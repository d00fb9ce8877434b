//! Who may ask at all: nobody whom a web page sent here.
//!
//! A page that somebody has open can make their browser send requests to this machine. The browser
//! shows it: in `Origin` or `Sec-Fetch-Site` when the page is another one, and in `Host` when a foreign
//! name was made to mean this machine.

use super::auth::header;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{header, HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;

/// Names under which the venue is asked.
#[derive(Debug, Clone)]
pub struct Gate {
    port: u16,
    allowed: Vec<String>,
}

impl Gate {
    /// A gate for this machine's own names with the given port, and for other names in full, with
    /// their port where it is not 80.
    #[must_use]
    pub fn new(port: u16, allowed: &[String]) -> Self {
        Self { port, allowed: allowed.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Why a request stays outside; `None` lets it in.
    #[must_use]
    pub fn refuses(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let many = |name| headers.get_all(name).iter().count() > 1;
        if many(header::HOST) || many(header::ORIGIN) {
            return Some("more than one Host or Origin".to_owned());
        }
        let host = header(headers, "host");
        let names = [Some(host), uri.authority().map(Authority::as_str)];
        if let Some(name) = names.into_iter().flatten().find(|name| !self.knows(name)) {
            return Some(format!(
                "Host {name:?} is not this venue; ask for 127.0.0.1:{}, or start it with \
                 --allow-host",
                self.port
            ));
        }
        if headers.contains_key(header::ORIGIN) {
            let origin = header(headers, "origin");
            let own = origin.strip_prefix("http://").is_some_and(|name| self.knows(name));
            if !own {
                return Some(format!("Origin {origin:?} is another one than this venue's own"));
            }
        }
        let site = header(headers, "sec-fetch-site");
        (!matches!(site, "" | "same-origin" | "none"))
            .then(|| format!("a page of another origin asks (Sec-Fetch-Site {site})"))
    }

    fn knows(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        if self.allowed.contains(&name) {
            return true;
        }
        let Ok(authority) = name.parse::<Authority>() else { return false };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        here && !name.contains('@') && authority.port_u16().unwrap_or(80) == self.port
    }
}

/// Lets a request through, or answers 403.
pub async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.refuses(request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(line) => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (StatusCode::FORBIDDEN, kind, json!({"error": line}).to_string()).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(host: &str, more: &[(&'static str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().expect("a header"));
        for (name, value) in more {
            headers.append(*name, value.parse().expect("a header"));
        }
        let gate = Gate::new(8300, &["venue.lan:9000".to_owned()]);
        gate.refuses(&Uri::from_static("/v5/market/time"), &headers).is_some()
    }

    #[test]
    fn only_names_of_this_machine_with_its_port_are_known() {
        for host in ["127.0.0.1:8300", "localhost:8300", "LocalHost:8300", "[::1]:8300"] {
            assert!(!refused(host, &[]), "{host}");
        }
        assert!(!refused("venue.lan:9000", &[]));
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:8301",
            "localhost",
            "evil.example:8300",
            "10.0.0.1:8300",
            "127.0.0.1.evil.example:8300",
            "localhost:8300@evil.example",
            "a@127.0.0.1:8300",
            "venue.lan:8300",
            "[::2]:8300",
        ] {
            assert!(refused(host, &[]), "{host}");
        }
    }

    #[test]
    fn every_origin_but_its_own_is_refused() {
        let own = "127.0.0.1:8300";
        assert!(!refused(own, &[("origin", "http://127.0.0.1:8300")]));
        assert!(!refused(own, &[("origin", "http://localhost:8300")]));
        for origin in [
            "",
            "null",
            "*",
            "http://evil.example",
            "https://127.0.0.1:8300",
            "http://127.0.0.1",
            "http://127.0.0.1:8400",
            "file://",
        ] {
            assert!(refused(own, &[("origin", origin)]), "{origin}");
        }
        let twice = [("origin", "http://127.0.0.1:8300"), ("origin", "http://evil.example")];
        assert!(refused(own, &twice));
        assert!(refused(own, &[("sec-fetch-site", "cross-site")]));
        assert!(!refused(own, &[("sec-fetch-site", "none")]));
    }
}
