//! A client of the API that keeps its connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// What a client waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
        })
    }

    /// Sends a whole request and reads the body of its answer, which must be one of 200.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.get_mut().write_all(request)?;
        let mut status = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if status.is_empty() {
                line.trim_end().clone_into(&mut status);
            } else if line == "\r\n" {
                break;
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if status.split(' ').nth(1) != Some("200") {
            let said = String::from_utf8_lossy(&body).into_owned();
            return Err(io::Error::other(format!("{status}: {said}")));
        }
        Ok(body)
    }
}

/// A GET with a key.
pub(crate) fn get(server: SocketAddr, path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nX-API-Key: {key}\r\n\r\n").into_bytes()
}

/// A purchase with a key.
pub(crate) fn purchase(server: SocketAddr, plan: &str, key: &str) -> Vec<u8> {
    post(server, &json!({"op": "purchase", "planId": plan}), key)
}

/// An operation that is sent by POST, with a key.
pub(crate) fn post(server: SocketAddr, body: &Value, key: &str) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /api/proxy HTTP/1.1\r\nHost: {server}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
