//! What the client is told: FastRTC's messages on the data channel, in words for the person who
//! looks at the page.
//!
//! What the log says is another text, written where the fault is seen.

use serde_json::{Map, Value, json};

use crate::media::event::{EndReason, Notice, Severity};
use crate::media::receive_stats::Fault;
use crate::stream::handler_times::HandlerMeans;
use crate::stream::inputs::InputError;

/// The least that a WebRTC data channel must carry in one message (RFC 8841, section 6.1).
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The last words of a session; `None` to a client that is gone.
pub(crate) fn last_words(reason: &EndReason) -> Option<String> {
    Some(match reason {
        EndReason::ClientClosed
        | EndReason::ConnectionFailed(_)
        | EndReason::NeverConnected(_)
        | EndReason::NoDtls(_)
        | EndReason::CrowdedOut
        | EndReason::Silent
        | EndReason::Unwatched
        | EndReason::SessionEnded
        | EndReason::Driver(_) => return None,
        EndReason::Refused(refused) => refused.in_words(),
        EndReason::NoVideo { packets: false } => {
            "No video came from this browser. Check that the camera is on and that nothing blocks \
             it, then start again."
                .to_owned()
        }
        EndReason::NoVideo { packets: true } => {
            "Video came from this browser, but nothing in it could be decoded. Try another \
             browser, or another codec."
                .to_owned()
        }
        EndReason::Idle(limit) => {
            format!(
                "This browser sent no video for {limit:?}, so the stream was ended. Start \
                     again to go on."
            )
        }
        EndReason::Displaced => {
            "This browser sent no video any more, and somebody else needed the place. Start again \
             to go on."
                .to_owned()
        }
        EndReason::WorkerLost => {
            "The worker that processed this stream went away, and no other has room. Try again in \
             a moment."
                .to_owned()
        }
        EndReason::Changed => {
            "This stream was changed on the server, and cannot go on as it began. Start again for \
             the new one."
                .to_owned()
        }
        EndReason::HandlerFailed(message) | EndReason::HandlerEnded(message) => message.clone(),
        EndReason::TimeLimit(limit) => format!(
            "A stream here runs for {limit:?} at most. Start \
            again for another."
        ),
        EndReason::Operator => "The server closed this stream.".to_owned(),
        EndReason::Shutdown => "The server is stopping. Start again in a moment.".to_owned(),
    })
}

/// The last messages of a session: `error` where something failed that the worker has not told
/// itself, with what the HTTP answer would have said where that was too early to know it;
/// `update_connection` where the server wants the client gone; then `end_stream`, but not to one
/// that was asked to go to another gateway and has not found it yet, for which this is not the end.
pub(crate) fn farewell(reason: &EndReason, leaving: bool) -> Vec<String> {
    if leaving && *reason == EndReason::Shutdown {
        return vec![connection("closed")];
    }
    let Some(message) = last_words(reason) else { return Vec::new() };
    let first = match reason {
        EndReason::WorkerLost => {
            Some(notice(&Notice { level: Severity::Error, message: message.clone() }))
        }
        EndReason::Refused(refused) => {
            let meta = refused.meta();
            Some(
                json!({ "type": "error", "data": message, "message": message, "meta": meta })
                    .to_string(),
            )
        }
        EndReason::Changed => Some(connection("changed")),
        EndReason::TimeLimit(_)
        | EndReason::Operator
        | EndReason::Shutdown
        | EndReason::NoVideo { .. }
        | EndReason::Idle(_)
        | EndReason::Displaced => Some(connection("closed")),
        _ => None,
    };
    let end = json!({ "type": "end_stream", "data": message }).to_string();
    first.into_iter().chain([end]).collect()
}

/// What a browser wrote.
#[derive(Debug, PartialEq)]
pub(crate) enum ClientMessage {
    /// `{"type":"set_input","data":{name: value, …}}`.
    SetInput(Map<String, Value>),
    /// A JSON object that means nothing here.
    Unknown,
    /// Any other text, `handshake` above all.
    Text,
}

impl ClientMessage {
    pub(crate) fn read(text: &str) -> Self {
        if !text.trim_start().starts_with('{') {
            return Self::Text;
        }
        // Also an object that is nested too deep.
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
            return Self::Unknown;
        };
        match (message.remove("type"), message.remove("data")) {
            (Some(Value::String(kind)), Some(Value::Object(set))) if kind == "set_input" => {
                Self::SetInput(set)
            }
            _ => Self::Unknown,
        }
    }
}

