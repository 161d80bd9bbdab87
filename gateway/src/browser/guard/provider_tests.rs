//! Against the stack's own DTLS.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::BytesMut;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder};
use rtc::dtls::crypto::Certificate;
use rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use rtc::shared::TransportProtocol;
use tokio::time::Instant;

use super::super::records::tests::record;
use super::super::sctp::seal;
use super::*;
use crate::fuzz::stack::dtls;

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2);

/// A side of DTLS, with a guard or as a stranger.
struct Side {
    endpoint: Endpoint,
    other: SocketAddr,
    guard: Option<Arc<Guard>>,
    complete: bool,
    closed: bool,
    received: Vec<Vec<u8>>,
}

impl Side {
    fn new(client: bool, guarded: bool) -> Self {
        let guard = guarded.then(Arc::<Guard>::default);
        let crypto = guard.as_ref().map_or_else(rtc::crypto::default_provider, provider).unwrap();
        let config = dtls(crypto, client).unwrap();
        let (own, other) = if client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let mut endpoint =
            Endpoint::new(own, TransportProtocol::UDP, (!client).then(|| Arc::clone(&config)));
        if client {
            endpoint.connect(Instant::now().into_std(), other, config, None).unwrap();
        }
        Self { endpoint, other, guard, complete: false, closed: false, received: Vec::new() }
    }

