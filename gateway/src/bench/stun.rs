//! What each check costs before anybody believes it, by the port's own reading and by the stack's.

use rtc::crypto::RTCCryptoProvider;
use rtc::ice::attributes::priority::PriorityAttr;
use rtc::stun::attributes::ATTR_USERNAME;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_REQUEST, Getter, Message, TransactionId};
use rtc::stun::textattrs::TextAttribute;

use crate::browser::net::{Kind, classify};

const NAME: &str = "abcdefghijklmnop:abcd";
const PASSWORD: &str = "abcdefghijklmnopqrstuvwxyzabcdef";

/// A check as a browser signs it, for a name and a password of the stack's lengths.
pub struct SignedCheck {
    datagram: Vec<u8>,
    provider: std::sync::Arc<dyn RTCCryptoProvider>,
}

impl SignedCheck {
    /// Signed by the stack, with its crypto provider.
    ///
    /// # Panics
    /// When the stack was built without it.
    #[must_use]
    pub fn new() -> Self {
        let provider = rtc::crypto::default_provider().expect("the stack brings one");
        let mut message = Message::new();
        let built = message.build(&[
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, NAME.to_owned())),
            Box::new(PriorityAttr(1)),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
                PASSWORD.to_owned(),
                provider.crypto(),
            )),
            Box::new(FINGERPRINT),
        ]);
        built.expect("nothing in it is too long");
        Self { datagram: message.raw, provider }
    }

    /// The port's: no copy is made.
    #[must_use]
    pub fn verify_by_hand(&self) -> bool {
        match classify(&self.datagram) {
            Kind::Check(check) => check.ufrag.len() == 16 && check.is_signed_with(PASSWORD),
            _ => false,
        }
    }

    /// The stack's parser, as its agent calls it.
    #[must_use]
    pub fn verify_by_the_stack(&self) -> bool {
        let mut message = Message::new();
        let mut name = TextAttribute::new(ATTR_USERNAME, String::new());
        message.unmarshal_binary(&self.datagram).is_ok()
            && name.get_from(&message).is_ok()
            && name.text.split(':').next().is_some_and(|ufrag| ufrag.len() == 16)
            && MessageIntegrity::check(&mut message, PASSWORD.as_bytes(), self.provider.crypto())
                .is_ok()
    }
}

impl Default for SignedCheck {
    fn default() -> Self {
        Self::new()
    }
}
