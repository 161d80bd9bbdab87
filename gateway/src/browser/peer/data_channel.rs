//! The data channel `text`: JSON texts both ways, and the sign that the browser closed the session.

use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use tracing::debug;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::callbacks::Messaging;
use crate::browser::messages::{self, ClientMessage, outputs};
use crate::media::event::{EndReason, SessionEvent};
use crate::stream::outputs::{Event, Reader};
use crate::stream::session_inputs::SessionInputs;
use crate::telemetry;

/// How long the last texts may take to be acknowledged before the connection is closed under them.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the acknowledgement is looked for then; the stack has no event for "all delivered".
const FLUSH_POLL: Duration = Duration::from_millis(10);
/// A longer message from the browser means nothing here, and is ignored and counted.
const MAX_TEXT_BYTES: usize = 32 * 1024;
/// Outputs wait in their own queue, where a newer one pushes out the oldest, while the browser has
/// this much to acknowledge: a second of them at a rate that anybody could read.
const OUTPUT_WINDOW_BYTES: usize = 64 * 1024;
/// How often a full window is looked at; as above, there is no event.
const WINDOW_POLL: Duration = Duration::from_millis(20);

/// Serves the channel until it closes, or until the session drops `texts`: then what waits is
/// delivered first.
pub(super) async fn serve(
    channel: Arc<dyn DataChannel>,
    messaging: Messaging,
    events: Recipient<SessionEvent>,
) {
    let Messaging { mut texts, flushed, outputs: reader, inputs, received, .. } = messaging;
    let mut open = false;
    loop {
        tokio::select! {
            // In this order: outputs come before the end that follows them, and a flood from the
            // browser comes last.
            biased;
            values = next_output(&*channel, reader.as_ref()), if open => {
                for text in outputs(&values) {
                    send(&*channel, &text).await;
                }
            }
            text = texts.recv(), if open => match text {
                Some(text) => send(&*channel, &text).await,
                None => break,
            },
            event = channel.poll() => match event {
                Some(DataChannelEvent::OnOpen) => open = true,
                Some(DataChannelEvent::OnMessage(message)) => {
                    received.message();
                    if let Some(answer) = receive(&message.data, &inputs) {
                        send(&*channel, &answer).await;
                    }
                }
                Some(DataChannelEvent::OnClose) | None => {
                    // A session that has ended needs no telling.
                    events.send(SessionEvent::Ended(EndReason::ClientClosed)).await.ok();
                    return;
                }
                Some(_) => {}
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

/// Does what a message asks for, here on the media runtime: a flood of them costs no session its
/// arbiter. The answer is for its sender.
fn receive(message: &[u8], inputs: &SessionInputs) -> Option<String> {
    if message.len() > MAX_TEXT_BYTES {
        telemetry::message_ignored("too_long");
        return None;
    }
    let text = String::from_utf8_lossy(message);
    match ClientMessage::read(&text) {
        ClientMessage::SetInput(set) => {
            let refused = inputs.set(&set).err()?;
            telemetry::input_refused();
            Some(messages::refused(&refused))
        }
        ClientMessage::Unknown => {
            telemetry::message_ignored("unknown");
            None
        }
        ClientMessage::Text => Some(messages::echo(&text)),
    }
}

/// The next values, once the browser takes them. Cancel safe: values are taken last.
async fn next_output(channel: &dyn DataChannel, reader: Option<&Reader>) -> String {
    while channel.outstanding_bytes().await.is_ok_and(|bytes| bytes > OUTPUT_WINDOW_BYTES) {
        tokio::time::sleep(WINDOW_POLL).await;
    }
    if let Some(reader) = reader
        && let Event::Update(update) = reader.next().await
    {
        return update.values.clone();
    }
    // The end comes as a text, like all that the session says.
    std::future::pending().await
}

async fn send(channel: &dyn DataChannel, text: &str) {
    if let Err(error) = channel.try_send_text(text).await {
        telemetry::message_dropped();
        debug!(%error, "message not sent");
    }
}