    fn read(&mut self, datagram: &[u8]) -> Result<(), String> {
        if let Some(guard) = &self.guard {
            guard.admit(datagram)?;
        }
        let now = Instant::now().into_std();
        let events = self.endpoint.read(now, self.other, None, BytesMut::from(datagram));
        for event in events.map_err(|error| error.to_string())? {
            match event {
                EndpointEvent::HandshakeComplete => self.complete = true,
                EndpointEvent::ApplicationData(data) => self.received.push(data.to_vec()),
                EndpointEvent::PeerClosed => self.closed = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn sent(&mut self) -> Vec<BytesMut> {
        std::iter::from_fn(|| self.endpoint.poll_transmit())
            .map(|transmit| transmit.message)
            .collect()
    }

    fn send(&mut self, data: &[u8]) -> Vec<BytesMut> {
        self.endpoint.write(Instant::now().into_std(), self.other, data).unwrap();
        self.sent()
    }
}

/// Until nobody has anything to say.
fn shake_hands(client: &mut Side, server: &mut Side) -> Result<(), String> {
    loop {
        let sent = client.sent();
        sent.iter().try_for_each(|datagram| server.read(datagram))?;
        let answers = server.sent();
        answers.iter().try_for_each(|datagram| client.read(datagram))?;
        if sent.is_empty() && answers.is_empty() {
            return Ok(());
        }
    }
}

/// With a guard on the server's side, or on the client's.
fn connected(client_guarded: bool) -> (Side, Side) {
    let (mut client, mut server) =
        (Side::new(true, client_guarded), Side::new(false, !client_guarded));
    shake_hands(&mut client, &mut server).unwrap();
    assert!(client.complete && server.complete);
    if client_guarded { (client, server) } else { (server, client) }
}

fn init() -> Vec<u8> {
    let mut packet = [0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    packet.extend([1, 0, 0, 20, 0, 0, 0, 9, 0, 2, 0, 0, 4, 0, 8, 0, 0, 0, 0, 1]);
    seal(&mut packet);
    packet
}

#[test]
fn a_packet_of_sctp_passes_or_was_never_there() {
    for client_guarded in [false, true] {
        let (mut ours, mut theirs) = connected(client_guarded);
        let mut lying = init();
        lying[15] = 16;
        seal(&mut lying);
        for _ in 0..10 {
            theirs.send(&lying).iter().for_each(|datagram| ours.read(datagram).unwrap());
        }
        assert!(ours.received.is_empty() && ours.sent().is_empty(), "dropped without a word");
        theirs.send(&init()).iter().for_each(|datagram| ours.read(datagram).unwrap());
        assert_eq!(ours.received, [init()], "and nothing else is lost by it");
        // Another one's association.
        let mut second = init();
        second[19] = 8;
        seal(&mut second);
        theirs.send(&second).iter().for_each(|datagram| ours.read(datagram).unwrap());
        assert_eq!(ours.received.len(), 1);
        assert!(!ours.closed && !theirs.closed);
    }
}

#[test]
fn an_unprotected_record_ends_nothing() {
    // A ChangeCipherSpec of the protected epoch, which whoever knows the address may send.
    let mut change = record(super::super::records::CHANGE_CIPHER_SPEC, 1, &[1]);
    // Of a sequence number that is not used yet.
    change[10] = 40;
    let (mut ours, mut theirs) = connected(false);
    assert_eq!(ours.read(&change), Err("dtls".to_owned()));
    theirs.send(&init()).iter().for_each(|datagram| ours.read(datagram).unwrap());
    assert_eq!(ours.received.len(), 1);
    // When this fails, the stack was mended: see docs/decisions/0017-guard.md.
    let (mut ours, mut theirs) = (theirs, ours);
    ours.read(&change).unwrap();
    theirs.send(&init()).iter().for_each(|datagram| ours.read(datagram).unwrap());
    assert!(ours.received.is_empty(), "without a guard all that follows is of an old epoch");
}

#[test]
fn a_client_that_wants_cbc_is_refused() {
    let guard = Arc::<Guard>::default();
    let ours = provider(&guard).unwrap();
    let cbc = rtc::crypto::CbcAlgorithm::Aes256Cbc;
    assert!(!ours.crypto().supports(CryptoAlgorithm::Cbc(cbc)));
    assert!(ours.crypto().new_cbc(cbc, &[0; 32]).is_err());
    let theirs = rtc::crypto::default_provider().unwrap();
    let certificate =
        Certificate::generate_self_signed(vec!["reframe".to_owned()], theirs.crypto()).unwrap();
    let config = ConfigBuilder::default()
        .with_certificates(vec![certificate])
        .with_crypto_provider(theirs)
        .with_cipher_suites(vec![CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_256_Cbc_Sha])
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true)
        .build(true, None)
        .unwrap();
    let (mut client, mut server) = (Side::new(true, false), Side::new(false, true));
    client.endpoint = Endpoint::new(CLIENT, TransportProtocol::UDP, None);
    client.endpoint.connect(Instant::now().into_std(), SERVER, Arc::new(config), None).unwrap();
    assert!(shake_hands(&mut client, &mut server).is_err());
    assert!(!client.complete && !server.complete);
}

/// What the other side reads of a text that was sealed behind this header.
fn sealed(header: &[u8], text: &[u8]) -> Vec<u8> {
    let stack = rtc::crypto::default_provider().unwrap();
    let crypto = provider(&Arc::default()).unwrap();
    let cipher =
        |crypto: &dyn RTCCrypto| crypto.new_aead(AeadAlgorithm::Aes128Gcm, &[1; 16]).unwrap();
    let (mut text, mut tag) = (text.to_vec(), [0; 16]);
    cipher(crypto.crypto()).seal_in_place(&[0; 12], header, &mut text, &mut tag).unwrap();
    cipher(stack.crypto()).open_in_place(&[0; 12], header, &mut text, &tag).unwrap();
    text
}

#[test]
fn a_padded_packet_is_nothing_but_padding_and_no_other_is_touched() {
    let header = |first: u8, second: u8, length: usize| {
        let mut header = vec![0; length];
        (header[0], header[1]) = (first, second);
        header
    };
    let text = [0, 0, 0, 4];
    for (first, second, length) in [(0xa0, 96, 12), (0xb0, 96, 20), (0xa0, 224, 12)] {
        assert_eq!(
            sealed(&header(first, second, length), &[&[0; 116][..], &text].concat())[119],
            120
        );
    }
    let long = [7; 256];
    for (first, second, text) in [
        // No padding; feedback with padding; more than one byte can tell.
        (0x80, 96, &text[..]),
        (0x90, 224, &text),
        (0xaf, 205, &text),
        (0xa1, 192, &text),
        (0xa0, 223, &text),
        (0xa0, 96, &long),
    ] {
        assert_eq!(sealed(&header(first, second, 12), text), text, "{first:x} {second}");
    }
}

#[test]
fn what_is_no_record_and_not_padded_is_not_looked_at() {
    let guard = Arc::<Guard>::default();
    let crypto = provider(&guard).unwrap();
    let mut cipher = crypto.crypto().new_aead(AeadAlgorithm::Aes128Gcm, &[1; 16]).unwrap();
    for header in [12, 16, 20, 28] {
        let (mut text, mut tag) = ([7; 100], [0; 16]);
        cipher.seal_in_place(&[0; 12], &vec![23; header], &mut text, &mut tag).unwrap();
        cipher.open_in_place(&[0; 12], &vec![23; header], &mut text, &tag).unwrap();
        assert_eq!(text, [7; 100]);
    }
    let (mut text, mut tag) = ([7; 100], [0; 16]);
    cipher.seal_in_place(&[0; 12], &[23; DTLS_DATA], &mut text, &mut tag).unwrap();
    let opened = cipher.open_in_place(&[0; 12], &[23; DTLS_DATA], &mut text, &tag);
    assert_eq!(opened, Err(CryptoError::AuthenticationFailed), "a record is");
}
