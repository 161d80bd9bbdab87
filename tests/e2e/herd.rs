//! A hundred pages lose their gateway at once, and all are live again at the other one.
//!
//! The pages are scripted, with the timing of the real one, read from its source
//! (`reframe_tests::herd`); the real one is in `reconnect.rs`. The same with a thousand of them, in
//! virtual time: `tests/src/herd/tests.rs`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use reframe_gateway::codec::Codec;
use reframe_tests::attacker::tcp::raise_descriptors;
use reframe_tests::balancer::Balancer;
use reframe_tests::figures::Percentiles;
use reframe_tests::herd::Dice;
use reframe_tests::herd::page::{Patience, Timing};
use reframe_tests::http::post;
use reframe_tests::pattern::{MIN_HEIGHT, MIN_WIDTH};
use reframe_tests::peer::{Media, offer_sdp};
use reframe_tests::source::{Clip, Format};
use reframe_worker::{Frame, PixelFormat, Stream, VideoStreamHandler};
use serde_json::json;
use tokio::time::Instant;

use super::*;

const PAGES: usize = 100;
/// Of sixteen slots each.
const WORKERS: usize = 7;
/// From the end of their gateway until every page has a new picture. Of it the pages take three
/// seconds to notice.
const ALL_BACK: Duration = Duration::from_secs(20);
/// For a hundred to connect a first time, on a machine that has other work.
const ALL_LIVE: Duration = Duration::from_secs(60);
/// A picture has the smallest size that has a number, and there are few: it is the herd that is
/// tested.
const FORMAT: Format =
    Format { width: MIN_WIDTH, height: MIN_HEIGHT, fps: 4.0, bitrate_kbps: 100, codec: Codec::Vp8 };

/// A page that waits is told to stop.
struct Stopped;

/// What a page tells: nothing when its first picture came, and then how it came back.
type Told = Option<Back>;

/// How a page came back.
struct Back {
    page: usize,
    noticed: Instant,
    live: Instant,
    /// Why each try before the last one failed.
    failed: Vec<String>,
}

/// The script.
struct Page {
    number: usize,
    address: String,
    clip: Arc<Clip>,
    /// An offer of its own, as good as any where nobody knows the session.
    further: Arc<str>,
    timing: Timing,
    dice: Dice,
    /// Connections so far: each has an id of its own.
    connections: usize,
    tell: Sender<Told>,
    /// Closed, it is time to stop.
    stop: Receiver<()>,
}

impl Page {
    /// Is live, loses its gateway, comes back, and stays until it is stopped.
    fn run(mut self) {
        let Ok(mut peer) = self.begin() else { return };
        if self.tell(None).is_ok() && self.listen(&peer).is_ok() {
            // As the page closes what it has lost.
            drop(peer);
            let Ok(back) = self.come_back() else { return };
            peer = back;
            // An error is what it waits for: it is time.
            self.stop.recv().ok();
        }
        peer.close();
    }

    /// Somebody has pressed Start. What is told here is not what is tested: it tries until it has a
    /// place.
    fn begin(&mut self) -> Result<Peer, Stopped> {
        loop {
            match self.connect(self.timing.first) {
                Ok(peer) => return Ok(peer),
                Err(_) => self.pause(Duration::from_secs(1))?,
            }
        }
    }

    /// Looks, as the page does, until nothing has come for too long.
    fn listen(&self, peer: &Peer) -> Result<(), Stopped> {
        let (mut received, mut silent_looks) = (0, 0);
        let mut restart: Option<JoinHandle<()>> = None;
        while silent_looks <= self.timing.silent_looks {
            self.pause(self.timing.look)?;
            let [_, down] = peer.stats().network;
            if std::mem::replace(&mut received, down.sent) < down.sent {
                silent_looks = 0;
            }
            silent_looks += 1;
            let restarts = self.timing.restart_looks + 1..=self.timing.silent_looks;
            if restarts.contains(&silent_looks)
                && restart.as_ref().is_none_or(JoinHandle::is_finished)
            {
                restart = Some(self.restart());
            }
        }
        Ok(())
    }

    /// Asks for another path to the same session. Where that was there is nobody, and the other
    /// gateway knows none of it.
    fn restart(&self) -> JoinHandle<()> {
        let url = format!("{}/webrtc/offer", self.address);
        let body = json!({ "sdp": &*self.further, "type": "offer", "webrtc_id": self.id(), "renegotiate": true });
        thread::spawn(move || {
            if let Ok(reply) = post(&url, body.to_string()) {
                assert_eq!(reply.json()["meta"]["error"], "unknown_connection", "{reply:?}");
            }
        })
    }

    /// Tries as the page does, and gives the connection once its first picture is there.
    fn come_back(&mut self) -> Result<Peer, Stopped> {
        let noticed = Instant::now();
        let mut failed = Vec::new();
        loop {
            let pause = self.timing.pause(failed.len(), false, &mut self.dice);
            self.pause(pause)?;
            match self.connect(self.timing.again) {
                Ok(peer) => {
                    let back = Back { page: self.number, noticed, live: Instant::now(), failed };
                    self.tell(Some(back))?;
                    return Ok(peer);
                }
                Err(why) => failed.push(why),
            }
        }
    }

