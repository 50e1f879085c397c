//! A plain HTTP/1.1 client: one request per connection, every byte of the answer kept as it came.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// No answer takes longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The value of a header field, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in the answer {self:?}"))
    }

    /// The same answer, which must have this status.
    ///
    /// # Panics
    /// When it has another one.
    #[must_use]
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// When the server cannot be reached, closes early or takes too long.
///
/// # Panics
/// When the answer is no HTTP.
pub fn try_request(
    server: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut connection = TcpStream::connect_timeout(&server, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    connection.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer)?;
    let cut_short = || {
        Error::new(
            ErrorKind::UnexpectedEof,
            "the server closed before its answer was whole",
        )
    };
    parse(&String::from_utf8_lossy(&answer), method != "HEAD").ok_or_else(cut_short)
}

/// Sends one request and reads the whole answer.
///
/// # Panics
/// When there is none.
#[must_use]
#[track_caller]
pub fn request(server: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_request(server, method, target, headers, body)
        .unwrap_or_else(|error| panic!("{method} {target} at {server}: {error}"))
}

/// Absent where the answer is not all there.
#[track_caller]
fn parse(answer: &str, has_body: bool) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let field = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let body = if field("transfer-encoding").is_some_and(|value| value == "chunked") {
        unchunk(body)?
    } else {
        let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
        let is_whole = !has_body || length.is_none_or(|length| length == body.len());
        is_whole.then(|| body.to_owned())?
    };
    Some(Answer {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        headers,
        body,
    })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after[size..].strip_prefix("\r\n")?;
    }
}
