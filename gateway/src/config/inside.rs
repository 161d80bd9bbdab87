//! What a gateway reaches, and is reached by, inside its cluster: which of that leaves this host,
//! so that TLS or a word of the operator is needed (`--cluster-tls`).

use std::net::SocketAddr;

use reframe_tls::is_local;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
