//! The encodings of one session: that of its own browser, which its viewers share, and those that
//! they need beside it. Encoded once for each format and quality in use, and only while somebody
//! watches.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Instrument, Span, debug};

use super::{Fanout, Output, Quality};
use crate::codec::Format;
use crate::media::limits::{BITRATES, BitrateLimits};
use crate::pipeline::bandwidth::Throttle;
use crate::pipeline::egress::{Egress, PacedQueue};
use crate::telemetry;
use crate::threads::arbiters::CodecArbiter;

/// Viewers have an encoding of their own where the session's own browser has made so many pictures
/// of a second worse. One or two are left out when a large picture was sent.
const LIMITED: u32 = 3;
/// The smaller encoding has this part of the full one's bitrate, also below `--bitrate-min`; its
/// size and frame rate follow.
const SMALL: u32 = 4;

/// What a further encoding is made from.
pub(crate) struct Recipe {
    pub(crate) codecs: CodecArbiter,
    pub(crate) bitrates: BitrateLimits,
    pub(crate) fps: f64,
    /// Pictures that may wait for an encoder.
    pub(crate) waiting: usize,
    /// See [`Egress::offset`].
    pub(crate) offset: u32,
    pub(crate) span: Span,
}

/// See the module. Dropped, it ends them.
pub(crate) struct Renditions {
    recipe: Recipe,
    /// What the pacer fills.
    paced: Arc<PacedQueue>,
    /// What the session's own browser is sent.
    own: Option<(Format, Arc<Fanout>)>,
    /// The path to that browser carries less than the stream's bitrate: viewers have an encoding of
    /// their own. Until nobody watches, so that they do not change to and fro.
    apart: bool,
    others: Vec<Rendition>,
}

struct Rendition {
    format: Format,
    quality: Quality,
    fanout: Arc<Fanout>,
    /// Its copies of the pictures, and what they are copies of.
    pictures: Arc<PacedQueue>,
    paced: Arc<PacedQueue>,
    _stop: DropGuard,
}

impl Renditions {
    /// `own`: what the session's own browser is sent, if it is sent anything.
    pub(crate) fn new(
        recipe: Recipe,
        paced: Arc<PacedQueue>,
        own: Option<(Format, Arc<Fanout>)>,
    ) -> Self {
        Self { recipe, paced, own, apart: false, others: Vec::new() }
    }

    /// Shows a viewer the session, from the next picture on.
    pub(crate) fn add(&mut self, format: Format, output: Arc<Output>) {
        self.find_or_start(format, Quality::Full).add(output);
    }

    /// Moves viewers to the encoding that suits them, and ends what nobody watches. Call it now and
    /// then. Whether anybody watches.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let full_kbps = self.recipe.bitrates.max;
        let mut moves = Vec::new();
        if let Some((format, own)) = &self.own {
            let apart = self.apart || own.take_limited() >= LIMITED;
            let mut leave =
                |output: &Output| apart || output.wanted(now, full_kbps) != Quality::Full;
            let leaving = own.take(&mut leave);
            self.apart |= apart && !leaving.is_empty();
            moves.extend(leaving.into_iter().map(|output| (*format, output)));
        }
        for Rendition { format, quality, fanout, .. } in &self.others {
            let leaving = fanout.take(|output| output.wanted(now, full_kbps) != *quality);
            moves.extend(leaving.into_iter().map(|output| (*format, output)));
        }
        for (format, output) in moves {
            let quality = output.wanted(now, full_kbps);
            output.moved(now, quality);
            self.find_or_start(format, quality).add(output);
        }
        self.others.retain(|rendition| rendition.fanout.is_watched());
        let own_watched = self.own.as_ref().is_some_and(|(_, own)| own.is_watched());
        let watched = own_watched || !self.others.is_empty();
        self.apart &= watched;
        watched
    }

    fn find_or_start(&mut self, format: Format, quality: Quality) -> Arc<Fanout> {
        if let Some((own, fanout)) = &self.own
            && (*own, quality, self.apart) == (format, Quality::Full, false)
        {
            return Arc::clone(fanout);
        }
        let known = self.others.iter().find(|it| (it.format, it.quality) == (format, quality));
        if let Some(rendition) = known {
            return Arc::clone(&rendition.fanout);
        }
        let rendition = self.start(format, quality);
        let fanout = Arc::clone(&rendition.fanout);
        self.others.push(rendition);
        fanout
    }

    fn start(&self, format: Format, quality: Quality) -> Rendition {
        let Recipe { codecs, bitrates, fps, waiting, offset, span } = &self.recipe;
        let bitrates = match quality {
            Quality::Full => *bitrates,
            Quality::Small => {
                let max = (bitrates.max / SMALL).max(*BITRATES.start());
                BitrateLimits { start: max, min: *BITRATES.start(), max }
            }
        };
        let (fanout, stop) = (Arc::<Fanout>::default(), CancellationToken::new());
        let pictures = Arc::new(PacedQueue::new(*waiting));
        let egress = Egress {
            releases: Arc::clone(&pictures),
            encoder: format.encoder(bitrates.max, *fps),
            schedule: codecs.schedule(),
            throttle: Throttle::new(bitrates, *fps),
            // No path is in the way.
            available_kbps: watch::channel(bitrates.max).1,
            packetiser: format.packetiser(),
            out: None,
            fanout: Arc::clone(&fanout),
            offset: *offset,
            // Its viewers ask by the fan-out.
            keyframe_due: Arc::default(),
            stop: stop.clone(),
        };
        span.in_scope(|| debug!(?format, ?quality, "a further encoding, for viewers"));
        telemetry::viewers::rendition_started();
        codecs.spawn(egress.run().instrument(span.clone()));
        self.paced.copy_to(Arc::clone(&pictures));
        let (paced, _stop) = (Arc::clone(&self.paced), stop.drop_guard());
        Rendition { format, quality, fanout, pictures, paced, _stop }
    }
}

impl Drop for Rendition {
    fn drop(&mut self) {
        self.paced.copy_no_more(&self.pictures);
    }
}
