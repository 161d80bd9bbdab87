//! Honest streams beside an attack, and what they make of it: they look at pictures, others at
//! `/healthz`.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::http;
use crate::peer::{Options, Peer, Stats};
use crate::source::{Clip, Format, Video};
use crate::wait::{for_time, try_eventually};

/// Of thirty pictures a second so many must be shown, repetitions among them.
const SHOWN: f64 = 28.0 / 30.0;
/// And so many must be new: the pacer fills in for one that is late, and a stream of repetitions
/// alone is dead.
const NEW: f64 = 25.0 / 30.0;
/// Longest time without a new picture.
const FREEZE: Duration = Duration::from_secs(1);
/// Pictures are counted over so long, from each whole second on: a hiccup of the machine that
/// judges is not a fault.
const WINDOW: Duration = Duration::from_secs(5);
/// After an attack, for slots and memory.
const SETTLED: Duration = Duration::from_secs(20);
/// What an allocator and its threads may keep of all attacks since the streams began.
const KEPT_BYTES: u64 = 48 << 20;
/// Until a stream is steady: a machine that builds beside the tests takes its time.
const STEADY: Duration = Duration::from_secs(30);
/// Between two looks at `/healthz`.
const HEALTH: Duration = Duration::from_millis(250);

/// Honest streams, running.
#[derive(Debug)]
pub struct Judge {
    /// The streams.
    pub peers: Vec<Peer>,
    health: Arc<Watch>,
    began: Instant,
    rss_before: u64,
}

/// Between the thread that asks and the judge.
#[derive(Debug, Default)]
struct Watch {
    health: Mutex<Health>,
    over: AtomicBool,
}

/// What `/healthz` said.
#[derive(Clone, Debug, Default)]
struct Health {
    looks: u64,
    /// The first that was not 200.
    bad: Option<String>,
    slowest: Duration,
}

/// What an honest stream, the worst of them, was like throughout.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How long it was looked at.
    pub time: Duration,
    /// Pictures shown for each one sent, in the worst window.
    pub shown: f64,
    /// New ones.
    pub new: f64,
    /// The longest time without a new picture.
    pub freeze: Duration,
    /// What was wrong with `/healthz`.
    pub unhealthy: Option<String>,
    /// The slowest reply of `/healthz`.
    pub slowest_health: Duration,
    /// Streams that ended or failed.
    pub lost: usize,
}

/// Ten seconds of small pictures: the numbers say what is new, and encoding is done before it
/// counts.
#[must_use]
fn clip() -> Arc<Clip> {
    Arc::new(Clip::encode(Format::SMALL, 300, 60).expect("the encoder works"))
}

impl Judge {
    /// So many honest streams at `cluster`, steady.
    ///
    /// # Panics
    /// When one does not get so far.
    #[track_caller]
    #[must_use]
    pub fn sit_with(cluster: &Cluster, count: usize) -> Self {
        let clip = clip();
        let peer = |n: usize| {
            let options = Options::camera(format!("honest-{n}"), Video::Clip(Arc::clone(&clip)));
            let peer = Peer::connect(&cluster.page(""), options);
            peer.unwrap_or_else(|reply| panic!("an honest client is not answered: {reply:?}"))
        };
        let peers: Vec<_> = (0..count).map(peer).collect();
        peers.iter().for_each(|peer| peer.wait_received(60, STEADY));
        let health = watch(cluster.admin("/healthz"));
        let (began, rss_before) = (Instant::now(), cluster.gateway.rss_bytes());
        Self { peers, health, began, rss_before }
    }

    /// Forgets what it saw so far: from now on it counts.
    pub fn begin(&mut self) {
        self.began = Instant::now();
        *self.health.lock() = Health::default();
    }

    /// Waits until there was one window at least since the begin, and judges all of it.
    ///
    /// # Panics
    /// When there is no stream.
    #[must_use]
    pub fn look(&self) -> Verdict {
        // A bounded wait for the time itself: there is no condition but that it has passed.
        for_time(WINDOW.saturating_sub(self.began.elapsed()));
        let (began, time, health) = (self.began, self.began.elapsed(), self.health.lock().clone());
        let verdicts = self.peers.iter().map(|peer| of(&peer.stats(), began, time));
        let worst = |a: Verdict, b: Verdict| Verdict {
            shown: a.shown.min(b.shown),
            new: a.new.min(b.new),
            freeze: a.freeze.max(b.freeze),
            lost: a.lost + b.lost,
            ..a
        };
        let verdict = verdicts.reduce(worst).expect("a judge has a stream");
        let nothing = (health.looks == 0).then(|| "never answered".to_owned());
        Verdict { unhealthy: health.bad.or(nothing), slowest_health: health.slowest, ..verdict }
    }

