//! The data channel `text`: JSON texts both ways, and the sign that the browser closed the session.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::debug;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use crate::session::{EndReason, SessionEvent};
use crate::telemetry;

/// How long the last texts may take to be acknowledged before the connection is closed under them.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the acknowledgement is looked for then; the stack has no event for "all delivered".
const FLUSH_POLL: Duration = Duration::from_millis(10);
/// A longer message from the browser is cut: nothing in the protocol needs it.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Serves the channel until it closes, or until the session drops `texts`: then what waits is delivered first.
pub(super) async fn serve(
    channel: Arc<dyn DataChannel>,
    mut texts: mpsc::Receiver<String>,
    events: mpsc::Sender<SessionEvent>,
    flushed: watch::Sender<bool>,
) {
    let mut open = false;
    loop {
        tokio::select! {
            event = channel.poll() => match event {
                Some(DataChannelEvent::OnOpen) => open = true,
                Some(DataChannelEvent::OnMessage(message)) => {
                    let text = &message.data[..message.data.len().min(MAX_TEXT_BYTES)];
                    let text = SessionEvent::Text(String::from_utf8_lossy(text).into_owned());
                    // Waits for the session: the peer's window fills meanwhile, so a flood costs only the flooder.
                    // An error is a session that has ended: its last words are still to be delivered.
                    drop(events.send(text).await);
                }
                Some(DataChannelEvent::OnClose) | None => {
                    // A session that has ended needs no telling.
                    drop(events.send(SessionEvent::Ended(EndReason::ClientClosed)).await);
                    return;
                }
                Some(_) => {}
            },
            text = texts.recv(), if open => match text {
                Some(text) => if let Err(error) = channel.try_send_text(&text).await {
                    telemetry::message_dropped();
                    debug!(%error, "message not sent");
                },
                None => break,
            },
        }
    }
    let delivered = async {
        while channel.outstanding_bytes().await.is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(FLUSH_POLL).await;
        }
    };
    // Elapsed: the browser is gone or stuck, and misses them.
    drop(tokio::time::timeout(FLUSH_TIMEOUT, delivered).await);
    flushed.send_replace(true);
}
