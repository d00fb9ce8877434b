//! One WebSocket: connect, ping, silence, back-off.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::Instant};
use tokio_tungstenite::{
    tungstenite::{self, Message},
    MaybeTlsStream, WebSocketStream,
};

/// How a connection is watched.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// How often an application ping is sent.
    pub ping: Duration,
    /// After how long without any frame the connection is dead.
    pub dead_after: Duration,
}

/// Why a connection is of no more use; a new one may be.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody answered in time.
    #[error("{0}: no answer in 5 s")]
    NoAnswer(String),
    /// It could not be made.
    #[error("{url}: {source}")]
    Connect {
        /// The address.
        url: String,
        /// Why not.
        source: Box<tungstenite::Error>,
    },
    /// It broke.
    #[error("{0}")]
    Broken(Box<tungstenite::Error>),
    /// Nothing came for too long.
    #[error("silent for {0} ms")]
    Silent(u128),
    /// The venue closed it.
    #[error("closed by the venue")]
    Closed,
}

/// An open WebSocket that pings and notices silent death.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    keepalive: Keepalive,
    next_ping: Instant,
    last_received: Instant,
}

impl Socket {
    /// Connects.
    ///
    /// # Errors
    /// The address and what went wrong.
    pub async fn connect(url: &str, keepalive: Keepalive) -> Result<Self, SocketError> {
        let connecting = tokio_tungstenite::connect_async(url);
        let (stream, _) = tokio::time::timeout(Duration::from_secs(5), connecting)
            .await
            .map_err(|_| SocketError::NoAnswer(url.to_owned()))?
            .map_err(|error| SocketError::Connect { url: url.to_owned(), source: error.into() })?;
        if let MaybeTlsStream::Plain(tcp) = stream.get_ref() {
            let _ = tcp.set_nodelay(true);
        }
        let now = Instant::now();
        Ok(Self { stream, keepalive, next_ping: now + keepalive.ping, last_received: now })
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, text: String) -> Result<(), SocketError> {
        self.stream.send(Message::text(text)).await.map_err(broken)
    }

    /// When a frame came last.
    #[must_use]
    pub fn last_received(&self) -> Instant {
        self.last_received
    }

    /// The next text frame; `None` if a while passed without one, so that the caller can look around.
    ///
    /// # Errors
    /// When the connection is closed, broken or silent for too long.
    pub async fn next(&mut self, at_most: Duration) -> Result<Option<String>, SocketError> {
        let now = Instant::now();
        if now >= self.next_ping {
            self.next_ping = now + self.keepalive.ping;
            self.send(r#"{"op":"ping"}"#.to_owned()).await?;
        }
        if now - self.last_received > self.keepalive.dead_after {
            return Err(SocketError::Silent((now - self.last_received).as_millis()));
        }
        let frame = match tokio::time::timeout(at_most, self.stream.next()).await {
            Err(_) => return Ok(None),
            Ok(None) => return Err(SocketError::Closed),
            Ok(Some(Err(error))) => return Err(broken(error)),
            Ok(Some(Ok(frame))) => frame,
        };
        self.last_received = Instant::now();
        match frame {
            Message::Text(text) => Ok(Some(text.as_str().to_owned())),
            Message::Close(_) => Err(SocketError::Closed),
            // Pongs are sent by the library when it is next polled.
            _ => Ok(None),
        }
    }
}

fn broken(error: tungstenite::Error) -> SocketError {
    SocketError::Broken(error.into())
}

/// Waiting times between attempts: doubling, with jitter, reset by success.
#[derive(Debug, Default)]
pub struct BackOff {
    failures: u32,
}

impl BackOff {
    /// The connection worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait before the next attempt: between half and all of 250 ms times 2^n, at most
    /// 15 s.
    pub fn wait(&mut self) -> Duration {
        let whole = (250_u64 << self.failures.min(6)).min(15_000);
        self.failures = self.failures.saturating_add(1);
        let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        Duration::from_millis(whole / 2 + whole * random / 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_stays_bounded_and_differs_between_clients() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..40).map(|_| back_off.wait()).collect();
        assert!(waits[0] <= Duration::from_millis(250));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(15)));
        assert!(waits[20] >= Duration::from_secs(7));
        assert!(waits[20..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter");
        back_off.reset();
        assert!(back_off.wait() <= Duration::from_millis(250));
    }
}
