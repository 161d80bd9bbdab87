//! Redis: which one is taken, and what the gateways' user may do there.

use reframe_tests::certificates::{Ca, GOOD};
use reframe_tests::process::Process;
use reframe_tests::redis::RedisServer;

use super::super::pool::Gateway;
use super::*;

/// The rights that docs/operations.md tells operators to give.
fn documented_rights() -> Vec<&'static str> {
    let text = include_str!("../../../docs/operations.md");
    let (_, rights) = text.split_once("ACL SETUSER gateway on >PASSWORD").expect("the command");
    rights.split("```").next().expect("its end").split_whitespace().collect()
}

/// Makes the user `gateway` with the documented rights.
pub(super) fn give_documented_rights(redis: &RedisServer, password: &str) {
    let password = format!(">{password}");
    let user = ["ACL", "SETUSER", "gateway", "on", &password];
    assert_eq!(redis.cli(&[&user[..], &documented_rights()].concat()), "OK");
}

/// A gateway can hand out nothing that its user may not do, whoever took the gateway over.
#[test]
fn the_gateways_user_may_do_what_it_must_and_nothing_else() {
    let redis = RedisServer::with_password("the operator's");
    give_documented_rights(&redis, "secret");
    assert_eq!(redis.cli(&["HSET", "foreign:key", "field", "value"]), "1");
    let ours = "reframe:{s}:session:1";
    let ask = |login: &[&str], command: &[&str]| redis.cli_as(login, command);
    let user = ["--user", "gateway", "--pass", "secret"];
    let set = "return redis.call('hset', KEYS[1], 'field', 'value')";
    for (command, answer) in [
        (&["PING"][..], "PONG"),
        (&["HSET", ours, "field", "value"], "1"),
        (&["HGET", ours, "field"], "value"),
        (&["EVAL", set, "1", "reframe:{s}:session:2"], "1"),
        (&["DEL", ours, "reframe:{s}:session:2"], "2"),
    ] {
        assert_eq!(ask(&user, command), answer, "{command:?}");
    }
    let drop_all = "return redis.call('flushall')";
    for command in [
        // Other programs' keys.
        &["HGET", "foreign:key", "field"][..],
        &["HSET", "foreign:key", "field", "changed"],
        &["DEL", "foreign:key"],
        &["EVAL", set, "1", "foreign:key"],
        // What lists keys, or drops them.
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["RANDOMKEY"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["SWAPDB", "0", "1"],
        &["EVAL", drop_all, "0"],
        // Other commands, on our keys too.
        &["SET", ours, "value"],
        &["GET", ours],
        &["RENAME", ours, "reframe:other"],
        &["SCRIPT", "LOAD", "return 1"],
        &["SCRIPT", "FLUSH"],
        &["FUNCTION", "LIST"],
        &["PUBLISH", "reframe:channel", "x"],
        // The server, its users and the other connections.
        &["CONFIG", "GET", "*"],
        &["CONFIG", "SET", "dir", "/tmp"],
        &["ACL", "LIST"],
        &["ACL", "SETUSER", "gateway", "+@all"],
        &["CLIENT", "LIST"],
        &["CLIENT", "KILL", "TYPE", "normal"],
        &["MONITOR"],
        &["INFO"],
        &["SAVE"],
        &["REPLICAOF", "127.0.0.1", "1"],
        &["MODULE", "LIST"],
        &["SHUTDOWN", "NOSAVE"],
    ] {
        let refused = ask(&user, command);
        // Within a script it is Redis' error, with these words in it.
        assert!(
            ["NOPERM", "can't run this command", "can't access", "ACL failure"]
                .iter()
                .any(|told| refused.contains(told)),
            "{command:?}: {refused}"
        );
        for (who, told) in
            [(&[][..], "NOAUTH"), (&["--user", "gateway", "--pass", "wrong"], "NOAUTH")]
        {
            let refused = ask(who, command);
            assert!(refused.contains(told), "{who:?} {command:?}: {refused}");
        }
    }
    assert_eq!(redis.cli(&["HGET", "foreign:key", "field"]), "value");
}

#[test]
fn a_redis_on_another_host_needs_tls_and_a_password() {
    let ports = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--peer", "127.0.0.1:0"];
    let with = |options: &[&'static str]| [&ports[..], options].concat();
    // An address that nobody has (RFC 5737).
    let refused = run("reframe-gateway", &with(&["--redis", "redis://203.0.113.1:6379"]));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(64), "{told}");
    for needed in [
        "--redis: 203.0.113.1:6379",
        "rediss://",
        "--redis-password-file",
        "--cluster-tls mesh",
        "--cluster-tls off",
    ] {
        assert!(told.contains(needed), "{told:?} does not say {needed:?}");
    }
    let word = ["--cluster-tls", "mesh", "--redis", "redis://203.0.113.1:6379"];
    let mut meshed = Process::start("reframe-gateway", &with(&word));
    meshed.announced("page ");
    assert!(!meshed.log().contains("--redis: "), "{}", meshed.log());

    let files = Ca::new("ours", GOOD).issue("reframe-gateway", GOOD);
    let prefer = ["--cluster-tls", "prefer", "--redis", "redis://:hunter2@203.0.113.1:6379"];
    let changing = Gateway::start(&[&files.options()[..], &prefer, &ports[4..]].concat());
    changing.wait_line(&["WARN", "--redis: 203.0.113.1:6379", "rediss://", "required"]);
    changing.wait_line(&["WARN", "--redis: its password", "--redis-password-file"]);
}
