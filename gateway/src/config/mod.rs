//! Options: flag, environment variable, default and unit side by side, and the checks that turn
//! them into a [`Config`].
//!
//! Values are taken as text and checked here, not by `clap`, so that one start reports everything
//! that is wrong. Unknown `REFRAME_` variables are not errors, because Kubernetes injects such for
//! every service.
//!
//! It may import `access`, `media`, `telemetry` and `codec`, and knows none of its readers.

pub(crate) mod access;
pub(crate) mod addresses;
mod advertise;
pub(crate) mod client_limits;
pub(crate) mod cluster;
pub(crate) mod edge;
pub(crate) mod ice_servers;
mod inside;
pub(crate) mod media;
pub(crate) mod names;
pub(crate) mod parse;
pub(crate) mod proxies;
pub(crate) mod public;
pub(crate) mod redis;
pub(crate) mod tls;
pub(crate) mod token;
pub(crate) mod worker_address;

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use reframe_proto::{FRAME_RATES, picture_fits};
use reframe_trace::watchdog;

use self::access::{Access, AccessOptions};
use self::client_limits::{ClientLimitOptions, ClientLimits};
use self::edge::{Edge, EdgeOptions};
use self::ice_servers::{IceServerOptions, IceServers};
use self::media::{Media, MediaOptions};
use self::parse::{list, parse, within};
use self::proxies::TrustedProxies;
use self::tls::Tls;
use crate::codec::Codecs;
use crate::media::limits::{BITRATES, BitrateLimits, VideoLimits};

/// `EX_USAGE` of `sysexits.h`: the command was used incorrectly.
pub const EXIT_USAGE: u8 = 64;

/// The gateway's options, as given. Flatten them into a command line.
#[derive(Args, Clone, Debug)]
// Otherwise clap names a group after the struct, and then refuses an embedder's `Options` beside
// it.
#[group(skip)]
pub struct Options {
    /// Address of the page and the signalling [ip:port; port 0 picks a free one].
    #[arg(long, env = "REFRAME_HTTP", default_value = "127.0.0.1:8080")]
    pub http: String,

    /// Certificate chain of the public port, which then speaks https [PEM file; with --tls-key].
    #[arg(long, env = "REFRAME_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<String>,

    /// Private key of --tls-cert [PEM file, not encrypted].
    #[arg(long, env = "REFRAME_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<String>,

    /// `self-signed`: https with a certificate made at the start, to try the page from a phone
    /// [instead of --tls-cert].
    #[arg(long, env = "REFRAME_TLS")]
    pub tls: Option<String>,

    /// Address of /metrics, /healthz, /readyz, /version and /api/sessions, where sessions can be
    /// ended (--admin-token-file) [ip:port; port 0 picks a free one].
    #[arg(long, env = "REFRAME_ADMIN", default_value = "127.0.0.1:9090")]
    pub admin: String,

    /// Who may use which port.
    #[command(flatten)]
    pub access: AccessOptions,

    /// What both ports take of strangers.
    #[command(flatten)]
    pub edge: EdgeOptions,

    /// What one client takes.
    #[command(flatten)]
    pub clients: ClientLimitOptions,

    /// The media port.
    #[command(flatten)]
    pub media: MediaOptions,

    /// What browsers need to reach it.
    #[command(flatten)]
    pub ice: IceServerOptions,

    /// Highest bitrate of a video, each way [kbit/s, 100 to 20000].
    #[arg(long, env = "REFRAME_BITRATE", default_value = "2000")]
    pub bitrate: String,

    /// Bitrate that a video begins with, at most --bitrate [kbit/s, 100 to 20000].
    #[arg(long, env = "REFRAME_BITRATE_START", default_value = "1500")]
    pub bitrate_start: String,

    /// Lowest bitrate of a video, also where the network carries less [kbit/s, 100 to --bitrate].
    #[arg(long, env = "REFRAME_BITRATE_MIN", default_value = "100")]
    pub bitrate_min: String,

    /// Largest video taken from a browser; larger is scaled down [pixels, WIDTHxHEIGHT, up to
    /// 4096x2304; upright too].
    #[arg(long, env = "REFRAME_MAX_RESOLUTION", value_name = "SIZE", default_value = "1920x1080")]
    pub max_resolution: String,