/// A handler's values, a JSON object by name: themselves, and FastRTC's nudge to fetch them.
pub(crate) fn outputs(values: &str) -> [String; 2] {
    [
        format!(r#"{{"type":"outputs","data":{values}}}"#),
        r#"{"type":"fetch_output","data":[]}"#.to_owned(),
    ]
}

/// Something about the connection that the browser cannot see: `reconnecting` while the session has
/// no worker, `connected` when it has one again; `reconnect` asks the client to start over, at
/// another gateway; `closed` is the end, and so is `changed`: a new session begins under another
/// declaration of the stream.
pub(crate) fn connection(state: &str) -> String {
    json!({ "type": "update_connection", "data": state }).to_string()
}

/// The stream's declaration is another now, as `GET /api/streams` has it. Where it is longer than a
/// data channel must carry, only its digest: by that it is asked for there.
pub(crate) fn declaration(declaration: &Value) -> String {
    let text = json!({ "type": "declaration", "data": declaration }).to_string();
    if text.len() <= MAX_MESSAGE_BYTES {
        return text;
    }
    let digest = &declaration["declaration"];
    json!({ "type": "declaration", "data": null, "declaration": digest }).to_string()
}

pub(crate) fn taken_over() -> String {
    let message = "The worker that processed this stream went away, and another has taken over. \
                   What its handler remembered of this stream is lost."
        .to_owned();
    notice(&Notice { level: Severity::Warning, message })
}

pub(crate) fn moved() -> String {
    let message = "This stream moved to another worker, since its own is being stopped. What its \
                   handler remembered of this stream is lost."
        .to_owned();
    notice(&Notice { level: Severity::Warning, message })
}

/// What a browser cannot know: frames that the handler was too busy for, and the mean time in
/// milliseconds from a frame's last packet in to its picture's last packet out; and how many frames
/// a second it is asked to send at most, while there is more to code than time; and what frames
/// took at the worker. Also the server's sign of life, once a second.
pub(crate) fn stats(
    skipped: Option<u64>,
    server_ms: Option<f64>,
    max_fps: Option<f64>,
    handler: Option<HandlerMeans>,
) -> String {
    let handler = handler.map(|HandlerMeans { handler_ms, turn_ms, batch }| {
        let batch = batch.map(|batch| json!({ "size": batch.size, "wait_ms": batch.wait_ms }));
        json!({ "ms": handler_ms, "turn_ms": turn_ms, "batch": batch })
    });
    json!({
        "type": "stats",
        "data": {
            "skipped": skipped,
            "server_ms": server_ms,
            "max_fps": max_fps,
            "handler": handler,
        },
    })
    .to_string()
}

pub(crate) fn refused(error: &InputError) -> String {
    notice(&Notice { level: Severity::Error, message: error.to_string() })
}

/// FastRTC documents `data` and sends `message` for errors and warnings; its front-ends read
/// either, so both go out.
pub(crate) fn notice(notice: &Notice) -> String {
    let message = &notice.message;
    match notice.level {
        Severity::Log => json!({ "type": "log", "data": message }),
        Severity::Warning => json!({ "type": "warning", "data": message, "message": message }),
        Severity::Error => json!({ "type": "error", "data": message, "message": message }),
    }
    .to_string()
}

/// The answer to any text, `handshake` above all.
pub(crate) fn echo(text: &str) -> String {
    json!({ "type": "log", "data": format!("Server received: {text}") }).to_string()
}

pub(crate) fn falling_behind() -> String {
    let message = "The handler is slower than the camera and drops what finds no room. \
                   Set skip_frames to always work on the newest frame."
        .to_owned();
    notice(&Notice { level: Severity::Warning, message })
}

/// No frame of the browser's video is decoded, for three seconds.
pub(crate) fn nothing_shown(fault: Fault) -> String {
    let message = match fault {
        Fault::NothingCame => {
            "No video has come from this browser so far. Check that the camera is on and that \
             nothing blocks it."
        }
        Fault::PayloadType => {
            "Video comes from this client, but not with the payload type that was agreed on, so it \
             cannot be read."
        }
        Fault::NoKeyframe => {
            "Video comes from this client, but no keyframe. It is asked for one again and again."
        }
        Fault::TooLarge => {
            "The video of this client has too many pixels, or none. Send at most 4096 by 2304."
        }
        Fault::Undecodable => {
            "The video of this client cannot be decoded. Try another browser, or another codec."
        }
    };
    notice(&Notice { level: Severity::Warning, message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::refused::OfferRefused;

    #[test]
    fn who_loses_the_race_for_a_slot_is_told_what_http_would_have_said() {
        let texts = farewell(&EndReason::Refused(OfferRefused::Full(2)), false);
        let texts: Vec<Value> =
            texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let [error, end] = &texts[..] else { panic!("{texts:?}") };
        assert_eq!(error["meta"], json!({ "error": "concurrency_limit_reached", "limit": 2 }));
        assert_eq!((&error["type"], &error["data"]), (&json!("error"), &error["message"]));
        assert_eq!((&end["type"], &end["data"]), (&json!("end_stream"), &error["message"]));
    }

    #[test]
    fn a_declaration_that_no_message_carries_is_asked_for() {
        let declared = |title: &str| json!({ "title": title, "declaration": "abc" });
        let told =
            |declared: Value| -> Value { serde_json::from_str(&declaration(&declared)).unwrap() };
        let short = json!({ "type": "declaration", "data": declared("t") });
        assert_eq!(told(declared("t")), short);
        let long = declared(&"x".repeat(MAX_MESSAGE_BYTES));
        let digest = json!({ "type": "declaration", "data": null, "declaration": "abc" });
        assert_eq!(told(long), digest);
    }

    #[test]
    fn who_sends_nothing_is_told_what_came_and_what_to_do() {
        let words = |packets| last_words(&EndReason::NoVideo { packets }).unwrap();
        assert!(words(false).contains("camera") && words(true).contains("decoded"));
    }

    #[test]
    fn what_means_nothing_is_told_from_what_does() {
        let set = json!({ "a": 1 });
        let Value::Object(expected) = set.clone() else { unreachable!("it is an object") };
        let message = json!({ "type": "set_input", "data": set }).to_string();
        assert_eq!(ClientMessage::read(&message), ClientMessage::SetInput(expected));
        assert_eq!(ClientMessage::read("handshake"), ClientMessage::Text);
        let deep = format!(
            "{{\"type\":\"set_input\",\"data\":{}1{}}}",
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        for unknown in [
            "{",
            r#"{"type":"dance"}"#,
            r#"{"type":"set_input","data":[1]}"#,
            r#"{"type":7}"#,
            &deep,
        ] {
            assert_eq!(ClientMessage::read(unknown), ClientMessage::Unknown, "{:.40}", unknown);
        }
    }
}
