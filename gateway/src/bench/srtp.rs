//! What the WebRTC stack does with each packet of ours, without its interceptors and sockets.

use bytes::{Bytes, BytesMut};
use rtc::rtp;
use rtc::shared::marshal::{Marshal, Unmarshal};
use rtc::srtp::context::Context;
use rtc::srtp::protection_profile::ProtectionProfile;

/// Any: neither side is a browser.
const SSRC: u32 = 1;
const PAYLOAD_TYPE: u8 = 96;

/// One RTP packet.
#[derive(Clone, Debug)]
pub struct RtpPacket(pub(super) rtp::Packet);

/// Numbers packets as hop 10 does.
#[derive(Debug, Default)]
pub struct RtpStream {
    sequence: u16,
}

impl RtpStream {
    /// A frame's payloads as packets, at `timestamp` (90 kHz).
    pub fn packets(&mut self, payloads: Vec<Bytes>, timestamp: u32) -> Vec<RtpPacket> {
        let last = payloads.len().saturating_sub(1);
        let packet = |(index, payload)| {
            let header = rtp::Header {
                version: 2,
                marker: index == last,
                payload_type: PAYLOAD_TYPE,
                sequence_number: self.sequence,
                timestamp,
                ssrc: SSRC,
                ..Default::default()
            };
            self.sequence = self.sequence.wrapping_add(1);
            RtpPacket(rtp::Packet { header, payload })
        };
        payloads.into_iter().enumerate().map(packet).collect()
    }
}

/// One direction of a session, by the first of the profiles that the stack offers.
pub struct Srtp(Context);

impl Srtp {
    /// With a key that both directions of a benchmark share.
    ///
    /// # Panics
    /// When the stack was built without its crypto provider.
    #[must_use]
    pub fn new() -> Self {
        let provider = rtc::crypto::default_provider().expect("the stack brings one");
        let profile = ProtectionProfile::AeadAes128Gcm;
        let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
        let context = Context::new(&key, &salt, profile, None, None, provider.crypto());
        Self(context.expect("key and salt have the profile's lengths"))
    }

    /// The datagram that `packet` leaves in.
    ///
    /// # Panics
    /// After 2^48 packets.
    pub fn protect(&mut self, packet: &RtpPacket) -> BytesMut {
        let plain = packet.0.marshal().expect("a packet of ours");
        self.0.encrypt_rtp(&plain).expect("a packet of ours")
    }

    /// The packet in a datagram.
    ///
    /// # Panics
    /// When it is not from another [`Srtp`] of this process.
    pub fn unprotect(&mut self, datagram: &[u8]) -> RtpPacket {
        let mut plain = self.0.decrypt_rtp(datagram).expect("a datagram of ours");
        RtpPacket(rtp::Packet::unmarshal(&mut plain).expect("a packet of ours"))
    }
}

impl Default for Srtp {
    fn default() -> Self {
        Self::new()
    }
}
