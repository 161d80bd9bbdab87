//! The table of who may do what, as docs/security.md has it.

use reframe_tests::certificates::{Ca, GOOD};
use reframe_tests::cluster::Worker;
use reframe_tests::http::get;
use reframe_tests::redis::RedisServer;

use super::super::inside::{all as required, shared};
use super::redis::give_documented_rights;
use super::*;

/// The statuses of the answers. A row is who asks, a column is what for.
const TABLE: &str = "
                                 page streams ice open candidate set read one list end metrics health
nobody                            200     401 401  401       401 401  401 401  401 401     200    200
a wrong token                     200     401 401  401       401 401  401 401  401 401     200    200
a foreign token                   200     401 401  401       401 401  401 401  401 401     200    200
an opener                         200     200 200  200       401 401  401 401  401 401     200    200
an opener of another stream       200     200 200  403       401 401  401 401  401 401     200    200
a viewer                          200     200 403  403       401 401  401 401  401 401     200    200
a setter                          200     200 403  403       401 200  401 401  401 401     200    200
a reader                          200     200 403  403       401 401  200 401  401 401     200    200
the session's client              200     401 401  401       200 200  200 401  401 401     200    200
another session's client          200     401 401  401       403 403  403 401  401 401     200    200
an access token for a session's   200     401 401  401       403 403  403 401  401 401     200    200
the operator                      200     401 401  401       401 401  401 200  200 404     200    200
";

const OPERATOR: &str = "the token of an operator";

/// What gateways are started with, and what tokens are made of.
struct Files {
    keys: File,
    foreign: File,
    operator: File,
    /// What the sessions are of.
    stream: &'static str,
}

impl Files {
    fn new(test: &str, stream: &'static str) -> Self {
        Self {
            stream,
            keys: File::new(&format!("{test}-keys"), KEY),
            foreign: File::new(&format!("{test}-foreign"), OTHER_KEY),
            operator: File::new(&format!("{test}-operator"), OPERATOR),
        }
    }

    fn options(&self) -> [&str; 6] {
        let [keys, operator] = [&self.keys, &self.operator].map(File::path);
        ["--auth", "token", "--auth-key-file", keys, "--admin-token-file", operator]
    }

    fn opener(&self) -> String {
        token(&self.keys, &["--subject", "ada", "--stream", self.stream])
    }

    /// What somebody shows: a token in the header, and one in the place of a session's.
    fn shown(&self, who: &str, [mine, theirs]: [&Peer; 2]) -> [Option<String>; 2] {
        let bearer = |token: String| [Some(token), None];
        let session = |token: &str| [None, Some(token.to_owned())];
        match who {
            "nobody" => [None, None],
            "a wrong token" => bearer("a.b.c".into()),
            "a foreign token" => bearer(token(&self.foreign, &[])),
            "an opener" => bearer(self.opener()),
            "an opener of another stream" => bearer(token(&self.keys, &["--stream", "other"])),
            "a viewer" => bearer(token(&self.keys, &["--action", "view"])),
            "a setter" => bearer(token(&self.keys, &["--action", "set"])),
            "a reader" => bearer(token(&self.keys, &["--action", "read"])),
            "the session's client" => session(mine.session_token()),
            "another session's client" => session(theirs.session_token()),
            "an access token for a session's" => session(&self.opener()),
            "the operator" => bearer(OPERATOR.into()),
            other => panic!("{other}"),
        }
    }
}

/// The addresses of a gateway's ports, and what is set of the session.
struct Ports {
    page: String,
    admin: String,
    inputs: Value,
}

impl Ports {
    /// What a column stands for: `mine` is the session that it is about.
    fn ask(&self, what: &str, [bearer, session]: [Option<&str>; 2]) -> u16 {
        let Self { page, admin, inputs } = self;
        let with = |mut body: Value| {
            if let Some(session) = session {
                body["session_token"] = session.into();
            }
            body
        };
        let get = |url: String| request("GET", &url, bearer, &Value::Null).status;
        let post = |path: &str, body| request("POST", &format!("{page}{path}"), bearer, &body);
        let delete = |id, bearer| {
            request("DELETE", &format!("{admin}/api/sessions/{id}"), bearer, &Value::Null).status
        };
        match what {
            "page" => get(format!("{page}/")),
            "streams" => get(format!("{page}/api/streams")),
            "ice" => get(format!("{page}/webrtc/ice_servers")),
            "open" => {
                let status = post("/webrtc/offer", offer("new")).status;
                if status == 200 {
                    assert_eq!(delete("new", Some(OPERATOR)), 200);
                }
                status
            }
            "candidate" => post("/webrtc/offer", with(candidate("mine"))).status,
            "set" => {
                let mut body = inputs.clone();
                body["webrtc_id"] = "mine".into();
                post("/input_hook", with(body)).status
            }
            "read" => {
                // The stream of events does not end by itself.
                let query = session.map(|token| format!("&session_token={token}"));
                let query = query.unwrap_or_default();
                status_of(&format!("{page}/updates?webrtc_id=mine{query}"), bearer)
            }
            "one" => get(format!("{admin}/api/sessions/mine")),
            "list" => get(format!("{admin}/api/sessions")),
            "end" => delete("nobody", bearer),
            "metrics" => get(format!("{admin}/metrics")),
            "health" => get(format!("{admin}/healthz")),
            other => panic!("{other}"),
        }
    }