    /// Highest frame rate accepted from a browser; frames beyond it are dropped [frames a second, 1
    /// to 240].
    #[arg(long, env = "REFRAME_MAX_FPS", value_name = "FPS", default_value = "60")]
    pub max_fps: String,

    /// Codecs to negotiate, comma-separated, the preferred one first [vp8, vp9 and, unless it is
    /// left out of the build, h264; default: all of them, in the browser's order].
    #[arg(long, env = "REFRAME_CODECS")]
    pub codecs: Option<String>,

    /// Threads that decode and encode [1 to 256; 0 is one per core].
    #[arg(long, env = "REFRAME_CODEC_THREADS", default_value = "0")]
    pub codec_threads: String,

    /// Refuse a new session when it would make the codec threads busier than this [percent of the
    /// time, 1 to 100; 100 is no limit].
    #[arg(long, env = "REFRAME_MAX_LOAD", value_name = "PERCENT", default_value = "90")]
    pub max_load: String,

    /// How long to keep a session after its browser stopped sending video; 20 s where another
    /// client needs the slot [seconds, 1 to 86400].
    #[arg(long, env = "REFRAME_IDLE_LIMIT", value_name = "SECONDS", default_value = "300")]
    pub idle_limit: String,

    /// Proxies in front of --http whose `X-Forwarded-For` or `Forwarded` is believed,
    /// comma-separated [addresses and networks, as 10.0.0.0/8; default: none, the address that
    /// connects is the client's].
    #[arg(long, env = "REFRAME_TRUSTED_PROXIES", value_name = "LIST")]
    pub trusted_proxies: Option<String>,

    /// Exit with code 70 when a thread has not responded for this long, so that a supervisor
    /// restarts the process [seconds, 10 to 3600; 0 is never].
    #[arg(long, env = "REFRAME_EXIT_WHEN_STUCK", value_name = "SECONDS", default_value = "30")]
    pub exit_when_stuck: String,

    /// With trace export, trace one frame in this many of a session [0 to 1000000; 0 is none].
    #[arg(long, env = "REFRAME_TRACE_FRAMES", value_name = "N", default_value = "300")]
    pub trace_frames: String,
}

/// Limits of the video in both directions.
#[derive(Clone, Debug)]
pub(crate) struct Video {
    pub(crate) bitrates: BitrateLimits,
    pub(crate) video_limits: VideoLimits,
}

/// Checked options.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) http: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) admin: SocketAddr,
    pub(crate) access: Access,
    pub(crate) edge: Edge,
    pub(crate) clients: ClientLimits,
    pub(crate) media: Media,
    pub(crate) ice_servers: IceServers,
    pub(crate) video: Video,
    pub(crate) codecs: Codecs,
    pub(crate) codec_threads: usize,
    /// As a share of each thread's time.
    pub(crate) max_load: f64,
    pub(crate) idle_limit: Duration,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) exit_when_stuck: Option<Duration>,
    pub(crate) trace_frames: u32,
}

impl Default for Options {
    /// As without any flag: what the environment says, and the defaults.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct CommandLine {
            #[command(flatten)]
            options: Options,
        }
        <CommandLine as clap::Parser>::parse_from([""]).options
    }
}

impl Options {
    /// Where `--http` can be reached from other machines and nothing says who may use it: anybody
    /// with the address that is printed, which has a token in it.
    #[must_use]
    pub fn or_link(mut self) -> Self {
        let http: Result<SocketAddr, _> = self.http.trim().parse();
        let local = http.is_ok_and(|http| http.ip().is_loopback());
        if !local && self.access.auth.as_ref().is_none_or(String::is_empty) {
            self.access.auth = Some("link".to_owned());
        }
        self
    }