    /// A connection that stands, is admitted and has shown a picture of ours.
    fn connect(&mut self, patience: Patience) -> Result<Peer, String> {
        self.connections += 1;
        let (address, options) =
            (self.address.clone(), Options::camera(self.id(), Video::Clip(Arc::clone(&self.clip))));
        let (give, take) = sync_channel(1);
        // Whoever waits no longer does not get it: it is dropped.
        thread::spawn(move || drop(give.send(Peer::try_connect(&address, options))));
        let answered = take.recv_timeout(patience.answer).map_err(|_| "no answer".to_owned())?;
        let peer = answered.map_err(|refusal| refusal.to_string())?;
        let ended = |stats: &Stats| stats.closed_by_server || stats.message("end_stream").is_some();
        let admitted = try_eventually(patience.connect, || {
            let stats = peer.stats();
            (stats.server_stats.is_some() || ended(&stats)).then_some(stats)
        });
        match admitted {
            None => return Err(format!("no connection: {}", peer.stats().summary())),
            Some(stats) if ended(&stats) => return Err(format!("ended: {}", stats.summary())),
            Some(_) => {}
        }
        // The page is content by now, and waits for it as long as something comes. Whatever is
        // decoded was sent on this connection; its number need not be readable, as a busy server
        // scales pictures down.
        let shown = |stats: &Stats| stats.received.iter().any(|frame| frame.width > 0);
        match try_eventually(ALL_BACK, || shown(&peer.stats()).then_some(())) {
            Some(()) => Ok(peer),
            None => Err(format!("no picture: {}", peer.stats().summary())),
        }
    }

    fn id(&self) -> String {
        format!("page-{}-{}", self.number, self.connections)
    }

    fn tell(&self, told: Told) -> Result<(), Stopped> {
        self.tell.send(told).map_err(|_| Stopped)
    }

    fn pause(&self, time: Duration) -> Result<(), Stopped> {
        match self.stop.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Stopped),
        }
    }
}

/// Pages that run. Dropping it stops them, in order.
struct Herd {
    told: Receiver<Told>,
    stop: Vec<Sender<()>>,
    pages: Vec<JoinHandle<()>>,
}

impl Herd {
    fn start(address: &str, seed: u64) -> Self {
        let clip = Arc::new(Clip::encode(FORMAT, 40, 4).expect("the encoder works"));
        let further: Arc<str> = offer_sdp(Media::default()).into();
        let (tell, told) = channel();
        let mut herd = Self { told, stop: Vec::new(), pages: Vec::new() };
        for number in 0..PAGES {
            let (stop, stopped) = channel();
            let page = Page {
                number,
                address: address.to_owned(),
                clip: Arc::clone(&clip),
                further: Arc::clone(&further),
                timing: Timing::of_the_page(),
                dice: Dice::seeded(seed + number as u64),
                connections: 0,
                tell: tell.clone(),
                stop: stopped,
            };
            herd.stop.push(stop);
            herd.pages.push(thread::spawn(|| page.run()));
        }
        herd
    }

    /// What pages tell within this time, as much as there is to tell.
    fn told(&self, within: Duration) -> Vec<Told> {
        let deadline = Instant::now() + within;
        let next =
            || self.told.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).take(PAGES).collect()
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        self.stop.clear();
        for page in self.pages.drain(..) {
            if page.join().is_err() && !thread::panicking() {
                panic!("a page panicked");
            }
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the real figures, which the assertion is far from")]
fn a_hundred_pages_that_lose_their_gateway_at_once_are_live_again() {
    // Six for each page, and connections; a process may usually have 1024.
    raise_descriptors();
    let stream = || {
        let handler = VideoStreamHandler::new(Frame::flip_vertical).pixel_format(PixelFormat::I420);
        Stream::builder(handler.fps(FORMAT.fps)).build()
    };
    // All of them come from the balancer's address.
    let most = ["--max-connections-per-address", "1000"];
    let mut first = Cluster::local_with((0..WORKERS).map(|_| stream()), &most);
    let second = Cluster::beside(&first, &most);
    let balancer = Balancer::start(&[first.page(""), second.page("")]);
    balancer.only(Some(0));
    let seed = rand::random();
    let herd = Herd::start(&balancer.page(""), seed);
    assert_eq!(herd.told(ALL_LIVE).len(), PAGES, "all are live");
    assert_eq!((first.sessions(), second.sessions()), (PAGES as f64, 0.0));

    balancer.only(None);
    let before = second.gateway.cpu_time();
    let killed = Instant::now();
    first.gateway.kill9();
    let told = herd.told(ALL_BACK);
    let spent = second.gateway.cpu_time() - before;
    let backs: Vec<_> = told.into_iter().flatten().collect();
    let figures = figures(&backs, killed, spent, seed);
    println!("{figures}");
    assert_eq!(backs.len(), PAGES, "not all are back within {ALL_BACK:?}: {figures}");
    second.wait_for_sessions(PAGES, PATIENCE);
    assert_eq!(
        second.metrics().sum("reframe_sessions_ended_total", &[("reason", "crowded_out")]),
        0.0,
        "{figures}"
    );
    drop(herd);
    second.wait_for_sessions(0, PATIENCE);
}

/// For people: how they came back, and who came last.
fn figures(backs: &[Back], killed: Instant, spent: Duration, seed: u64) -> String {
    let percentiles = |when: fn(&Back) -> Instant| {
        Percentiles::of(backs.iter().map(|back| when(back) - killed).collect())
    };
    let failed = backs.iter().map(|back| back.failed.len()).sum::<usize>();
    let last = backs.iter().max_by_key(|back| back.live);
    let last = last.map(|back| {
        format!("page {} after {:?}, {:?}", back.page, back.live - killed, back.failed)
    });
    format!(
        "{} of {PAGES} back (seed {seed}); ms until noticed {:?}, until live {:?}; {failed} tries failed; the last: {}; \
         {spent:?} of the second gateway's CPU",
        backs.len(),
        percentiles(|back| back.noticed),
        percentiles(|back| back.live),
        last.unwrap_or_default(),
    )
}
