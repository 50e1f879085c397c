//! The page by which a modem or a partner gives an exit another address.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use testbed::netns::Namespace;

/// A page that is served until it is dropped.
pub(crate) struct Page {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Serves `path` at this address of a machine: `rotate` is told who asks, and gives the new address.
    pub(crate) fn start(
        machine: &Namespace,
        address: SocketAddrV4,
        path: &'static str,
        mut rotate: impl FnMut(Ipv4Addr) -> IpAddr + Send + 'static,
    ) -> Self {
        let listener = machine.enter(|| TcpListener::bind(address).unwrap());
        // So that the thread notices that it has been dropped.
        listener.set_nonblocking(true).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok((mut stream, SocketAddr::V4(from))) = listener.accept() else {
                    thread::sleep(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let mut head = [0; 1_024];
                let length = stream.read(&mut head).unwrap();
                assert!(head[..length].starts_with(format!("GET {path} ").as_bytes()));
                let address = rotate(*from.ip()).to_string();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{address}", address.len());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self {
            ended,
            thread: Some(thread),
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || matches!(ended, Some(Ok(()))),
            "the page has failed"
        );
    }
}
