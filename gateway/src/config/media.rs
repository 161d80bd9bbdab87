//! Options of the media port, and the checks that turn them into [`Media`].

use std::net::IpAddr;

use clap::Args;

use super::addresses;
use super::parse::within;
use super::public::Public;

const ADDRESSES: &str = "127.0.0.1,0.0.0.0,::";

/// The options, as given. [`crate::Options`] has them.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct MediaOptions {
    /// Local addresses for media, comma-separated [ip or name of an interface; 0.0.0.0 and :: stand
    /// for every one of their family but loopback; !ip and !interface leave one out].
    #[arg(long, env = "REFRAME_MEDIA", default_value = ADDRESSES)]
    pub media: String,

    /// The one port of all media, at each address of --media [port; 0 picks a free one].
    #[arg(long, env = "REFRAME_MEDIA_PORT", value_name = "PORT", default_value = "0")]
    pub media_port: String,

    /// The addresses that browsers are told instead of those of --media, behind a NAT or in a
    /// container, comma-separated [IPs; host names, resolved again each minute; and stun:host:port,
    /// servers that are asked for them, the next one where one is silent].
    #[arg(long, env = "REFRAME_PUBLIC_IP", value_name = "LIST", default_value = "")]
    pub public_ip: String,

    /// The port that browsers are told instead of --media-port, where it is mapped to another
    /// [port; 0: it is not].
    #[arg(long, env = "REFRAME_PUBLIC_PORT", value_name = "PORT", default_value = "0")]
    pub public_port: String,

    /// Whether browsers that UDP does not get through to may use TCP, at the same port [on or off].
    #[arg(long, env = "REFRAME_ICE_TCP", value_name = "on|off", default_value = "on")]
    pub ice_tcp: String,

    /// Which addresses the gateway sends ICE checks to: only those that a valid check came from, or
    /// also the candidates that a browser lists, where a firewall blocks inbound packets until the
    /// gateway has sent one [checked or any].
    #[arg(long, env = "REFRAME_CANDIDATES", value_name = "checked|any", default_value = "checked")]
    pub candidates: String,
}

/// Checked options.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    pub(crate) addresses: Vec<IpAddr>,
    /// 0: any free one.
    pub(crate) port: u16,
    pub(crate) public: Public,
    /// 0: the same.
    pub(crate) public_port: u16,
    pub(crate) tcp: bool,
    pub(crate) candidates: Candidates,
}

/// Value of `--candidates`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Candidates {
    /// Only addresses from which signed checks came.
    #[default]
    Checked,
    /// Also the candidates that browsers list.
    Any,
}

impl MediaOptions {
    /// Checks every option against this machine; `None` when `problems` has got a line.
    pub(crate) fn validate(&self, problems: &mut Vec<String>) -> Option<Media> {
        let interfaces = addresses::interfaces();
        let addresses = addresses::select(&self.media, ADDRESSES, &interfaces);
        let addresses = addresses.map_err(|lines| problems.extend(lines)).ok();
        let port = port_of(problems, "--media-port", &self.media_port);
        // Wrong addresses are already reported.
        let any = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        let public = Public::parse(problems, &self.public_ip, addresses.as_deref().unwrap_or(&any));
        let public_port = port_of(problems, "--public-port", &self.public_port);
        let tcp = on_or_off(problems, "--ice-tcp", &self.ice_tcp);
        let candidates = candidates_of(problems, &self.candidates);
        Some(Media {
            addresses: addresses?,
            port: port?,
            public: public?,
            public_port: public_port?,
            tcp: tcp?,
            candidates: candidates?,
        })
    }
}

impl Default for MediaOptions {
    /// As without any flag and variable.
    fn default() -> Self {
        Self {
            media: ADDRESSES.to_owned(),
            media_port: "0".to_owned(),
            public_ip: String::new(),
            public_port: "0".to_owned(),
            ice_tcp: "on".to_owned(),
            candidates: "checked".to_owned(),
        }
    }
}

fn on_or_off(problems: &mut Vec<String>, flag: &str, value: &str) -> Option<bool> {
    match value.trim() {
        "on" => Some(true),
        "off" => Some(false),
        _ => {
            problems.push(format!("{flag}: `{value}` is neither `on` nor `off`"));
            None
        }
    }
}

fn candidates_of(problems: &mut Vec<String>, value: &str) -> Option<Candidates> {
    match value.trim() {
        "checked" => Some(Candidates::Checked),
        "any" => Some(Candidates::Any),
        _ => {
            problems.push(format!("--candidates: `{value}` is neither `checked` nor `any`"));
            None
        }
    }
}

fn port_of(problems: &mut Vec<String>, flag: &str, value: &str) -> Option<u16> {
    within(problems, flag, value, 0, u16::MAX.into()).and_then(|port| u16::try_from(port).ok())
}
