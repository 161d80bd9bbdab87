//! Which refusals are worth another offer, and when.

use std::time::Duration;

use reframe_tests::peer::Refusal;

/// Of one stream. The last of many streams from one address may need several: a gateway lets in ten
/// a second for each of its cores.
const MAX_RETRIES: u32 = 10;
/// A server that names a longer time is asked again after this.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Where the server names no time.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// How long to wait before the offer is made once more, after `retries` of them. `jitter`, 0 to 1,
/// lengthens it up to twofold, so that streams refused together do not return together.
///
/// `None`: the refusal stands. Only those are repeated that say nothing of the load the server can
/// take: too many offers from one address (429 `rate_limited`), or at one time (503 `busy`).
pub(crate) fn wait(refusal: &Refusal, retries: u32, jitter: f64) -> Option<Duration> {
    let Refusal::Reply(reply) = refusal else { return None };
    let meta = &reply.json()["meta"];
    let passing = matches!(
        (reply.status, meta["error"].as_str()),
        (429, Some("rate_limited")) | (503, Some("busy"))
    );
    if !passing || retries >= MAX_RETRIES {
        return None;
    }
    let named = reply.retry_after.map(|seconds| Duration::from_secs(seconds.into()));
    Some(named.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT).mul_f64(1.0 + jitter))
}

#[cfg(test)]
mod tests {
    use reframe_tests::http::Reply;

    use super::*;

    fn refusal(status: u16, error: &str, retry_after: Option<u32>) -> Refusal {
        let body = format!(r#"{{"status":"failed","meta":{{"error":"{error}"}}}}"#);
        Refusal::Reply(Reply { status, body, retry_after, headers: Vec::new() })
    }

    #[test]
    fn a_rate_limit_is_waited_out() {
        let limited = |seconds| refusal(429, "rate_limited", seconds);
        for (seconds, jitter, expected) in [
            (Some(3), 0.0, 3.0),
            (Some(3), 0.5, 4.5),
            (None, 0.0, 1.0),
            (Some(0), 1.0, 0.0),
            (Some(86_400), 1.0, 20.0),
        ] {
            let waited = wait(&limited(seconds), 0, jitter).unwrap();
            assert_eq!(waited.as_secs_f64(), expected, "{seconds:?}");
        }
        assert!(wait(&limited(Some(1)), MAX_RETRIES - 1, 0.0).is_some());
        assert_eq!(wait(&limited(Some(1)), MAX_RETRIES, 0.0), None);
        assert!(wait(&refusal(503, "busy", Some(1)), 0, 0.0).is_some());
    }

    #[test]
    fn what_the_load_test_measures_is_not_retried() {
        for error in ["overloaded", "no_worker", "draining", "concurrency_limit_reached"] {
            assert_eq!(wait(&refusal(503, error, Some(1)), 0, 0.0), None, "{error}");
        }
        assert_eq!(wait(&refusal(200, "concurrency_limit_reached", None), 0, 0.0), None);
        assert_eq!(wait(&refusal(429, "session_limit_reached", Some(1)), 0, 0.0), None);
        assert_eq!(wait(&Refusal::Answer("bad".to_owned()), 0, 0.0), None);
    }
}
