//! A relay in front of PostgreSQL: as slow as a network, and as unreliable where a test wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Ends with the value.
pub(crate) struct Relay {
    address: SocketAddr,
    is_stalled: watch::Sender<bool>,
    asked: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Passes everything on to the host of `url`, `delay` later in each direction.
    pub(crate) async fn to(url: &str, delay: Duration) -> Self {
        let url: url::Url = url.parse().unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_stalled, stalled) = watch::channel(false);
        let asked = Arc::new(AtomicU64::new(0));
        let (counted, uncounted) = (Arc::clone(&asked), Arc::new(AtomicU64::new(0)));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server.clone()).await else {
                    continue;
                };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (count, no_count) = (Arc::clone(&counted), Arc::clone(&uncounted));
                tokio::spawn(pass(from_client, to_server, delay, stalled.clone(), count));
                tokio::spawn(pass(from_server, to_client, delay, stalled.clone(), no_count));
            }
        });
        Self {
            address,
            is_stalled,
            asked,
            accepting,
        }
    }

    /// The database's address by way of the relay.
    pub(crate) fn url(&self, direct: &str) -> String {
        let mut url: url::Url = direct.parse().unwrap();
        url.set_ip_host(self.address.ip()).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.into()
    }

    /// How many pieces clients have sent: one for a statement, two where the server does not know it yet, more for a very long one.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// From now on nothing gets through, and nobody is told: a server that is stopped, a cable that is cut.
    pub(crate) fn stall(&self) {
        self.is_stalled.send_replace(true);
    }

    /// All that waited gets through.
    pub(crate) fn resume(&self) {
        self.is_stalled.send_replace(false);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    mut stalled: watch::Receiver<bool>,
    passed: Arc<AtomicU64>,
) {
    let (send, mut queue) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    // Read apart from writing, so that what is under way is delayed once and not once per piece.
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            passed.fetch_add(1, Ordering::Relaxed);
            if send.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    while let Some((due, piece)) = queue.recv().await {
        tokio::time::sleep_until(due).await;
        let is_gone = stalled.wait_for(|stalled| !stalled).await.is_err();
        if is_gone || to.write_all(&piece).await.is_err() {
            return;
        }
    }
}
