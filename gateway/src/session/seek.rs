//! Finding a worker for a session that has none, or that has to leave its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, info};

use super::{EndReason, SessionEvent};
use crate::controls::Controls;
use crate::link::{DialError, Dialed, dial};
use crate::placement::{Placement, Slot};
use crate::pool::{Health, Pool, Serving};

/// Between two tries, unless a worker comes or changes meanwhile: a slot that becomes free at another gateway is told
/// nobody.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// What is needed to find a worker.
#[derive(Clone)]
pub(crate) struct Seek {
    pub(crate) id: String,
    pub(crate) pool: Pool,
    pub(crate) placement: Arc<dyn Placement>,
    pub(crate) controls: Arc<Controls>,
    pub(crate) events: mpsc::Sender<SessionEvent>,
}

/// What has become of the last worker.
pub(super) enum Last {
    /// There was none: this one was claimed.
    Claimed(Serving, Slot),
    /// There is none, nor any to keep away from.
    Nothing,
    /// It is lost, and may look as if it still served.
    Lost(Serving),
    /// It goes on until there is another.
    Leaving(Serving),
}

/// What came of it.
pub(super) enum Found {
    Worker(Dialed),
    /// The worker that was to be left serves again.
    Stay,
}

impl Seek {
    /// Tries until there is a worker; [`SessionEvent::Waiting`] tells that it takes longer.
    ///
    /// # Errors
    /// The handler itself does not want the session.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it holds nothing.
    pub(super) async fn run(self, last: Last) -> Result<Found, EndReason> {
        let mut changes = self.pool.changes();
        let (leave, mut avoid, mut claimed) = match last {
            Last::Claimed(worker, slot) => (None, None, Some((worker, slot))),
            Last::Nothing => (None, None, None),
            // Its own pings notice a moment later than its streams' end.
            Last::Lost(worker) => (None, Some(worker.spec.instance.clone()), None),
            Last::Leaving(worker) => (Some(worker), None, None),
        };
        let mut hurry = true;
        loop {
            changes.mark_unchanged();
            if leave.as_ref().is_some_and(|worker| *worker.health.borrow() == Health::Serving) {
                return Ok(Found::Stay);
            }
            let place = match claimed.take() {
                Some(place) => Some(place),
                None => self.claim(leave.as_ref().map(|worker| &worker.spec.instance).or(avoid.as_ref())).await,
            };
            avoid = None;
            if let Some((worker, slot)) = place {
                let (name, instance) = (worker.name.clone(), worker.spec.instance.clone());
                match dial((worker, slot), &self.id, &self.controls, &self.events).await {
                    Ok(dialed) => return Ok(Found::Worker(dialed)),
                    Err(DialError::Ended(reason)) => return Err(reason),
                    Err(DialError::Unavailable) => {
                        info!(worker = name, "the worker did not take the session, looking for another");
                        avoid = Some(instance);
                        // There may be another with room.
                        if std::mem::take(&mut hurry) {
                            continue;
                        }
                    }
                }
            }
            // The session is gone: its end drops this future.
            drop(self.events.send(SessionEvent::Waiting).await);
            // Closed: never, the pool is ours. Elapsed: another try.
            drop(timeout(RETRY_INTERVAL, changes.changed()).await);
        }
    }

    async fn claim(&self, without: Option<&String>) -> Option<(Serving, Slot)> {
        let mut workers = self.pool.serving();
        workers.retain(|worker| worker.spec.name == self.controls.spec.name && Some(&worker.spec.instance) != without);
        let claimed = self.placement.claim(&self.id, &workers).await;
        claimed.map_err(|error| debug!(?error, "no other worker now")).ok()
    }
}
