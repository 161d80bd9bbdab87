//! The parts of a running session that HTTP requests and the data channel read and set. Each part
//! is shared only with the hop that writes it.

use std::sync::Arc;

use tokio::time::Instant;

use super::handler_times::HandlerTimes;
use super::inputs::Values;
use super::latency::Latency;
use super::outputs::Outputs;
use super::session_inputs::SessionInputs;
use super::spec::Spec;
use super::status::Status;
use crate::media::receive_stats::ReceiveStats;

/// Whose session it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owner {
    /// Whom the access token named.
    pub(crate) subject: Option<String>,
    /// The nonce in the session's token.
    pub(crate) nonce: String,
    /// Inputs whose values the access token fixed.
    pub(crate) fixed: Vec<String>,
}

/// One session, as the registry knows it.
#[derive(Debug)]
pub(crate) struct LiveSession {
    pub(crate) spec: Arc<Spec>,
    pub(crate) owner: Owner,
    /// Set by the client; read by the link to the worker.
    pub(crate) inputs: Arc<SessionInputs>,
    /// Published by the link; read by the client.
    pub(crate) outputs: Arc<Outputs>,
    /// Counts of what the browser sent: written by its connection and the decoder.
    pub(crate) received: Arc<ReceiveStats>,
    /// Written where pictures leave.
    pub(crate) latency: Arc<Latency>,
    /// Written by the link.
    pub(crate) handler_times: Arc<HandlerTimes>,
    /// Written by the session's actor.
    pub(crate) status: Arc<Status>,
}

impl LiveSession {
    /// For a session whose client has set `values` in its offer.
    pub(crate) fn new(spec: Arc<Spec>, owner: Owner, values: Values) -> Arc<Self> {
        let since = Instant::now();
        let outputs = Outputs::new(spec.outputs.iter().map(|output| output.name.clone()).collect());
        Arc::new(Self {
            inputs: Arc::new(SessionInputs::new(Arc::clone(&spec), owner.fixed.clone(), values)),
            spec,
            owner,
            outputs,
            received: Arc::default(),
            latency: Arc::new(Latency::new(since)),
            handler_times: Arc::default(),
            status: Arc::new(Status::new(since)),
        })
    }
}
