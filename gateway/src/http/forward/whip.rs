//! What WHIP and WHEP ask of the gateway that has a session. As all that is forwarded, a request is
//! made here of parts that were checked; and what its owner says is taken apart, and told in our
//! own words.

use std::net::SocketAddr;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use http_body_util::Full;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, IF_MATCH, LOCATION};
use serde_json::{Map, Value};

use super::{
    Caller, Forward, ForwardError, encoded, is_refusal, kind, request_to, retry_after, whole,
};
use crate::gateway::Condition;
use crate::http::whip::{FRAGMENT, PROBLEM, SDP, if_match};
use crate::media::session_id::SessionId;

/// The longest entity tag that is passed on: a fragment of ICE (RFC 8839, section 5.4).
const MAX_TAG_BYTES: usize = 256;

/// What the owner is asked to do.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// Answer the offer of a viewer of the session that `view` stands for.
    Watch { view: &'a str },
    /// Change the connection `resource`: a session's id; or `view` and a viewer's id.
    Patch { resource: &'a [&'a str], condition: &'a Condition },
    /// End it.
    Delete { resource: &'a [&'a str] },
}

/// What the owner has answered.
#[derive(Debug)]
pub(crate) enum Answered {
    /// A viewer, with the entity tag of its ICE session.
    Watching { viewer: SessionId, tag: String, sdp: String },
    /// ICE was restarted.
    Restarted { tag: String, fragment: String },
    /// It was done, and there is nothing to say.
    Done,
    /// It was refused.
    Refused { status: StatusCode, retry_after: Option<u32>, problem: Map<String, Value> },
}

impl Change<'_> {
    /// `/whep/VIEW/VIEWER`, `/whip/ID` for both protocols.
    fn path(&self) -> String {
        match self {
            Self::Watch { view } => format!("/whep/{}", encoded(view)),
            Self::Patch { resource, .. } | Self::Delete { resource } => match resource {
                [view, viewer] => format!("/whep/{}/{}", encoded(view), encoded(viewer)),
                _ => format!("/whip/{}", encoded(resource.first().copied().unwrap_or_default())),
            },
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Watch { .. } => Method::POST,
            Self::Patch { .. } => Method::PATCH,
            Self::Delete { .. } => Method::DELETE,
        }
    }
}

impl Forward {
    /// What the other gateway that has session `id` answers. `None`: no other gateway is known to
    /// have it, or this request was already forwarded. An error is the answer that says that the
    /// owner gives none.
    ///
    /// # Cancel safety
    /// As [`Forward::answer`].
    pub(crate) async fn change(
        &self,
        request: &HttpRequest,
        id: &SessionId,
        caller: Caller<'_>,
        change: Change<'_>,
        body: web::Bytes,
    ) -> Option<Result<Answered, HttpResponse>> {
        self.to_owner(request, id, |owner| self.ask_change(owner, change, caller, body)).await
    }

    async fn ask_change(
        &self,
        owner: SocketAddr,
        change: Change<'_>,
        caller: Caller<'_>,
        body: web::Bytes,
    ) -> Result<Answered, ForwardError> {
        let _place = self.place()?;
        let mut request = request_to(owner, change.method(), &change.path(), caller);
        match &change {
            Change::Watch { .. } => request = request.header(CONTENT_TYPE, SDP),
            Change::Patch { condition, .. } => {
                request = request.header(CONTENT_TYPE, FRAGMENT);
                request = request.header(IF_MATCH, if_match(condition));
            }
            Change::Delete { .. } => {}
        }
        let (head, body) = self.client.request(request.body(Full::new(body))?).await?.into_parts();
        let body = whole(body).await?;
        read(&change, head.status.as_u16(), &head.headers, &body).ok_or(ForwardError::Foreign)
    }
}

/// `None`: no gateway of ours answers so.
fn read(change: &Change<'_>, status: u16, headers: &HeaderMap, body: &[u8]) -> Option<Answered> {
    let kind = kind(headers);
    match (change, status) {
        (Change::Watch { .. }, 201) if kind == Some(SDP) => {
            let location = headers.get(LOCATION)?.to_str().ok()?;
            let viewer = SessionId::drawn(location.rsplit('/').next()?)?;
            Some(Answered::Watching { viewer, tag: tag(headers)?, sdp: description(body)? })
        }
        (Change::Patch { .. }, 200) if kind == Some(FRAGMENT) => {
            Some(Answered::Restarted { tag: tag(headers)?, fragment: description(body)? })
        }
        (Change::Patch { .. }, 204) | (Change::Delete { .. }, 200) if body.is_empty() => {
            Some(Answered::Done)
        }
        (_, status) if is_refusal(status) && kind == Some(PROBLEM) => {
            let (status, problem) =
                (StatusCode::from_u16(status).ok()?, serde_json::from_slice(body).ok()?);
            Some(Answered::Refused { status, retry_after: retry_after(headers), problem })
        }
        _ => None,
    }
}

/// The strong entity tag, without its quotes.
fn tag(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(ETAG)?.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?;
    let plain = tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    ((1..=MAX_TAG_BYTES).contains(&tag.len()) && plain).then(|| tag.to_owned())
}

/// Lines of SDP: a letter, `=`, and printable text.
fn description(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let is_line = |line: &str| {
        matches!(line.as_bytes(), [b'a'..=b'z', b'=', ..]) && !line.chars().any(char::is_control)
    };
    (!text.is_empty() && text.lines().all(is_line)).then(|| text.to_owned())
}

#[cfg(test)]
#[path = "whip_tests.rs"]
mod tests;
