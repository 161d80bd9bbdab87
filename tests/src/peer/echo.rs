//! Tests of the peer against a server of a hundred lines that sends every frame back as it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use str0m::change::SdpOffer;
use str0m::crypto::from_feature_flags;
use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::time::Instant;

use super::{Candidates, Options, Peer, Stats};
use crate::source::{Clip, Format, Video};

const PATIENCE: Duration = Duration::from_secs(20);

/// Serves one peer on a thread of its own; its `http://…` address.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut rtc = None;
        // Candidates may come before the offer or after it; one of each ends the signalling.
        // In-offer peers send none.
        while rtc.is_none() {
            exchange(&listener, &socket, &mut rtc);
        }
        let signalling = socket.try_clone().unwrap();
        std::thread::spawn(move || exchange(&listener, &signalling, &mut None));
        echo(rtc.expect("the loop above ends with one"), &socket);
    });
    format!("http://{address}")
}

/// Answers one request.
fn exchange(listener: &TcpListener, socket: &UdpSocket, rtc: &mut Option<Rtc>) {
    let mut stream = listener.accept().unwrap().0;
    let message = read_json(&mut stream);
    let reply = if message["type"] == "ice-candidate" {
        assert!(
            message["candidate"]["candidate"]
                .as_str()
                .unwrap()
                .contains(" typ host generation 0 ufrag ")
        );
        json!({ "status": "success" })
    } else {
        let mut new = RtcConfig::new()
            .set_crypto_provider(Arc::new(from_feature_flags()))
            .clear_codecs()
            .enable_vp8(true)
            .build(Instant::now().into_std());
        new.add_local_candidate(Candidate::host(socket.local_addr().unwrap(), "udp").unwrap());
        let offer = SdpOffer::from_sdp_string(message["sdp"].as_str().unwrap()).unwrap();
        let answer = new.sdp_api().accept_offer(offer).unwrap();
        *rtc = Some(new);
        json!({ "sdp": answer.to_sdp_string(), "type": "answer" })
    };
    let body = reply.to_string();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
}

fn read_json(stream: &mut TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Until the client's data channel closes or nothing has come for ten seconds.
fn echo(mut rtc: Rtc, socket: &UdpSocket) {
    let mut buffer = [0; 2_000];
    let mut heard = Instant::now();
    let mut frames = 0_u32;
    while heard.elapsed() < Duration::from_secs(10) {
        let deadline = match rtc.poll_output().unwrap() {
            Output::Timeout(deadline) => deadline,
            Output::Transmit(packet) => {
                socket.send_to(&packet.contents, packet.destination).unwrap();
                continue;
            }
            Output::Event(Event::MediaData(data)) => {
                frames += 1;
                let mut writer = rtc.writer(data.mid).unwrap();
                if frames == 20 {
                    writer.request_keyframe(None, KeyframeRequestKind::Pli).unwrap();
                }
                let writer = rtc.writer(data.mid).unwrap();
                let pt = writer.payload_params().next().unwrap().pt();
                writer.write(pt, data.network_time, data.time, data.data).unwrap();
                continue;
            }
            Output::Event(Event::ChannelData(data)) => {
                let reply = json!({ "type": "log", "data": String::from_utf8_lossy(&data.data) });
                rtc.channel(data.id).unwrap().write(false, reply.to_string().as_bytes()).unwrap();
                continue;
            }
            Output::Event(Event::ChannelClose(_)) => return,
            Output::Event(_) => continue,
        };
        let wait = deadline.saturating_duration_since(Instant::now().into_std());
        socket
            .set_read_timeout(Some(wait.clamp(Duration::from_millis(1), Duration::from_secs(1))))
            .unwrap();
        let input = match socket.recv_from(&mut buffer) {
            Ok((length, source)) => {
                heard = Instant::now();
                let contents = buffer[..length].try_into().unwrap();
                let destination = socket.local_addr().unwrap();
                Input::Receive(
                    heard.into_std(),
                    Receive { proto: Protocol::Udp, source, destination, contents },
                )
            }
            Err(_) => Input::Timeout(Instant::now().into_std()),
        };
        rtc.handle_input(input).unwrap();
    }
}

fn assert_echoed(stats: &Stats) {
    let sent: Vec<_> = stats.sent.iter().map(|sent| sent.number).collect();
    let numbers = stats.numbers();
    // The server may have joined a frame or two late, and the last ones may still be under way.
    let start =
        sent.iter().position(|number| *number == numbers[0]).expect("a number that was sent");
    assert_eq!(numbers, sent[start..][..numbers.len()], "in order, none missing, none twice");
    assert!(
        stats
            .received
            .iter()
            .all(|frame| !frame.code.expect("decoded").flipped && frame.age.is_some())
    );
    assert!(
        stats.received.windows(2).all(|pair| pair[0].rtp_time < pair[1].rtp_time),
        "across the timestamp wrap"
    );
    assert_eq!((stats.undecodable, stats.failed.clone()), (0, None));
}

#[test]
fn frames_and_messages_come_back() {
    let mut peer = Peer::connect(&serve(), Options::camera("echo", Video::Live(Format::SMALL)))
        .expect("an answer");
    peer.send_text("handshake");
    peer.wait_connected(PATIENCE);
    assert_eq!(peer.wait_message("log", PATIENCE), json!({ "type": "log", "data": "handshake" }));
    // Ninety frames at 30 fps: across the wrap of the RTP timestamp.
    peer.wait_received(90, PATIENCE);
    let stats = peer.stats();
    assert_echoed(&stats);
    assert!(stats.keyframe_requests >= 1, "the server asked for a keyframe");
    peer.close();
}

#[test]
fn a_clip_is_sent_as_it_is() {
    let clip = Arc::new(Clip::encode(Format::SMALL, 200, 25).unwrap());
    let options = Options::camera("clip", Video::Clip(Arc::clone(&clip)));
    let mut peer =
        Peer::connect(&serve(), Options { candidates: Candidates::TrickledBefore, ..options })
            .expect("ok");
    peer.wait_received(30, PATIENCE);
    assert_echoed(&peer.stats());
    peer.vanish();
}

#[test]
fn a_server_that_must_make_the_first_step_does() {
    let options = Options::camera("late", Video::Live(Format::SMALL));
    let options = Options {
        candidates: Candidates::InOffer,
        wait_for_server: true,
        decode: false,
        ..options
    };
    let peer = Peer::connect(&serve(), options).expect("an answer");
    peer.wait_received(5, PATIENCE);
    assert!(peer.stats().received.iter().all(|frame| frame.code.is_none()));
}
