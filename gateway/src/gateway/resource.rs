//! A client's connection as a resource of HTTP, which WHIP and WHEP change and delete by its URL
//! (RFC 9725): candidates are added, ICE is restarted, the connection ends.
//!
//! Its client offers once, so a restart brings only what ICE needs, and the rest of the offer is
//! kept here: at most what an offer may hold, for each such connection.

use std::collections::HashMap;

use actix::{
    ActorFutureExt, Context, Handler, Message, Recipient, ResponseActFuture, ResponseFuture,
    WrapFuture,
};
use rtc::peer_connection::transport::RTCIceCandidateInit;

use super::viewers::ViewerState;
use super::{Entry, Gateway};
use crate::browser::offer::{self, OfferError, Parsed};
use crate::media::event::EndReason;
use crate::media::refused::OfferRefused;
use crate::media::session_id::SessionId;
use crate::session::{AddCandidate, Answer, End};

/// The resources of all connections that have one, by the id of session or viewer.
#[derive(Default)]
pub(super) struct Resources(HashMap<SessionId, Resource>);

struct Resource {
    /// The session that a viewer watches.
    of: Option<SessionId>,
    /// The client's own, as after its last ICE restart.
    offer: Parsed,
    tag: String,
}

impl Resources {
    /// `of`: the session that a viewer watches.
    pub(super) fn keep(
        &mut self,
        id: SessionId,
        of: Option<SessionId>,
        offer: Parsed,
        answer: &str,
    ) {
        let tag = entity_tag(answer).to_owned();
        self.0.insert(id, Resource { of, offer, tag });
    }

    pub(super) fn forget(&mut self, id: &SessionId) {
        self.0.remove(id);
    }

    fn find(&self, id: &SessionId, of: Option<&SessionId>) -> Option<&Resource> {
        self.0.get(id).filter(|resource| resource.of.as_ref() == of)
    }
}

/// What tells the ICE session of an answer from others: our user name fragment, which each has of
/// its own.
pub(crate) fn entity_tag(answer: &str) -> &str {
    offer::ice_ufrag(answer).unwrap_or_default().trim()
}

/// Which ICE session a change is for (`If-Match`, RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whichever there is.
    Any,
    /// One with one of these entity tags.
    Tags(Vec<String>),
}

impl Condition {
    fn holds(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|known| known == tag),
        }
    }
}

/// What a client says of its side of ICE.
#[derive(Clone, Debug, Default)]
pub(crate) struct IceChange {
    /// User name fragment and password.
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) candidates: Vec<RTCIceCandidateInit>,
}

/// Change a connection.
#[derive(Message)]
#[rtype(result = "Result<Patched, PatchRefused>")]
pub(crate) struct PatchResource {
    pub(crate) id: SessionId,
    /// The session that a viewer watches.
    pub(crate) of: Option<SessionId>,
    pub(crate) condition: Condition,
    pub(crate) change: IceChange,
}

/// What was changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Patched {
    /// Candidates were added.
    Added,
    /// ICE was restarted; our whole answer.
    Restarted(String),
}

/// Why nothing was changed: the connection is as before.
#[derive(Debug)]
pub(crate) enum PatchRefused {
    /// No connection of this gateway has this id, or its client has no resource.
    Unknown,
    /// It is for another ICE session than the present one.
    Stale,
    /// A new password with the old fragment: a restart changes both (RFC 8839, section 4.4.1.1.1).
    HalfRestart,
    /// The credentials are not valid.
    Invalid(OfferError),
    Refused(OfferRefused),
}

/// End a connection; false if this gateway has no resource of this id.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct DeleteResource {
    pub(crate) id: SessionId,
    /// The session that a viewer watches.
    pub(crate) of: Option<SessionId>,
}

/// The actor that has the connection.
struct Connection {
    candidates: Recipient<AddCandidate>,
    offers: Recipient<Answer>,
    end: Recipient<End>,
}

impl Gateway {
    /// `of`: the session that a viewer watches. An id may be a session's and a viewer's.
    fn connection(&self, id: &SessionId, of: Option<&SessionId>) -> Option<Connection> {
        let viewer = self.viewers.get(id).map(|entry| &entry.state);
        match (of, self.sessions.get(id), viewer) {
            (None, Some(Entry::Running { session, .. }), _) => Some(Connection {
                candidates: session.clone().recipient(),
                offers: session.clone().recipient(),
                end: session.clone().recipient(),
            }),
            (Some(_), _, Some(ViewerState::Running(viewer))) => Some(Connection {
                candidates: viewer.clone().recipient(),
                offers: viewer.clone().recipient(),
                end: viewer.clone().recipient(),
            }),
            _ => None,
        }
    }
}

