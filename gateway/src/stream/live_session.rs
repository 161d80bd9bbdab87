//! The parts of a running session that HTTP requests and the data channel read and set. Each part
//! is shared only with the hop that writes it.

use std::sync::{Arc, OnceLock};

use serde_json::Value as Json;
use tokio::time::Instant;

use super::handler_times::HandlerTimes;
use super::inputs::Values;
use super::latency::Latency;
use super::outputs::Outputs;
use super::session_inputs::SessionInputs;
use super::spec::{Mode, Spec};
use super::status::Status;
use crate::media::event::EndReason;
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
    /// The declaration that it began with: what its media path was made from. That of its worker is
    /// [`Self::declared`].
    pub(crate) spec: Arc<Spec>,
    /// Its client was made for another declaration and has to be told.
    pub(crate) outdated: bool,
    pub(crate) owner: Owner,
    /// Set by the client; read by the link to the worker.
    pub(crate) inputs: Arc<SessionInputs>,
    /// Published by the link; read by the client.
    pub(crate) outputs: Arc<Outputs>,
    /// Counts of what the browser sent: written by its connection and the decoder.
    pub(crate) received: Arc<ReceiveStats>,
    /// Written where pictures leave; in mode `send` by the link.
    pub(crate) latency: Arc<Latency>,
    /// Written by the link.
    pub(crate) handler_times: Arc<HandlerTimes>,
    /// Written by the session's actor.
    pub(crate) status: Arc<Status>,
    /// Why it is over: as `status`.
    end: OnceLock<EndReason>,
}

impl LiveSession {
    /// For a session whose client has set `values` in its offer.
    pub(crate) fn new(spec: Arc<Spec>, outdated: bool, owner: Owner, values: Values) -> Arc<Self> {
        let names = output_names(&spec);
        let outputs =
            if spec.broadcast { Outputs::of_broadcast(names) } else { Outputs::new(names) };
        Self::with_outputs(spec, outdated, owner, values, outputs)
    }

    /// For a viewer of this session, whose connection is that of a generator's client. It is told
    /// the outputs if all see them, and sets nothing.
    pub(crate) fn viewers(&self) -> Arc<Self> {
        let watched = self.declared();
        let (inputs, mode) = (Vec::new(), Mode::Receive);
        let spec = Arc::new(Spec { mode, inputs, ..(*watched).clone() });
        let outputs =
            if spec.broadcast { Arc::clone(&self.outputs) } else { Outputs::new(Vec::new()) };
        Self::with_outputs(spec, false, Owner::default(), Values::default(), outputs)
    }

    fn with_outputs(
        spec: Arc<Spec>,
        outdated: bool,
        owner: Owner,
        values: Values,
        outputs: Arc<Outputs>,
    ) -> Arc<Self> {
        let since = Instant::now();
        Arc::new(Self {
            inputs: Arc::new(SessionInputs::new(Arc::clone(&spec), owner.fixed.clone(), values)),
            spec,
            outdated,
            owner,
            outputs,
            received: Arc::default(),
            latency: Arc::new(Latency::new(since)),
            handler_times: Arc::default(),
            status: Arc::new(Status::new(since)),
            end: OnceLock::new(),
        })
    }

    /// It is over for this reason; of several, the first.
    pub(crate) fn set_end(&self, reason: &EndReason) {
        self.end.set(reason.clone()).ok();
    }

    /// Why it is over, if it is.
    pub(crate) fn end(&self) -> Option<EndReason> {
        self.end.get().cloned()
    }

    /// The declaration that holds now.
    pub(crate) fn declared(&self) -> Arc<Spec> {
        self.inputs.declared()
    }

    /// Whether a worker that declares `spec` can take this session.
    pub(crate) fn fits(&self, spec: &Spec) -> bool {
        // What the access token has fixed must not become free.
        spec.takes_over(&self.spec) && self.inputs.fixed_fit(spec)
    }

    /// From now on `spec` holds: the session is at a worker that declares it. Returns whether it is
    /// another declaration than before, as clients see it.
    pub(crate) fn declare(&self, spec: &Arc<Spec>) -> bool {
        let before = self.declared();
        if before.differences(spec).is_empty() {
            return false;
        }
        self.inputs.declare(spec);
        self.outputs.declare(output_names(spec));
        before.digest() != spec.digest()
    }

    /// The declaration that holds now, as `GET /api/streams` has it, but with the values that the
    /// inputs have; without those that are not the client's to set.
    pub(crate) fn declaration(&self, limit: u32) -> Json {
        let spec = self.declared();
        let mut declaration = spec.to_json(limit);
        let values = self.inputs.kept(&spec);
        let inputs = spec.inputs.iter().filter(|input| !self.owner.fixed.contains(&input.name));
        let inputs = inputs.map(|input| {
            let mut json = input.to_json();
            if let Some(value) = values.get(&input.name) {
                json["value"] = value.to_json();
            }
            json
        });
        declaration["inputs"] = inputs.collect();
        declaration
    }
}

fn output_names(spec: &Spec) -> Vec<String> {
    spec.outputs.iter().map(|output| output.name.clone()).collect()
}
