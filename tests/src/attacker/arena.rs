//! One gateway, one worker, a Redis and the honest streams; and an attack on them, judged.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::attacks::{Attack, PATIENCE, unique};
use super::dtls::AEAD;
use super::judge::Judge;
use super::offer::Offer;
use super::{Attacker, tcp};
use crate::cluster::{Cluster, Worker};
use crate::peer::{Options, Peer};
use crate::process::digest;
use crate::redis::RedisServer;
use crate::source::{Format, Video};
use crate::wait::{eventually, for_time, try_eventually};

/// The worker's slots: the honest ones have room beside every attacker that is allowed one.
pub const CAPACITY: usize = 32;
/// Of log, for one attack: a stranger's doings are counted, not told.
const LINES: usize = 80;
/// For a person who waits for the first picture.
const AT_ONCE: Duration = Duration::from_secs(5);
/// How long the honest streams are measured alone.
const ALONE: Duration = Duration::from_secs(1);

/// Where it happens.
#[derive(Debug)]
pub struct Arena {
    /// The gateway and its worker. Ends before its Redis does.
    pub cluster: Cluster,
    /// What the gateway places its sessions with.
    pub redis: RedisServer,
    /// `http://…` of the public port.
    pub page: String,
    /// The same port.
    pub public: SocketAddr,
    /// The admin port.
    pub admin: SocketAddr,
    /// The worker's port.
    pub worker: SocketAddr,
    /// The honest streams.
    pub judge: Judge,
    /// What those take of the gateway's time, in cores.
    honest_cores: f64,
    /// What stands in logs for honest clients' sessions.
    digests: Mutex<Vec<String>>,
}

/// Of one attack.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether all was as promised.
    pub held: bool,
    /// What was seen, or what was not as promised.
    pub seen: String,
    /// Pictures, where there were honest streams, of 30 a second.
    pub fps: Option<f64>,
    /// From the end of it until all was given back.
    pub settled: Option<Duration>,
}

impl Outcome {
    /// There was no attack.
    #[must_use]
    pub fn failed(seen: String) -> Self {
        Self { held: false, seen, fps: None, settled: None }
    }
}

impl Arena {
    /// With this many honest streams.
    ///
    /// # Errors
    /// They do not run.
    pub fn open(streams: usize) -> Result<Self, String> {
        caught(|| {
            let redis = RedisServer::start();
            let worker =
                Worker::serve_with("flip", "127.0.0.1:0", &["--capacity", &CAPACITY.to_string()]);
            // Other gateways would reach it elsewhere, so this machine's loopback is no gateway's.
            let options = ["--redis", &redis.url(), "--advertise", "http://192.0.2.1:9090"];
            let cluster = Cluster::of_with(vec![worker], &options);
            eventually("the gateway has its Redis", PATIENCE, || {
                (cluster.metrics().sum("reframe_placement_up", &[]) == 1.0).then_some(())
            });
            let judge = Judge::sit_with(&cluster, streams);
            let digests =
                Mutex::new((0..streams).map(|n| digest(&format!("honest-{n}"))).collect());
            let before = cluster.gateway.cpu_time();
            for_time(ALONE);
            let honest_cores = (cluster.gateway.cpu_time() - before).div_duration_f64(ALONE);
            let [public, admin] =
                [cluster.page(""), cluster.admin("")].map(|url| tcp::address(&url));
            let worker = tcp::address(&cluster.workers[0].url);
            Self {
                page: cluster.page(""),
                public,
                admin,
                worker,
                judge,
                honest_cores,
                digests,
                cluster,
                redis,
            }
        })
    }

    /// Makes an attack, judges it, and waits until all is given back.
    pub fn attack(&mut self, attack: &Attack, random: &mut SmallRng) -> Outcome {
        let mut outcome = self.make(attack, random);
        match self.settle() {
            Ok(time) => outcome.settled = Some(time),
            Err(left) => {
                outcome.held = false;
                outcome.seen += &format!("; {left}");
            }
        }
        outcome
    }

