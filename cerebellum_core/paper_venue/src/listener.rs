//! Connections that can break on demand: in silence, or in the middle of what they write.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const SOUND: u8 = 0;
const DEAD: u8 = 1;
const HALF: u8 = 2;
const MUTE: u8 = 3;

/// A handle that breaks its connection.
#[derive(Debug, Clone, Default)]
pub struct Tap(Arc<AtomicU8>);

impl Tap {
    /// The next write fails before its first byte.
    pub fn kill(&self) {
        self.0.store(DEAD, Ordering::SeqCst);
    }

    /// Everything written from now on is swallowed.
    pub fn mute(&self) {
        self.0.store(MUTE, Ordering::SeqCst);
    }

    /// The next write ends half-way.
    pub fn cut(&self) {
        self.0.store(HALF, Ordering::SeqCst);
    }
}

/// Accepts connections, each with a tap of its own.
#[derive(Debug)]
pub struct TappedListener(pub TcpListener);

/// A connection with a tap.
#[derive(Debug)]
pub struct Tapped {
    stream: TcpStream,
    tap: Tap,
}

impl Listener for TappedListener {
    type Io = Tapped;
    type Addr = Tap;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) => {
                    // Answers are small and must not wait for more bytes.
                    let _ = stream.set_nodelay(true);
                    let tap = Tap::default();
                    return (Tapped { stream, tap: tap.clone() }, tap);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> Result<Self::Addr> {
        Ok(Tap::default())
    }
}

impl Connected<IncomingStream<'_, TappedListener>> for Tap {
    fn connect_info(stream: IncomingStream<'_, TappedListener>) -> Self {
        stream.remote_addr().clone()
    }
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        match self.tap.0.load(Ordering::SeqCst) {
            SOUND => Pin::new(&mut self.stream).poll_write(context, bytes),
            MUTE => Poll::Ready(Ok(bytes.len())),
            HALF if bytes.len() > 1 => {
                let written =
                    Pin::new(&mut self.stream).poll_write(context, &bytes[..bytes.len() / 2]);
                if written.is_ready() {
                    self.tap.kill();
                }
                written
            }
            _ => Poll::Ready(Err(Error::new(ErrorKind::BrokenPipe, "broken on demand"))),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