    /// Waits until nobody has a slot but the honest, and memory is what it was; says how long that
    /// took.
    ///
    /// # Errors
    /// It takes longer than `SETTLED`: how far it came.
    pub fn settle(&self, cluster: &Cluster) -> Result<Duration, String> {
        let (began, honest) = (Instant::now(), self.peers.len() as f64);
        let look =
            || (cluster.sessions(), cluster.gateway.rss_bytes().saturating_sub(self.rss_before));
        let settled = |(sessions, more)| sessions == honest && more <= KEPT_BYTES;
        let waited = try_eventually(SETTLED, || settled(look()).then(|| began.elapsed()));
        waited.ok_or_else(|| {
            let (sessions, more) = look();
            format!(
                "{sessions} sessions, {honest} of them honest, and {} MB more than before",
                more >> 20
            )
        })
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.health.over.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().expect("nothing panics while it holds it")
    }
}

/// Looks at `/healthz` until it is over, on a thread that then ends.
fn watch(url: String) -> Arc<Watch> {
    let watch = Arc::new(Watch::default());
    let ours = Arc::clone(&watch);
    std::thread::spawn(move || {
        while !ours.over.load(Ordering::Relaxed) {
            let asked = Instant::now();
            let reply = http::get(&url);
            let bad = match reply {
                Ok(reply) if reply.status == 200 => None,
                Ok(reply) => Some(format!("{} {}", reply.status, reply.body)),
                Err(error) => Some(error.to_string()),
            };
            let mut health = ours.lock();
            health.looks += 1;
            health.slowest = health.slowest.max(asked.elapsed());
            health.bad = health.bad.take().or(bad);
            drop(health);
            try_eventually(HEALTH, || ours.over.load(Ordering::Relaxed).then_some(()));
        }
    });
    watch
}

/// One stream's.
fn of(stats: &Stats, began: Instant, time: Duration) -> Verdict {
    let began = began.into_std();
    let mut new = stats.received.clone();
    new.dedup_by_key(|frame| frame.code.map(|code| code.number));
    let (mut worst_shown, mut worst_new) = (f64::INFINITY, f64::INFINITY);
    for second in 0..=time.saturating_sub(WINDOW).as_secs() {
        let from = began + Duration::from_secs(second);
        let within = |at: std::time::Instant| (from..from + WINDOW).contains(&at);
        let sent = stats.sent.iter().filter(|sent| within(sent.at)).count().max(1) as f64;
        let shown = stats.received.iter().filter(|frame| within(frame.complete)).count();
        let new = new.iter().filter(|frame| within(frame.complete)).count();
        worst_shown = worst_shown.min(shown as f64 / sent);
        worst_new = worst_new.min(new as f64 / sent);
    }
    // A silence that lasts until now has no end in the list.
    let silence =
        new.last().map_or(time, |frame| (began + time).saturating_duration_since(frame.complete));
    // A machine that does not let our own camera take pictures shows none either.
    let times = stats.sent.iter().map(|sent| sent.at).filter(|at| *at >= began);
    let times: Vec<_> = std::iter::once(began).chain(times).chain([began + time]).collect();
    let unsent = times
        .windows(2)
        .map(|pair| pair[1].saturating_duration_since(pair[0]))
        .max()
        .unwrap_or_default();
    let freeze = stats.longest_freeze(began).max(silence).saturating_sub(unsent);
    let lost = usize::from(stats.closed_by_server || stats.failed.is_some());
    Verdict {
        time,
        shown: worst_shown,
        new: worst_new,
        freeze,
        unhealthy: None,
        slowest_health: Duration::ZERO,
        lost,
    }
}

impl Verdict {
    /// Whether an honest person would have noticed nothing.
    #[must_use]
    pub fn unnoticed(&self) -> bool {
        self.lost == 0
            && self.unhealthy.is_none()
            && self.shown >= SHOWN
            && self.new >= NEW
            && self.freeze <= FREEZE
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, shown, new, freeze, unhealthy, slowest_health, lost } = self;
        write!(
            f,
            "{:.1} of 30 fps shown, {:.1} new, {} ms without a new one, over {:.0} s; /healthz {} \
             (slowest {} ms)",
            shown * 30.0,
            new * 30.0,
            freeze.as_millis(),
            time.as_secs_f64(),
            unhealthy.as_deref().unwrap_or("ok"),
            slowest_health.as_millis(),
        )?;
        if *lost > 0 { write!(f, "; {lost} lost") } else { Ok(()) }
    }
}
