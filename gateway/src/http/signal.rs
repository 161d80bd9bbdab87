//! Signalling: an offer, its answer, and candidates.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use reframe_trace::STRANGER;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use serde_json::{Map, Value, json};
use tracing::info;

use super::forward::Caller;
use super::gate::Credential;
use super::offer::{Offered, answer};
use super::{
    HttpState, failed, invalid_request, object, stream_of, take_id, take_text, take_token,
    unless_json,
};
use crate::browser::offer;
use crate::gateway::Candidate;
use crate::media::session_id::SessionId;
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
        Ok(Request::Candidate { id, candidate, token }) => {
            add_candidate(&shared, &request, body, id, &candidate, token.as_deref()).await
        }
        Err(Malformed { id, problem }) => {
            let session = id.as_ref().map(SessionId::digest);
            info!(target: STRANGER, session, %problem, "offer refused");
            telemetry::offer("malformed");
            invalid_request(problem)
        }
    }
}

enum Request {
    Offer(Offered),
    Candidate { id: SessionId, candidate: Value, token: Option<String> },
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
    let token = take_token(&mut body)?;
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
            let declaration = match body.remove("declaration") {
                Some(Value::String(declaration)) => Some(declaration),
                None | Some(Value::Null) => None,
                Some(_) => return Err("`declaration` is not a string".to_owned()),
            };
            Ok(Request::Offer(Offered { id, sdp, inputs, declaration, renegotiate, token }))
        }
        "ice-candidate" => {
            let candidate = body.remove("candidate").ok_or("`candidate` is missing")?;
            Ok(Request::Candidate { id, candidate, token })
        }
        // Without the client's own word: it may be of any length.
        _ => Err("`type` must be `offer` or `ice-candidate`".to_owned()),
    }
}

/// The session may be here or at another gateway. Where its id is enough, it may also be nowhere
/// yet: a candidate may overtake its offer, which may go to either gateway. So both are asked again
/// after the offer has had time to arrive. A candidate with a token comes after the answer.
async fn add_candidate(
    shared: &HttpState,
    request: &HttpRequest,
    body: web::Bytes,
    id: SessionId,
    candidate: &Value,
    token: Option<&str>,
) -> HttpResponse {
    let nonce = match shared.gate.credential(request, &id, token, None).await {
        Ok(Credential::Session(claims)) => Some(claims.nonce),
        Ok(_) => None,
        Err(refused) => return *refused,
    };
    let Ok(candidate) = parse_candidate(candidate) else {
        telemetry::candidates_ignored(1);
        return failed(StatusCode::OK, "invalid_candidate_format", None);
    };
    let caller = Caller { address: shared.gate.client(request), token: None };
    let owned = shared.located_by(stream_of(request).as_deref(), &id);
    for wait in [false, true] {
        let taken = shared
            .gateway
            .send(Candidate {
                id: id.clone(),
                candidate: candidate.clone(),
                nonce: nonce.clone(),
                wait,
            })
            .await;
        // The outer error means that the gateway has stopped.
        if let Ok(Ok(())) = taken {
            return HttpResponse::Ok().json(json!({ "status": "success" }));
        }
        if let Some(answer) = shared.forward.answer(request, &owned, caller, body.clone()).await {
            return answer;
        }
        if nonce.is_some() {
            break;
        }
    }
    shared.gate.wrong_id(request);
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
