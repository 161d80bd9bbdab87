//! A request's body: whole, small and soon, or refused.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::MAX_BODY_BYTES;

/// From a request's head to the end of its body. An offer of 10 kB takes a tenth of that over the worst of networks.
pub(super) const BODY_WITHIN: Duration = Duration::from_secs(5);
/// Of all bodies of both ports that are being read or worked on. Full: 503 (`reason="body_memory"`). One client's network
/// cannot fill it: 512 connections of 128 KiB at most.
const ALL_BODIES_BYTES: usize = 96 * 1024 * 1024;
/// The unit in which memory is taken.
const PIECE_BYTES: usize = 1024;

/// What all bodies share.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Semaphore>);

/// A body and the memory that it has.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    Late,
    Large,
    NoMemory,
    Broken,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BODIES_BYTES / PIECE_BYTES)))
    }
}

/// Reads a body, which takes memory as it comes.
///
/// # Cancel safety
/// Dropped, it has given its memory back, and the body is lost.
pub(super) async fn read(payload: &mut Payload, memory: &Memory) -> Result<Body, BodyError> {
    timeout(BODY_WITHIN, collect(payload, memory)).await.unwrap_or(Err(BodyError::Late))
}

async fn collect(payload: &mut Payload, Memory(memory): &Memory) -> Result<Body, BodyError> {
    let (mut bytes, mut taken) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        let length = bytes.len() + chunk.len();
        if length > MAX_BODY_BYTES {
            return Err(BodyError::Large);
        }
        let pieces = length.div_ceil(PIECE_BYTES) - taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let pieces = u32::try_from(pieces).map_err(|_| BodyError::Large)?;
        let more = Arc::clone(memory).try_acquire_many_owned(pieces).map_err(|_| BodyError::NoMemory)?;
        match &mut taken {
            Some(taken) => taken.merge(more),
            None => taken = Some(more),
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes: bytes.freeze(), _memory: taken })
}

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use futures_util::stream;

    use super::*;

    fn payload(chunks: Vec<Result<Bytes, PayloadError>>) -> Payload {
        let chunks: std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, PayloadError>>>> =
            Box::pin(stream::iter(chunks));
        Payload::from(chunks)
    }

    fn free(Memory(memory): &Memory) -> usize {
        memory.available_permits() * PIECE_BYTES
    }

    #[tokio::test]
    async fn a_body_holds_as_much_memory_as_it_is_long() {
        let memory = Memory::default();
        let chunks = (0..3).map(|_| Ok(Bytes::from_static(&[7; 700]))).collect();
        let body = read(&mut payload(chunks), &memory).await.unwrap();
        assert_eq!((body.bytes.len(), free(&memory)), (2_100, ALL_BODIES_BYTES - 3 * PIECE_BYTES));
        drop(body);
        assert_eq!(free(&memory), ALL_BODIES_BYTES);
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_and_holds_nothing() {
        let memory = Memory::default();
        let chunks = (0..=MAX_BODY_BYTES / 1_000).map(|_| Ok(Bytes::from_static(&[7; 1_000]))).collect();
        assert_eq!(read(&mut payload(chunks), &memory).await.err(), Some(BodyError::Large));
        assert_eq!(free(&memory), ALL_BODIES_BYTES);
    }

    #[tokio::test]
    async fn without_memory_there_is_no_body() {
        let memory = Memory(Arc::new(Semaphore::new(2)));
        let chunks = || (0..2).map(|_| Ok(Bytes::from_static(&[7; 1_000]))).collect();
        let first = read(&mut payload(chunks()), &memory).await.unwrap();
        assert_eq!(read(&mut payload(chunks()), &memory).await.err(), Some(BodyError::NoMemory));
        drop(first);
        assert!(read(&mut payload(chunks()), &memory).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stalls_is_given_up() {
        let memory = Memory::default();
        let begun = stream::iter([Ok(Bytes::from_static(b"half"))]).chain(stream::pending());
        let begun: std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(begun);
        let start = tokio::time::Instant::now();
        assert_eq!(read(&mut Payload::from(begun), &memory).await.err(), Some(BodyError::Late));
        assert_eq!((start.elapsed(), free(&memory)), (BODY_WITHIN, ALL_BODIES_BYTES));
    }
}
