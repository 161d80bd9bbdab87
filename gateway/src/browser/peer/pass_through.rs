//! What all interceptors of ours have in common: the queues in which the stack leaves packets and
//! fetches them again.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;

/// Looks at the packets that pass, and may send feedback of its own. All it does not implement
/// lets packets pass as they are.
pub(crate) trait PacketFilter: Send + Sync {
    /// A packet from the wire, which may be changed. False: it goes no further.
    fn on_read(&mut self, _packet: &mut TaggedPacket) -> bool {
        true
    }

    /// A packet on its way to the wire.
    fn on_write(&mut self, _packet: &TaggedPacket) {}

    /// When [`Self::on_timeout`] is due.
    fn timeout(&self) -> Option<Instant> {
        None
    }

    /// The feedback to send now. May be called early.
    fn on_timeout(&mut self, _now: Instant) -> Vec<Box<dyn rtcp::Packet>> {
        Vec::new()
    }

    fn bind_local(&mut self, _stream: &StreamInfo) {}
    fn unbind_local(&mut self, _stream: &StreamInfo) {}
    fn bind_remote(&mut self, _stream: &StreamInfo) {}
    fn unbind_remote(&mut self, _stream: &StreamInfo) {}
}

/// A function is a filter of what comes from the wire.
impl<F: FnMut(&mut TaggedPacket) -> bool + Send + Sync> PacketFilter for F {
    fn on_read(&mut self, packet: &mut TaggedPacket) -> bool {
        self(packet)
    }
}

/// The interceptor around a [`PacketFilter`]. The stack empties both queues after each packet.
pub(super) struct PassThrough<T> {
    filter: T,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl<T: PacketFilter> PassThrough<T> {
    pub(super) fn new(filter: T) -> Self {
        Self { filter, inbound: VecDeque::new(), outbound: VecDeque::new() }
    }
}

impl<T: PacketFilter> Protocol<TaggedPacket, TaggedPacket, ()> for PassThrough<T> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if self.filter.on_read(&mut packet) {
            self.inbound.push_back(packet);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.filter.on_write(&packet);
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.outbound.extend(self.filter.on_timeout(now).into_iter().map(|feedback| {
            TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![feedback])),
            }
        }));
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.filter.timeout()
    }
}

impl<T: PacketFilter> Interceptor for PassThrough<T> {
    fn bind_local_stream(&mut self, stream: &StreamInfo) {
        self.filter.bind_local(stream);
    }

    fn unbind_local_stream(&mut self, stream: &StreamInfo) {
        self.filter.unbind_local(stream);
    }

    fn bind_remote_stream(&mut self, stream: &StreamInfo) {
        self.filter.bind_remote(stream);
    }

    fn unbind_remote_stream(&mut self, stream: &StreamInfo) {
        self.filter.unbind_remote(stream);
    }
}
