//! The one thread that writes.
//!
//! Whatever waits for its turn while a transaction is made durable goes together into the next one: one `COMMIT`, and so one
//! flush of the disk, for all of them. Inside it each has a savepoint of its own, and so is done whole or not at all whatever
//! becomes of its neighbours. None is answered before all are durable, so nobody is told of what a crash could take back, even
//! though a later one has seen an earlier one's rows. Where the common transaction fails, all that were in it have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use rusqlite::ffi;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::job::{Job, Writing, given_up};
use super::{BUSY_TIMEOUT, Connection};
use crate::error::{Error, Result};
use crate::store::{ACQUIRE_TIMEOUT, Tx, Wakes, failure};

/// How many transactions become durable together, so that the first does not wait long for the last.
const MOST_TOGETHER: usize = 64;

/// How long one may wait for its turn: as long as another process may hold the lock, and a little.
const PATIENCE: Duration = ACQUIRE_TIMEOUT.saturating_add(BUSY_TIMEOUT);

pub(super) struct Writer {
    orders: Sender<Order>,
}

enum Order {
    Write(Box<dyn Job>),
    /// Told when the connection is closed.
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start(path: &Path, connection: Connection) -> rusqlite::Result<Self> {
        let (orders, received) = mpsc::channel();
        let bench = Bench {
            path: path.to_owned(),
            connection: Some(connection),
            runtime: Handle::current(),
        };
        let spawned = thread::Builder::new().name("sqlite-writer".to_owned());
        spawned
            .spawn(move || bench.serve(&received))
            .map_err(|error| failure::sqlite(ffi::SQLITE_NOMEM, &format!("no thread for it: {error}")))?;
        Ok(Self { orders })
    }

    pub(super) async fn run<T, F>(&self, work: F, wakes: Wakes) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + Sync + 'static,
    {
        let (reply, mut answer) = oneshot::channel();
        let is_taken = Arc::new(AtomicBool::new(false));
        let job = Writing {
            work,
            outcome: None,
            is_taken: Arc::clone(&is_taken),
            wakes,
            reply,
        };
        self.orders.send(Order::Write(Box::new(job))).map_err(|_| closed())?;
        let answered = match timeout(PATIENCE, &mut answer).await {
            Ok(answered) => answered,
            Err(_) if !is_taken.swap(true, Ordering::AcqRel) => {
                return Err(Error::Unavailable("the database is busy writing".to_owned()));
            }
            // It is under way; only its end can tell what came of it.
            Err(_) => answer.await,
        };
        answered.unwrap_or_else(|_| Err(closed()))
    }

    pub(super) async fn close(&self) {
        let (told, closed) = oneshot::channel();
        if self.orders.send(Order::Close(told)).is_ok() {
            let _ended = closed.await;
        }
    }
}

fn closed() -> Error {
    Error::Unavailable("the database is closed".to_owned())
}

/// The thread's own things.
struct Bench {
    path: PathBuf,
    /// Absent after a failure that left it in an unknown state: it is opened again for the next.
    connection: Option<Connection>,
    runtime: Handle,
}

impl Bench {
    fn serve(mut self, orders: &Receiver<Order>) {
        let mut next = orders.recv().ok();
        while let Some(order) = next {
            match order {
                Order::Write(job) => next = self.write(job, orders).or_else(|| orders.recv().ok()),
                Order::Close(told) => {
                    drop(self.connection.take());
                    let _gone = told.send(());
                    return;
                }
            }
        }
    }

    /// Runs this one and all that wait behind it in one transaction. What is to be done after it, where that is known.
    fn write(&mut self, first: Box<dyn Job>, orders: &Receiver<Order>) -> Option<Order> {
        let mut connection = match self.begin() {
            Ok(connection) => connection,
            Err(error) => {
                if first.start() {
                    first.settle(&Err(error));
                }
                return None;
            }
        };
        let mut together = Vec::new();
        let mut next = Some(Order::Write(first));
        while let Some(Order::Write(mut job)) = next {
            if job.start() {
                connection = job.run(connection, &self.runtime);
                together.push(job);
            }
            let has_room = together.len() < MOST_TOGETHER && connection.is_in_transaction();
            next = if has_room { orders.try_recv().ok() } else { None };
        }
        let ended = if connection.is_in_transaction() {
            connection.control("COMMIT")
        } else {
            Err(given_up())
        };
        let is_at_rest = !connection.is_in_transaction() || connection.control("ROLLBACK").is_ok();
        self.connection = is_at_rest.then_some(connection);
        for job in together {
            job.settle(&ended);
        }
        next
    }

    fn begin(&mut self) -> rusqlite::Result<Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::writer(&self.path)?,
        };
        match connection.control("BEGIN IMMEDIATE") {
            Ok(()) => Ok(connection),
            Err(error) => {
                self.connection = Some(connection);
                Err(error)
            }
        }
    }
}