/// Closed: it ended a moment ago, by itself.
fn gone<E>(_: E) -> PatchRefused {
    PatchRefused::Unknown
}

impl Handler<PatchResource> for Gateway {
    type Result = ResponseActFuture<Self, Result<Patched, PatchRefused>>;

    fn handle(
        &mut self,
        PatchResource { id, of, condition, change }: PatchResource,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let refuse =
            |refused| -> Self::Result { Box::pin(async { Err(refused) }.into_actor(self)) };
        let found = self.resources.find(&id, of.as_ref()).zip(self.connection(&id, of.as_ref()));
        let Some((resource, connection)) = found else { return refuse(PatchRefused::Unknown) };
        if !condition.holds(&resource.tag) {
            return refuse(PatchRefused::Stale);
        }
        let IceChange { credentials, candidates } = change;
        let (ufrag, password) = resource.offer.credentials();
        let renewed = credentials.filter(|(new, secret)| (&**new, &**secret) != (ufrag, password));
        let Some((new, secret)) = renewed else {
            let adding = add(connection.candidates, candidates);
            return Box::pin(async { adding.await.map(|()| Patched::Added) }.into_actor(self));
        };
        if new == ufrag {
            return refuse(PatchRefused::HalfRestart);
        }
        let restarted = match resource.offer.restarted(&new, &secret) {
            Ok(restarted) => restarted,
            Err(error) => return refuse(PatchRefused::Invalid(error)),
        };
        let further = restarted.clone();
        let answering = async move {
            let answered = connection.offers.send(Answer(further)).await.map_err(gone)?;
            let sdp = answered.map_err(PatchRefused::Refused)?;
            add(connection.candidates, candidates).await?;
            Ok(sdp)
        };
        Box::pin(answering.into_actor(self).map(move |answered, gateway, _| {
            let sdp = answered?;
            // It may have ended meanwhile.
            if gateway.connection(&id, of.as_ref()).is_some() {
                gateway.resources.keep(id, of, restarted, &sdp);
            }
            Ok(Patched::Restarted(sdp))
        }))
    }
}

async fn add(
    connection: Recipient<AddCandidate>,
    candidates: Vec<RTCIceCandidateInit>,
) -> Result<(), PatchRefused> {
    for candidate in candidates {
        connection.send(AddCandidate(candidate)).await.map_err(gone)?;
    }
    Ok(())
}

impl Handler<DeleteResource> for Gateway {
    type Result = ResponseFuture<bool>;

    fn handle(
        &mut self,
        DeleteResource { id, of }: DeleteResource,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let known = self.resources.find(&id, of.as_ref()).is_some();
        let Some(connection) = self.connection(&id, of.as_ref()).filter(|_| known) else {
            return Box::pin(async { false });
        };
        // From now on it is known no more, although its end takes a moment.
        self.resources.forget(&id);
        Box::pin(async move { connection.end.send(End(EndReason::ClientClosed)).await.is_ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::session_id::testing::id;

    fn offer() -> Parsed {
        offer::parse("v=0\r\na=ice-ufrag:theirs\r\na=ice-pwd:secret\r\n".to_owned()).unwrap()
    }

    #[test]
    fn a_resource_is_of_its_session_and_has_the_tag_of_our_fragment() {
        let mut resources = Resources::default();
        resources.keep(id("own"), None, offer(), "v=0\r\na=ice-ufrag:ours\r\n");
        resources.keep(id("viewer"), Some(id("own")), offer(), "a=ice-ufrag:other\r\n");
        let tag = |name: &str, of: Option<&str>| {
            resources.find(&id(name), of.map(id).as_ref()).map(|found| found.tag.as_str())
        };
        assert_eq!(tag("own", None), Some("ours"));
        assert_eq!(tag("viewer", Some("own")), Some("other"));
        assert_eq!(tag("viewer", None), None, "not by the path of a session's own");
        assert_eq!(tag("viewer", Some("viewer")), None);
        assert_eq!(tag("own", Some("own")), None);
        resources.forget(&id("own"));
        assert!(resources.find(&id("own"), None).is_none());
    }

    #[test]
    fn a_condition_holds_for_the_present_ice_session() {
        let of = |tags: &[&str]| Condition::Tags(tags.iter().map(ToString::to_string).collect());
        assert!(Condition::Any.holds("x") && of(&["x"]).holds("x") && of(&["y", "x"]).holds("x"));
        assert!(!of(&["X"]).holds("x") && !of(&[]).holds("x") && !of(&["*"]).holds("x"));
    }
}
