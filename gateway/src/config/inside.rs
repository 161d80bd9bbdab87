//! What a gateway reaches, and is reached by, inside its cluster: which of that leaves this host,
//! so that TLS or a word of the operator is needed (`--cluster-tls`).

use std::net::SocketAddr;

use reframe_tls::{Unprotected, is_local};

use super::redis::RedisStore;
use super::worker_address::WorkerAddress;

/// The addresses beyond this host, each with its option.
pub(super) fn exposed(workers: &[WorkerAddress], peer: Option<SocketAddr>) -> Vec<String> {
    let workers = workers.iter().filter_map(|worker| match worker {
        WorkerAddress::Uri(uri) => {
            let local = uri.host().is_some_and(is_local);
            (!local).then(|| format!("--workers {}", uri.to_string().trim_end_matches('/')))
        }
        WorkerAddress::Dns { name, port } => {
            (!is_local(name)).then(|| format!("--workers dns://{name}:{port}"))
        }
        WorkerAddress::Unix(_) | WorkerAddress::InProcess { .. } => None,
    });
    let peer = peer.filter(|peer| !is_local(&peer.ip().to_string()));
    workers.chain(peer.map(|peer| format!("--peer {peer}"))).collect()
}

/// What the log must say of the shared Redis. One on another host by which the cluster could be
/// entered is a line of `problems`, unless the mode of `--cluster-tls` takes it.
pub(super) fn redis(
    problems: &mut Vec<String>,
    store: &RedisStore,
    unprotected: Unprotected,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if store.has_password_in_url() {
        warnings.push(
            "--redis: its password stands in the URL, where process lists or the container's \
             environment show it: use --redis-password-file"
                .to_owned(),
        );
    }
    for weakness in store.weaknesses() {
        match unprotected {
            Unprotected::Taken => {}
            Unprotected::Warned => warnings.push(weakness + " before --cluster-tls is `required`"),
            Unprotected::Refused => problems.push(format!(
                "{weakness}; or say --cluster-tls mesh where a service mesh protects it, \
                 --cluster-tls off where nothing has to"
            )),
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::redis::RedisOptions;

    #[test]
    fn what_leaves_this_host_is_named_with_its_option() {
        let uri = |uri: &'static str| WorkerAddress::Uri(uri.parse().unwrap());
        let dns = |name: &str| WorkerAddress::Dns { name: name.into(), port: 50051 };
        let workers = [
            uri("http://127.0.0.1:1"),
            uri("http://[::1]:1"),
            uri("http://10.0.0.7:1"),
            dns("localhost"),
            dns("workers"),
            WorkerAddress::Unix("/run/worker.sock".into()),
        ];
        let all = ["--workers http://10.0.0.7:1", "--workers dns://workers:50051"];
        assert_eq!(exposed(&workers, None), all);
        assert_eq!(exposed(&workers, Some(([127, 0, 0, 1], 9092).into())), all);
        let peer = Some(([0, 0, 0, 0], 9092).into());
        assert_eq!(exposed(&[], peer), ["--peer 0.0.0.0:9092"]);
    }
    #[test]
    fn a_redis_that_anybody_could_enter_is_refused_told_or_taken() {
        let told = |url: &str, unprotected| {
            let mut problems = Vec::new();
            let options = RedisOptions { redis: Some(url.into()), ..RedisOptions::default() };
            let store = options.validate(&mut problems).expect("a URL");
            let warnings = redis(&mut problems, &store, unprotected);
            (problems, warnings)
        };
        let url = "redis://10.0.0.7:6379";
        let (problems, warnings) = told(url, Unprotected::Refused);
        assert_eq!((problems.len(), warnings.len()), (2, 0), "{problems:?}");
        for problem in &problems {
            for option in ["--redis: 10.0.0.7:6379", "--cluster-tls mesh", "--cluster-tls off"] {
                assert!(problem.contains(option), "{problem}");
            }
        }
        let (problems, warnings) = told(url, Unprotected::Warned);
        assert_eq!((problems.len(), warnings.len()), (0, 2), "{problems:?}");
        assert_eq!(told(url, Unprotected::Taken), (Vec::new(), Vec::new()));
        // A password in the URL is told in each mode, and not shown.
        for url in ["rediss://:hunter2@redis:6379", "redis://:hunter2@127.0.0.1:6379"] {
            let (problems, warnings) = told(url, Unprotected::Refused);
            let [one] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(one.contains("--redis-password-file") && !one.contains("hunter2"), "{one}");
            assert_eq!(problems, Vec::<String>::new());
        }
    }
}
