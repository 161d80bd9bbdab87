//! Signalling: an offer, its answer, and candidates.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use reframe_trace::STRANGER;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use serde_json::{Map, Value, json};
use tracing::info;

use super::{
    HttpState, failed, invalid_input, invalid_request, object, stream_of, take_id, take_text,
    try_again, unavailable, unless_json,
};
use crate::browser::offer;
use crate::browser::offer::OfferError;
use crate::gateway::{Candidate, Renegotiate, StartSession};
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::stream::inputs;
use crate::telemetry;

/// `POST /webrtc/offer`: an offer, or a trickled candidate.
pub(super) async fn signal(
    shared: web::Data<HttpState>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    if let Some(refusal) = unless_json(&request) {
        return refusal;
    }
    match parse(&body) {
        Ok(Request::Offer(offered)) => answer(&shared, &request, body, offered).await,
        Ok(Request::Candidate { id, candidate }) => {
            add_candidate(&shared, &request, body, id, &candidate).await
        }
        Err(Malformed { id, problem }) => {
            let session = id.as_ref().map(SessionId::as_str);
            info!(target: STRANGER, session, %problem, "offer refused");
            telemetry::offer("malformed");
            invalid_request(problem)
        }
    }
}

enum Request {
    Offer(Offered),
    Candidate { id: SessionId, candidate: Value },
}

struct Offered {
    id: SessionId,
    sdp: String,
    /// The inputs that the person set before pressing Start.
    inputs: Map<String, Value>,
    /// Only for a running session.
    renegotiate: bool,
}

/// A request that is not valid; the problem names the invalid field.
struct Malformed {
    /// As far as it is known.
    id: Option<SessionId>,
    problem: String,
}

fn parse(body: &[u8]) -> Result<Request, Malformed> {
    let of = |id: Option<SessionId>| move |problem| Malformed { id, problem };
    let mut body = object(body).map_err(of(None))?;
    let id = take_id(&mut body).map_err(of(None))?;
    read(id.clone(), body).map_err(of(Some(id)))
}

fn read(id: SessionId, mut body: Map<String, Value>) -> Result<Request, String> {
    match take_text(&mut body, "type")?.as_str() {
        "offer" => {
            let sdp = take_text(&mut body, "sdp")?;
            let inputs = match body.remove("inputs") {
                Some(Value::Object(inputs)) => inputs,
                None | Some(Value::Null) => Map::new(),
                Some(_) => return Err("`inputs` is not an object".to_owned()),
            };
            let renegotiate = match body.remove("renegotiate") {
                Some(Value::Bool(renegotiate)) => renegotiate,
                None | Some(Value::Null) => false,
                Some(_) => return Err("`renegotiate` is not true or false".to_owned()),
            };
            Ok(Request::Offer(Offered { id, sdp, inputs, renegotiate }))
        }
        "ice-candidate" => {
            let candidate = body.remove("candidate").ok_or("`candidate` is missing")?;
            Ok(Request::Candidate { id, candidate })
        }
        // Without the client's own word: it may be of any length.
        _ => Err("`type` must be `offer` or `ice-candidate`".to_owned()),
    }
}

/// No resources are taken before all checks have passed.
async fn answer(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    offered: Offered,
) -> HttpResponse {
    let Offered { id, sdp, inputs, renegotiate } = offered;
    let parsed = match offer::parse(sdp) {
        Ok(parsed) => parsed,
        Err(problem) => return invalid_offer(&id, &problem),
    };
    let further = Renegotiate { id: id.clone(), offer: parsed.clone() };
    // An error means that the gateway has stopped.
    if let Ok(Some(answered)) = shared.gateway.send(further).await {
        return conclude(answered.map(|sdp| (sdp, "renegotiated")));
    }
    if renegotiate {
        // The session may be at another gateway. A new session would be useless to a browser that
        // has a connection.
        let answer = shared.forward.answer(request, &id, body).await;
        return answer.unwrap_or_else(|| failed(StatusCode::OK, "unknown_connection", None));
    }
    let stream = stream_of(request);
    let Some(spec) = shared.pool.stream(stream.as_deref()) else {
        return no_stream(shared, stream);
    };
    let offer = match parsed.negotiate(spec.mode, &shared.codecs) {
        Ok(offer) => offer,
        Err(problem) => return invalid_offer(&id, &problem),
    };
    let inputs = match inputs::check(&spec.inputs, &inputs) {
        Ok(inputs) => inputs,
        Err(error) => {
            info!(target: STRANGER, session = id.as_str(), problem = %error, "offer refused");
            telemetry::offer("invalid");
            return invalid_input(&error);
        }
    };
    let gateway = &shared.gateway;
    let stream = spec.name.clone();
    let client = shared.proxies.client(request);
    let start = StartSession { stream, id: id.clone(), client, offer, inputs };
    // An error means that the gateway has stopped.
    let answered = gateway.send(start).await.unwrap_or(Err(OfferRefused::Draining));
    if matches!(answered, Err(OfferRefused::AlreadyExists))
        // The session may be at another gateway, and this is a renegotiation.
        && let Some(answer) = shared.forward.answer(request, &id, body).await
    {
        return answer;
    }
    conclude(answered.map(|sdp| (sdp, "answered")))
}

fn invalid_offer(id: &SessionId, problem: &OfferError) -> HttpResponse {
    info!(target: STRANGER, session = id.as_str(), %problem, "offer refused");
    telemetry::offer("invalid");
    failed(StatusCode::BAD_REQUEST, "invalid_offer", Some(problem.to_string()))
}

