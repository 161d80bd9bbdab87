//! A message's way over gRPC without a network: what tonic makes of it, in the chunks in which
//! HTTP/2 carries it.

use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use reframe_proto::{HTTP2_FRAME_BYTES, MAX_MESSAGE_BYTES};
use tokio_stream::{iter, once};
use tonic::Status;
use tonic::codec::{Codec, EncodeBody, Streaming};
use tonic_prost::ProstCodec;

/// The body of a call with this one message.
///
/// # Panics
/// When the message is larger than is allowed.
pub async fn encode<M: Message + 'static>(message: M) -> Bytes {
    let encoder = ProstCodec::<M, ()>::default().encoder();
    let mut body =
        pin!(EncodeBody::new_client(encoder, once(Ok(message)), None, Some(MAX_MESSAGE_BYTES)));
    let frame =
        body.frame().await.expect("a body of one message").expect("a message within the limit");
    frame.into_data().expect("data before trailers")
}

/// The one message of a body.
///
/// # Panics
/// When there is no message, or one of another type.
pub async fn decode<M: Message + Default + 'static>(body: Bytes) -> M {
    let length = body.len();
    let cut = move |from: usize| body.slice(from..length.min(from + HTTP2_FRAME_BYTES as usize));
    let chunks = (0..length).step_by(HTTP2_FRAME_BYTES as usize).map(cut);
    let body =
        StreamBody::new(iter(chunks.map(|chunk| Ok::<_, Status>(hyper::body::Frame::data(chunk)))));
    let decoder = ProstCodec::<(), M>::default().decoder();
    let mut messages = Streaming::new_request(decoder, body, None, Some(MAX_MESSAGE_BYTES));
    messages.message().await.expect("a sound body").expect("a body of one message")
}

#[cfg(test)]
mod tests {
    use reframe_proto::v1::{Frame, ToWorker, to_worker};

    use super::*;

    #[tokio::test]
    async fn a_frame_of_many_chunks_arrives_as_it_was() {
        let data = Bytes::from((0..=u8::MAX).cycle().take(1_382_400).collect::<Vec<_>>());
        let frame = Frame { seq: 7, width: 1280, height: 720, data, ..Frame::default() };
        let message = ToWorker { message: Some(to_worker::Message::Frame(frame)) };
        let body = encode(message.clone()).await;
        assert!(body.len() > 5 * HTTP2_FRAME_BYTES as usize);
        assert_eq!(decode::<ToWorker>(body).await, message);
    }
}
