use super::*;
use crate::browser::offer::description::Description;

/// What Chromium offers, in its order and shortened.
const CHROMIUM: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 109 115 116 39 45 98 100\r\n\
    a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
    a=rtpmap:103 H264/90000\r\na=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
    a=rtpmap:104 rtx/90000\r\na=fmtp:104 apt=103\r\n\
    a=rtpmap:107 H264/90000\r\na=fmtp:107 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f\r\n\
    a=rtpmap:109 H264/90000\r\na=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
    a=rtpmap:115 H264/90000\r\na=fmtp:115 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f\r\n\
    a=rtpmap:116 H264/90000\r\na=fmtp:116 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f\r\n\
    a=rtpmap:39 H264/90000\r\na=fmtp:39 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=f4001f\r\n\
    a=rtpmap:45 AV1/90000\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\n\
    a=rtpmap:100 VP9/90000\r\na=fmtp:100 profile-id=2\r\n";

fn section(media: &str) -> Section<'static> {
    // Never freed: a few kilobytes of a test.
    let sdp: &'static str = format!("v=0\r\n{media}").leak();
    Description::read(sdp).unwrap().sections.remove(0)
}

/// The same offer with other payload types on its first line.
fn offering(formats: &str) -> Section<'static> {
    let (_, rest) = CHROMIUM.split_once("\r\n").unwrap();
    section(&format!("m=video 9 UDP/TLS/RTP/SAVPF {formats}\r\n{rest}"))
}

fn chosen(codecs: &Codecs, section: &Section<'_>) -> Option<(Codec, u8)> {
    codecs.choose(section).map(|negotiated| (negotiated.codec, negotiated.payload_type))
}

#[test]
fn the_browsers_order_counts_unless_there_is_one_of_ours() {
    let ours = |codecs: &[Codec]| Codecs::Ours(codecs.to_vec());
    let all = section(CHROMIUM);
    assert_eq!(chosen(&Codecs::Browsers, &all), Some((Codec::Vp8, 96)));
    assert_eq!(chosen(&Codecs::Browsers, &offering("45 98 96 103")), Some((Codec::Vp9, 98)));
    assert_eq!(chosen(&ours(&[Codec::H264, Codec::Vp8]), &all), Some((Codec::H264, 103)));
    assert_eq!(chosen(&ours(&[Codec::Vp9]), &all), Some((Codec::Vp9, 98)));
    assert_eq!(
        chosen(&ours(&[Codec::H264, Codec::Vp8]), &offering("96 98")),
        Some((Codec::Vp8, 96))
    );
    assert_eq!(chosen(&ours(&[Codec::H264]), &offering("96 98")), None);
    assert_eq!(ours(&[Codec::H264, Codec::Vp8]).spoken(), "H264, VP8");
}

#[test]
fn of_h264_baseline_and_fragments_are_preferred() {
    let choose = |formats: &str| Codecs::Browsers.choose(&offering(formats));
    for (formats, payload_type, single_nal) in [
        ("115 109", 109, false),
        ("107 115", 107, true),
        ("116 115", 115, true),
        ("116 96", 116, false),
    ] {
        let negotiated = choose(formats).unwrap();
        assert_eq!(
            (negotiated.codec, negotiated.payload_type),
            (Codec::H264, payload_type),
            "{formats}"
        );
        assert_eq!(negotiated.single_nal, single_nal);
    }
    assert_eq!(
        choose("116").unwrap().fmtp,
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"
    );
    assert_eq!(choose("39"), None, "4:4:4");
    let bare = section("m=video 9 UDP/TLS/RTP/SAVPF 99\r\na=rtpmap:99 H264/90000\r\n");
    let negotiated = Codecs::Browsers.choose(&bare).unwrap();
    assert!(negotiated.single_nal);
    assert_eq!(
        negotiated.fmtp, "packetization-mode=0;profile-level-id=42000a",
        "no level of our own"
    );
}

#[test]
fn what_is_not_understood_is_not_chosen() {
    assert_eq!(Codecs::Browsers.choose(&offering("97 45 100 39")), None);
    for media in [
        "m=video 9 UDP/TLS/RTP/SAVPF 300\r\na=rtpmap:300 VP8/90000\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/8000\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=rtpmap:96 VP8/90000\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 \
         profile-level-id=4é0\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 \
         packetization-mode=2\r\n",
    ] {
        assert_eq!(Codecs::Browsers.choose(&section(media)), None, "{media}");
    }
}