    /// Checks every option.
    ///
    /// # Errors
    /// One line for each problem, naming its flag.
    pub fn validate(&self) -> Result<Config, Vec<String>> {
        let mut problems = Vec::new();
        let http = parse(&mut problems, "--http", &self.http, "an address like 127.0.0.1:8080");
        let (mode, cert, key) =
            (self.tls.as_deref(), self.tls_cert.as_deref(), self.tls_key.as_deref());
        let tls = Tls::from_options(&mut problems, mode, cert, key);
        let admin = parse(&mut problems, "--admin", &self.admin, "an address like 127.0.0.1:9090");
        let edge = self.edge.validate(&mut problems);
        let clients = self.clients.validate(&mut problems);
        let media = self.media.validate(&mut problems);
        let ice_servers = self.ice.validate(&mut problems);
        let video = self.video(&mut problems);
        let codecs = self.codecs.as_deref().map_or(Codecs::Browsers, |value| {
            Codecs::Ours(list(&mut problems, "--codecs", value, Codecs::CHOICES))
        });
        let threads = within(&mut problems, "--codec-threads", &self.codec_threads, 0, 256);
        let max_load = within(&mut problems, "--max-load", &self.max_load, 1, 100);
        let idle_limit = within(&mut problems, "--idle-limit", &self.idle_limit, 1, 86_400);
        let trusted_proxies =
            TrustedProxies::from_option(&mut problems, self.trusted_proxies.as_deref());
        let access = self.access.validate(&mut problems, http, admin, &trusted_proxies);
        let exit_when_stuck = watchdog::give_up(&self.exit_when_stuck);
        let exit_when_stuck = exit_when_stuck
            .map_err(|problem| problems.push(format!("--exit-when-stuck: {problem}")))
            .ok();
        let trace_frames =
            within(&mut problems, "--trace-frames", &self.trace_frames, 0, 1_000_000);
        match (
            http,
            admin,
            access,
            edge,
            clients,
            media,
            ice_servers,
            video,
            threads,
            max_load,
            idle_limit,
            exit_when_stuck,
            trace_frames,
        ) {
            (
                Some(http),
                Some(admin),
                Some(access),
                Some(edge),
                Some(clients),
                Some(media),
                Some(ice_servers),
                Some(video),
                Some(threads),
                Some(max_load),
                Some(idle_limit),
                Some(exit_when_stuck),
                Some(trace_frames),
            ) if problems.is_empty() => {
                let cores = || std::thread::available_parallelism().map_or(2, usize::from);
                let codec_threads = if threads == 0 { cores() } else { threads as usize };
                let max_load = f64::from(max_load) / 100.0;
                Ok(Config {
                    http,
                    tls,
                    admin,
                    access,
                    edge,
                    clients,
                    media,
                    ice_servers,
                    video,
                    codecs,
                    codec_threads,
                    max_load,
                    idle_limit: Duration::from_secs(idle_limit.into()),
                    trusted_proxies,
                    exit_when_stuck,
                    trace_frames,
                })
            }
            _ => Err(problems),
        }
    }

    fn video(&self, problems: &mut Vec<String>) -> Option<Video> {
        let (bitrates, video_limits) = (self.bitrates(problems), self.video_limits(problems));
        Some(Video { bitrates: bitrates?, video_limits: video_limits? })
    }

    fn video_limits(&self, problems: &mut Vec<String>) -> Option<VideoLimits> {
        let size = self.max_resolution.split_once(['x', 'X']);
        let size = size.and_then(|(w, h)| Some((w.trim().parse().ok()?, h.trim().parse().ok()?)));
        let size: Option<(u32, u32)> = size.filter(|(w, h)| {
            let even_smallest = 16;
            picture_fits(*w, *h) && *w.min(h) >= even_smallest
        });
        if size.is_none() {
            problems.push(format!(
                "--max-resolution: `{}` is not a size like 1920x1080, from 16x16 to 4096x2304",
                self.max_resolution
            ));
        }
        let fps = self.max_fps.trim().parse().ok().filter(|fps| FRAME_RATES.contains(fps));
        if fps.is_none() {
            problems.push(format!("--max-fps: `{}` is not a number from 1 to 240", self.max_fps));
        }
        let ((width, height), fps) = (size?, fps?);
        Some(VideoLimits { long: width.max(height), short: width.min(height), fps })
    }

