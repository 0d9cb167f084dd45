//! A wish to stop: Ctrl-C or the end of the time that was given. Whoever works looks at it between two steps.

use std::time::Duration;

use tokio::sync::watch;

/// Why to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// Ctrl-C, or the system asked the process to end.
    Interrupted,
    /// The minutes of `--minutes` are over.
    Minutes(f64),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupted => write!(out, "interrupted"),
            Self::Minutes(minutes) => write!(out, "the {minutes} minutes of `--minutes` are over"),
        }
    }
}

/// A handle on the wish to stop. Clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    wish: watch::Receiver<Option<Reason>>,
}

/// The other end: whoever may wish to stop. The handle stays silent when it is dropped.
#[derive(Debug)]
pub struct Stopper {
    wish: watch::Sender<Option<Reason>>,
}

impl Stopper {
    /// A stopper and the handle that hears it.
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(None);
        (Self { wish: sender }, Stop { wish: receiver })
    }

    /// Wishes to stop. The first reason counts.
    pub fn stop(&self, reason: Reason) {
        self.wish.send_if_modified(|wish| wish.is_none() && wish.replace(reason).is_none());
    }
}

impl Stop {
    /// A handle that never asks to stop.
    pub fn never() -> Self {
        Stopper::new().1
    }

    /// Why to stop, once there is a reason.
    pub fn reason(&self) -> Option<Reason> {
        *self.wish.borrow()
    }

    /// Waits until there is a reason.
    pub async fn wished(&self) -> Reason {
        let mut wish = self.wish.clone();
        let reason = wish.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// `work`, or the reason why it was abandoned.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Reason> {
        tokio::select! {
            biased;
            reason = self.wished() => Err(reason),
            done = work => Ok(done),
        }
    }
}

/// Stops at the first Ctrl-C, or when `minutes` are over; comes back at the second Ctrl-C.
pub async fn listen(stopper: Stopper, minutes: Option<f64>) {
    let limit = async {
        match minutes {
            Some(minutes) => {
                tokio::time::sleep(Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX))
                    .await;
                stopper.stop(Reason::Minutes(minutes));
            }
            None => std::future::pending().await,
        }
        std::future::pending::<()>().await;
    };
    let signals = async {
        asked_to_end().await;
        stopper.stop(Reason::Interrupted);
        asked_to_end().await;
    };
    tokio::select! {
        () = limit => {}
        () = signals => {}
    }
}

#[cfg(unix)]
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => interrupted().await,
    }
}

#[cfg(not(unix))]
async fn asked_to_end() {
    interrupted().await;
}

/// Waits for Ctrl-C; forever where the system does not tell.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_abandoned_for_the_first_reason() {
        let (stopper, stop) = Stopper::new();
        assert_eq!(stop.or(async { 7 }).await, Ok(7));
        stopper.stop(Reason::Minutes(1.5));
        stopper.stop(Reason::Interrupted);
        assert_eq!(stop.or(std::future::pending::<()>()).await, Err(Reason::Minutes(1.5)));
        assert_eq!(stop.reason().unwrap().to_string(), "the 1.5 minutes of `--minutes` are over");
    }

    #[tokio::test]
    async fn a_handle_whose_stopper_is_gone_never_stops() {
        let stop = Stop::never();
        assert_eq!(stop.or(async { 7 }).await, Ok(7));
        assert_eq!(stop.reason(), None);
    }
}
