//! Many gateways' placements in one process.

use std::sync::Arc;
use std::time::Duration;

use reframe_proto::PROTOCOL_VERSION;
use reframe_proto::v1::frame_worker_client::FrameWorkerClient;
use reframe_proto::v1::{Mode, StreamSpec};
use tokio::sync::watch;
use tonic::transport::Endpoint;

use crate::config::cluster::SharedPlacement;
use crate::config::redis::RedisStore;
use crate::media::session_id::SessionId;
use crate::stream::spec::Spec;
use crate::workers::placement::{self, Placement, Slot};
use crate::workers::pool::{Health, Locality, Proximity, WorkerHandle};

/// One gateway's placement in Redis, without the gateway.
pub struct SharedSlots {
    placement: Arc<dyn Placement>,
    workers: Arc<[WorkerHandle]>,
}

/// Workers of one stream that are never called.
#[derive(Clone)]
pub struct Workers(Arc<[WorkerHandle]>);

/// A held slot; dropping it frees it.
pub struct Held {
    slot: Slot,
}

impl Workers {
    /// `count` workers of `capacity` slots each, named by their number. Call within a runtime.
    ///
    /// # Panics
    /// Never: the declaration is a constant.
    #[must_use]
    pub fn new(count: usize, capacity: u32) -> Self {
        let client =
            FrameWorkerClient::new(Endpoint::from_static("http://127.0.0.1:1").connect_lazy());
        let (_, health) = watch::channel(Health::Serving);
        let worker = |n: usize| {
            let wire = StreamSpec {
                protocol_version: PROTOCOL_VERSION,
                // As long as a real one.
                instance: format!("{n:016x}"),
                name: "simulated".into(),
                fps: 30.0,
                capacity,
                mode: Mode::SendReceive.into(),
                ..StreamSpec::default()
            };
            let spec = Arc::new(Spec::from_wire(wire).expect("a declaration without a fault"));
            let (client, health) = (client.clone(), health.clone());
            let (reach, proximity) = (Locality::Network, Proximity::Unknown);
            let (name, limit) = (n.to_string(), None);
            WorkerHandle { name, reach, proximity, client, spec, limit, health }
        };
        Self((0..count).map(worker).collect())
    }
}

impl SharedSlots {
    /// The gateway `number` at the Redis at `url`. Call within a runtime.
    ///
    /// # Panics
    /// When `url` is not a Redis URL.
    #[must_use]
    pub fn start(url: &str, number: u16, lease: Duration, workers: &Workers) -> Self {
        let client = redis::Client::open(url).expect("a Redis URL");
        let store = RedisStore { client, password_file: None };
        let known = Arc::clone(&workers.0);
        let serving = Box::new(move || known.to_vec());
        let [high, low] = number.to_be_bytes();
        let us = ([10, 0, high, low], 9092).into();
        let warnings = Vec::new();
        let shared = SharedPlacement { store, lease, peer: us, advertise: None, warnings };
        Self {
            placement: placement::start(Some((shared, us)), serving),
            workers: Arc::clone(&workers.0),
        }
    }

    /// Places a session; `None` when there is no slot.
    pub async fn claim(&self, session: &str) -> Option<Held> {
        let session = SessionId::parse(session).ok()?;
        let claimed = self.placement.claim(&session, &self.workers).await;
        claimed.ok().map(|(_, slot)| Held { slot })
    }
}

impl Held {
    /// The number of its worker.
    ///
    /// # Panics
    /// Never: workers are named by their numbers.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.slot.worker().parse().expect("workers are named by their numbers")
    }
}