    fn bitrates(&self, problems: &mut Vec<String>) -> Option<BitrateLimits> {
        let (low, high) = (*BITRATES.start(), *BITRATES.end());
        let max = within(problems, "--bitrate", &self.bitrate, low, high);
        let start = within(problems, "--bitrate-start", &self.bitrate_start, low, high);
        let min = within(problems, "--bitrate-min", &self.bitrate_min, low, max.unwrap_or(high));
        let (max, start, min) = (max?, start?, min?);
        Some(BitrateLimits { start: start.clamp(min, max), min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;

    fn options() -> Options {
        Options {
            http: "127.0.0.1:8080".into(),
            tls_cert: None,
            tls_key: None,
            tls: None,
            admin: "127.0.0.1:9090".into(),
            access: AccessOptions::default(),
            edge: EdgeOptions::default(),
            clients: ClientLimitOptions::default(),
            media: MediaOptions { media: "127.0.0.1, ::1".into(), ..MediaOptions::default() },
            ice: IceServerOptions::default(),
            bitrate: "2000".into(),
            bitrate_start: "1500".into(),
            bitrate_min: "100".into(),
            max_resolution: "1280x720".into(),
            max_fps: "30".into(),
            codecs: Some("h264, vp8".into()),
            codec_threads: "3".into(),
            max_load: "75".into(),
            idle_limit: "300".into(),
            trusted_proxies: Some("10.0.0.0/8, ::1".into()),
            exit_when_stuck: "0".into(),
            trace_frames: "300".into(),
        }
    }

    #[test]
    fn good_options_pass() {
        let config = options().validate().unwrap();
        assert_eq!(config.codecs, Codecs::Ours(vec![Codec::H264, Codec::Vp8]));
        assert_eq!(
            Options { codecs: None, ..options() }.validate().unwrap().codecs,
            Codecs::Browsers
        );
        assert_eq!(
            (config.video.bitrates.max, config.codec_threads, config.media.addresses.len()),
            (2_000, 3, 2)
        );
        assert_eq!((config.max_load, config.exit_when_stuck), (0.75, None));
    }

    #[test]
    fn a_maximum_alone_is_enough() {
        let config = Options { bitrate: "800".into(), ..options() }.validate().unwrap();
        assert_eq!(config.video.bitrates, BitrateLimits { start: 800, min: 100, max: 800 });
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let bad = Options {
            http: "nowhere".into(),
            tls_cert: Some("/absent/cert.pem".into()),
            tls_key: Some("/absent/key.pem".into()),
            tls: None,
            admin: "127.0.0.1".into(),
            access: AccessOptions { auth: Some("basic".into()), ..AccessOptions::default() },
            edge: EdgeOptions {
                allowed_hosts: "*".into(),
                allowed_origins: "here".into(),
                max_connections: "0".into(),
                max_connections_per_address: "1".into(),
            },
            clients: ClientLimitOptions {
                offer_rate: "0".into(),
                offer_burst: "1001".into(),
                max_pending_per_client: "none".into(),
                max_sessions_per_client: "-1".into(),
                max_wrong_ids: "10001".into(),
                max_viewers: "-1".into(),
            },
            media: MediaOptions {
                media: String::new(),
                media_port: "x".into(),
                public_ip: "not here".into(),
                public_port: "-1".into(),
                ice_tcp: "maybe".into(),
                candidates: "all".into(),
            },
            ice: IceServerOptions { turn_ttl: "1".into(), ..IceServerOptions::default() },
            bitrate: "500".into(),
            bitrate_start: "5".into(),
            bitrate_min: "600".into(),
            max_resolution: "8k".into(),
            max_fps: "0".into(),
            codecs: Some("vp8,av1".into()),
            codec_threads: "many".into(),
            max_load: "0".into(),
            idle_limit: "0".into(),
            trusted_proxies: Some("the-proxy".into()),
            exit_when_stuck: "9".into(),
            trace_frames: "-1".into(),
        };
        let problems = bad.validate().unwrap_err();
        let flags: Vec<_> =
            problems.iter().filter_map(|problem| problem.split(':').next()).collect();
        assert_eq!(
            flags,
            [
                "--http",
                "--tls-cert",
                "--tls-key",
                "--admin",
                "--allowed-hosts",
                "--allowed-origins",
                "--max-connections",
                "--max-connections-per-address",
                "--offer-rate",
                "--offer-burst",
                "--max-pending-per-client",
                "--max-sessions-per-client",
                "--max-wrong-ids",
                "--max-viewers",
                "--media",
                "--media-port",
                "--public-ip",
                "--public-port",
                "--ice-tcp",
                "--candidates",
                "--turn-ttl",
                "--bitrate-start",
                "--bitrate-min",
                "--max-resolution",
                "--max-fps",
                "--codecs",
                "--codec-threads",
                "--max-load",
                "--idle-limit",
                "--trusted-proxies",
                "--auth",
                "--exit-when-stuck",
                "--trace-frames"
            ]
        );
    }
}
