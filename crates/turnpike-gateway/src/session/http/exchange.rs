//! One request and its answer, both on their way at the same time: an origin may answer before the body has ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use turnpike_wire::Parse;
use turnpike_wire::http::{
    Body, Form, HeadEnd, HeadError, Persistence, ResponseFraming, ResponseHead, Version, response_for_client,
    response_framing, switching_for_client,
};

use super::body::{Broken, Message, Pulse, Sink, Source};
use super::forward::Origin;
use super::request::{Exchange, Request};
use crate::limits::pace::{Speed, Way};
use crate::relay::Buffers;
use crate::session::Context;
use crate::session::peer::{self, Peer};
use crate::stream::Stream;

/// The most interim answers (1xx) that are passed on for one request.
const MAX_INTERIM_ANSWERS: u32 = 1_000;

/// How long silence may last once one side has finished speaking: a client that has closed is most likely gone, and a
/// body whose answer has been given is most likely not wanted.
const SILENCE_AFTER_AN_END: Duration = Duration::from_secs(60);

/// What became of a request.
pub(super) enum Outcome {
    /// Its answer has been passed on whole.
    Answered {
        /// Whether the client's connection can carry another request.
        client_stays: bool,
        /// Whether the origin's can.
        origin_stays: bool,
    },
    /// The origin switched protocols: this head is for the client, and then both sockets are one tunnel.
    Switched(Vec<u8>),
    /// The client has seen no answer, and this is why.
    Unanswered(Cause),
    /// It broke off midway, and the client has seen a part of the answer or is gone.
    BrokenOff,
}

/// Why there is no answer.
pub(super) enum Cause {
    /// The origin closed before the first byte of it: on a used connection, most likely before it saw the request.
    Closed,
    /// The origin closed in the middle of a head.
    ClosedMidway,
    /// What the origin says is no HTTP.
    Malformed,
    /// The head is longer than any that is passed on.
    TooLong,
    /// The length of the body cannot be told for certain.
    Unframed,
    /// Nothing moved for the idle timeout.
    TimedOut,
    /// The client's own body is malformed.
    RequestBody,
}

/// How far both directions have come, for each other to see.
#[derive(Default)]
struct Progress {
    /// The request has been sent whole.
    is_sent: AtomicBool,
    /// The final answer's head is going to the client.
    is_answering: AtomicBool,
    /// The client knows the answer's end only by the connection's.
    ends_by_close: AtomicBool,
}

impl Progress {
    /// Makes the client see that its answer is cut short, where a plain close would look like the end. Elsewhere the
    /// length says so, and what has arrived may still be of use.
    fn cut_short(&self, client: &Stream) {
        if self.ends_by_close.load(Ordering::Relaxed) {
            // Where it fails the connection is broken already.
            let _ = client.set_zero_linger();
        }
    }
}

