use super::*;

/// A record of this type and epoch.
pub(in crate::browser::guard) fn record(content_type: u8, epoch: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[content_type, 0xfe, 0xfd][..], &epoch.to_be_bytes(), &[0; 6], &length, content].concat()
}

/// A part of a handshake message.
fn fragment(length: u32, sequence: u16, offset: u32, body: &[u8]) -> Vec<u8> {
    let u24 = |number: u32| number.to_be_bytes()[1..].to_vec();
    let size = u24(u32::try_from(body.len()).unwrap());
    [vec![11], u24(length), sequence.to_be_bytes().to_vec(), u24(offset), size, body.to_vec()]
        .concat()
}

fn admits(datagram: &[u8]) -> bool {
    Records::default().datagram(datagram, false).is_ok()
}

fn admits_handshake(content: &[u8]) -> bool {
    admits(&record(HANDSHAKE, 0, content))
}

#[test]
fn messages_pass_whole_and_in_parts() {
    assert!(admits_handshake(&fragment(5, 0, 0, b"hello")));
    assert!(admits_handshake(&fragment(900, 2, 100, &[7; 400])));
    assert!(admits_handshake(&fragment(0, 5, 0, b"")), "ServerHelloDone");
    let window = [fragment(5, 1, 0, b"hello"), fragment(0, 2, 0, b"")].concat();
    assert!(admits_handshake(&window), "two in a record");
    let records = [
        record(HANDSHAKE, 0, &window),
        record(CHANGE_CIPHER_SPEC, 0, &[1]),
        record(HANDSHAKE, 1, &[9; 40]),
    ];
    assert!(admits(&records.concat()), "three in a datagram");
    assert!(admits(&record(ALERT, 0, &[2, 40])));
}

#[test]
fn lies_do_not() {
    // The stack takes `length` bytes, whatever the fragment's own length is, and walks on from
    // there.
    assert!(
        !admits_handshake(&fragment(0, 1, 3, b"x")),
        "a part of nothing: a chain without an end"
    );
    assert!(!admits_handshake(&fragment(900, 2, 100, b"")), "an empty part");
    assert!(!admits_handshake(&fragment(900, 2, 600, &[7; 400])), "beyond the end");
    assert!(!admits_handshake(&fragment(1 << 20, 2, 0, &[7; 400])), "a message of a megabyte");
    assert!(!admits_handshake(&fragment(5, 16, 0, b"hello")), "the seventeenth message");
    assert!(
        !admits_handshake(&[fragment(900, 2, 0, &[7; 40]), fragment(0, 3, 0, b"")].concat()),
        "behind a part"
    );
    assert!(!admits_handshake(&fragment(5, 0, 0, b"hello")[..15]), "cut off");
}

#[test]
fn what_is_not_protected_is_not_of_the_protected_epoch() {
    // Unprotected, and taken by the stack at any time: the epoch ends, and all that follows is of
    // an old one.
    for opened in [false, true] {
        let mut records = Records::default();
        assert_eq!(
            records.datagram(&record(CHANGE_CIPHER_SPEC, 1, &[1]), opened),
            Err(Refusal::Dtls)
        );
        assert_eq!(
            records.datagram(&record(APPLICATION_DATA, 0, &[1]), opened),
            Err(Refusal::Dtls)
        );
        assert_eq!(
            records.datagram(&record(APPLICATION_DATA, 2, &[1]), opened),
            Err(Refusal::Dtls)
        );
        assert_eq!(
            records.datagram(&record(24, 0, &[1]), opened),
            Err(Refusal::Dtls),
            "a heartbeat"
        );
        assert_eq!(
            records.datagram(&record(CHANGE_CIPHER_SPEC, 0, &[1, 1]), opened),
            Err(Refusal::Dtls)
        );
        assert_eq!(
            records.datagram(&record(HANDSHAKE, 0, &[]), opened),
            Err(Refusal::Dtls),
            "nothing"
        );
    }
    let sound = record(APPLICATION_DATA, 1, &[1; 40]);
    assert!(admits(&sound) && (1..sound.len()).all(|end| !admits(&sound[..end])));
}

#[test]
fn a_handshake_has_an_end() {
    let mut records = Records::default();
    let hello = record(HANDSHAKE, 0, &fragment(5, 0, 0, b"hello"));
    let passed = (0..1_000).filter(|_| records.datagram(&hello, false).is_ok()).count();
    assert_eq!(passed, usize::from(MAX_FRAGMENTS));
    let early = record(APPLICATION_DATA, 1, &[1; 40]);
    let passed = (0..1_000).filter(|_| records.datagram(&early, false).is_ok()).count();
    assert_eq!(passed, usize::from(MAX_EARLY), "the stack holds them until it has keys");
    assert!((0..1_000).all(|_| records.datagram(&early, true).is_ok()), "and then no more");
    let change = record(CHANGE_CIPHER_SPEC, 0, &[1]);
    let passed = (0..1_000).filter(|_| records.datagram(&change, true).is_ok()).count();
    assert_eq!(passed, usize::from(MAX_PLAIN));
}
