//! One gateway, one worker and the honest streams; and an attack on them, judged.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rand::rngs::SmallRng;
use reframe_tests::attacker::attacks::requests::address;
use reframe_tests::attacker::judge::Judge;
use reframe_tests::cluster::{Cluster, Worker};
use tokio::time::Instant;

use crate::promises::Promise;

/// Slots: the honest ones have room beside every attacker that is allowed one.
const CAPACITY: &str = "32";
/// Of log, for one attack: a stranger's doings are counted, not told.
const LINES: usize = 200;

/// Where it happens.
pub(crate) struct Arena {
    pub(crate) cluster: Cluster,
    /// `http://…` of the public port.
    pub(crate) page: String,
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) worker: SocketAddr,
    pub(crate) judge: Judge,
}

/// Of one attack.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) held: bool,
    pub(crate) seen: String,
    /// Pictures, where there were honest streams, of 30 a second.
    pub(crate) fps: Option<f64>,
    /// From the end of it until all was given back.
    pub(crate) settled: Option<Duration>,
}

impl Outcome {
    pub(crate) fn failed(seen: String) -> Self {
        Self { held: false, seen, fps: None, settled: None }
    }
}

impl Arena {
    /// # Errors
    /// The honest streams do not run.
    pub(crate) fn open(streams: usize) -> Result<Self, String> {
        caught(|| {
            let worker = Worker::serve_with("flip", "127.0.0.1:0", &["--capacity", CAPACITY]);
            let cluster = Cluster::of(vec![worker]);
            let judge = Judge::sit_with(&cluster, streams);
            let [public, admin] = [cluster.page(""), cluster.admin("")].map(|url| address(&url));
            let worker = address(&cluster.workers[0].url);
            Self { page: cluster.page(""), public, admin, worker, judge, cluster }
        })
    }

    /// Makes it, and judges.
    pub(crate) fn attack(&mut self, promise: &Promise, random: &mut SmallRng) -> Outcome {
        let lines = self.cluster.gateway.log().lines().count();
        self.judge.begin();
        let began = Instant::now();
        let done = caught(|| (promise.attack)(self, random)).and_then(|done| done);
        let (time, verdict) = (began.elapsed(), self.judge.look());
        let settled = caught(|| self.judge.settle(&self.cluster)).and_then(|settled| settled);
        let lines = self.cluster.gateway.log().lines().count() - lines;
        let alive = self.cluster.gateway.alive() && self.cluster.workers[0].process.alive();
        let quiet = lines <= LINES;
        let mut seen = match &done {
            Ok(seen) => seen.clone(),
            Err(broken) => format!("BROKEN: {broken}"),
        };
        let unnoticed = !promise.judged || verdict.unnoticed();
        if !unnoticed {
            seen += &format!("; honest: {verdict}");
        }
        if let Err(left) = &settled {
            seen += &format!("; not given back: {left}");
        }
        if !quiet {
            seen += &format!("; {lines} lines of log");
        }
        if !alive {
            seen += "; a process ended";
        }
        let held = done.is_ok() && unnoticed && settled.is_ok() && quiet && alive;
        seen += &format!(" ({:.1} s, {:.1} fps)", time.as_secs_f64(), verdict.shown * 30.0);
        let fps = promise.judged.then_some(verdict.shown * 30.0);
        Outcome { held, seen, fps, settled: settled.ok() }
    }
}

/// What the harness panics with is one attack's failure, not the end of all.
pub(crate) fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}
