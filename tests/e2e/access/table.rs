//! The table of who may do what, as docs/security.md has it.

use reframe_tests::certificates::{Ca, GOOD};
use reframe_tests::cluster::Worker;
use reframe_tests::http::get;
use reframe_tests::redis::RedisServer;

use super::super::inside::{all as required, shared};
use super::redis::give_documented_rights;
use super::*;

/// The statuses of the answers. A row is who asks, a column is what for. The last cell ends the
/// session that all are about.
const TABLE: &str = "
                                 page streams ice open candidate set read one list metrics health end
nobody                            200     401 401  401       401 401  401 401  401     200    200 401
a wrong token                     200     401 401  401       401 401  401 401  401     200    200 401
a foreign token                   200     401 401  401       401 401  401 401  401     200    200 401
an opener                         200     200 200  200       401 401  401 401  401     200    200 401
an opener of another stream       200     200 200  403       401 401  401 401  401     200    200 401
a viewer                          200     200 403  403       401 401  401 401  401     200    200 401
a setter                          200     200 403  403       401 200  401 401  401     200    200 401
a reader                          200     200 403  403       401 401  200 401  401     200    200 401
the session's client              200     401 401  401       200 200  200 401  401     200    200 401
another session's client          200     401 401  401       403 403  403 401  401     200    200 401
an access token for a session's   200     401 401  401       403 403  403 401  401     200    200 401
the operator                      200     401 401  401       401 401  401 200  200     200    200 200
";

const OPERATOR: &str = "the token of an operator";
const REDIS_PASSWORD: &str = "the-gateways-password";

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
            "metrics" => get(format!("{admin}/metrics")),
            "health" => get(format!("{admin}/healthz")),
            "end" => delete("mine", bearer),
            other => panic!("{other}"),
        }
    }

    /// `before_end`: what has to be seen of the session while there is one.
    fn assert_table(&self, files: &Files, sessions: [&Peer; 2], before_end: impl Fn()) {
        let mut lines = TABLE.trim().lines();
        let asked: Vec<&str> = lines.next().expect("the columns").split_whitespace().collect();
        for line in lines {
            let (who, expected) = line.split_at(line.find(char::is_numeric).expect("a status"));
            let [bearer, session] = files.shown(who.trim(), sessions);
            let ask = |what: &&str| {
                if (who.trim(), *what) == ("the operator", "end") {
                    before_end();
                }
                self.ask(what, [bearer.as_deref(), session.as_deref()])
            };
            let expected: Vec<u16> =
                expected.split_whitespace().map(|status| status.parse().expect("one")).collect();
            assert_eq!(asked.iter().map(ask).collect::<Vec<_>>(), expected, "{who}: {asked:?}");
        }
    }

    fn wait_ended(&self) {
        eventually("the operator has ended it", PATIENCE, || {
            (self.ask("one", [Some(OPERATOR), None]) == 404).then_some(())
        });
    }
}

fn assert_no_secret(log: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!log.contains(secret), "the log has a secret");
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
    ports.assert_table(&files, [&mine, &theirs], || {
        mine.wait_output("by", PATIENCE, |by| by.as_f64() == Some(3.0));
    });
    ports.wait_ended();
    let refused = cluster.metrics().by("reframe_access_refused_total", "reason");
    assert!(refused["unauthorized"] > 0.0 && refused["session_token_wrong"] > 0.0, "{refused:?}");
    mine.close();
    theirs.close();
    let log = cluster.gateway.log();
    assert!(log.contains("opened") && log.contains("ada"), "{log}");
    assert_no_secret(&log, &[KEY, OPERATOR, &opener, mine.session_token()]);
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
    give_documented_rights(&redis, REDIS_PASSWORD);
    let password = File::new("tables-password", REDIS_PASSWORD);
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
    let (b, page, admin) = b;
    let ports = Ports { page, admin, inputs: json!({}) };
    ports.assert_table(&files, [&mine, &theirs], || {});
    let metrics = get(&format!("{}/metrics", ports.admin)).expect("the admin port answers");
    let forwarded =
        Metrics::parse(&metrics.body).sum("reframe_forwarded_total", &[("outcome", "ok")]);
    // What the setter and the reader may do, the three of the session's client, and the two of the
    // operator: all else is refused where it is asked.
    assert_eq!(forwarded, 7.0, "they are the other gateway's");
    ports.wait_ended();
    mine.close();
    theirs.close();
    let secrets = [KEY, OTHER_KEY, OPERATOR, REDIS_PASSWORD, &opener, mine.session_token()];
    for gateway in [&a.0, &b] {
        assert_no_secret(&gateway.log(), &secrets);
    }
}
