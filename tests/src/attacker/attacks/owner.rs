//! Forged session records in Redis: they name addresses at which there is no gateway.

use std::net::TcpListener;

use rand::rngs::SmallRng;
use serde_json::json;

use super::unique;
use crate::attacker::arena::Arena;
use crate::http;

/// No request is forwarded to where they lead, and each is answered as that of no session.
pub(super) fn redis_owner(arena: &mut Arena, _: &mut SmallRng) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let victim = listener.local_addr().map_err(failed)?;
    let errors = || {
        arena.cluster.metrics().sum("reframe_placement_errors_total", &[("operation", "locate")])
    };
    let (before, id, mut asked) = (errors(), unique("forged"), 0.0);
    let key = format!("reframe:{{flip}}:session:{id}");
    for forged in [
        format!("http://{victim}"),
        format!("http://{victim}/secret?"),
        format!("http://user@{victim}"),
        format!("http://localhost:{}", victim.port()),
        format!("http://[::ffff:127.0.0.1]:{}", victim.port()),
        "http://169.254.169.254:80".to_owned(),
        "http://169.254.169.254:80/latest/meta-data/".to_owned(),
    ] {
        let _count = arena.redis.cli(&["HSET", &key, "gateway", &forged]);
        let cluster = &arena.cluster;
        for reply in [
            http::get(&cluster.page(&format!("/updates?webrtc_id={id}"))),
            http::get(&cluster.admin(&format!("/api/sessions/{id}"))),
            http::delete(&cluster.admin(&format!("/api/sessions/{id}"))),
            http::post(&cluster.page("/input_hook"), json!({ "webrtc_id": id }).to_string()),
        ] {
            let reply = reply.map_err(|error| format!("{forged}: {error}"))?;
            if reply.status != 404 {
                return Err(format!("{forged}: {reply:?}"));
            }
            asked += 1.0;
        }
    }
    let _count = arena.redis.cli(&["DEL", &key]);
    if let Ok((_, visitor)) = listener.accept() {
        return Err(format!("{visitor} came to where a forged record leads"));
    }
    match errors() - before {
        counted if counted == asked => Ok(format!("{asked} requests, none forwarded")),
        counted => Err(format!("{counted} of {asked} forged records are counted as errors")),
    }
}
