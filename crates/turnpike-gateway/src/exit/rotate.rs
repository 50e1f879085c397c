//! Giving an exit another address: one rotation at a time, at most a minute, and a failed one changes nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::choice::{Choice, can_move};
use super::{Exit, ExitWay, Present, Rotated, RotationError, device, method, resolver};

/// How often a device is looked at while it comes back.
const DEVICE_POLL: Duration = Duration::from_millis(200);

impl Exit {
    /// Gives this exit another address: runs its method where it has one, then moves on inside its pool or prefix.
    ///
    /// It goes on where the caller is dropped, since half a redial is worse than one that nobody waits for.
    ///
    /// # Errors
    /// [`RotationError`]; the exit stays as it was.
    pub(crate) async fn rotate(self: &Arc<Self>) -> Result<Rotated, RotationError> {
        let present = self.present.load_full();
        if self.open.is_cancelled() {
            return Err(RotationError::UnknownExit);
        }
        if present.spec.rotate.is_none() && !can_move(&present.spec.way) {
            return Err(RotationError::CannotRotate);
        }
        let turn = Turn::take(self).ok_or(RotationError::Busy)?;
        tokio::spawn(async move { turn.rotate(&present).await })
            .await
            .unwrap_or_else(|_| Err(RotationError::Failed("the rotation was cut off".to_owned())))
    }

    /// Whether a rotation is under way.
    pub(super) fn is_rotating(&self) -> bool {
        self.is_rotating.load(Ordering::Acquire)
    }

    /// Puts the next address in force; `told` is what the method says the public address is.
    fn move_on(&self, told: Option<IpAddr>) -> Result<(Arc<Present>, Option<IpAddr>), RotationError> {
        let _guard = self.replacing();
        // The spec may have changed while the method ran.
        let before = self.present.load_full();
        let mut choice = before.choice.next(&before.spec.way)?;
        choice.address = match before.spec.way {
            ExitWay::Pool(_) | ExitWay::Prefix(_) => told.or(choice.address),
            ExitWay::Interface(_) | ExitWay::HttpUpstream(_) | ExitWay::Socks5Upstream(_) => told,
        };
        let address = choice.address;
        self.present.store(Arc::new(self.present_after(&before, choice)));
        Ok((before, address))
    }

    fn present_after(&self, before: &Present, choice: Choice) -> Present {
        Present {
            spec: before.spec.clone(),
            resolver: resolver(&choice, &self.environment),
            generation: before.generation + 1,
            lease: self.open.child_token(),
            choice,
        }
    }
}

/// The one rotation that an exit has at a time.
struct Turn(Arc<Exit>);

impl Turn {
    fn take(exit: &Arc<Exit>) -> Option<Self> {
        let was_taken = exit.is_rotating.swap(true, Ordering::AcqRel);
        (!was_taken).then(|| Self(Arc::clone(exit)))
    }

    async fn rotate(self, present: &Present) -> Result<Rotated, RotationError> {
        let started = Instant::now();
        let exit = &self.0;
        let bound = exit.environment.bounds.rotation;
        let change = async {
            let told = change_address(exit, present).await?;
            exit.move_on(told)
        };
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(bound, change) => {
                outcome.unwrap_or(Err(RotationError::TimedOut(bound)))
            }
            () = exit.open.cancelled() => Err(RotationError::Failed(
                "the exit was taken away, or the gateway stopped, before it was done".to_owned(),
            )),
        };
        let took = started.elapsed();
        note(&present.spec.name, &outcome, took);
        let (before, address) = outcome?;
        exit.health.forget();
        exit.end_later(before.lease.clone(), before.spec.drain);
        Ok(Rotated {
            address,
            previous: before.choice.address,
            took,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.is_rotating.store(false, Ordering::Release);
        // Whether it works under the new address, or what a failed method has left of it.
        self.0.request_probe();
        // A modem's device may have another address.
        self.0.environment.exits_changed.notify_one();
    }
}

/// Runs the exit's method, where it has one, and waits until a device is back.
async fn change_address(exit: &Exit, present: &Present) -> Result<Option<IpAddr>, RotationError> {
    let Some(rotate) = &present.spec.rotate else {
        return Ok(None);
    };
    let device = match &present.spec.way {
        ExitWay::Interface(device) => Some(device.as_str()),
        _ => None,
    };
    let told = method::run(rotate, &present.spec.name, device, &exit.environment.http).await?;
    if let Some(device) = device {
        while device::addresses(device).is_empty() {
            tokio::time::sleep(DEVICE_POLL).await;
        }
    }
    Ok(told)
}

fn note<T>(exit: &str, outcome: &Result<T, RotationError>, took: Duration) {
    let result = match outcome {
        Ok(_) => "ok",
        Err(RotationError::TimedOut(_)) => "timed_out",
        Err(_) => "failed",
    };
    metrics::counter!("turnpike_rotations_total", "result" => result).increment(1);
    metrics::histogram!("turnpike_rotation_seconds").record(took.as_secs_f64());
    match outcome {
        Ok(_) => tracing::info!(%exit, ?took, "rotated"),
        Err(error) => tracing::warn!(%exit, ?took, %error, "the rotation failed"),
    }
}
