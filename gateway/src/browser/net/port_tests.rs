use std::future::poll_fn;
use std::io::IoSliceMut;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use webrtc::runtime::{AsyncTcpStream, AsyncUdpSocket, RecvMeta, Runtime, Transmit};

use super::*;
use crate::browser::net::SessionRuntime;
use crate::browser::net::packet::tests::{answer, check, header, nomination, signed};
use crate::browser::net::tcp::STRANGERS;
use crate::browser::net::udp::Datagram;
use crate::config::media::Candidates;
use crate::config::public::Public;

/// For the loopback interface, on a machine that does something else.
const PATIENCE: Duration = Duration::from_secs(10);

pub(in crate::browser::net) async fn open() -> Arc<MediaPort> {
    let addresses = vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
    MediaPort::open(media(addresses), Audience::ThisMachine, 64).await.unwrap()
}

fn media(addresses: Vec<std::net::IpAddr>) -> Media {
    let candidates = Candidates::Checked;
    Media { addresses, port: 0, public: Public::default(), public_port: 0, tcp: true, candidates }
}

/// What the stack does: binds, and has its sockets wrapped.
struct Stack {
    port: Arc<SessionPort>,
    runtime: SessionRuntime,
    udp: Arc<dyn AsyncUdpSocket>,
}

impl Stack {
    fn new(port: &Arc<MediaPort>) -> Self {
        let (port, tokio) = (port.join(), webrtc::runtime::default_runtime().unwrap());
        let ended = tokio::sync::oneshot::channel().0;
        let runtime = SessionRuntime::new(tokio, Arc::clone(&port), Arc::default(), ended);
        port.learn(&Self::description(&port));
        port.set_remote_password("a=ice-pwd:theirs\r\n");
        let udp = runtime.wrap_udp_socket(UdpSocket::bind(&port.addresses()[0]).unwrap()).unwrap();
        Self { port, runtime, udp }
    }

    fn check(&self) -> Vec<u8> {
        let name = Self::name(&self.port);
        check(&format!("{name}:theirs"), &format!("password of {name}"))
    }

    /// Its own, as its address in memory is.
    fn name(port: &Arc<SessionPort>) -> String {
        format!("{:p}", Arc::as_ptr(port))
    }

    fn description(port: &Arc<SessionPort>) -> String {
        let name = Self::name(port);
        format!("a=ice-ufrag:{name}\r\na=ice-pwd:password of {name}\r\n")
    }

    async fn receive(&self) -> (SocketAddr, Vec<u8>) {
        let (mut room, mut meta) = ([0; 2_000], [RecvMeta::default()]);
        let received =
            poll_fn(|cx| self.udp.poll_recv(cx, &mut [IoSliceMut::new(&mut room)], &mut meta));
        assert_eq!(timeout(PATIENCE, received).await.expect("something comes").unwrap(), 1);
        (meta[0].addr, room[..meta[0].len].to_vec())
    }
}

/// Media of a browser, which names no session.
const RTP: [u8; 20] = [0x80; 20];

#[tokio::test]
async fn each_session_gets_its_own_and_is_forgotten_with_it() {
    let port = open().await;
    let (a, b) = (Stack::new(&port), Stack::new(&port));
    let server = port.sockets[0].local;
    assert_eq!(server.port(), port.sockets[1].local.port(), "one port at every address");
    let (client_a, client_b) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    // The first is of no session yet, and lost.
    for (client, stack) in [(&client_a, &a), (&client_b, &b)] {
        client.send_to(&RTP, server).unwrap();
        client.send_to(&stack.check(), server).unwrap();
        client.send_to(&RTP, server).unwrap();
    }
    for (client, stack) in [(&client_a, &a), (&client_b, &b)] {
        let from = client.local_addr().unwrap();
        assert_eq!(stack.receive().await, (from, signed(&stack.check()).to_vec()));
        assert_eq!(stack.receive().await, (from, RTP.to_vec()));
    }
    // From the one port, back to the browser.
    let transmit = Transmit {
        destination: client_a.local_addr().unwrap(),
        ecn: None,
        contents: b"answer",
        segment_size: None,
        src_ip: None,
    };
    poll_fn(|cx| a.udp.poll_send(cx, &transmit)).await.unwrap();
    let mut room = [0; 100];
    client_a.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client_a.recv_from(&mut room).unwrap(), (6, server));
    drop((a, b));
    let routes = format!("{:?}", port.routes.lock());
    for table in ["sessions: {}", "by_ufrag: {}", "by_path: {}"] {
        assert!(routes.contains(table), "{routes}");
    }
}

