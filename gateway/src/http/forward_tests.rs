use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header;
use actix_web::test::TestRequest;
use async_trait::async_trait;
use reframe_proto::location::Location;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::media::session_id::SessionId;
use crate::media::session_id::testing::id;
use crate::workers::placement::{ClaimError, Slot};
use crate::workers::pool::WorkerHandle;

/// Says of every session that `owner` has it.
struct Owned {
    owner: Option<SocketAddr>,
    asked: AtomicUsize,
}

#[async_trait]
impl Placement for Owned {
    async fn look(&self, _: &SessionId, _: &[WorkerHandle], _: bool) -> Result<(), ClaimError> {
        Err(ClaimError::Exists)
    }

    async fn disown(&self, _: &SessionId, _: &str) {}

    async fn claim(
        &self,
        _: &SessionId,
        _: &[WorkerHandle],
    ) -> Result<(WorkerHandle, Slot), ClaimError> {
        unreachable!("no session begins here")
    }

    async fn locate(&self, _: &SessionId, _: &[String]) -> Option<SocketAddr> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.owner
    }
}

async fn ask(forward: &Forward, request: &HttpRequest, body: web::Bytes) -> Option<HttpResponse> {
    forward.answer(request, &id("x"), Caller::default(), body).await
}

fn to(owner: Option<SocketAddr>) -> (Forward, Arc<Owned>) {
    let placement = Arc::new(Owned { owner, asked: AtomicUsize::new(0) });
    (
        Forward::new(placement.clone(), Pool::start(Vec::new(), None, Location::default()), None),
        placement,
    )
}

/// A socket in the owner's place.
struct Owner(TcpListener);

impl Owner {
    async fn listen() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Self(listener), address)
    }

    /// Takes a connection and reads a request whose body ends with `end`.
    async fn request(&self, end: &str) -> (TcpStream, String) {
        let mut stream = self.0.accept().await.unwrap().0;
        let mut text = String::new();
        while !text.contains("\r\n\r\n") || !text.ends_with(end) {
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "a whole request, not {text:?}");
            text.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
        }
        (stream, text)
    }

    async fn answer(&self, end: &str, answer: &str) -> (TcpStream, String) {
        let (mut stream, text) = self.request(end).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        (stream, text)
    }
}

async fn json_of(response: HttpResponse) -> Value {
    serde_json::from_slice(&actix_web::body::to_bytes(response.into_body()).await.unwrap()).unwrap()
}

