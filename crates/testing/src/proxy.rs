//! A network between the service and its database that can swallow everything.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    runtime::Handle,
};

/// Forwards connections at a port of the loopback to a socket.
pub struct Proxy {
    /// The port at which it listens.
    pub port: u16,
    hole: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy to a Unix socket.
    pub async fn to(socket: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hole = Arc::<AtomicBool>::default();
        let swallow = hole.clone();
        Handle::current().spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = UnixStream::connect(&socket).await.unwrap();
                let (client_reads, client_writes) = client.into_split();
                let (server_reads, server_writes) = server.into_split();
                let runtime = Handle::current();
                runtime.spawn(forward(client_reads, server_writes, swallow.clone()));
                runtime.spawn(forward(server_reads, client_writes, swallow.clone()));
            }
        });
        Self { port, hole }
    }

    /// From now on all bytes are swallowed, and nothing is closed. Connections that lost bytes so
    /// stay dead when it is over.
    pub fn swallow(&self, all: bool) {
        self.hole.store(all, Ordering::SeqCst);
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    swallow: Arc<AtomicBool>,
) {
    let (mut buffer, mut dead) = ([0; 16 * 1024], false);
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        dead |= swallow.load(Ordering::SeqCst);
        if !dead && to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    if dead {
        // Its end is swallowed as well.
        std::future::pending::<()>().await;
    }
}