#[tokio::test]
async fn unsigned_stun_never_reaches_the_stack() {
    let port = open().await;
    let (stack, other) = (Stack::new(&port), Stack::new(&port));
    let server = port.sockets[0].local;
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let from = client.local_addr().unwrap();
    let ask = check("theirs:ours", "theirs");
    let transmit =
        Transmit { destination: from, ecn: None, contents: &ask, segment_size: None, src_ip: None };
    let send = || poll_fn(|cx| stack.udp.poll_send(cx, &transmit));
    // To nobody before it is heard.
    assert_eq!(send().await.unwrap(), ask.len());
    client.send_to(&stack.check(), server).unwrap();
    assert_eq!(stack.receive().await, (from, signed(&stack.check()).to_vec()));
    // On a path that is known by now: a request, an answer, an error and an indication that nobody
    // signed, an answer to nothing that was asked, and a check that another session's browser might
    // send.
    for unsigned in
        [header([0, 1]), header([1, 1]), header([1, 0x11]), header([0, 0x11]), answer("theirs")]
    {
        client.send_to(&unsigned, server).unwrap();
    }
    let name = Stack::name(&stack.port);
    client.send_to(&check(&format!("{name}:theirs"), "guessed"), server).unwrap();
    client.send_to(&RTP, server).unwrap();
    assert_eq!(stack.receive().await, (from, RTP.to_vec()));
    send().await.unwrap();
    let mut room = [0; 200];
    let (length, _) = client.recv_from(&mut room).unwrap();
    assert_eq!(&room[..length], &ask[..], "the first that comes is what was sent last");
    client.send_to(&answer("guessed"), server).unwrap();
    client.send_to(&answer("theirs"), server).unwrap();
    assert_eq!(stack.receive().await, (from, signed(&answer("theirs")).to_vec()));
    assert!(timeout(Duration::from_millis(10), other.receive()).await.is_err());
}

/// The client of DTLS begins when it has nominated a path, which the stack has selected only when
/// that has answered.
#[tokio::test]
async fn dtls_that_comes_early_waits_for_the_nomination() {
    // As `Guard` lets them pass: a ClientHello in two parts, and a ChangeCipherSpec.
    let part = |number: u8| {
        let header = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, number, 0, 13];
        [&header[..], &[1, 0, 0, 2, 0, 0, 0, 0, number, 0, 0, 1, 7]].concat()
    };
    let records = [part(0), part(1)];
    let forged = [20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
    let port = open().await;
    let (stack, server) = (Stack::new(&port), port.sockets[0].local);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (from, name) = (client.local_addr().unwrap(), Stack::name(&stack.port));
    let nomination = nomination(&format!("{name}:theirs"), &format!("password of {name}"));
    for datagram in [&nomination[..], &records[0], &records[1], &forged, &RTP] {
        client.send_to(datagram, server).unwrap();
    }
    assert_eq!(stack.receive().await, (from, signed(&stack.check()).to_vec()));
    assert_eq!(stack.receive().await, (from, forged.to_vec()), "not for later");
    assert_eq!(stack.receive().await, (from, RTP.to_vec()), "media does not wait");
    let ask = check("theirs:ours", "theirs");
    let transmit =
        Transmit { destination: from, ecn: None, contents: &ask, segment_size: None, src_ip: None };
    poll_fn(|cx| stack.udp.poll_send(cx, &transmit)).await.unwrap();
    client.recv_from(&mut [0; 200]).unwrap();
    for datagram in [&answer("theirs")[..], &records[1]] {
        client.send_to(datagram, server).unwrap();
    }
    let (answer, nomination) = (signed(&answer("theirs")), signed(&nomination));
    for expected in [&answer[..], &nomination, &records[0], &records[1], &records[1]] {
        assert_eq!(stack.receive().await, (from, expected.to_vec()));
    }
    assert_eq!(stack.port.heard(), 1, "a check, and no more");
}

/// The stack looks whether there is more with a waker that wakes nobody.
#[tokio::test]
async fn looking_for_more_does_not_take_the_wakers_place() {
    let port = open().await;
    let stack = Stack::new(&port);
    let (mut waits, udp) = (Box::pin(stack.receive()), Arc::clone(&stack.udp));
    poll_fn(|cx| {
        assert!(waits.as_mut().poll(cx).is_pending());
        let (mut room, mut meta) = ([0; 2_000], [RecvMeta::default()]);
        let mut noop = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(
            udp.poll_recv(&mut noop, &mut [IoSliceMut::new(&mut room)], &mut meta).is_pending()
        );
        std::task::Poll::Ready(())
    })
    .await;
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(&stack.check(), port.sockets[0].local).unwrap();
    assert_eq!(waits.await.1, signed(&stack.check()).to_vec());
}

