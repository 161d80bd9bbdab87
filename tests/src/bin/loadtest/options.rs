//! The command line.

use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use reframe_gateway::codec::Codec;
use reframe_tests::pattern::{MIN_HEIGHT, MIN_WIDTH};
use reframe_tests::peer::RECORDS;
use reframe_tests::process::Usage;
use reframe_tests::source::Format;
use ureq::http::Uri;

use super::plan::Plan;

/// Each stream has six descriptors, and a process usually 1024.
const MAX_STREAMS: i64 = 128;
/// Two days are no load test; it keeps sums of seconds small.
const MAX_SECONDS: i64 = 86_400;

/// Puts streams on a gateway and tells what came back.
///
/// Sends a clip, encoded once, over N WebRTC connections to any gateway that speaks Reframe's (and
/// FastRTC's) offers, and reports frame rates, latency, losses and what processes used. Ctrl-C ends
/// it early, with the report so far. The exit status is 0 when every stream was served, 1 when one
/// was refused or fell silent, 64 for a bad option.
#[derive(Debug, Parser)]
#[command(name = "reframe-loadtest", version, args_override_self = true)]
pub(crate) struct Options {
    /// Where the gateway's page is, with the stream's name where it has several:
    /// http://HOST:PORT[/NAME].
    pub(crate) url: Target,

    /// How many streams.
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        value_parser = clap::value_parser!(u32).range(1..=MAX_STREAMS)
    )]
    pub(crate) streams: u32,

    /// Offer them over this time, evenly, instead of all at once.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        value_parser = clap::value_parser!(u32).range(0..=MAX_SECONDS)
    )]
    ramp: u32,

    /// How long to measure, after the ramp and two seconds of warm-up.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "20",
        value_parser = clap::value_parser!(u32).range(1..=MAX_SECONDS)
    )]
    duration: u32,

    /// The size of the pictures.
    #[arg(long, value_name = "WxH", default_value = "1280x720", value_parser = size)]
    size: (u32, u32),

    /// Pictures a second, each stream.
    #[arg(
        long,
        value_name = "FPS",
        default_value = "30",
        value_parser = clap::value_parser!(u32).range(1..=120)
    )]
    fps: u32,

    /// What is offered, and sent: vp8, vp9 or h264.
    #[arg(long, value_name = "NAME", default_value = "vp8", value_parser = codec)]
    codec: Codec,

    /// Of what is sent, each stream. Without it as much for each pixel as 2000 are for 1280x720 at
    /// 30.
    #[arg(long, value_name = "KBIT/S", value_parser = clap::value_parser!(u32).range(100..=50_000))]
    bitrate: Option<u32>,

    /// Send on at this rate when the server asks for fewer pictures a second, as pages other than
    /// Reframe's do.
    #[arg(long)]
    pub(crate) deaf: bool,

    /// How many streams are decoded. Only these tell latency and new pictures, and each costs a
    /// decoder.
    #[arg(long, value_name = "K", default_value = "1")]
    sample: u32,

    /// Processes whose CPU and memory are the server's; several with commas between.
    #[arg(long, value_name = "PID", value_delimiter = ',', value_parser = process)]
    pub(crate) pid: Vec<u32>,

    /// The access token, where the server needs one.
    #[arg(long, env = "REFRAME_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Also write the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Also plot every second into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    /// Where the streams go.
    pub(crate) fn target(&self) -> Target {
        Target { token: self.token.clone(), ..self.url.clone() }
    }

    pub(crate) fn plan(&self) -> Plan {
        let [ramp, duration] =
            [self.ramp, self.duration].map(|seconds| Duration::from_secs(seconds.into()));
        Plan { streams: self.streams, ramp, duration, sample: self.sample }
    }

    pub(crate) fn format(&self) -> Format {
        let (width, height) = self.size;
        let bitrate_kbps = self.bitrate.unwrap_or_else(|| bitrate_for(width, height, self.fps));
        Format { width, height, fps: self.fps.into(), bitrate_kbps, codec: self.codec }
    }

    /// What no option says of itself: names the one that does not go with the others.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.sample > self.streams {
            return Err(format!(
                "--sample {} is more than --streams {}",
                self.sample, self.streams
            ));
        }
        let longest = RECORDS as u64 / u64::from(self.fps);
        if self.plan().end().as_secs() > longest {
            return Err(format!(
                "--duration {}: with ramp and warm-up at most {longest} seconds",
                self.duration
            ));
        }
        Ok(())
    }
}

