//! Who may do what, and what pages of other sites may.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use reframe_tests::process::run;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A file that only we may read.
fn private(file: &Path, text: &str) {
    fs::write(file, text).expect("a file");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("our own file");
}

/// A stream with tokens, and what mints them.
fn with_tokens(test: &str, options: &[&str]) -> (Cluster, impl Fn(&[&str]) -> String) {
    let file = std::env::temp_dir().join(format!("reframe-{test}-{}", std::process::id()));
    private(&file, KEY);
    let keys = file.to_str().expect("a UTF-8 path").to_owned();
    let auth = ["--auth", "token", "--auth-key-file", &keys];
    let cluster = Cluster::launch_with("flip", &[&auth, options].concat());
    let token = move |options: &[&str]| {
        let args = [&["token", "--auth-key-file", &keys, "--subject", "ada"], options].concat();
        let output = run("reframe-gateway", &args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("a token").trim().to_owned()
    };
    (cluster, token)
}

fn post_as(url: &str, bearer: Option<&str>, direction: Direction) -> Reply {
    let bearer = bearer.map(|token| format!("Bearer {token}"));
    let mut headers = vec![SDP];
    headers.extend(bearer.iter().map(|bearer| ("authorization", bearer.as_str())));
    send("POST", url, &headers, &offer(direction))
}

#[test]
fn who_posts_shows_a_token_and_who_has_the_url_needs_none() {
    let (cluster, token) = with_tokens("whip-tokens", &[]);
    let url = cluster.page("/whip");
    let (opener, viewer) = (token(&[]), token(&["--action", "view"]));
    let nobody = post_as(&url, None, Direction::SendOnly);
    assert_problem(&nobody, 401, "unauthorized");
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    assert_problem(&post_as(&url, Some("nonsense"), Direction::SendOnly), 401, "unauthorized");
    assert_problem(&post_as(&url, Some(&viewer), Direction::SendOnly), 403, "forbidden");
    let (location, tag) = created(&post_as(&url, Some(&opener), Direction::SendOnly));
    let connection = cluster.page(&location);
    assert_eq!(patch(&connection, Some(&tag), CANDIDATE).status, 204);
    // A client shows its token with each request, whatever it is for.
    let shown = [FRAGMENT, ("if-match", &tag), ("authorization", "Bearer nonsense")];
    assert_eq!(send("PATCH", &connection, &shown, CANDIDATE).status, 204);

    let options = Options { token: Some(opener.clone()), ..ingest("/whip") };
    let camera = connect_with(&cluster, options);
    let listed = reframe_tests::http::get(&cluster.admin("/api/sessions")).expect("an answer");
    let sessions = listed.json();
    let mut live = sessions["sessions"].as_array().expect("a list").iter();
    let live = live.find(|session| session["state"] == "live").expect("the camera's");
    let watch = cluster.page(&format!("/whep/{}", live["view"].as_str().expect("a view")));
    let watched = |bearer| {
        eventually("a picture", PATIENCE, || {
            let reply = post_as(&watch, bearer, Direction::RecvOnly);
            (reply.status != 409).then_some(reply)
        })
    };
    assert_problem(&watched(None), 401, "unauthorized");
    assert_problem(&watched(Some(opener.as_str())), 403, "forbidden");
    let (viewing, _) = created(&watched(Some(viewer.as_str())));
    assert_eq!(send("DELETE", &cluster.page(&viewing), &[], "").status, 200);
    assert_eq!(send("DELETE", &cluster.page(camera.resource()), &[], "").status, 200);
    assert_eq!(send("DELETE", &connection, &[], "").status, 200);
}

#[test]
fn credentials_of_servers_are_for_those_who_may_post() {
    let options = ["--ice-servers", "turn:192.0.2.9:3478", "--turn-secret", "a secret text"];
    let (cluster, token) = with_tokens("whip-links", &options);
    let url = cluster.page("/whip");
    let ask = |bearer: Option<String>| {
        let bearer = bearer.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> =
            bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let reply = send("OPTIONS", &url, &headers, "");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("link").is_some()
    };
    assert!(ask(Some(token(&[]))));
    assert!(!ask(None) && !ask(Some("nonsense".into())));
    assert!(!ask(Some(token(&["--action", "view"]))));
}

/// A page of another site must not take slots of a gateway on its visitor's computer: what WHIP and
/// WHEP send needs a preflight.
#[test]
fn pages_of_other_sites_are_allowed_by_name() {
    let cluster = Cluster::launch_with("flip", &["--allowed-origins", "https://friend.test"]);
    let preflight = |path: &str, method: &str, origin: &str| {
        let asked = "content-type, if-match, authorization";
        let headers = [
            ("origin", origin),
            ("access-control-request-method", method),
            ("access-control-request-headers", asked),
        ];
        send("OPTIONS", &cluster.page(path), &headers, "")
    };
    let friend = "https://friend.test";
    for (path, method) in
        [("/whip", "POST"), ("/whep/view", "POST"), ("/whip/id", "PATCH"), ("/whep/v/i", "DELETE")]
    {
        let allowed = preflight(path, method, friend);
        assert_eq!(allowed.status, 204, "{allowed:?}");
        let says = |name: &str| allowed.header(name).unwrap_or_default().to_owned();
        assert_eq!(says("access-control-allow-origin"), friend);
        assert!(says("access-control-allow-methods").contains(method), "{allowed:?}");
        let headers = says("access-control-allow-headers");
        assert!(
            ["authorization", "content-type", "if-match"].iter().all(|name| headers.contains(name))
        );
        assert_eq!(says("accept-post"), "application/sdp");
        assert_problem(&preflight(path, method, "https://evil.test"), 403, "forbidden_origin");
    }
    let from = |origin: &str| {
        let headers = [SDP, ("origin", origin)];
        send("POST", &cluster.page("/whip"), &headers, &offer(Direction::SendOnly))
    };
    let answered = from(friend);
    created(&answered);
    let exposed = answered.header("access-control-expose-headers").expect("what a page may read");
    for name in ["location", "etag", "link", "retry-after"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert_problem(&from("https://evil.test"), 403, "forbidden_origin");
}
