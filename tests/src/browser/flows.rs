//! What Chromium counts of a page's video, ten times a second.

use serde_json::Value;

use super::Browser;

/// Both ways of a connection at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flows {
    /// Milliseconds since the connection stood.
    pub ms: f64,
    /// Lines of the picture that is sent, and of the one that is shown; 0 before the first.
    pub heights: [u32; 2],
    /// Frames in the last second of each.
    pub fps: [f64; 2],
    /// What Chromium's encoder aims at, kbit/s.
    pub target_kbps: f64,
    /// Neither bandwidth nor CPU keeps Chromium from sending more.
    pub unlimited: bool,
}

impl Flows {
    /// All pixels of a camera of `height` lines at 30 fps, there and back.
    #[must_use]
    pub fn full(&self, height: u32) -> bool {
        self.heights == [height; 2] && self.fps.iter().all(|fps| *fps >= 28.0) && self.unlimited
    }
}

impl Browser {
    /// From now on every connection that the page makes is watched, for a minute.
    pub fn watch_flows(&self) {
        self.run(
            "window.flows = [];
             const Peer = window.RTCPeerConnection;
             window.RTCPeerConnection = class extends Peer {
               constructor(...args) {
                 super(...args);
                 let connected = null;
                 setInterval(async () => {
                   if (this.connectionState !== 'connected' || window.flows.length >= 600) return;
                   connected ??= performance.now();
                   const flows = [...(await this.getStats()).values()].filter(({ kind }) => kind === 'video');
                   const of = (wanted) => flows.find(({ type }) => type === wanted) ?? {};
                   const [sent, shown] = [of('outbound-rtp'), of('inbound-rtp')];
                   window.flows.push([
                     performance.now() - connected, sent.frameHeight, shown.frameHeight, sent.framesPerSecond,
                     shown.framesPerSecond, sent.targetBitrate / 1000, sent.qualityLimitationReason,
                   ]);
                 }, 100);
               }
             };",
        );
    }

    /// What was seen since [`Self::watch_flows`].
    #[must_use]
    pub fn flows(&self) -> Vec<Flows> {
        let number = |row: &Value, index: usize| row[index].as_f64().unwrap_or_default();
        let lines = |row: &Value, index: usize| {
            u32::try_from(row[index].as_u64().unwrap_or_default()).unwrap_or(0)
        };
        let flows = |row: &Value| Flows {
            ms: number(row, 0),
            heights: [1, 2].map(|index| lines(row, index)),
            fps: [3, 4].map(|index| number(row, index)),
            target_kbps: number(row, 5),
            unlimited: row[6] == "none",
        };
        self.run("return window.flows").as_array().into_iter().flatten().map(flows).collect()
    }
}
