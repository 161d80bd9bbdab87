use rtc::interceptor::AttributedPacket;
use rtc::rtp;
use rtc::shared::TransportContext;
use rtc::shared::marshal::Unmarshal;

use super::*;

const LIMITS: BitrateLimits = BitrateLimits { start: 800, min: 100, max: 2_000 };

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    }
}

fn video(now: Instant, sequence_number: u16) -> TaggedPacket {
    let header = rtp::Header { version: 2, ssrc: 77, sequence_number, ..Default::default() };
    tagged(now, Packet::Rtp(rtp::Packet { header, payload: vec![0; 1_000].into() }))
}

/// What is told after each second of a stream that loses each `lost`th packet (0: none) of a
/// hundred.
fn estimates(seconds: u64, lost: u16) -> Vec<f32> {
    let mut remb = Remb::new(LIMITS, watch::Sender::new(0));
    let start = tokio::time::Instant::now().into_std();
    let mut estimates = Vec::new();
    let mut sequence = 65_500_u16;
    for second in 0..seconds {
        for n in 0..100 {
            let now = start + Duration::from_millis(second * 1_000 + n * 10);
            sequence = sequence.wrapping_add(1);
            if lost == 0 || !sequence.is_multiple_of(lost) {
                assert!(remb.on_read(&mut video(now, sequence)), "packets pass");
            }
        }
        let packets = remb.on_timeout(start + Duration::from_millis(second * 1_000 + 1_000));
        assert_eq!(packets.len(), 1, "a report each second");
        let bytes = packets[0].marshal().unwrap();
        let packet = ReceiverEstimatedMaximumBitrate::unmarshal(&mut bytes.clone()).unwrap();
        assert_eq!(packet.ssrcs, [77]);
        estimates.push(packet.bitrate);
    }
    estimates
}

#[test]
fn it_says_each_second_what_comes_well() {
    let fine = estimates(10, 0);
    assert!(fine.is_sorted() && fine[9] > 1_100_000.0, "{fine:?}");
    let bad = estimates(10, 5);
    assert!(bad.iter().is_sorted_by(|a, b| a > b) && bad[9] < 400_000.0, "{bad:?}");
    let some = estimates(10, 20);
    assert!(some.iter().all(|estimate| (*estimate - 800_000.0).abs() < 8_000.0), "{some:?}");
}

#[test]
fn what_the_client_says_is_passed_on_whatever_it_is() {
    let available_kbps = watch::Sender::new(1_500);
    let heard = available_kbps.subscribe();
    let mut remb = Remb::new(LIMITS, available_kbps);
    let now = tokio::time::Instant::now().into_std();
    for (bitrate, expected) in
        [(640_000.0, 640), (0.0, 0), (f32::NAN, 0), (f32::INFINITY, u32::MAX)]
    {
        let packet = ReceiverEstimatedMaximumBitrate { sender_ssrc: 1, bitrate, ssrcs: vec![9] };
        assert!(remb.on_read(&mut tagged(now, Packet::Rtcp(vec![Box::new(packet)]))));
        assert_eq!(*heard.borrow(), expected);
    }
    assert_eq!(remb.timeout(), None, "nothing is told before video comes");
}

#[test]
fn late_repeated_and_hostile_numbers_are_no_loss() {
    let mut arrivals = Arrivals::default();
    for sequence in [10, 12, 11, 11, 13, 40_000, 40_001, 9] {
        arrivals.note(1, sequence, 100);
    }
    assert_eq!(arrivals.take().1, 0.0);
    assert_eq!(arrivals.take(), (0.0, 0.0));
}