/// A piece of a body that is under way.
async fn next(body: &mut (impl MessageBody + Unpin)) -> Option<Result<web::Bytes, ()>> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_next(cx))
        .await
        .map(|piece| piece.map_err(drop))
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n\
                      transfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_request_and_its_answer_are_made_anew_of_what_was_checked() {
    let (owner, address) = Owner::listen().await;
    let (forward, _) = to(Some(address));
    let request = TestRequest::post()
        .uri("/flip%20b/webrtc/offer?a=%2F&b")
        .param("stream", "flip b/..")
        .insert_header((header::CONTENT_TYPE, "application/json; charset=utf-8"))
        .insert_header((header::COOKIE, "secret=1"))
        .insert_header((CLIENT, "192.0.2.66"))
        .to_http_request();
    let caller = Caller { address: "192.0.2.1".parse().ok(), token: Some("a.b.c") };
    let session = id("x");
    let answer = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json; charset=x\r\nRetry-After: 700\r\n\
                  Set-Cookie: a=b\r\nCache-Control: public\r\nContent-Length: 8\r\n\r\n{\"a\": 1}";
    let body = web::Bytes::from_static(b"{\"webrtc_id\":\"x\"}");
    let (response, (_stream, text)) = tokio::join!(
        forward.answer(&request, &session, caller, body),
        owner.answer("{\"webrtc_id\":\"x\"}", answer)
    );

    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST /flip%20b%2F../webrtc/offer HTTP/1.1");
    let host = format!("host: {address}");
    lines.sort_unstable();
    let bearer = "authorization: Bearer a.b.c";
    let expected = [bearer, "content-length: 17", "content-type: application/json", &host];
    let told = ["x-reframe-client: 192.0.2.1", "x-reframe-forwarded: 1"];
    assert_eq!(lines, [&expected[..], &told].concat(), "the client's own header is not passed on");
    assert_eq!(body, "{\"webrtc_id\":\"x\"}");

    let response = response.unwrap();
    assert_eq!(response.status(), 429);
    let mut headers: Vec<_> =
        response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    headers.sort_unstable();
    assert_eq!(headers, [("content-type", &b"application/json"[..]), ("retry-after", b"30")]);
    assert_eq!(json_of(response).await, json!({ "a": 1 }));
}

#[test]
fn each_request_has_one_path() {
    let path = |request: TestRequest| {
        let request = request.to_http_request();
        Ask::of(&request)
            .map(|ask| format!("{} {}", ask.method(), ask.path(None, &id("a..c?d#%"), None)))
    };
    for (request, expected) in [
        (TestRequest::post().uri("/webrtc/offer"), Some("POST /webrtc/offer")),
        (TestRequest::post().uri("/any/input_hook"), Some("POST /input_hook")),
        (
            TestRequest::get().uri("/updates?webrtc_id=z"),
            Some("GET /updates?webrtc_id=a..c%3Fd%23%25"),
        ),
        (TestRequest::get().uri("/api/sessions/z"), Some("GET /api/sessions/a..c%3Fd%23%25")),
        (TestRequest::delete().uri("/api/sessions/z"), Some("DELETE /api/sessions/a..c%3Fd%23%25")),
        (TestRequest::get().uri("/metrics"), None),
        (TestRequest::put().uri("/input_hook"), None),
    ] {
        assert_eq!(path(request).as_deref(), expected);
    }
}

/// Somebody wrote the address of another server into the store: what that says goes nowhere.
#[tokio::test]
async fn what_is_neither_json_nor_events_does_not_come_back() {
    for answer in [
        "200 OK\r\nContent-Type: text/html\r\nContent-Length: 17\r\n\r\n<script></script>",
        "200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
        "200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n<html>",
        "302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Type: \
         application/json\r\nContent-Length: 2\r\n\r\n{}",
        "500 No\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "404 No\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let (owner, address) = Owner::listen().await;
        let (forward, _) = to(Some(address));
        let request = TestRequest::get().uri("/updates?webrtc_id=x").to_http_request();
        let whole = format!("HTTP/1.1 {answer}");
        let (response, _stream) =
            tokio::join!(ask(&forward, &request, web::Bytes::new()), owner.answer("", &whole));
        let response = response.unwrap();
        assert_unavailable(&response);
        assert_eq!(json_of(response).await["meta"]["error"], "owner_unavailable", "{answer}");
    }
}

#[tokio::test]
async fn so_many_are_asked_at_once_and_no_more() {
    let (_owner, address) = Owner::listen().await;
    let (forward, _) = to(Some(address));
    let _all =
        Arc::clone(&forward.places).try_acquire_many_owned(AT_ONCE.try_into().unwrap()).unwrap();
    let request = TestRequest::get().uri("/updates?webrtc_id=x").to_http_request();
    assert_unavailable(&ask(&forward, &request, web::Bytes::new()).await.unwrap());
}

#[tokio::test]
async fn what_was_forwarded_is_not_forwarded_again() {
    let (forward, placement) = to(Some("127.0.0.1:1".parse().unwrap()));
    let request = TestRequest::get().insert_header((MARK, "1")).to_http_request();
    assert!(ask(&forward, &request, web::Bytes::new()).await.is_none());
    assert_eq!(placement.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_session_that_nobody_has_is_unknown() {
    let (forward, placement) = to(None);
    let request = TestRequest::get().uri("/updates").to_http_request();
    let response =
        forward.or_unknown(&request, &id("x"), Caller::default(), web::Bytes::new()).await;
    assert_eq!(
        (response.status(), placement.asked.load(Ordering::Relaxed)),
        (StatusCode::NOT_FOUND, 1)
    );
    assert_eq!(
        json_of(response).await,
        json!({ "status": "failed", "meta": { "error": "unknown_connection" } })
    );
}

#[track_caller]
fn assert_unavailable(response: &HttpResponse) {
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn an_owner_that_is_gone_is_told() {
    let (gone, address) = Owner::listen().await;
    drop(gone);
    let (forward, _) = to(Some(address));
    let request = TestRequest::get().uri("/updates").to_http_request();
    let response = ask(&forward, &request, web::Bytes::new()).await.unwrap();
    assert_unavailable(&response);
    let body = json_of(response).await;
    assert_eq!(body["meta"]["error"], "owner_unavailable");
    assert!(body["meta"]["message"].as_str().is_some_and(|text| text.len() > 10));
}

/// Its process is stopped: the system takes the connection, and nobody answers.
#[tokio::test]
async fn an_owner_that_hangs_is_given_up() {
    let (owner, address) = Owner::listen().await;
    let (forward, _) = to(Some(address));
    let request = TestRequest::get().uri("/updates").to_http_request();
    let (response, _stream) = tokio::join!(ask(&forward, &request, web::Bytes::new()), async {
        let (stream, _) = owner.request("").await;
        // From here on only the clock can end the wait, and it moves when nothing else does.
        tokio::time::pause();
        stream
    });
    assert_unavailable(&response.unwrap());
}

#[tokio::test]
async fn an_answer_without_an_end_is_none() {
    let (owner, address) = Owner::listen().await;
    let (forward, _) = to(Some(address));
    let request = TestRequest::get().uri("/updates").to_http_request();
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let response = tokio::join!(ask(&forward, &request, web::Bytes::new()), async {
        drop(owner.answer("", half).await);
    });
    assert_unavailable(&response.0.unwrap());
}

#[tokio::test]
async fn events_come_one_by_one_until_the_owner_ends_them() {
    let (owner, address) = Owner::listen().await;
    let (forward, _) = to(Some(address));
    let request = TestRequest::get().uri("/updates?webrtc_id=x").to_http_request();
    let open = || async {
        tokio::join!(ask(&forward, &request, web::Bytes::new()), owner.answer("", EVENTS))
    };

    let (response, (mut stream, _)) = open().await;
    let response = response.unwrap();
    assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "text/event-stream");
    assert_eq!(response.headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
    let mut body = response.into_body();
    assert_eq!(body.size(), BodySize::Stream);
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        stream.write_all(format!("9\r\n{event}\r\n").as_bytes()).await.unwrap();
        assert_eq!(next(&mut body).await, Some(Ok(web::Bytes::from(event))));
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(next(&mut body).await, None);

    // Killed: its readers see no orderly end either.
    let (response, (stream, _)) = open().await;
    drop(stream);
    assert_eq!(next(&mut response.unwrap().into_body()).await, Some(Err(())));
}

#[tokio::test]
async fn a_reader_that_leaves_closes_the_owners_connection() {
    let (owner, address) = Owner::listen().await;
    let (forward, _) = to(Some(address));
    let request = TestRequest::get().uri("/updates?webrtc_id=x").to_http_request();
    let (response, (mut stream, _)) =
        tokio::join!(ask(&forward, &request, web::Bytes::new()), owner.answer("", EVENTS));
    drop(response.unwrap());
    // Nothing was sent meanwhile that could have failed.
    let closed = timeout(Duration::from_secs(30), stream.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}
