//! H.264 (RFC 6184): receives single NAL units, STAP-A and FU-A. [`super::Packetiser`] sends.
//!
//! Written here because the `rtc` crate's depacketizer panics on a STAP-A that ends within a
//! length, and keeps the start of a lost fragment for the next frame.

use bytes::{BufMut, Bytes, BytesMut};
use tracing::debug;

use super::MTU_PAYLOAD_BYTES;
use crate::codec::nal;

/// Kinds of payloads that are not NAL units.
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Bit of a fragment's second byte: the first fragment of its unit.
const FU_START: u8 = 0x80;

/// Appends the payload's NAL units of the kinds that are decoded here to an Annex B byte stream.
/// `None` if the payload is malformed.
pub(super) fn append(payload: &[u8], unit: &mut BytesMut) -> Option<()> {
    let (&first, rest) = payload.split_first()?;
    match nal::kind(first) {
        STAP_A => aggregated(rest).for_each(|nal| put(nal, unit)),
        FU_A => {
            let (&header, data) = rest.split_first()?;
            if header & FU_START != 0 {
                unit.put_slice(&nal::START_CODE);
                unit.put_u8(first & 0xe0 | nal::kind(header));
            }
            unit.put_slice(data);
        }
        _ => put(payload, unit),
    }
    Some(())
}

fn put(nal: &[u8], unit: &mut BytesMut) {
    if matches!(nal::kind(nal[0]), nal::SLICE | nal::IDR | nal::SPS | nal::PPS) {
        unit.put_slice(&nal::START_CODE);
        unit.put_slice(nal);
    }
}

/// The units of a STAP-A, up to the first malformed one.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_at_checked(2)?;
        let (nal, after) =
            after.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        rest = after;
        (!nal.is_empty()).then_some(nal)
    })
}

/// The payload's first slice or parameter set: its kind, and whether it is a picture's first slice.
fn head(payload: &[u8]) -> Option<(u8, bool)> {
    // `first_mb_in_slice` is 0, which Exp-Golomb codes as a set bit.
    let read = |header: u8, data: Option<&u8>| {
        (nal::kind(header), data.is_some_and(|byte| byte & 0x80 != 0))
    };
    let tells =
        |nal: &&[u8]| matches!(nal::kind(nal[0]), nal::SLICE | nal::IDR | nal::SPS | nal::PPS);
    match nal::kind(*payload.first()?) {
        STAP_A => aggregated(&payload[1..]).find(tells).map(|nal| read(nal[0], nal.get(1))),
        FU_A => payload
            .get(1)
            .filter(|header| **header & FU_START != 0)
            .map(|header| read(*header, payload.get(2))),
        _ => Some(payload).filter(tells).map(|nal| read(nal[0], nal.get(1))),
    }
}

/// A parameter set, or a picture's first slice. (A first slice after parameter sets counts too;
/// callers then go by the timestamp.)
pub(super) fn starts_frame(payload: &[u8]) -> bool {
    head(payload).is_some_and(|(kind, first)| matches!(kind, nal::SPS | nal::PPS) || first)
}

/// A sequence parameter set, or an IDR picture's first slice: its parameter sets may have come
/// before, and a decoder without them reports an error.
pub(super) fn starts_keyframe(payload: &[u8]) -> bool {
    head(payload).is_some_and(|(kind, first)| kind == nal::SPS || kind == nal::IDR && first)
}

/// One payload for each NAL unit. The encoder is set to keep them short enough; an access unit with
/// a longer one cannot be sent.
pub(super) fn single_nals(unit: &Bytes) -> Vec<Bytes> {
    let (fit, long): (Vec<&[u8]>, Vec<&[u8]>) =
        nal::units(unit).partition(|nal| nal.len() <= MTU_PAYLOAD_BYTES);
    if !long.is_empty() {
        debug!(bytes = long[0].len(), "a slice that fits no packet");
        return Vec::new();
    }
    fit.into_iter().map(|nal| unit.slice_ref(nal)).collect()
}
