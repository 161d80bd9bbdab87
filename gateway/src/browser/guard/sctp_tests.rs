use super::super::chunk::Init;
use super::*;
use crate::fuzz::packet;

fn parse(chunks: &[u8]) -> Result<usize, Refusal> {
    let packet = packet(7, chunks);
    let read = Packet::read(&packet)?;
    read.chunks().try_fold(0, |count, chunk| chunk.map(|_| count + 1))
}

/// DATA: flags B, E.
pub(in crate::browser::guard) fn data(
    flags: u8,
    tsn: u32,
    stream: u16,
    sequence: u16,
    protocol: u32,
    bytes: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(16 + bytes.len()).unwrap();
    let ids = [stream, sequence].map(u16::to_be_bytes).concat();
    let mut chunk = [
        &[0, flags][..],
        &length.to_be_bytes(),
        &tsn.to_be_bytes(),
        &ids,
        &protocol.to_be_bytes(),
        bytes,
    ]
    .concat();
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn sack(gaps: &[(u16, u16)], counts: (u16, u16)) -> Vec<u8> {
    let length = u16::try_from(16 + 4 * gaps.len()).unwrap().to_be_bytes();
    let mut chunk = [&[SACK, 0][..], &length, &[0, 0, 0, 9, 0, 1, 0, 0]].concat();
    chunk.extend([counts.0, counts.1].map(u16::to_be_bytes).concat());
    gaps.iter()
        .for_each(|(start, end)| chunk.extend([*start, *end].map(u16::to_be_bytes).concat()));
    chunk
}

#[test]
fn causes_end_with_their_chunk() {
    let aborted = [6, 0, 0, 8, 0, 12, 0, 4];
    assert_eq!(parse(&aborted), Ok(1));
    assert_eq!(parse(&[6, 0, 0, 4]), Ok(1), "for no cause");
    // These eight bytes in place of the last four stop a driver of the stack.
    for lying in
        [[6, 0, 0, 8, 0, 12, 0x40, 0], [6, 0, 0, 8, 0, 12, 0, 5], [6, 0, 0, 8, 0, 12, 0, 3]]
    {
        assert_eq!(parse(&lying), Err(Refusal::Malformed), "{lying:?}");
    }
    assert_eq!(
        parse(&[9, 0, 0, 8, 0, 12, 0, 4]),
        Err(Refusal::Malformed),
        "an error ends nothing, but for the stack"
    );
}

#[test]
fn a_sack_has_what_it_counts_and_in_order() {
    assert_eq!(parse(&sack(&[(2, 3), (5, 5)], (2, 0))), Ok(1));
    assert_eq!(parse(&sack(&[(0, 9)], (0, 1))), Ok(1), "a TSN that came twice");
    for (gaps, counts) in [
        (&[(2, 3)][..], (2, 0)),
        (&[(2, 3)], (0xffff, 0xffff)),
        (&[(2, 3), (3, 4)], (2, 0)),
        (&[(4, 5), (2, 3)], (2, 0)),
        (&[(3, 2)], (1, 0)),
        (&[(0, 2)], (1, 0)),
        (&[(2, 0xffff), (2, 0xffff)], (2, 0)),
    ] {
        assert_eq!(parse(&sack(gaps, counts)), Err(Refusal::Malformed), "{gaps:?} {counts:?}");
    }
    assert_eq!(
        parse(&[sack(&[], (0, 0)), sack(&[], (0, 0))].concat()),
        Err(Refusal::Malformed),
        "two"
    );
}

#[test]
fn data_has_bytes_and_a_channel_message_sense() {
    assert_eq!(parse(&data(3, 1, 0, 0, 51, b"hello")), Ok(1));
    assert_eq!(
        parse(&[data(3, 1, 0, 0, 51, b"hello"), data(3, 2, 0, 1, 51, b"again")].concat()),
        Ok(2)
    );
    assert_eq!(
        parse(&data(3, 1, 0, 0, 51, b"")),
        Err(Refusal::Malformed),
        "nothing takes no room, however often"
    );
    let mut padded = data(3, 1, 0, 0, 51, b"hello");
    *padded.last_mut().unwrap() = 1;
    assert_eq!(parse(&padded), Err(Refusal::Malformed));
    let open = b"\x03\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00text";
    assert_eq!(
        (parse(&data(3, 1, 0, 0, 50, open)), parse(&data(3, 1, 0, 0, 50, b"\x02"))),
        (Ok(1), Ok(1))
    );
    // The first is one byte that stops a driver of the stack: the type of a message of its own.
    for message in [
        &b"\x00"[..],
        b"\x00\x01\x00\x00",
        b"\x01",
        b"\x04",
        b"\x02\x00",
        b"\x03",
        &open[..15],
        &open[..11],
    ] {
        assert_eq!(parse(&data(3, 1, 0, 0, 50, message)), Err(Refusal::Malformed), "{message:?}");
    }
    assert_eq!(
        (parse(&data(2, 1, 0, 0, 50, &open[..12])), parse(&data(1, 2, 0, 0, 50, b"text"))),
        (Ok(1), Ok(1))
    );
    for part in [open, &open[..11], b"\x00\x01\x00\x00", b"\x02"] {
        assert_eq!(
            parse(&data(2, 1, 0, 0, 50, part)),
            Err(Refusal::Malformed),
            "a part of what? {part:?}"
        );
    }
    let long = [&open[..8], &[2, 1, 0, 0], &[b'x'; 513]].concat();
    assert_eq!(
        parse(&data(3, 1, 0, 0, 50, &long)),
        Err(Refusal::Malformed),
        "a label of half a kilobyte"
    );
}

#[test]
fn what_the_stack_cannot_read_does_not_reach_it() {
    assert_eq!(parse(&[4, 0, 0, 8, 0, 1, 0, 4]), Ok(1), "a heartbeat");
    assert_eq!(parse(&[4, 0, 0, 8, 0, 1, 0, 5]), Err(Refusal::Malformed), "longer than its chunk");
    assert_eq!(
        parse(&[4, 0, 0, 8, 0, 1, 0, 4].repeat(2)),
        Err(Refusal::Malformed),
        "an answer each"
    );
    assert_eq!(parse(&[192, 0, 0, 8, 0x7f, 0xff, 0xff, 0xff]), Err(Refusal::ForwardTsn));
    assert_eq!(parse(&[7, 0, 0, 8, 0, 0, 0, 1]), Ok(1));
    assert_eq!(parse(&[7, 0, 0, 4]), Err(Refusal::Malformed));
    assert_eq!(parse(&[0x7f, 0, 0, 4]), Err(Refusal::Malformed), "a kind that nobody knows");
    assert_eq!(parse(&[11, 0, 0, 3]), Err(Refusal::Malformed), "shorter than its header");
    assert_eq!(parse(&[11, 0, 0xff, 0xff]), Err(Refusal::Malformed));
    assert_eq!(parse(&[10, 0, 0, 8, 1, 2, 3, 4]), Ok(1));
    assert_eq!(
        parse(&data(3, 1, 0, 0, 51, &[0; MAX_PACKET])),
        Err(Refusal::Malformed),
        "too large"
    );
    let sound = packet(7, &data(3, 1, 0, 0, 51, b"hello"));
    for at in 0..sound.len() {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        assert!(Packet::read(&changed).is_err(), "the checksum is looked at, {at}");
    }
    assert!((0..sound.len()).all(|end| Packet::read(&sound[..end]).is_err()));
}

#[test]
fn a_reset_is_one_request_or_its_answer() {
    let request = [130, 0, 0, 22, 0, 13, 0, 18, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, 0];
    let packet = packet(7, &request);
    let Some(Ok(Chunk::Reset(reset))) = Packet::read(&packet).unwrap().chunks().next() else {
        panic!("not a reset")
    };
    assert_eq!((reset.number, reset.last_tsn, reset.streams().collect()), (1, 1, vec![3]));
    assert_eq!(parse(&[130, 0, 0, 16, 0, 16, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1]), Ok(1));
    for lying in [
        &[130, 0, 0, 4][..],
        &[130, 0, 0, 8, 0, 13, 0, 16],
        &[130, 0, 0, 8, 0, 17, 0, 4],
        &[130, 0, 0, 12, 0, 16, 0, 12, 0, 0, 0, 1],
    ] {
        assert_eq!(parse(lying), Err(Refusal::Malformed), "{lying:?}");
    }
}

#[test]
fn an_init_names_its_sender() {
    // Chromium's, as far as it matters: it can skip messages.
    let init = |extensions: &[u8]| {
        let mut chunk =
            [&[1, 0, 0, 32, 0, 0, 0, 9, 0, 2, 0, 0, 4, 0, 8, 0, 0, 0, 0, 5, 0xc0, 0, 0, 4][..]]
                .concat();
        chunk.extend([0x80, 0x08, 0, 4 + u8::try_from(extensions.len()).unwrap()]);
        chunk.extend(extensions);
        chunk[3] = u8::try_from(chunk.len()).unwrap();
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    };
    let packet = packet(0, &init(&[130, 192, 194]));
    let named = Chunk::Init(Init { tag: 9, tsn: 5 });
    assert_eq!(Packet::read(&packet).unwrap().chunks().next(), Some(Ok(named)));
    for (at, value) in [(7, 0), (13, 0), (3, 19), (27, 200), (23, 3)] {
        let mut lying = init(&[130]);
        lying[at] = value;
        // Both of these numbers are two bytes, or four.
        lying[12] = if at == 13 { 0 } else { lying[12] };
        assert_eq!(parse(&lying), Err(Refusal::Malformed), "{at}");
    }
}