/// Sends the request, passes its answer on, and says how it ended.
pub(super) async fn run(
    context: &Context,
    client: &mut Peer,
    origin: &mut Origin,
    request: &Request,
    exchange: &Exchange,
) -> Outcome {
    let buffers = &context.shared.buffers;
    let pulse = &Pulse::new(context.config.idle_timeout);
    let progress = &Progress::default();
    let lease = origin.lease.clone();
    let Peer {
        stream: client,
        pending: from_client,
    } = client;
    let Peer {
        stream: origin,
        pending: from_origin,
    } = &mut origin.peer;
    let (client, origin) = (&*client, &*origin);
    let meter = &*context.route.meter;
    let speed = &context.route.quota.speed;

    let up = Sink {
        stream: origin,
        pulse,
        meter,
        way: Way::Up,
    };
    let upload = async {
        let source = Source {
            stream: client,
            pending: from_client,
            buffers,
            speed,
            way: Way::Up,
        };
        let head = exchange.head.clone();
        let sent = match Message::begin(head, source.pending, request.body, Form::Chunks) {
            Ok(message) => message.relay(source, &up).await,
            Err(_) => Err(Broken::Malformed),
        };
        progress.is_sent.store(sent.is_ok(), Ordering::Relaxed);
        sent
    };
    let download = Download {
        origin,
        from_origin,
        buffers,
        speed,
        sink: Sink {
            stream: client,
            pulse,
            meter,
            way: Way::Down,
        },
        progress,
        request,
        exchange,
        closing: &context.closing,
    }
    .run();
    let vanished = async {
        let limit = context.config.peer_timeout;
        tokio::select! {
            () = client.vanished(limit) => {}
            () = origin.vanished(limit) => {}
        }
    };
    tokio::pin!(upload, download, vanished);

    let mut is_sending = true;
    let mut watches_client = true;
    let outcome = loop {
        tokio::select! {
            biased;
            sent = &mut upload, if is_sending => {
                is_sending = false;
                match sent {
                    Ok(()) => {}
                    // The origin does not want the rest; it may have said why.
                    Err(Broken::Sink) => watches_client = false,
                    Err(Broken::Source) => return Outcome::BrokenOff,
                    Err(Broken::Malformed) if progress.is_answering.load(Ordering::Relaxed) => {
                        return Outcome::BrokenOff;
                    }
                    Err(Broken::Malformed) => return Outcome::Unanswered(Cause::RequestBody),
                }
            }
            outcome = &mut download => break outcome,
            left = client_left(client), if !is_sending && watches_client => {
                watches_client = false;
                match left {
                    Left::Gone => return Outcome::BrokenOff,
                    Left::Finished => pulse.limit_to(SILENCE_AFTER_AN_END),
                    Left::Speaking => {}
                }
            }
            () = async {
                tokio::select! {
                    () = pulse.stopped() => {}
                    () = &mut vanished => {}
                }
            } => {
                return if progress.is_answering.load(Ordering::Relaxed) {
                    progress.cut_short(client);
                    Outcome::BrokenOff
                } else {
                    Outcome::Unanswered(Cause::TimedOut)
                };
            }
            () = lease.cancelled() => {
                progress.cut_short(client);
                return Outcome::BrokenOff;
            }
        }
    };
    if is_sending && matches!(outcome, Outcome::Answered { .. }) && tells_the_end(client, pulse).await {
        // The client has its answer and knows that the connection closes. The origin may still want the body.
        pulse.limit_to(SILENCE_AFTER_AN_END);
        tokio::select! {
            _ = &mut upload => {}
            () = pulse.stopped() => {}
            () = lease.cancelled() => {}
        }
    }
    outcome
}

/// Tells the client that nothing more comes. Whether it can be told before it has been silent for too long.
async fn tells_the_end(client: &Stream, pulse: &Pulse) -> bool {
    tokio::select! {
        biased;
        told = peer::half_close(client) => told.is_ok(),
        () = pulse.stopped() => false,
    }
}

enum Left {
    /// It broke the connection.
    Gone,
    /// It closed; it may read on, or not.
    Finished,
    /// It has sent more, which will be read in its turn.
    Speaking,
}

/// Waits for the client to leave while its answer is awaited, without taking anything that it sends.
async fn client_left(client: &Stream) -> Left {
    match client.peek().await {
        Ok(0) => Left::Finished,
        Ok(_) => Left::Speaking,
        Err(_) => Left::Gone,
    }
}

/// The way of an answer from the origin to the client.
struct Download<'d> {
    origin: &'d Stream,
    from_origin: &'d mut BytesMut,
    buffers: &'d Buffers,
    speed: &'d Speed,
    sink: Sink<'d>,
    progress: &'d Progress,
    request: &'d Request,
    exchange: &'d Exchange,
    closing: &'d tokio_util::sync::CancellationToken,
}