    /// Makes an attack and judges it.
    pub fn make(&mut self, attack: &Attack, random: &mut SmallRng) -> Outcome {
        let lines = self.strangers_lines(&self.log());
        self.judge.begin();
        let began = Instant::now();
        let done = caught(|| (attack.attack)(self, random)).and_then(|done| done);
        let (time, verdict) = (began.elapsed(), self.judge.look());
        let log = self.log();
        let mut broken: Vec<String> = done.as_ref().err().cloned().into_iter().collect();
        if attack.judged && !verdict.unnoticed() {
            broken.push(format!("honest: {verdict}"));
        }
        let lines = self.strangers_lines(&log).saturating_sub(lines);
        if lines > LINES {
            broken.push(format!("{lines} lines of log"));
        }
        if log.contains("panicked") {
            broken.push("a panic in a log".to_owned());
        }
        if !self.cluster.gateway.alive() || !self.cluster.workers[0].process.alive() {
            broken.push("a process ended".to_owned());
        }
        let fps = verdict.shown * 30.0;
        let seen = if broken.is_empty() { done.unwrap_or_default() } else { broken.join("; ") };
        let seen = format!("{seen} ({:.1} s, {fps:.1} fps)", time.as_secs_f64());
        Outcome { held: broken.is_empty(), seen, fps: attack.judged.then_some(fps), settled: None }
    }

    /// Waits until nobody has a slot but the honest, and memory is what it was; says how long that
    /// took.
    ///
    /// # Errors
    /// It takes too long.
    pub fn settle(&self) -> Result<Duration, String> {
        let settled = caught(|| self.judge.settle(&self.cluster)).and_then(|settled| settled);
        settled.map_err(|left| format!("not given back: {left}"))
    }

    /// Whether newcomers get all the slots that the honest streams leave: one may be lost to all
    /// and yet be nobody's. They keep them, so nothing comes after this.
    ///
    /// # Errors
    /// Some are missing.
    pub fn fill(&self) -> Result<(), String> {
        const AT_A_TIME: usize = 8;
        let free: Vec<_> = (self.judge.peers.len()..CAPACITY).collect();
        let connect = |n: &usize| {
            let offer = Offer::new(self.honest_id(&format!("newcomer-{n}")));
            Attacker::connect(&self.page, offer, AEAD, PATIENCE)
        };
        let newcomers = std::thread::scope(|scope| {
            let some = |some| {
                scope.spawn(move || {
                    <[usize]>::iter(some).map(connect).collect::<Result<Vec<_>, _>>()
                })
            };
            let threads: Vec<_> = free.chunks(free.len().div_ceil(AT_A_TIME)).map(some).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("it does not panic"))
                .collect::<Result<Vec<_>, _>>()
        });
        let newcomers = newcomers.map_err(|error| format!("a slot is lost: {error}"))?;
        let newcomers: Vec<_> = newcomers.into_iter().flatten().collect();
        let full =
            try_eventually(AT_ONCE, || (self.cluster.sessions() == CAPACITY as f64).then_some(()));
        full.ok_or_else(|| {
            format!(
                "{} newcomers, but {} of {CAPACITY} slots",
                newcomers.len(),
                self.cluster.sessions()
            )
        })
    }

    /// A new id, whose lines in logs are no stranger's.
    fn honest_id(&self, what: &str) -> String {
        let id = unique(what);
        self.digests.lock().push(digest(&id));
        id
    }

    /// Lines that are of no honest client: those of each of these are written.
    fn strangers_lines(&self, log: &str) -> usize {
        let digests = self.digests.lock();
        let honest = |line: &&str| digests.iter().any(|digest| line.contains(digest));
        log.lines().filter(|line| !honest(line)).count()
    }

    /// An honest client that comes now has its picture at once.
    ///
    /// # Errors
    /// It has not.
    pub fn newcomer(&self) -> Result<(), String> {
        let options = Options::camera(self.honest_id("newcomer"), Video::Live(Format::SMALL));
        let began = Instant::now();
        let peer = Peer::connect(&self.page, options);
        let mut peer = peer.map_err(|reply| format!("a newcomer is refused: {reply:?}"))?;
        let shown = try_eventually(AT_ONCE, || (peer.stats().received.len() > 5).then_some(()));
        peer.close();
        shown.ok_or_else(|| format!("a newcomer saw nothing within {:?}", began.elapsed()))
    }

    /// What `act` gives, and what the gateway computes meanwhile beyond what the honest streams
    /// take of it.
    pub fn busy<T>(&self, act: impl FnOnce() -> T) -> (T, Duration) {
        let (before, began) = (self.cluster.gateway.cpu_time(), Instant::now());
        let done = act();
        let honest = began.elapsed().mul_f64(self.honest_cores);
        (done, (self.cluster.gateway.cpu_time() - before).saturating_sub(honest))
    }

    /// What gateway and worker have written.
    #[must_use]
    pub fn log(&self) -> String {
        self.cluster.processes().map(crate::process::Process::log).collect()
    }
}

/// What the harness panics with is one attack's failure, not the end of all.
fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}