    fn assert_table(&self, files: &Files, sessions: [&Peer; 2]) {
        let mut lines = TABLE.trim().lines();
        let asked: Vec<&str> = lines.next().expect("the columns").split_whitespace().collect();
        for line in lines {
            let (who, expected) = line.split_at(line.find(char::is_numeric).expect("a status"));
            let [bearer, session] = files.shown(who.trim(), sessions);
            let ask = |what: &&str| self.ask(what, [bearer.as_deref(), session.as_deref()]);
            let expected: Vec<u16> =
                expected.split_whitespace().map(|status| status.parse().expect("one")).collect();
            assert_eq!(asked.iter().map(ask).collect::<Vec<_>>(), expected, "{who}: {asked:?}");
        }
    }
}

#[test]
fn each_may_do_what_it_may_and_nothing_else() {
    let files = Files::new("table", "default");
    let cluster = Cluster::local_with([counting()], &files.options());
    let opener = files.opener();
    let [mut mine, mut theirs] = ["mine", "theirs"].map(|id| open(&cluster, camera(id, &opener)));
    let inputs = json!({ "by": 3 });
    let ports = Ports { page: cluster.page(""), admin: cluster.admin(""), inputs };
    ports.assert_table(&files, [&mine, &theirs]);
    mine.wait_output("by", PATIENCE, |by| by.as_f64() == Some(3.0));
    let refused = cluster.metrics().by("reframe_access_refused_total", "reason");
    assert!(refused["unauthorized"] > 0.0 && refused["session_token_wrong"] > 0.0, "{refused:?}");
    mine.close();
    theirs.close();
    let log = cluster.gateway.log();
    assert!(log.contains("opened") && log.contains("ada"), "{log}");
    for secret in [KEY, OPERATOR, &opener, mine.session_token()] {
        assert!(!log.contains(secret), "the log has a secret");
    }
}

/// The sessions are another gateway's: what is asked here is passed on, or refused, as there. All
/// is by TLS, and Redis' user has the documented rights.
#[test]
fn each_may_do_the_same_at_a_gateway_that_has_not_the_session() {
    let (files, signing) = (Files::new("tables", "flip"), File::new("tables-signing", OTHER_KEY));
    let ca = Ca::new("ours", GOOD);
    let [ours, theirs] = ["reframe-gateway", "reframe-worker"].map(|name| ca.issue(name, GOOD));
    let worker = Worker::serve_with("flip", "127.0.0.1:0", &required(&theirs, "required"));
    let redis = RedisServer::start();
    give_documented_rights(&redis, "secret");
    let password = File::new("tables-password", "secret\n");
    let of_redis = ["--redis-user", "gateway", "--redis-password-file", password.path()];
    let signed = ["--cluster-key-file", signing.path()];
    let tls = required(&ours, "required");
    let options = [&files.options()[..], &of_redis, &signed, &tls].concat();
    let [a, b] = [(); 2].map(|()| shared(&worker, &redis, &options));
    let opener = files.opener();
    let [mut mine, mut theirs] = ["mine", "theirs"].map(|id| {
        let peer = Peer::connect(&a.1, camera(id, &opener)).expect("an answer");
        peer.wait_received(1, PATIENCE);
        peer
    });
    let (_b, page, admin) = b;
    let ports = Ports { page, admin, inputs: json!({}) };
    ports.assert_table(&files, [&mine, &theirs]);
    let metrics = get(&format!("{}/metrics", ports.admin)).expect("the admin port answers");
    let forwarded =
        Metrics::parse(&metrics.body).sum("reframe_forwarded_total", &[("outcome", "ok")]);
    assert!(forwarded >= 5.0, "{forwarded}: they are the other gateway's");
    mine.close();
    theirs.close();
}
