//! Refusals as problem details (RFC 9457): made of those that the other routes give, so that both
//! have the same reasons and texts.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};

use super::PROBLEM;

/// What the type of a problem begins with; its reason follows, as in `docs/http-api.md`.
const TYPES: &str = "urn:reframe:problem:";

/// The members that an owner's problem is made anew of.
const MEMBERS: [&str; 5] = ["type", "title", "detail", "field", "limit"];

/// The same refusal as a problem; what is no refusal stays as it is.
pub(in crate::http) fn of(response: HttpResponse) -> HttpResponse {
    let (head, body) = response.into_parts();
    let body = match body.try_into_bytes() {
        Ok(body) => body,
        Err(body) => return head.set_body(body),
    };
    let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(error) = parsed["meta"]["error"].as_str() else {
        return head.set_body(BoxBody::new(body));
    };
    let status = head.status();
    let mut problem = json!({
        "type": format!("{TYPES}{error}"),
        "title": title(error),
        "status": status.as_u16(),
    });
    let mut say = |to: &str, from: &str| match &parsed["meta"][from] {
        Value::Null => {}
        value => problem[to] = value.clone(),
    };
    say("detail", "message");
    say("field", "field");
    say("limit", "limit");
    with(head.set_body(()), &problem)
}

/// Another gateway's, with what we know of the members.
pub(super) fn anew(response: HttpResponse, mut problem: Map<String, Value>) -> HttpResponse {
    problem.retain(|name, _| MEMBERS.contains(&name.as_str()));
    problem.insert("status".to_owned(), response.status().as_u16().into());
    with(response.drop_body(), &Value::Object(problem))
}

fn with(response: HttpResponse<()>, problem: &Value) -> HttpResponse {
    let mut response = response.set_body(BoxBody::new(problem.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    response
}

/// For people: `no_picture` is "No picture".
fn title(error: &str) -> String {
    let words = error.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::http::StatusCode;
    use actix_web::http::header::RETRY_AFTER;

    use super::*;
    use crate::http::{failed, unavailable};

    async fn json_of(response: HttpResponse) -> Value {
        assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), PROBLEM);
        serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap()
    }

    #[actix_web::test]
    async fn a_refusal_has_its_reason_and_its_text() {
        let busy = of(unavailable("no_worker", "try again"));
        assert!(busy.headers().contains_key(RETRY_AFTER));
        assert_eq!(
            json_of(busy).await,
            json!({
                "type": "urn:reframe:problem:no_worker",
                "title": "No worker",
                "status": 503,
                "detail": "try again",
            })
        );
    }

    #[actix_web::test]
    async fn what_is_no_refusal_stays_as_it_is() {
        let answer = of(HttpResponse::Ok().content_type("application/sdp").body("v=0"));
        assert_eq!(answer.headers().get(CONTENT_TYPE).unwrap(), "application/sdp");
        assert_eq!(to_bytes(answer.into_body()).await.unwrap(), "v=0");
    }

    #[actix_web::test]
    async fn of_another_gateways_problem_comes_what_we_know() {
        let theirs = json!({ "type": "a", "status": 200, "detail": "b", "script": "c" });
        let Value::Object(theirs) = theirs else { unreachable!("it is one") };
        let empty = failed(StatusCode::CONFLICT, "busy", None);
        let expected = json!({ "type": "a", "status": 409, "detail": "b" });
        assert_eq!(json_of(anew(empty, theirs)).await, expected);
    }
}
