use hyper::header::HeaderValue;

use super::*;

const VIEWER: &str = "abcdefghijklmnopqrstuvwx";

fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
    of.iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

#[test]
fn paths_are_made_of_their_parts() {
    assert_eq!(Change::Watch { view: "a/../b" }.path(), "/whep/a%2F..%2Fb");
    assert_eq!(Change::Delete { resource: &["x?"] }.path(), "/whip/x%3F");
    let resource = &["view", VIEWER];
    let patch = Change::Patch { resource, condition: &Condition::Any };
    assert_eq!((patch.path(), patch.method()), (format!("/whep/view/{VIEWER}"), Method::PATCH));
}

#[test]
fn what_an_owner_says_is_taken_apart() {
    let watch = Change::Watch { view: "v" };
    let location = "http://evil.example/whep/v/abcdefghijklmnopqrstuvwx";
    let head = [("content-type", SDP), ("etag", "\"t\""), ("location", location)];
    let answered = read(&watch, 201, &headers(&head), b"v=0\r\na=x\r\n");
    let Some(Answered::Watching { viewer, tag, sdp }) = answered else { panic!("{answered:?}") };
    assert_eq!((viewer.as_str(), &*tag, &*sdp), (VIEWER, "t", "v=0\r\na=x\r\n"));

    let patch = Change::Patch { resource: &[VIEWER], condition: &Condition::Any };
    let head = [("content-type", FRAGMENT), ("etag", "\"t\"")];
    let answered = read(&patch, 200, &headers(&head), b"a=ice-ufrag:x");
    assert!(matches!(answered, Some(Answered::Restarted { .. })), "{answered:?}");
    assert!(matches!(read(&patch, 204, &headers(&[]), b""), Some(Answered::Done)));

    let head = [("content-type", PROBLEM), ("retry-after", "700")];
    let answered = read(&watch, 409, &headers(&head), b"{\"detail\":\"x\"}");
    let Some(Answered::Refused { status, retry_after, .. }) = answered else { panic!("none") };
    assert_eq!((status, retry_after), (StatusCode::CONFLICT, Some(30)));
}

/// Somebody wrote the address of another server into the store.
#[test]
fn what_no_gateway_says_is_nothing() {
    let (watch, delete) = (Change::Watch { view: "v" }, Change::Delete { resource: &[VIEWER] });
    let patch = Change::Patch { resource: &[VIEWER], condition: &Condition::Any };
    let good = [
        ("content-type", SDP),
        ("etag", "\"t\""),
        ("location", "/whep/v/abcdefghijklmnopqrstuvwx"),
    ];
    let sdp = b"v=0\r\n";
    assert!(read(&watch, 201, &headers(&good), sdp).is_some());
    for changed in [
        ("content-type", "text/html"),
        ("etag", "t"),
        ("etag", "\"a\"b\""),
        ("location", "/whep/v/short"),
        ("location", "javascript:alert(1)"),
    ] {
        let mut head = headers(&good);
        head.insert(changed.0, HeaderValue::from_static(changed.1));
        assert!(read(&watch, 201, &head, sdp).is_none(), "{changed:?}");
    }
    for body in [&b"<script>"[..], b"", b"v=0\r\nhello", b"v=\xff", b"v=0\r\na=\x1b"] {
        assert!(read(&watch, 201, &headers(&good), body).is_none(), "{body:?}");
    }
    for (change, status) in [(&watch, 200), (&watch, 307), (&watch, 500), (&delete, 204)] {
        assert!(read(change, status, &headers(&good), sdp).is_none(), "{status}");
    }
    assert!(read(&delete, 200, &headers(&[]), b"x").is_none());
    assert!(read(&patch, 200, &headers(&[]), b"").is_none());
    let json = [("content-type", "application/json")];
    assert!(read(&patch, 404, &headers(&json), b"{}").is_none());
    let problem = [("content-type", PROBLEM)];
    assert!(read(&patch, 404, &headers(&problem), b"[]").is_none());
}
