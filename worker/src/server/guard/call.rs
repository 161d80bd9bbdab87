//! A call: bounded in bytes and time until it is answered.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::Frame;
use reframe_proto::MAX_OPEN_BYTES;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use super::connection::Peer;
use super::places::Places;
use super::refused::{RefusalReason, Refused};
use super::{UNANSWERED, WITHIN};

/// What is before each message: a byte for compression, four for the length (gRPC over HTTP/2,
/// `Length-Prefixed-Message`).
const PREFIX_BYTES: usize = 5;

/// A service whose calls are watched until they are answered.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<S> {
    service: S,
    unanswered: Arc<Places>,
    refused: Arc<Refused>,
}

impl<S> Guarded<S> {
    pub(super) const fn new(service: S, unanswered: Arc<Places>, refused: Arc<Refused>) -> Self {
        Self { service, unanswered, refused }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if let Some(peer) = request.extensions().get::<Peer>() {
            peer.has_asked();
        }
        let mut place = self.unanswered.take();
        let (answered, refused) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.refused));
        let bounded = |body| Bounded {
            body,
            answered: Arc::clone(&answered),
            prefix: [0; PREFIX_BYTES],
            read: 0,
            refused: Arc::clone(&refused),
        };
        let answering = self.service.call(request.map(|body| Body::new(bounded(body))));
        Box::pin(async move {
            let (why, status) = tokio::select! {
                // What came as a whole is answered now, however many others wait.
                biased;
                answer = answering => {
                    answered.store(true, Ordering::Relaxed);
                    return answer;
                }
                () = place.lost() => {
                    let text = format!("{UNANSWERED} later calls are not finished either; try \
                                        again");
                    (RefusalReason::Displaced, Status::resource_exhausted(text))
                }
                () = sleep(WITHIN) => {
                    let text = format!("the call was not finished within {WITHIN:?}; a session \
                                        begins with an open");
                    (RefusalReason::Unfinished, Status::deadline_exceeded(text))
                }
            };
            refused.count(why);
            Ok(status.into_http())
        })
    }
}

/// A request's body, which is short until the answer is there. Only a session's goes on then: with
/// one of its slots.
#[derive(Debug)]
struct Bounded {
    body: Body,
    answered: Arc<AtomicBool>,
    /// Of the first message, as far as it was read.
    prefix: [u8; PREFIX_BYTES],
    read: usize,
    refused: Arc<Refused>,
}

impl Bounded {
    /// Looks at what comes next.
    fn check(&mut self, data: &[u8]) -> Result<(), Status> {
        if self.answered.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(missing) = self.prefix.get_mut(self.read..) {
            let known = missing.len().min(data.len());
            missing[..known].copy_from_slice(&data[..known]);
        }
        self.read = self.read.saturating_add(data.len());
        let [_, length @ ..] = self.prefix;
        let declared =
            if self.read >= PREFIX_BYTES { u32::from_be_bytes(length) as usize } else { 0 };
        let found = declared.max(self.read.saturating_sub(PREFIX_BYTES));
        if found <= MAX_OPEN_BYTES {
            return Ok(());
        }
        self.refused.count(RefusalReason::TooLong);
        let text = format!(
            "the first message: {found} bytes, but at most {MAX_OPEN_BYTES} are taken before the \
             answer"
        );
        Err(Status::out_of_range(text))
    }
}

impl hyper::body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.check(data)?;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded() -> Bounded {
        let (answered, refused) = (Arc::default(), Arc::default());
        Bounded { body: Body::empty(), answered, prefix: [0; PREFIX_BYTES], read: 0, refused }
    }

    fn message(declared: usize, sent: usize) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(declared).unwrap().to_be_bytes());
        message.resize(PREFIX_BYTES + sent, 7);
        message
    }

    /// However it is cut into frames.
    fn taken(data: &[u8], cut: usize) -> bool {
        let mut bounded = bounded();
        data.chunks(cut).all(|part| bounded.check(part).is_ok())
    }

    #[test]
    fn the_first_message_is_bounded_by_what_it_declares_and_by_what_comes() {
        for cut in [1, 2, 4, 5, 6, 1_000, usize::MAX] {
            assert!(taken(&message(MAX_OPEN_BYTES, MAX_OPEN_BYTES), cut), "{cut}");
            assert!(!taken(&message(MAX_OPEN_BYTES + 1, 0), cut), "{cut}");
            assert!(!taken(&message(u32::MAX as usize, 0), cut), "{cut}");
            // It goes on behind its end.
            assert!(!taken(&message(10, MAX_OPEN_BYTES + 1), cut), "{cut}");
        }
        assert!(taken(&message(0, 0)[..4], 1));
    }

    #[test]
    fn what_comes_after_the_answer_is_not_bounded_here() {
        let mut bounded = bounded();
        assert!(bounded.check(&message(10, 10)).is_ok());
        bounded.answered.store(true, Ordering::Relaxed);
        for _ in 0..100 {
            assert!(bounded.check(&message(1 << 20, 1 << 20)).is_ok());
        }
    }
}
