//! What a client has sent for one of its streams, and the stream's end has not read yet.

use std::future::poll_fn;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::relay::{Buffers, Queue};

/// With more than this the client is read no further.
const MOST: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Uplink {
    buffers: Buffers,
    state: Mutex<State>,
    /// There is room again, or nobody reads any more.
    read: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    stage: Stage,
    reader: Option<Waker>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Open,
    /// The client has ended it; what is there is still to be read.
    Ended,
    /// That has been read, too.
    Finished,
    /// The client has broken it off, or is gone.
    Broken,
    /// Nobody reads any more.
    Over,
}

impl Uplink {
    pub(super) fn new(buffers: Buffers) -> Self {
        Self {
            buffers,
            state: Mutex::default(),
            read: Notify::new(),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
    }

    /// Adds what the client has sent.
    pub(super) fn put(&self, data: &[u8]) {
        let mut state = self.state();
        if state.stage == Stage::Open {
            state.queue.put(&self.buffers, data);
            state.wake();
        }
    }

    /// Waits while there is too much.
    pub(super) async fn room(&self) {
        loop {
            let mut read = std::pin::pin!(self.read.notified());
            read.as_mut().enable();
            if self.state().queue.len() <= MOST {
                return;
            }
            read.await;
        }
    }

    /// The client sends no more.
    pub(super) fn end(&self) {
        self.become_from_open(Stage::Ended);
    }

    /// The client sends no more, and does not mean it as an end.
    pub(super) fn break_off(&self) {
        self.become_from_open(Stage::Broken);
    }

    fn become_from_open(&self, stage: Stage) {
        let mut state = self.state();
        if state.stage == Stage::Open {
            state.stage = stage;
            state.wake();
        }
    }

    /// Nobody reads any more. Gives back what it was until then.
    pub(super) fn close(&self) -> Stage {
        let mut state = self.state();
        state.queue = Queue::default();
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        drop(state);
        self.read.notify_waiters();
        stage
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.queue.is_empty() && state.stage == Stage::Open {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// How many bytes are there to be read.
    pub(super) fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        match state.stage {
            Stage::Broken | Stage::Over => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Stage::Open if state.queue.is_empty() => {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Stage::Ended if state.queue.is_empty() => state.stage = Stage::Finished,
            Stage::Open | Stage::Ended | Stage::Finished => {}
        }
        let count = state.queue.read(room);
        let has_room = state.queue.len() <= MOST;
        drop(state);
        if has_room {
            self.read.notify_waiters();
        }
        Poll::Ready(Ok(count))
    }

    /// Waits until the client has broken it off. Instead of reading: there is one to be woken.
    pub(super) async fn broken(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.stage == Stage::Broken {
                return Poll::Ready(());
            }
            state.reader = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