#[tokio::test]
async fn a_queue_that_is_full_loses_the_newest() {
    let port = open().await;
    let stack = Stack::new(&port);
    for n in 0..crate::browser::net::udp::DATAGRAMS + 10 {
        let payload = n.to_be_bytes().to_vec().into();
        let pushed = stack
            .port
            .inbox
            .push(0, Datagram { remote: "127.0.0.1:9".parse().unwrap(), payload, signed: false });
        assert_eq!(
            pushed,
            if n < crate::browser::net::udp::DATAGRAMS { Ok(()) } else { Err("mux_full") }
        );
    }
    for n in 0..crate::browser::net::udp::DATAGRAMS {
        assert_eq!(stack.receive().await.1, n.to_be_bytes());
    }
    assert!(timeout(Duration::from_millis(10), stack.receive()).await.is_err());
}

#[tokio::test]
async fn a_connection_goes_to_the_session_that_its_first_frame_names() {
    let port = open().await;
    let (a, b) = (Stack::new(&port), Stack::new(&port));
    let listen = |stack: &Stack| {
        let listener = std::net::TcpListener::bind(&stack.port.tcp_addresses()[0]).unwrap();
        stack.runtime.wrap_tcp_listener(listener).unwrap()
    };
    let (listener_a, listener_b) = (listen(&a), listen(&b));
    let mut client = TcpStream::connect(port.sockets[0].local).await.unwrap();
    let message = b.check();
    let frame = [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
    // In two pieces, and more behind it.
    client.write_all(&frame[..30]).await.unwrap();
    client.write_all(&frame[30..]).await.unwrap();
    // Unsigned, and junk; then what is for the stack again.
    for datagram in [&header([0, 1])[..], &answer("theirs"), &a.check(), &[], &RTP] {
        client.write_u16(u16::try_from(datagram.len()).unwrap()).await.unwrap();
        client.write_all(datagram).await.unwrap();
    }
    let (stream, remote) = timeout(PATIENCE, listener_b.accept()).await.unwrap().unwrap();
    assert_eq!(remote, client.local_addr().unwrap());
    assert_eq!(
        stream.local_addr().unwrap(),
        listener_b.local_addr().unwrap(),
        "what the stack takes it for"
    );
    let (mut read, given) = (Vec::new(), signed(&message));
    let expected =
        [&u16::try_from(given.len()).unwrap().to_be_bytes()[..], &given, &[0, 20], &RTP].concat();
    while read.len() < expected.len() {
        let mut room = [0; 50];
        let length =
            timeout(PATIENCE, AsyncTcpStream::read(&*stream, &mut room)).await.unwrap().unwrap();
        read.extend_from_slice(&room[..length]);
    }
    assert_eq!(read, expected);
    stream.write_all(b"\0\x02ok").await.unwrap();
    let mut room = [0; 4];
    client.read_exact(&mut room).await.unwrap();
    assert_eq!(&room, b"\0\x02ok");
    assert!(
        timeout(Duration::from_millis(10), listener_a.accept()).await.is_err(),
        "not the other's"
    );
    // The stack lets it go: so does the port.
    drop(stream);
    assert_eq!(timeout(PATIENCE, client.read(&mut room)).await.unwrap().unwrap_or(0), 0);
    assert!(
        a.runtime.connect_tcp(port.sockets[0].local).await.is_err(),
        "never to where a client says"
    );
}

/// Of one host, which displaces its own connections, the oldest first.
#[tokio::test]
async fn silent_connections_shut_nobody_out() {
    let port = open().await;
    let stack = Stack::new(&port);
    let listener = std::net::TcpListener::bind(&stack.port.tcp_addresses()[0]).unwrap();
    let listener = stack.runtime.wrap_tcp_listener(listener).unwrap();
    let server = port.sockets[0].local;
    let mut silent = Vec::new();
    for _ in 0..STRANGERS {
        silent.push(TcpStream::connect(server).await.unwrap());
    }
    let message = stack.check();
    let frame = [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
    let mut room = [0];
    for (n, host) in ["127.0.0.1", "127.0.0.3"].into_iter().enumerate() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(host.parse().unwrap(), 0)).unwrap();
        let mut client = socket.connect(server).await.unwrap();
        // It has a place from here on.
        assert_eq!(
            timeout(PATIENCE, silent[n].read(&mut room)).await.unwrap().unwrap_or(0),
            0,
            "{n}"
        );
        client.write_all(&frame).await.unwrap();
        let (_stream, remote) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        assert_eq!(remote, client.local_addr().unwrap());
        // In the place that it leaves.
        silent.push(TcpStream::connect(server).await.unwrap());
    }
    for stream in &mut silent[2..] {
        assert!(
            timeout(Duration::from_millis(1), stream.read(&mut room)).await.is_err(),
            "no other one is closed"
        );
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let addresses = vec![address.ip()];
    let media = Media { port: address.port(), tcp: false, ..media(addresses) };
    let error = MediaPort::open(media, Audience::ThisMachine, 64).await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("--media-port"), "{error}");
}
