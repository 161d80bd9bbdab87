use rtc::shared::marshal::Unmarshal;

use super::*;

const SSRC: u32 = 77;
const MS: Duration = Duration::from_millis(1);

fn feedback(kinds: &[(&str, &str)]) -> Vec<RTCPFeedback> {
    kinds
        .iter()
        .map(|(typ, parameter)| RTCPFeedback { typ: (*typ).into(), parameter: (*parameter).into() })
        .collect()
}

#[test]
fn a_browser_is_asked_by_pli_unless_it_has_fir_alone() {
    let (pli, fir) = (("nack", "pli"), ("ccm", "fir"));
    for kinds in [&[pli, fir][..], &[fir, ("nack", ""), pli], &[pli], &[("nack", "")], &[]] {
        let mut number = 7;
        let packet = request(&feedback(kinds), SSRC, &mut number);
        assert_eq!(Request::read(&*packet, SSRC), Some(Request::Pli), "{kinds:?}");
        assert_eq!(number, 7);
    }
    let mut number = 254;
    for expected in [255, 0, 1] {
        let packet = request(&feedback(&[fir, ("nack", "")]), SSRC, &mut number);
        let read = FullIntraRequest::unmarshal(&mut packet.marshal().unwrap()).unwrap();
        let fir = vec![FirEntry { ssrc: SSRC, sequence_number: expected }];
        assert_eq!(read, FullIntraRequest { sender_ssrc: 0, media_ssrc: 0, fir });
    }
}

#[test]
fn requests_of_other_streams_are_not_ours() {
    let entry = |ssrc, sequence_number| FirEntry { ssrc, sequence_number };
    let fir = FullIntraRequest {
        sender_ssrc: 5,
        media_ssrc: SSRC,
        fir: vec![entry(1, 8), entry(SSRC, 9)],
    };
    assert_eq!(Request::read(&fir, SSRC), Some(Request::Fir { sender: 5, number: 9 }));
    assert_eq!(Request::read(&fir, 2), None);
    assert_eq!(Request::read(&PictureLossIndication { sender_ssrc: 5, media_ssrc: 1 }, SSRC), None);
}

#[test]
fn a_repeated_fir_and_what_comes_too_soon_are_ignored() {
    let (mut throttle, start) = (KeyframeThrottle::default(), Instant::now());
    let fir = |number| Request::Fir { sender: 5, number };
    let mut admits = |ms, request| throttle.admits(start + MS * ms, request);
    assert!(admits(0, fir(1)));
    assert!(!admits(1, Request::Pli), "too soon");
    assert!(!admits(100, fir(2)), "too soon");
    assert!(!admits(1_000, fir(1)), "it was throttle");
    assert!(admits(1_000, fir(2)), "it was not");
    assert!(admits(1_250, Request::Pli));
    assert!(!admits(1_500, fir(2)), "still throttle");
    assert!(admits(1_500, Request::Fir { sender: 6, number: 2 }), "another's");
    assert!(admits(1_750, Request::Pli) && admits(2_000, Request::Pli), "a PLI has no number");
}
