//! A browser's further offers on its connection: other directions or tracks, or a new path after
//! its network changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp_transceiver::RTCRtpTransceiverDirection;
use tokio::time::timeout;
use tracing::Instrument;
use webrtc::error::Error;
use webrtc::peer_connection::PeerConnection;

use super::{GATHER_TIMEOUT, Peer, Terms};
use crate::browser::offer::{self, Offer, OfferError, Parsed, VIDEO, Video};
use crate::stream::spec::Mode;
use crate::telemetry;

/// Transceivers of a connection. The stack keeps those whose section has been stopped, and makes
/// one for each section with a name that it has not seen; twice the sections that an offer may
/// have. Full: an offer with a further one is refused.
const MAX_TRANSCEIVERS: usize = 16;

impl Peer {
    /// A further offer of this connection's browser, in the form that the stack is given.
    ///
    /// # Errors
    /// Nothing is left of the connection, or not enough.
    pub(crate) fn further(&self, offer: &Parsed) -> Result<Offer, OfferError> {
        offer.further(self.terms.codec.clone(), &self.settled.lock())
    }

    /// Answers a further offer, once the future is polled; the session goes on meanwhile. `None`
    /// while another is being answered: a browser waits for the answer before it offers again.
    ///
    /// # Errors
    /// The stack refused the offer: what was agreed on before still holds, unless it broke off in
    /// the middle of an ICE restart. Then the connection fails, as it does when a network goes
    /// away.
    pub(crate) fn renegotiate(
        &self,
        offer: Offer,
    ) -> Option<impl Future<Output = Result<String, OfferError>> + use<>> {
        let turn = Arc::clone(&self.turn).try_lock_owned().ok()?;
        let (connection, candidates) = (Arc::clone(&self.connection), Arc::clone(&self.candidates));
        let (callbacks, port) = (Arc::clone(&self.callbacks), Arc::clone(&self.port));
        let (terms, settled) = (self.terms.clone(), Arc::clone(&self.settled));
        let channel = Arc::clone(&self.channel);
        let answering = async move {
            let _turn = turn;
            telemetry::candidates_ignored(offer.ignored_candidates);
            let before =
                connection.remote_description().await.map(|remote| remote.sdp).unwrap_or_default();
            let restarts = offer::ice_ufrag(&before) != offer.ufrag();
            // Counts once the offer is taken: a refused one restarts nothing.
            let mut taken = candidates.lock().clone();
            if restarts {
                taken.restart();
                // Ours are gathered anew.
                callbacks.gathered.send_replace(false);
            }
            let offered = taken.of_offer(offer.sdp());
            if let Err(error) = answer(&*connection, offered, &offer, &terms).await {
                // Refused before it was looked at: there is nothing to roll back.
                connection
                    .set_remote_description(RTCSessionDescription::rollback(None)?)
                    .await
                    .ok();
                callbacks.gathered.send_replace(true);
                return Err(error.into());
            }
            *candidates.lock() = taken;
            *settled.lock() = offer.settled.clone();
            channel.fetch_or(offer::has_channel(offer.sdp()), Ordering::Relaxed);
            port.set_remote_password(offer.sdp());
            if restarts {
                let mut gathered = callbacks.gathered.subscribe();
                // Elapsed: the answer carries what there is.
                drop(timeout(GATHER_TIMEOUT, gathered.wait_for(|done| *done)).await);
            }
            terms.describe(&*connection, &port, &offer.plan).await
        };
        let (runtime, answering) = (self.runtime.clone(), answering.in_current_span());
        // On the media runtime, and to its end even if nobody waits for it: a half-applied
        // description breaks the connection.
        Some(async move {
            runtime.spawn(answering).await.unwrap_or(Err(Error::ErrConnectionClosed.into()))
        })
    }
}

/// `offered`: the text of `offer`, with the candidates that are taken.
async fn answer(
    connection: &dyn PeerConnection,
    offered: String,
    offer: &Offer,
    terms: &Terms,
) -> Result<(), Error> {
    let Video { sends: theirs, receives: wanted } = offer.video;
    let sends = terms.mode != Mode::Send && wanted;
    let receives = terms.mode != Mode::Receive && theirs;
    let direction = match (sends, receives) {
        (true, true) => RTCRtpTransceiverDirection::Sendrecv,
        (true, false) => RTCRtpTransceiverDirection::Sendonly,
        (false, true) => RTCRtpTransceiverDirection::Recvonly,
        (false, false) => RTCRtpTransceiverDirection::Inactive,
    };
    if !has_room(connection, &offered).await? {
        return Err(Error::Other(format!("more than {MAX_TRANSCEIVERS} transceivers")));
    }
    connection.set_remote_description(RTCSessionDescription::offer(offered)?).await?;
    // The stack remembers the least that was ever offered: what was off would stay off.
    for transceiver in connection.get_transceivers().await {
        if transceiver.mid().await?.as_deref() == Some(VIDEO) {
            transceiver.set_direction(direction).await?;
        }
    }
    let answer = connection.create_answer(None).await?;
    connection.set_local_description(answer).await
}

async fn has_room(connection: &dyn PeerConnection, offer: &str) -> Result<bool, Error> {
    let transceivers = connection.get_transceivers().await;
    let mut known = BTreeSet::new();
    for transceiver in &transceivers {
        known.extend(transceiver.mid().await?);
    }
    Ok(transceivers.len() + added(&known, offer) <= MAX_TRANSCEIVERS)
}

/// Transceivers that an offer adds to those of `known` sections. A data channel's section counts as
/// one.
fn added(known: &BTreeSet<String>, offer: &str) -> usize {
    let offered: BTreeSet<&str> =
        offer.lines().filter_map(|line| line.strip_prefix("a=mid:")).map(str::trim).collect();
    offered.iter().filter(|mid| !known.contains(**mid)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_are_known_add_nothing() {
        let known = ["0", "1"].map(str::to_owned).into();
        let offer = |mids: &[&str]| {
            mids.iter().map(|mid| format!("m=video 9 X 96\r\na=mid:{mid}\r\n")).collect::<String>()
        };
        assert_eq!(added(&known, &offer(&["0", "1"])), 0);
        assert_eq!(added(&known, &offer(&["0", "2", "text"])), 2);
        assert_eq!(added(&BTreeSet::new(), &offer(&["0", "2", "text"])), 3);
    }
}