impl Download<'_> {
    async fn run(mut self) -> Outcome {
        for answers_before in 0..MAX_INTERIM_ANSWERS {
            let said = match self.head().await {
                Ok(raw) => self.read(&raw),
                Err(Cause::Closed) if answers_before > 0 => Err(Cause::ClosedMidway),
                Err(cause) => Err(cause),
            };
            match said {
                Ok(Said::Interim(head)) => {
                    if self.sink.write(&head).await.is_err() {
                        return Outcome::BrokenOff;
                    }
                }
                Ok(Said::Switching(head)) => return Outcome::Switched(head),
                Ok(Said::Answer(answer)) => return self.answer(answer).await,
                Err(cause) => return Outcome::Unanswered(cause),
            }
        }
        Outcome::Unanswered(Cause::Malformed)
    }

    async fn head(&mut self) -> Result<Bytes, Cause> {
        let mut end = HeadEnd::first();
        loop {
            match end.find(self.from_origin) {
                Parse::Done(_, end) => return Ok(self.from_origin.split_to(end).freeze()),
                Parse::Refuse(HeadError::TooLarge | HeadError::TooManyFields | HeadError::RequestLineTooLong) => {
                    return Err(Cause::TooLong);
                }
                Parse::Refuse(_) => return Err(Cause::Malformed),
                Parse::Need(_) => {}
            }
            match peer::read_more(self.origin, self.from_origin).await {
                Ok(1..) => {}
                Ok(0) | Err(_) if self.from_origin.is_empty() => return Err(Cause::Closed),
                Ok(0) | Err(_) => return Err(Cause::ClosedMidway),
            }
        }
    }

    /// What a head means for the client. Nothing of it has been passed on yet.
    fn read(&mut self, raw: &[u8]) -> Result<Said, Cause> {
        let head = ResponseHead::parse(raw).map_err(|_| Cause::Malformed)?;
        let framing = response_framing(&head, &self.exchange.method).map_err(|_| Cause::Unframed)?;
        let is_old = self.request.version == Version::Http10;
        match head.status {
            101 if self.exchange.upgrade && head.fields.has_member("upgrade", "websocket") => {
                Ok(Said::Switching(switching_for_client(&head)))
            }
            101 => Err(Cause::Malformed),
            // HTTP/1.0 has none (RFC 9110 §15.2).
            100..=199 if is_old => Ok(Said::Interim(Vec::new())),
            100..=199 => {
                let onward = response_for_client(&head, &framing, Persistence::Default);
                Ok(Said::Interim(onward))
            }
            _ => self.begin_answer(&head, framing).map(Said::Answer),
        }
    }

    fn begin_answer(&mut self, head: &ResponseHead<'_>, mut framing: ResponseFraming) -> Result<Answer, Cause> {
        let is_old = self.request.version == Version::Http10;
        let form = if is_old && framing.body == Body::Chunked {
            Form::Data
        } else {
            Form::Chunks
        };
        framing.drop_transfer_encoding |= is_old;
        let ends_by_close = framing.body == Body::UntilClose || form == Form::Data;
        // Behind a request that was not taken whole, and behind an upgrade that was refused, what the client sends next
        // cannot be told from what it sent before.
        let goes_on = self.progress.is_sent.load(Ordering::Relaxed) && !self.exchange.upgrade;
        let client_stays = goes_on && self.request.keeps_alive && !ends_by_close && !self.closing.is_cancelled();
        let persistence = match (client_stays, is_old) {
            (false, _) => Persistence::Close,
            (true, true) => Persistence::KeepAlive,
            (true, false) => Persistence::Default,
        };
        let onward = response_for_client(head, &framing, persistence);
        let message = Message::begin(onward, self.from_origin, framing.body, form).map_err(|_| Cause::Malformed)?;
        Ok(Answer {
            message,
            ends_by_close,
            client_stays,
            origin_stays: goes_on && framing.reusable,
        })
    }

    async fn answer(self, answer: Answer) -> Outcome {
        let Answer {
            message,
            ends_by_close,
            client_stays,
            origin_stays,
        } = answer;
        self.progress.ends_by_close.store(ends_by_close, Ordering::Relaxed);
        self.progress.is_answering.store(true, Ordering::Relaxed);
        let source = Source {
            stream: self.origin,
            pending: &mut *self.from_origin,
            buffers: self.buffers,
            speed: self.speed,
            way: Way::Down,
        };
        match message.relay(source, &self.sink).await {
            Ok(()) => Outcome::Answered {
                client_stays,
                // Bytes behind an answer are an answer to nothing.
                origin_stays: origin_stays && self.from_origin.is_empty(),
            },
            Err(Broken::Source | Broken::Malformed) => {
                self.progress.cut_short(self.sink.stream);
                Outcome::BrokenOff
            }
            Err(Broken::Sink) => Outcome::BrokenOff,
        }
    }
}

/// What an origin said.
enum Said {
    /// A 1xx, as the client sees it.
    Interim(Vec<u8>),
    /// A 101 to an upgrade that was asked for, as the client sees it.
    Switching(Vec<u8>),
    Answer(Answer),
}

/// A final answer whose head has been read.
struct Answer {
    message: Message,
    ends_by_close: bool,
    client_stays: bool,
    origin_stays: bool,
}
