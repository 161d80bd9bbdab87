//! Inputs of a running session, and its outputs as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::forward::Caller;
use super::gate::{Credential, Refused, access_token};
use super::{
    HttpState, failed, invalid_input, invalid_request, object, stream_of, take_id, take_token,
    unless_json,
};
use crate::access::Action;
use crate::gateway::FindSession;
use crate::media::session_id::SessionId;
use crate::stream::live_session::LiveSession;
use crate::stream::outputs::{Event, Reader};
use crate::telemetry::audit;

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
    let parsed =
        object(&body).and_then(|mut set| Ok((take_id(&mut set)?, take_token(&mut set)?, set)));
    let (id, token, set) = match parsed {
        Ok(parsed) => parsed,
        Err(problem) => return invalid_request(problem),
    };
    let live = match find(&shared, &request, &id, token.as_deref(), Action::Set, body).await {
        Ok(live) => live,
        Err(answer) => return *answer,
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
    session_token: Option<String>,
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
    let (token, body) = (query.session_token.as_deref(), web::Bytes::new());
    let live = match find(&shared, &request, &id, token, Action::Read, body).await {
        Ok(live) => live,
        Err(answer) => return *answer,
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

/// The session `id`, if this request may do `action` with it. Otherwise the answer: a refusal, or
/// what the gateway says that has the session.
async fn find(
    shared: &HttpState,
    request: &HttpRequest,
    id: &SessionId,
    token: Option<&str>,
    action: Action,
    body: web::Bytes,
) -> Result<Arc<LiveSession>, Refused> {
    // An error means that the gateway has stopped.
    let live = shared.gateway.send(FindSession(id.clone())).await.ok().flatten();
    let named = || Some(shared.pool.stream(stream_of(request).as_deref())?.name.clone());
    let stream = live.as_ref().map(|live| live.spec.name.clone()).or_else(named);
    let asked = Some((action, stream.unwrap_or_default()));
    let credential = shared.gate.credential(request, id, token, asked).await?;
    let Some(live) = live else {
        // The owner decides by it: only that gateway knows the session's stream.
        let rights = matches!(credential, Credential::Rights);
        let token = if rights { access_token(request).ok().flatten() } else { None };
        let caller = Caller { address: shared.gate.client(request), token };
        let answer = shared.forward.answer(request, id, caller, body).await;
        return Err(Box::new(answer.unwrap_or_else(|| {
            shared.gate.wrong_id(request);
            failed(StatusCode::NOT_FOUND, "unknown_connection", None)
        })));
    };
    if let Some(grant) = credential.suffices(&shared.gate, request, &live, action).await? {
        let client = shared.gate.client(request);
        audit::used(action.name(), &id.digest(), grant.subject.as_deref(), client);
    }
    Ok(live)
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
