//! A request's body: complete, small and in time, or refused.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::http::MAX_BODY_BYTES;
use crate::shares::{Share, Shares};

/// From a request's head to the end of its body. An offer of 10 kB takes a tenth of that on a very
/// slow network.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(5);
/// Of all bodies of one port that are being read or worked on: a thousand offers of 10 kB. Full:
/// 503 (`reason="body_memory"`).
const ALL_BODIES_BYTES: usize = 16 << 20;
/// Of those of one client's network, lest it take all. Full: as above.
const NETWORK_BODIES_BYTES: usize = 4 << 20;
/// A body is read in pieces of this size, so it takes memory as it arrives. A growing buffer would
/// take twice as much, and leave fragments of the sizes that it outgrew.
const PIECE_BYTES: usize = 4 * 1024;

/// The memory that all bodies share.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Shares>);

/// A body, with its share of the memory.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _memory: Share,
}

/// Why a body is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    Late,
    Large,
    NoMemory,
    Broken,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Shares::new(ALL_BODIES_BYTES, NETWORK_BODIES_BYTES))
    }
}

/// Reads the body of a client of this network.
///
/// # Cancel safety
/// When dropped, it returns its memory, and the body is lost.
pub(super) async fn read(
    payload: &mut Payload,
    memory: &Memory,
    network: Option<IpAddr>,
) -> Result<Body, BodyError> {
    timeout(BODY_WITHIN, collect(payload, Share::new(&memory.0, network)))
        .await
        .unwrap_or(Err(BodyError::Late))
}

async fn collect(payload: &mut Payload, mut memory: Share) -> Result<Body, BodyError> {
    let (mut pieces, mut length) = (Vec::<Vec<u8>>::new(), 0);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        length += chunk.len();
        if length > MAX_BODY_BYTES {
            return Err(BodyError::Large);
        }
        let mut left = &chunk[..];
        while !left.is_empty() {
            let room = pieces.last().map_or(0, |piece| PIECE_BYTES - piece.len());
            if room == 0 {
                memory.grow(PIECE_BYTES).map_err(|_| BodyError::NoMemory)?;
                pieces.push(Vec::with_capacity(PIECE_BYTES));
            }
            if let Some(piece) = pieces.last_mut() {
                let (fits, rest) = left.split_at(left.len().min(PIECE_BYTES - piece.len()));
                piece.extend_from_slice(fits);
                left = rest;
            }
        }
    }
    Ok(Body { bytes: pieces.concat().into(), _memory: memory })
}

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use futures_util::stream;

    use super::*;

    fn payload(chunks: Vec<Result<Bytes, PayloadError>>) -> Payload {
        let chunks: std::pin::Pin<
            Box<dyn futures_util::Stream<Item = Result<Bytes, PayloadError>>>,
        > = Box::pin(stream::iter(chunks));
        Payload::from(chunks)
    }

    async fn body(memory: &Memory, network: u8, chunks: usize) -> Result<Body, BodyError> {
        let chunks = (0..chunks).map(|_| Ok(Bytes::from_static(&[7; 1_000]))).collect();
        read(&mut payload(chunks), memory, Some([10, 0, 0, network].into())).await
    }

    #[tokio::test]
    async fn a_body_holds_as_much_memory_as_it_is_long() {
        let memory = Memory::default();
        let three = body(&memory, 1, 3).await.unwrap();
        assert_eq!((three.bytes.len(), memory.0.held()), (3_000, PIECE_BYTES));
        let long = body(&memory, 1, 9).await.unwrap();
        assert_eq!((long.bytes.len(), memory.0.held()), (9_000, 4 * PIECE_BYTES));
        drop((three, long));
        assert_eq!(memory.0.held(), 0);
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_and_holds_nothing() {
        let memory = Memory::default();
        assert_eq!(
            body(&memory, 1, MAX_BODY_BYTES / 1_000 + 1).await.err(),
            Some(BodyError::Large)
        );
        assert_eq!(memory.0.held(), 0);
    }

    #[tokio::test]
    async fn without_memory_there_is_no_body() {
        let memory = Memory(Shares::new(5 * PIECE_BYTES, 2 * PIECE_BYTES));
        let first = body(&memory, 1, 8).await.unwrap();
        assert_eq!(body(&memory, 1, 1).await.err(), Some(BodyError::NoMemory));
        let _other = body(&memory, 2, 8).await.unwrap();
        assert_eq!(body(&memory, 3, 8).await.err(), Some(BodyError::NoMemory));
        drop(first);
        assert!(body(&memory, 1, 8).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stalls_is_given_up() {
        let memory = Memory::default();
        let begun = stream::iter([Ok(Bytes::from_static(b"half"))]).chain(stream::pending());
        let begun: std::pin::Pin<
            Box<dyn futures_util::Stream<Item = Result<Bytes, PayloadError>>>,
        > = Box::pin(begun);
        let start = tokio::time::Instant::now();
        assert_eq!(
            read(&mut Payload::from(begun), &memory, None).await.err(),
            Some(BodyError::Late)
        );
        assert_eq!((start.elapsed(), memory.0.held()), (BODY_WITHIN, 0));
    }
}
