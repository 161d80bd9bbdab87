//! What the connection tells: its callbacks, and what the session hears of them.

use std::sync::{Arc, OnceLock};

use actix::Recipient;
use parking_lot::Mutex;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use webrtc::data_channel::DataChannel;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState,
};

use super::extensions::ExtensionIds;
use super::failure::Progress;
use super::tracks::Tracks;
use super::{data_channel, tracks};
use crate::browser::net::{Nudge, SessionPort};
use crate::media::event::{ConnectStage, DriverEnd, EndReason, SessionEvent};
use crate::media::receive_stats::ReceiveStats;
use crate::pipeline::backlog::PacketQueue;
use crate::stream::outputs::{Outputs, Reader};
use crate::stream::session_inputs::SessionInputs;

/// The data channel that FastRTC's clients open.
const CHANNEL: &str = "text";

/// What the data channel serves.
pub(super) struct Messaging {
    pub(super) texts: mpsc::Receiver<String>,
    /// Set when the last text was delivered.
    pub(super) flushed: watch::Sender<bool>,
    /// The first reader; `None` where the first offer had no data channel.
    pub(super) outputs: Option<Reader>,
    /// For a channel that a later offer brings.
    pub(super) all_outputs: Arc<Outputs>,
    pub(super) inputs: Arc<SessionInputs>,
    pub(super) received: Arc<ReceiveStats>,
}

/// The connection's callbacks. They run on its driver, which serves the socket: store or spawn,
/// never wait.
pub(super) struct Callbacks {
    pub(super) nudge: Arc<Nudge>,
    /// Set with the answer, long before anything is sent.
    pub(super) extensions: Arc<OnceLock<ExtensionIds>>,
    pub(super) state: watch::Sender<RTCPeerConnectionState>,
    pub(super) gathered: watch::Sender<bool>,
    /// Where the browser's video goes.
    pub(super) video: Option<(Arc<PacketQueue>, Arc<Tracks>)>,
    pub(super) received: Arc<ReceiveStats>,
    /// Taken by the first data channel named `text`; the client needs no other.
    pub(super) messaging: Mutex<Option<Messaging>>,
    pub(super) progress: Progress,
    pub(super) stop: CancellationToken,
    pub(super) events: Recipient<SessionEvent>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Callbacks {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        self.progress.ice(state);
        self.nudge.now();
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.progress.connection(state);
        self.nudge.now();
        self.state.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        if track.kind().await != RtpCodecKind::Video {
            return;
        }
        if let Some((packets, tracks)) = &self.video {
            let extensions = self.extensions.get().copied().unwrap_or_default();
            let receiving = {
                let (tracks, packets, received) =
                    (Arc::clone(tracks), Arc::clone(packets), Arc::clone(&self.received));
                tracks::receive_packets(track, tracks, packets, extensions, received)
            };
            tokio::spawn(self.stop.clone().run_until_cancelled_owned(receiving));
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        // An error is a channel that is gone already.
        if channel.label().await.is_ok_and(|label| label != CHANNEL) {
            return;
        }
        let messaging = self.messaging.lock().take();
        if let Some(mut messaging) = messaging {
            if messaging.outputs.is_none() {
                messaging.outputs = messaging.all_outputs.subscribe("channel");
            }
            tokio::spawn(data_channel::serve(channel, messaging, self.events.clone()));
        }
    }
}

/// Tells the session once that its browser has sent a signed check.
pub(super) async fn report_check(port: Arc<SessionPort>, events: Recipient<SessionEvent>) {
    port.first_check().await;
    // A session that has ended needs no telling.
    events.send(SessionEvent::Checked).await.ok();
}

/// Tells the session that its connection's driver is gone, and with it all that would ever tell of
/// the connection. Not when the session itself has closed the connection.
pub(super) async fn report_driver(
    driver: oneshot::Receiver<DriverEnd>,
    events: Recipient<SessionEvent>,
) {
    // An error is a driver that was dropped.
    let end = driver.await.unwrap_or(DriverEnd::Returned);
    events.send(SessionEvent::Ended(EndReason::Driver(end))).await.ok();
}

/// Passes the connection's states on, level-triggered: an intermediate state may be missed, the
/// last never is.
pub(super) async fn report_state(
    mut state: watch::Receiver<RTCPeerConnectionState>,
    events: Recipient<SessionEvent>,
    keyframe_due: Arc<Notify>,
    stop: CancellationToken,
    step: impl Fn() -> ConnectStage,
) {
    loop {
        let event = match *state.borrow_and_update() {
            RTCPeerConnectionState::Connected => {
                // What was sent before went nowhere: a generator does not wait for its viewer.
                keyframe_due.notify_one();
                Some(SessionEvent::Connected)
            }
            RTCPeerConnectionState::Failed => {
                Some(SessionEvent::Ended(EndReason::ConnectionFailed(step())))
            }
            RTCPeerConnectionState::Closed => Some(SessionEvent::Ended(EndReason::ClientClosed)),
            _ => None,
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};

    use super::*;

    /// In the session's place.
    struct Listener(mpsc::Sender<SessionEvent>);

    impl Actor for Listener {
        type Context = Context<Self>;
    }

    impl Handler<SessionEvent> for Listener {
        type Result = ();

        fn handle(&mut self, event: SessionEvent, _: &mut Self::Context) {
            self.0.try_send(event).unwrap();
        }
    }

    #[actix::test]
    async fn each_connection_begins_with_a_keyframe() {
        let (state, states) = watch::channel(RTCPeerConnectionState::New);
        let (sender, mut events) = mpsc::channel(1);
        let recipient = Listener(sender).start().recipient();
        let (keyframe_due, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let step = || -> ConnectStage { unreachable!("it does not fail") };
        let reporting = tokio::spawn(report_state(
            states,
            recipient,
            Arc::clone(&keyframe_due),
            stop.clone(),
            step,
        ));
        for _ in 0..2 {
            state.send_replace(RTCPeerConnectionState::Connected);
            assert!(matches!(events.recv().await, Some(SessionEvent::Connected)));
            keyframe_due.notified().await;
            state.send_replace(RTCPeerConnectionState::Disconnected);
            tokio::task::yield_now().await;
        }
        stop.cancel();
        reporting.await.unwrap();
    }
}