/// Of a clip of this kind: [`Format::HD`]'s for each pixel, and never so little that the numbers in
/// them are lost.
fn bitrate_for(width: u32, height: u32, fps: u32) -> u32 {
    let pixels = u64::from(width) * u64::from(height) * u64::from(fps);
    let kbps = pixels * u64::from(Format::HD.bitrate_kbps) / (1_280 * 720 * 30);
    u32::try_from(kbps).unwrap_or(u32::MAX).max(Format::SMALL.bitrate_kbps)
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let size = text
        .split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let readable = size.filter(|(width, height)| {
        (MIN_WIDTH..=3_840).contains(width) && (MIN_HEIGHT..=2_160).contains(height)
    });
    readable.ok_or_else(|| format!("not a size from {MIN_WIDTH}x{MIN_HEIGHT} to 3840x2160"))
}

fn codec(text: &str) -> Result<Codec, String> {
    text.parse().map_err(|()| format!("not one of {}", Codec::ALL.map(Codec::name).join(", ")))
}

fn process(text: &str) -> Result<u32, String> {
    let id = text.parse().map_err(|_| "not a process id".to_owned())?;
    Usage::of(id).map(|_| id).ok_or_else(|| "no such process".to_owned())
}

/// A gateway, and our side of the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Without a slash at its end.
    pub(crate) page: String,
    /// The address of ours that the system would use.
    pub(crate) local: IpAddr,
    /// The access token that it is shown.
    pub(crate) token: Option<String>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(
                "not of the form http://HOST:PORT[/NAME]; TLS is not spoken here".to_owned()
            );
        };
        let found = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80)).to_socket_addrs();
        let mut found: Vec<_> = found.map_err(|error| error.to_string())?.collect();
        // `localhost` is both, and most servers listen to the older one only.
        found.sort_by_key(|address| address.is_ipv6());
        let address = found.first().ok_or("no address")?;
        let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        // Nothing is sent: this asks for a route.
        let local = UdpSocket::bind(any)
            .and_then(|socket| socket.connect(address).and_then(|()| socket.local_addr()));
        let local = local.map_err(|error| error.to_string())?.ip();
        Ok(Self { page: text.trim_end_matches('/').to_owned(), local, token: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<Options, String> {
        let options = Options::try_parse_from(
            [&["reframe-loadtest", "http://127.0.0.1:9/flip/"], more].concat(),
        );
        options
            .map_err(|error| error.to_string())
            .and_then(|options| options.check().map(|()| options))
    }

    #[test]
    fn defaults_are_one_stream_of_720p() {
        let options = parse(&[]).unwrap();
        assert_eq!(
            (options.url.page.as_str(), options.url.local),
            ("http://127.0.0.1:9/flip", [127, 0, 0, 1].into())
        );
        let Format { width, height, fps, bitrate_kbps, codec } = options.format();
        assert_eq!((width, height, fps, bitrate_kbps, codec), (1280, 720, 30.0, 2_000, Codec::Vp8));
        assert_eq!(options.plan().end(), Duration::from_secs(22));
        let own = std::process::id();
        assert_eq!(parse(&["--pid", &format!("{own},{own}")]).unwrap().pid, [own, own]);
    }

    #[test]
    fn small_pictures_stay_readable() {
        assert_eq!(bitrate_for(1280, 720, 60), 4_000);
        assert_eq!(bitrate_for(320, 240, 30), 300);
    }

    #[test]
    fn a_bad_option_is_named() {
        for (bad, named) in [
            (&["--streams", "0"][..], "--streams"),
            (&["--size", "1280"], "--size"),
            (&["--size", "64x64"], "--size"),
            (&["--fps", "0"], "--fps"),
            (&["--codec", "av1"], "--codec"),
            (&["--sample", "2"], "--sample"),
            (&["--duration", "4000"], "--duration"),
            (&["--pid", "4194305"], "--pid"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(named), "{bad:?}: {error}");
        }
        assert!(Target::from_str("https://localhost").unwrap_err().contains("TLS"));
        assert!(Target::from_str("localhost:8080").is_err());
    }
}
