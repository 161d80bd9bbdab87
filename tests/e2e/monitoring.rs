//! What an operator sees: a real Prometheus scrapes a real run, and the dashboard's own queries
//! find it there.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use reframe_tests::cluster::Worker;
use reframe_tests::http::get;
use reframe_tests::redis::RedisServer;
use reframe_tests::source::Format;
use reframe_worker::{Batched, Frame, HandlerError, Stream, VideoStreamHandler};

use super::*;

/// Panels of what does not happen in this run.
const WITHOUT_DATA: [&str; 11] = [
    "Alerts",
    "Certificates",
    "Connections that failed",
    "Messages and outputs lost",
    "Packets asked for again",
    "Requests refused",
    "Sessions ended",
    "Release error, p99",
    "Stuck handlers",
    "Packets dropped",
    "Errors and forwarded requests",
];

/// Panels of streams that have a model of their own, or whose calls run one at a time.
const OF_MODELS: [&str; 2] = ["Models", "Waits for models and turns, p95"];

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// A real `prometheus`. Killed (SIGKILL, by its own process id) when dropped.
struct Prometheus {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Prometheus {
    /// One that scrapes `target` every second and has the project's rules.
    fn start(target: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("a bound socket has an address");
        drop(free);
        let name = format!("reframe-prometheus-{}-{}", std::process::id(), address.port());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let config = folder.join("prometheus.yml");
        let rules = deploy("prometheus").canonicalize().expect("the rules");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [\"{0}/alerts.yml\", \"{0}/slo.yml\"]\n\
             scrape_configs:\n  - job_name: reframe-gateway\n    \
             static_configs: [{{targets: [\"{target}\"]}}]\n",
            rules.display()
        );
        fs::write(&config, text).expect("a file");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`prometheus` starts; Debian's package prometheus has it");
        let url = format!("http://{address}");
        eventually("Prometheus is ready", PATIENCE, || {
            get(&format!("{url}/-/ready")).is_ok_and(|reply| reply.status == 200).then_some(())
        });
        Self { child, folder, url }
    }
}

impl Prometheus {
    /// Waits until it has scraped this counter at `least` or more.
    fn wait_scraped(&self, counter: &str, least: f64) {
        eventually(&format!("{counter} was scraped"), PATIENCE, || {
            let reply = get(&format!("{}/api/v1/query?query=sum({counter})", self.url))
                .expect("Prometheus answers");
            let value: f64 =
                reply.json()["data"]["result"][0]["value"][1].as_str()?.parse().ok()?;
            (value >= least).then_some(())
        });
    }

    /// Waits until the dashboard's own queries have an answer in each panel that may not be empty.
    #[track_caller]
    fn wait_answered(&self, may_be_empty: impl Fn(&str) -> bool) {
        let mut without = String::new();
        let seen = try_eventually(PATIENCE, || {
            let asked =
                Command::new("python3").arg(deploy("grafana/queries.py")).arg(&self.url).output();
            let asked = asked.expect("python3 starts");
            let complaint = String::from_utf8_lossy(&asked.stderr);
            assert!(asked.status.success(), "a query that Prometheus refuses: {complaint}");
            without = String::from_utf8_lossy(&asked.stdout).into_owned();
            without.lines().all(&may_be_empty).then_some(())
        });
        assert!(seen.is_some(), "panels without data:\n{without}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Gone already is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

#[test]
fn every_panel_of_the_dashboard_has_data_and_no_alert_is_wrong() {
    let redis = RedisServer::start();
    let workers = (0..3).map(|_| Worker::serve("flip")).collect();
    // Slower than the camera, so that frames are left out.
    let mut cluster = Cluster::of_with(workers, &["--redis", &redis.url(), "--max-fps", "20"]);
    let prometheus = Prometheus::start(cluster.admin("").trim_start_matches("http://"));
    let camera = |n: usize| connect(&cluster, &format!("{n}"), Video::Live(Format::SMALL));
    let mut peers = vec![camera(0)];
    prometheus.wait_scraped("reframe_setup_seconds_count", 1.0);
    // Of each thing two, or more: the first is when Prometheus learns of it, and no growth yet.
    peers.extend([1, 2].map(camera));
    peers.iter().for_each(|peer| peer.wait_received(15, PATIENCE));
    for count in [1.0, 2.0] {
        let busy = cluster.busy_worker().expect("one has a session");
        cluster.workers[busy].process.kill9();
        prometheus.wait_scraped("reframe_failover_seconds_count", count);
    }
    prometheus.wait_answered(|panel| WITHOUT_DATA.contains(&panel) || OF_MODELS.contains(&panel));
    let rules =
        get(&format!("{}/api/v1/rules", prometheus.url)).expect("Prometheus answers").json();
    let groups = rules["data"]["groups"].as_array().expect("groups of rules");
    let rules: Vec<_> =
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert!(rules.len() >= 10, "the project's alerts are there: {rules:?}");
    for rule in rules {
        assert_ne!(rule["health"], "err", "{rule}");
    }
    peers.iter_mut().for_each(Peer::close);
}

#[test]
fn the_panels_of_models_have_data_where_a_stream_has_one() {
    let model = Batched::builder(Ok, |_replica: &mut usize, frames: &[Frame]| {
        Ok(frames.iter().cloned().map(Ok).collect())
    });
    let model = model.build();
    let handler = VideoStreamHandler::new(move |frame: Frame| -> Result<Frame, HandlerError> {
        Ok(model.call(frame)?)
    });
    let cluster = Cluster::local([Stream::builder(handler).build()]);
    let prometheus = Prometheus::start(cluster.admin("").trim_start_matches("http://"));
    let mut peer = connect(&cluster, "model", Video::Live(Format::SMALL));
    prometheus.wait_answered(|panel| !OF_MODELS.contains(&panel));
    peer.close();
}

#[test]
fn the_alerts_do_what_their_tests_say() {
    for arguments in [
        ["check", "config", "prometheus/prometheus.yml"],
        ["test", "rules", "prometheus/alerts_test.yml"],
        ["test", "rules", "prometheus/slo_test.yml"],
    ] {
        let checked = Command::new("promtool").args(arguments).current_dir(deploy("")).output();
        let checked = checked.expect("`promtool` starts; Debian's package prometheus has it");
        let said = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn kubernetes_has_the_same_rules() {
    let checked = Command::new(deploy("prometheus/prometheusrule.sh")).arg("check").output();
    let checked = checked.expect("bash starts");
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let cluster = Cluster::launch("flip");
    let mut peer = connect(&cluster, "metrics", Video::Live(Format::SMALL));
    peer.wait_received(15, PATIENCE);
    let page = get(&cluster.admin("/metrics")).expect("the admin port answers").body;
    let file = env::temp_dir().join(format!("reframe-metrics-{}", std::process::id()));
    fs::write(&file, &page).expect("a file");
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(fs::File::open(&file).expect("the file"))
        .output()
        .expect("`promtool` starts; Debian's package prometheus has it");
    fs::remove_file(&file).ok();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    peer.close();
}
