//! The stack's cryptography, with [`Guard`] between a record's decryption and its reader.
//!
//! All of DTLS passes here. The stack takes any provider of cryptography, and an AEAD cipher learns
//! each record's type from the authenticated data (RFC 5246, section 6.2.3.3). CBC ciphers have no
//! such data, so none are offered.
//!
//! SRTP passes here too, where its ciphers are AEAD. The stack cannot write a packet that is all
//! padding, so the length of the padding is put in before such a packet is encrypted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CryptoAlgorithm,
    CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac, PublicKey, RTCCrypto,
    RTCCryptoProvider, RTCRandom, SignatureScheme, SigningKey, StreamCipher, StreamCipherAlgorithm,
};
use rtc::dtls::cipher_suite::CipherSuiteId;

use super::Guard;

/// What DTLS may be encrypted with: the stack's own choice without CBC. Our certificate is for
/// ECDSA; a server's, when we are the client, may be for RSA.
pub(crate) const SUITES: [CipherSuiteId; 3] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
];
/// Epoch and sequence number, type, version, length. RTP's header, which SRTP authenticates, is a
/// multiple of four, and SRTCP authenticates twelve bytes (RFC 7714, sections 8.2 and 9.2).
const DTLS_DATA: usize = 13;
const TYPE_AT: usize = 8;

/// One connection's provider.
///
/// # Errors
/// The stack was built without cryptography.
pub(crate) fn provider(guard: &Arc<Guard>) -> Result<Arc<dyn RTCCryptoProvider>, CryptoError> {
    let stack = rtc::crypto::default_provider()?;
    let crypto = Guarded { stack: Arc::clone(&stack), guard: Arc::clone(guard) };
    Ok(Arc::new(Provider { stack, crypto }))
}

struct Provider {
    stack: Arc<dyn RTCCryptoProvider>,
    crypto: Guarded,
}

impl RTCCryptoProvider for Provider {
    fn name(&self) -> &'static str {
        self.stack.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        &self.crypto
    }

    fn random(&self) -> &dyn RTCRandom {
        self.stack.random()
    }
}

struct Guarded {
    stack: Arc<dyn RTCCryptoProvider>,
    guard: Arc<Guard>,
}

impl RTCCrypto for Guarded {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        !matches!(algorithm, CryptoAlgorithm::Cbc(_)) && self.stack.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.stack.crypto().hash(algorithm, data)
    }

    fn block_encrypt(
        &self,
        algorithm: BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.stack.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.stack.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        // Nothing but SRTP has such a cipher.
        self.guard.counter_mode.store(true, Ordering::Relaxed);
        self.stack.crypto().new_stream_cipher(algorithm, key)
    }

    fn new_aead(
        &self,
        algorithm: AeadAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn AeadCipher>, CryptoError> {
        let cipher = self.stack.crypto().new_aead(algorithm, key)?;
        Ok(Box::new(Watched { cipher, guard: Arc::clone(&self.guard) }))
    }

    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.stack.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(
        &self,
        scheme: SignatureScheme,
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.stack.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        der: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.stack.crypto().import_signing_key(scheme, der)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        self.stack.crypto().verify_signature(scheme, key, message, signature)
    }
}

/// A cipher of DTLS' or SRTP's; nothing tells them apart but what is authenticated.
struct Watched {
    cipher: Box<dyn AeadCipher>,
    guard: Arc<Guard>,
}

/// Whether it is the header of an RTP packet with padding (RFC 3550, section 5.1), not of RTCP (RFC
/// 5761, section 4).
fn is_padded_rtp(authenticated: &[u8]) -> bool {
    matches!(authenticated, [first, second, ..]
        if first >> 5 == 0b101 && !(192..=223).contains(second))
}

/// The type of what a record holds; `None`: it is no record.
fn content_type(authenticated: &[u8]) -> Option<u8> {
    if authenticated.len() == DTLS_DATA { authenticated.get(TYPE_AT).copied() } else { None }
}

impl AeadCipher for Watched {
    fn tag_len(&self) -> usize {
        self.cipher.tag_len()
    }

    fn seal_in_place(
        &mut self,
        nonce: &[u8],
        authenticated: &[u8],
        text: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        if let Some(content_type) = content_type(authenticated) {
            self.guard.sealing(content_type, text);
        } else if is_padded_rtp(authenticated)
            && let Ok(length) = u8::try_from(text.len())
            && let Some(last) = text.last_mut()
        {
            // The stack pads to four bytes, after a payload. What we pad is nothing else: the
            // payload belongs to it.
            *last = length;
        }
        self.cipher.seal_in_place(nonce, authenticated, text, tag)
    }

    fn open_in_place(
        &mut self,
        nonce: &[u8],
        authenticated: &[u8],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        self.cipher.open_in_place(nonce, authenticated, text, tag)?;
        match content_type(authenticated) {
            // The stack drops a record that it cannot open without a word to anybody, as it must
            // (RFC 6347, section 4.1.2.7).
            Some(content_type) => {
                self.guard.opened(content_type, text).map_err(|_| CryptoError::AuthenticationFailed)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "provider_tests.rs"]
mod tests;