fn conclude(answered: Result<(String, &'static str), OfferRefused>) -> HttpResponse {
    let (outcome, response) = match answered {
        Ok((sdp, outcome)) => {
            (outcome, HttpResponse::Ok().json(json!({ "type": "answer", "sdp": sdp })))
        }
        Err(refused) => refusal(refused),
    };
    telemetry::offer(outcome);
    response
}

/// The label `outcome`, and the answer.
fn refusal(refused: OfferRefused) -> (&'static str, HttpResponse) {
    let error = refused.error();
    let busy = |problem| (error, unavailable(error, problem));
    match refused {
        OfferRefused::AlreadyExists => ("exists", failed(StatusCode::OK, error, None)),
        OfferRefused::Full(limit) => {
            let meta = json!({ "error": error, "limit": limit });
            ("full", HttpResponse::Ok().json(json!({ "status": "failed", "meta": meta })))
        }
        OfferRefused::NoWorker => busy("no worker serves this stream right now"),
        OfferRefused::Overloaded => busy("this server is busy right now"),
        OfferRefused::Draining => busy("this server is stopping"),
        OfferRefused::Busy => {
            busy("this session has offered too often, or too many offers are being answered")
        }
        OfferRefused::NoCodec => busy("a codec could not be started"),
        OfferRefused::RateLimited => {
            let problem = "too many new sessions from your network lately; behind a proxy that serves many people, the \
                           server needs --trusted-proxies";
            (error, try_again(StatusCode::TOO_MANY_REQUESTS, error, problem))
        }
        OfferRefused::Unanswerable(problem) => {
            ("invalid", failed(StatusCode::BAD_REQUEST, error, Some(problem)))
        }
    }
}

/// The session may be here, at another gateway, or nowhere yet: a candidate may overtake its offer,
/// which may go to either gateway. So both are asked again after the offer has had time to arrive.
async fn add_candidate(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    id: SessionId,
    candidate: &Value,
) -> HttpResponse {
    let Ok(candidate) = parse_candidate(candidate) else {
        telemetry::candidates_ignored(1);
        return failed(StatusCode::OK, "invalid_candidate_format", None);
    };
    for wait in [false, true] {
        let taken = shared
            .gateway
            .send(Candidate { id: id.clone(), candidate: candidate.clone(), wait })
            .await;
        // The outer error means that the gateway has stopped.
        if let Ok(Ok(())) = taken {
            return HttpResponse::Ok().json(json!({ "status": "success" }));
        }
        if let Some(answer) = shared.forward.answer(request, &id, body.clone()).await {
            return answer;
        }
    }
    failed(StatusCode::OK, "unknown_connection", None)
}

/// `None` is the end of candidates. `sdpMid` and `sdpMLineIndex` may be missing, because there is
/// only one bundle.
fn parse_candidate(candidate: &Value) -> Result<Option<RTCIceCandidateInit>, ()> {
    let line = candidate.get("candidate").and_then(Value::as_str).ok_or(())?;
    if line.is_empty() {
        return Ok(None);
    }
    if !offer::is_candidate(line) {
        return Err(());
    }
    let index = candidate
        .get("sdpMLineIndex")
        .and_then(Value::as_u64)
        .and_then(|index| u16::try_from(index).ok());
    Ok(Some(RTCIceCandidateInit {
        candidate: line.to_owned(),
        sdp_mid: candidate.get("sdpMid").and_then(Value::as_str).map(str::to_owned),
        sdp_mline_index: index.or(Some(0)),
        ..Default::default()
    }))
}

/// No stream has this name or, without a name, the root has none.
fn no_stream(shared: &HttpState, stream: Option<String>) -> HttpResponse {
    let known = shared.pool.streams();
    if known.is_empty() {
        telemetry::offer("no_worker");
        return unavailable("no_worker", "no worker serves this stream right now");
    }
    telemetry::offer("invalid");
    let names = known.into_keys().collect::<Vec<_>>().join(", ");
    let problem = match stream {
        Some(_) => format!("no stream has this name; there are {names}"),
        None => format!(
            "this server has several streams: offer to /NAME/webrtc/offer, with one of {names}"
        ),
    };
    failed(StatusCode::NOT_FOUND, "unknown_stream", Some(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_request_is_named_with_its_session_where_that_is_known() {
        let long = format!(r#"{{"webrtc_id":"a","type":"{}"}}"#, "x".repeat(100_000));
        for (body, session, problem) in [
            ("no JSON", None, "not a JSON object"),
            (r#"{"type":"offer","sdp":"v=0"}"#, None, "`webrtc_id` is missing"),
            (r#"{"webrtc_id":"a","type":"offer"}"#, Some("a"), "`sdp` is missing"),
            (r#"{"webrtc_id":"a","type":"offer","sdp":1}"#, Some("a"), "`sdp` is not a string"),
            (long.as_str(), Some("a"), "must be `offer` or `ice-candidate`"),
        ] {
            let malformed = parse(body.as_bytes()).err().expect("it is none");
            assert_eq!(malformed.id.as_ref().map(SessionId::as_str), session, "{body}");
            let told = malformed.problem;
            assert!(told.contains(problem) && told.len() < 200, "{told}");
        }
    }

    #[test]
    fn a_candidate_is_understood_or_not() {
        let candidate = |line: &str| parse_candidate(&json!({ "candidate": line }));
        assert!(candidate("").is_ok_and(|candidate| candidate.is_none()));
        assert!(candidate("candidate:1 1 udp 1 192.0.2.1 9 typ host").is_ok());
        assert!(candidate("candidate:1 1 ssltcp 1 192.0.2.1 9 typ host").is_err());
        assert!(parse_candidate(&json!({})).is_err());
    }
}
