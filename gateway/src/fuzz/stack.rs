//! The stack's own SCTP and DTLS behind the guard: what passes it must not break them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use rtc::crypto::RTCCryptoProvider;
use rtc::dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc::dtls::crypto::Certificate;
use rtc::sctp::{
    Association, AssociationHandle, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig,
};
use rtc::shared::TransportProtocol;
use tokio::time::Instant;

use crate::browser::guard::{self, Refusal};

/// As the gateway's.
const MAX_MESSAGE: usize = 64 * 1024;
/// Of neither side.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5_000);

/// One side's SCTP as the gateway runs it, the guard before it.
pub(crate) struct Stack {
    endpoint: Endpoint,
    associations: HashMap<AssociationHandle, Association>,
    guard: guard::Association,
    now: Instant,
    /// Complete messages that came, and their bytes.
    pub(crate) messages: Vec<Bytes>,
}

impl Stack {
    /// The side that waits for the other's INIT.
    pub(crate) fn server() -> Self {
        Self::new(Some(Arc::new(ServerConfig::new(TransportConfig::default()))))
    }

    /// The side that sends its own.
    #[cfg(test)]
    pub(crate) fn client() -> Self {
        let mut stack = Self::new(None);
        let connected = stack.endpoint.connect(
            stack.now.into_std(),
            rtc::sctp::ClientConfig::default(),
            ADDRESS,
        );
        if let Ok((handle, association)) = connected {
            stack.associations.insert(handle, association);
        }
        stack
    }

    fn new(server: Option<Arc<ServerConfig>>) -> Self {
        let config = Arc::new(EndpointConfig::default());
        Self {
            endpoint: Endpoint::new(ADDRESS, TransportProtocol::UDP, config, server),
            associations: HashMap::new(),
            guard: guard::Association::default(),
            now: Instant::now(),
            messages: Vec::new(),
        }
    }

    pub(crate) fn associations(&self) -> usize {
        self.associations.len()
    }

    /// Later, for timers.
    pub(crate) fn wait(&mut self, duration: std::time::Duration) {
        self.now += duration;
        for association in self.associations.values_mut() {
            association.handle_timeout(self.now.into_std());
        }
    }

    /// Gives the stack a packet, if the guard lets it through.
    pub(crate) fn deliver(&mut self, packet: &[u8]) -> Result<(), Refusal> {
        let mut packet = packet.to_vec();
        self.guard.incoming(self.now, &mut packet)?;
        self.deliver_unguarded(&packet);
        Ok(())
    }

    /// As the stack does it by itself.
    pub(crate) fn deliver_unguarded(&mut self, packet: &[u8]) {
        let data = Bytes::copy_from_slice(packet);
        match self.endpoint.handle(self.now.into_std(), ADDRESS, None, data) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                self.associations.insert(handle, association);
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some(association) = self.associations.get_mut(&handle) {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
        let mut gone = Vec::new();
        for (handle, association) in &mut self.associations {
            while let Some(event) = association.poll() {
                if let Event::Stream(StreamEvent::Readable { id }) = event
                    && let Ok(mut stream) = association.stream(id)
                {
                    while let Ok(Some(chunks)) = stream.read_sctp() {
                        let Ok(message) = chunks.to_payload(MAX_MESSAGE) else { continue };
                        if chunks.ppi == PayloadProtocolIdentifier::Dcep {
                            super::open(&message);
                        }
                        self.messages.push(message.freeze());
                    }
                }
            }
            while let Some(event) = association.poll_endpoint_event() {
                gone.push((*handle, event));
            }
        }
        for (handle, event) in gone {
            self.endpoint.handle_event(handle, event);
            self.associations.remove(&handle);
        }
    }

    /// What the stack sends, past the guard.
    pub(crate) fn answers(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for association in self.associations.values_mut() {
            while let Some(transmit) = association.poll_transmit(self.now.into_std()) {
                if let Payload::RawEncode(contents) = transmit.message {
                    packets.extend(contents.iter().map(|packet| packet.to_vec()));
                }
            }
        }
        packets.iter_mut().for_each(|packet| self.guard.outgoing(packet));
        packets
    }

    /// The one association, or the first.
    #[cfg(test)]
    pub(crate) fn association(&mut self) -> Option<&mut Association> {
        self.associations.values_mut().next()
    }
}

/// DTLS of one side.
pub(crate) fn dtls(
    provider: Arc<dyn RTCCryptoProvider>,
    client: bool,
) -> Option<Arc<HandshakeConfig>> {
    let config = ConfigBuilder::default()
        .with_certificates(vec![CERTIFICATE.as_ref()?.clone()])
        .with_crypto_provider(provider)
        .with_cipher_suites(guard::SUITES.to_vec())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true);
    config.build(client, None).ok().map(Arc::new)
}

static CERTIFICATE: LazyLock<Option<Certificate>> = LazyLock::new(|| {
    let provider = rtc::crypto::default_provider().ok()?;
    Certificate::generate_self_signed(vec!["reframe".to_owned()], provider.crypto()).ok()
});

/// A server's handshake, given datagrams that the guard lets through.
pub(crate) fn handshake(datagrams: &mut dyn Iterator<Item = &[u8]>) {
    let guard = Arc::new(guard::Guard::default());
    let Some(config) = guard::provider(&guard).ok().and_then(|provider| dtls(provider, false))
    else {
        return;
    };
    let mut endpoint =
        rtc::dtls::endpoint::Endpoint::new(ADDRESS, TransportProtocol::UDP, Some(config));
    let now = Instant::now().into_std();
    for datagram in datagrams {
        if guard.admit(datagram).is_ok() {
            // Refusing is its right.
            drop(endpoint.read(now, ADDRESS, None, BytesMut::from(datagram)));
            while endpoint.poll_transmit().is_some() {}
        }
    }
}
