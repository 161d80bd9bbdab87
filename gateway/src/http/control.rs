//! Inputs of a running session, and its outputs as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{HttpState, failed, invalid_input, invalid_request, object, take_id, unless_json};
use crate::gateway::FindSession;
use crate::media::session_id::SessionId;
use crate::stream::outputs::{Event, Reader};

/// Between two keep-alive comments on a quiet event stream: less than the minute after which
/// proxies give up. They also reveal a reader that is gone.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);

/// `POST /input_hook`: `{webrtc_id, name: value, …}`.
pub(super) async fn input_hook(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    if let Some(refusal) = unless_json(&request) {
        return refusal;
    }
    let parsed = object(&body).and_then(|mut set| Ok((take_id(&mut set)?, set)));
    let (id, set) = match parsed {
        Ok(parsed) => parsed,
        Err(problem) => return invalid_request(problem),
    };
    // An error means that the gateway has stopped.
    let Some(live) = shared.gateway.send(FindSession(id.clone())).await.ok().flatten() else {
        return shared.forward.or_unknown(&request, &id, body).await;
    };
    match live.inputs.set(&set) {
        Ok(()) => HttpResponse::Ok().json(json!({ "status": "ok" })),
        Err(error) => invalid_input(&error),
    }
}

/// The query of `/updates`.
#[derive(Deserialize)]
pub(super) struct Query {
    webrtc_id: String,
}

/// `GET /updates?webrtc_id=`: a session's outputs, from now until it ends.
pub(super) async fn updates(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    query: web::Query<Query>,
) -> HttpResponse {
    let id = match SessionId::parse(&query.webrtc_id) {
        Ok(id) => id,
        Err(error) => return invalid_request(error.to_string()),
    };
    let Some(live) = shared.gateway.send(FindSession(id.clone())).await.ok().flatten() else {
        return shared.forward.or_unknown(&request, &id, web::Bytes::new()).await;
    };
    let Some(reader) = live.outputs.subscribe("updates") else {
        let problem = "this session has as many readers as it may".to_owned();
        return failed(StatusCode::TOO_MANY_REQUESTS, "too_many_readers", Some(problem));
    };
    let events = stream::unfold(Some(reader), |reader| async {
        let reader = reader?;
        let (text, more) = next(&reader).await;
        Some((Ok::<_, Infallible>(web::Bytes::from(text)), more.then_some(reader)))
    });
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(events)
}

/// The next piece of the event stream, and whether there is more.
async fn next(reader: &Reader) -> (String, bool) {
    match timeout(KEEPALIVE, reader.next()).await {
        // All values by name for clients that listen for `outputs`, and FastRTC's plain event with
        // the first value.
        Ok(Event::Update(update)) => {
            (format!("event: outputs\n{}\n{}\n", data(&update.values), data(&update.first)), true)
        }
        Ok(Event::Ended(why)) => (format!("event: end_stream\n{}\n", data(&why)), false),
        Err(_) => (":\n\n".to_owned(), true),
    }
}

/// A text as `data:` lines: a single one would end at the text's first line break.
fn data(text: &str) -> String {
    text.split(['\n', '\r']).map(|line| format!("data: {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_several_lines_stays_one_event() {
        assert_eq!(data("a\nb"), "data: a\ndata: b\n");
        assert_eq!(data(""), "data: \n");
    }
}
