//! A gateway in a cloud, and a browser at home: real binaries in network namespaces, with the NATs
//! that are between the two.
//!
//! Needs root and nftables: `scripts/privileged.sh` says whether it can run.

use std::net::IpAddr;
use std::process::Command;

use reframe_tests::http::get;
use reframe_tests::namespaces::Machines;
use reframe_tests::peer::Place;
use reframe_tests::process::{Process, command};
use reframe_tests::source::Format;
use reframe_tests::wait::for_time;

use super::networks::directory;
use super::*;

/// What the cloud tells the world; and what the node knows of itself, `status.hostIP`.
const PUBLIC: &str = "203.0.113.7";
const HOST: &str = "10.0.0.7";
const POD_V6: &str = "2001:db8:7:1::10";
const CLIENT_V4: &str = "192.168.1.10";
const CLIENT_V6: &str = "2001:db8:1::10";
/// Two STUN servers, of which one does not answer.
const STUN: &str = "192.0.2.53";
const STUN_V6: &str = "2001:db8:53::53";
const SILENT_STUN: &str = "192.0.2.54";
/// A browser would have given up; a picture takes less than a second.
const NOTHING: Duration = Duration::from_secs(5);

/// From the browser to the pod: a home's NAT, the network between, a cloud's NAT of one address to
/// one, and the node, which passes its port on to the pod. IPv6 has no NAT, and a home lets nothing
/// in by itself.
fn machines() -> Machines {
    let machines = Machines::new(&["client", "home", "net", "cloud", "node", "pod"]);
    machines.cable(
        ("client", "eth0", &["192.168.1.10/24", "2001:db8:1::10/64"]),
        ("home", "lan", &["192.168.1.1/24", "2001:db8:1::1/64"]),
    );
    machines.cable(
        ("home", "wan", &["198.51.100.2/24", "2001:db8:100::2/64"]),
        ("net", "home", &["198.51.100.1/24", "2001:db8:100::1/64"]),
    );
    machines.cable(
        ("net", "cloud", &["203.0.113.1/24", "2001:db8:113::1/64"]),
        ("cloud", "wan", &["203.0.113.7/24", "2001:db8:113::7/64"]),
    );
    machines.cable(
        ("cloud", "lan", &["10.0.0.1/24", "2001:db8:7::1/64"]),
        ("node", "eth0", &["10.0.0.7/24", "2001:db8:7::7/64"]),
    );
    machines.cable(
        ("node", "pods", &["10.244.0.1/24", "2001:db8:7:1::1/64"]),
        ("pod", "eth0", &["10.244.0.10/24", "2001:db8:7:1::10/64"]),
    );
    for (machine, v4, v6) in [
        ("client", "192.168.1.1", "2001:db8:1::1"),
        ("home", "198.51.100.1", "2001:db8:100::1"),
        ("cloud", "203.0.113.1", "2001:db8:113::1"),
        ("node", "10.0.0.1", "2001:db8:7::1"),
        ("pod", "10.244.0.1", "2001:db8:7:1::1"),
    ] {
        machines.ip(machine, &format!("route add default via {v4}"));
        machines.ip(machine, &format!("-6 route add default via {v6}"));
    }
    machines.ip("net", "-6 route add 2001:db8:1::/64 via 2001:db8:100::2");
    machines.ip("net", "-6 route add 2001:db8:7::/48 via 2001:db8:113::7");
    machines.ip("cloud", "-6 route add 2001:db8:7:1::/64 via 2001:db8:7::7");
    for server in [STUN, SILENT_STUN, STUN_V6] {
        machines.ip("net", &format!("address add {server} dev lo"));
    }
    machines.nft(
        "home",
        "table inet home {
           chain out { type nat hook postrouting priority 100; meta nfproto ipv4 oifname wan masquerade; }
           chain pass { type filter hook forward priority 0; iifname wan ct state new drop; }
         }",
    );
    machines.nft(
        "net",
        &format!(
            "table ip net {{
               chain in {{ type filter hook input priority 0; ip daddr {SILENT_STUN} drop; }}
             }}"
        ),
    );
    machines.nft(
        "cloud",
        &format!(
            "table ip cloud {{
               chain in {{ type nat hook prerouting priority -100; ip daddr {PUBLIC} dnat to {HOST}; }}
               chain out {{ type nat hook postrouting priority 100; ip saddr {HOST} oifname wan snat to {PUBLIC}; }}
             }}"
        ),
    );
    machines.nft(
        "node",
        &format!(
            "table ip node {{
               chain in {{
                 type nat hook prerouting priority -100;
                 ip daddr {HOST} tcp dport {{ 7000, 8080 }} dnat to 10.244.0.10
                 ip daddr {HOST} udp dport 7000 dnat to 10.244.0.10
               }}
               chain out {{ type nat hook postrouting priority 100; oifname eth0 masquerade; }}
             }}"
        ),
    );
    machines
}

/// Gateway and handler in the pod.
fn gateway(machines: &Machines, public: &str) -> Process {
    let mut program = command("reframe-worker");
    program.args(["launch", "--demo", "flip", "--auth", "none", "--public-ip", public]);
    program.args(["--http", "[::]:8080", "--admin", "127.0.0.1:9090", "--media-port", "7000"]);
    program.args(["--bitrate-min", "1000", "--max-load", "100"]);
    let mut gateway = Process::spawn("reframe-worker", machines.command("pod", &program));
    gateway.announced("page ");
    gateway
}

fn metrics(machines: &Machines) -> Metrics {
    let reply = machines.inside("pod", || get("http://127.0.0.1:9090/metrics"));
    Metrics::parse(&reply.expect("the admin port answers").body)
}

/// The browser at home, whose offer is answered.
fn peer(machines: &Machines, page: &str, local: &str) -> Peer {
    let local: IpAddr = local.parse().expect("an address");
    let place = Place { local, through: None };
    let options =
        Options { place, ..Options::camera(local.to_string(), Video::Live(Format::SMALL)) };
    machines.inside("client", || {
        eventually("an answer", PATIENCE, || Peer::connect(page, options.clone()).ok())
    })
}

fn stun_server(machines: &Machines) -> Process {
    let directory = directory("nats");
    std::fs::create_dir_all(&directory).expect("a directory for turnserver");
    let mut program = Command::new("turnserver");
    program.args(["-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout"]);
    program.args([format!("--listening-ip={STUN}"), format!("--listening-ip={STUN_V6}")]);
    program.arg(format!("--userdb={}", directory.join("turn.db").display()));
    program.arg(format!("--pidfile={}", directory.join("turn.pid").display()));
    let server = Process::spawn("turnserver", machines.command("net", &program));
    for ip in [STUN, STUN_V6] {
        let address = (ip.parse::<IpAddr>().expect("an address"), 3478);
        machines.inside("net", || {
            eventually("turnserver takes connections", PATIENCE, || {
                std::net::TcpStream::connect(address).ok()
            })
        });
    }
    server
}

#[test]
#[ignore = "needs root and nftables: scripts/privileged.sh"]
fn behind_two_nats_the_public_address_is_served_and_the_private_one_warned_of() {
    let machines = machines();
    let _stun = stun_server(&machines);
    let page = format!("http://{PUBLIC}:8080");

    let servers = format!("stun:{SILENT_STUN},stun:{STUN},stun:[{STUN_V6}]");
    let found = gateway(&machines, &servers);
    let told = [format!("{PUBLIC}:7000"), format!("[{POD_V6}]:7000")];
    for (page, local) in [(page.clone(), CLIENT_V4), (format!("http://[{POD_V6}]:8080"), CLIENT_V6)]
    {
        let mut peer = peer(&machines, &page, local);
        peer.wait_received(15, PATIENCE);
        assert_flipped_in_order(&peer.stats());
        let server: Vec<_> = peer.server().iter().map(ToString::to_string).collect();
        assert!(told.iter().all(|told| server.contains(told)), "{server:?}");
        peer.close();
    }
    let seen = metrics(&machines);
    assert_eq!(seen.sum("reframe_media_address_private", &[]), 0.0);
    let silent = seen.counted("reframe_stun_errors_total", "server");
    assert_eq!(silent.keys().collect::<Vec<_>>(), [&format!("{SILENT_STUN}:3478")]);
    assert!(!found.log().contains("private addresses only"), "{}", found.log());
    drop(found);

    let wrong = gateway(&machines, HOST);
    let peer = peer(&machines, &page, CLIENT_V4);
    for_time(NOTHING);
    let stats = peer.stats();
    assert!(stats.received.is_empty() && stats.connected.is_none(), "{stats:?}");
    assert_eq!(metrics(&machines).sum("reframe_media_address_private", &[]), 1.0);
    let warnings = |process: &Process| {
        process.log().lines().filter(|line| line.contains("private addresses only")).count()
    };
    assert_eq!(warnings(&wrong), 1, "{}", wrong.log());
    assert!(wrong.log().contains("--public-ip"), "{}", wrong.log());
}
