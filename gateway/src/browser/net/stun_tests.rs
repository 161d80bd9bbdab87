//! Over servers of our own on loopback addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rtc::stun::message::Setter;

use super::*;

/// A STUN server that tells everybody one address, while it is told to answer.
pub(in crate::browser::net) struct FakeServer {
    pub(in crate::browser::net) server: StunServer,
    pub(in crate::browser::net) answers: Arc<AtomicBool>,
}

impl FakeServer {
    pub(in crate::browser::net) async fn start(at: &str, tells: &str, answers: bool) -> Self {
        let socket = UdpSocket::bind(at).await.unwrap();
        let address = socket.local_addr().unwrap();
        let (tells, answers) = (tells.parse().unwrap(), Arc::new(AtomicBool::new(answers)));
        let answering = Arc::clone(&answers);
        tokio::spawn(async move {
            let mut room = [0; 2_048];
            loop {
                let (length, from) = socket.recv_from(&mut room).await.unwrap();
                let mut request = Message::new();
                request.unmarshal_binary(&room[..length]).unwrap();
                assert_eq!(request.typ, BINDING_REQUEST);
                if answering.load(Ordering::Relaxed) {
                    let mapped = XorMappedAddress { ip: tells, port: from.port() };
                    let mut answer = Message::new();
                    let id: Box<dyn Setter> = Box::new(request.transaction_id);
                    answer.build(&[id, Box::new(BINDING_SUCCESS), Box::new(mapped)]).unwrap();
                    // Of somebody else's question; then the answer.
                    let mut other = answer.raw.clone();
                    other[19] ^= 1;
                    socket.send_to(&other, from).await.unwrap();
                    socket.send_to(&answer.raw, from).await.unwrap();
                }
            }
        });
        Self {
            server: StunServer { host: address.ip().to_string(), port: address.port() },
            answers,
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The addresses, and which servers were silent.
async fn asked(servers: &[&FakeServer], ours: &[&str]) -> (Vec<IpAddr>, Vec<usize>) {
    let servers: Vec<_> = servers.iter().map(|fake| fake.server.clone()).collect();
    let ours: Vec<_> = ours.iter().map(|text| ip(text)).collect();
    let Answers { addresses, silent } = ask(&servers, 0, &ours).await;
    (addresses, silent.into_iter().map(|(server, _)| server).collect())
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_is_silent() {
    let silent = FakeServer::start("127.0.0.1:0", "192.0.2.1", false).await;
    let second = FakeServer::start("127.0.0.1:0", "192.0.2.2", true).await;
    let third = FakeServer::start("127.0.0.1:0", "192.0.2.3", true).await;
    let told = asked(&[&silent, &second, &third], &["127.0.0.1", "127.0.0.2"]).await;
    assert_eq!(told, (vec![ip("192.0.2.2")], vec![0]));
    silent.answers.store(true, Ordering::Relaxed);
    assert_eq!(asked(&[&silent, &second], &["127.0.0.1"]).await, (vec![ip("192.0.2.1")], vec![]));
}

#[tokio::test]
async fn each_family_has_the_first_server_that_knows_it() {
    let v4 = FakeServer::start("127.0.0.1:0", "192.0.2.1", true).await;
    let v6 = FakeServer::start("[::1]:0", "2001:db8::1", true).await;
    let both = vec![ip("192.0.2.1"), ip("2001:db8::1")];
    assert_eq!(asked(&[&v4, &v6], &["127.0.0.1", "::1"]).await, (both, vec![]));
    assert_eq!(asked(&[&v4, &v6], &["::1"]).await, (vec![ip("2001:db8::1")], vec![]));
    // From an address that leads nowhere near it.
    assert_eq!(asked(&[&v4], &["192.0.2.7"]).await, (vec![], vec![0]));
}

#[tokio::test]
async fn what_is_no_address_of_a_host_is_not_taken() {
    for wrong in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "2001:db8::1"] {
        let liar = FakeServer::start("127.0.0.1:0", wrong, true).await;
        assert_eq!(asked(&[&liar], &["127.0.0.1"]).await, (vec![], vec![0]), "{wrong}");
    }
    let nobody = StunServer { host: "no-such-name.invalid".to_owned(), port: 1 };
    let Answers { addresses, silent } = ask(&[nobody], 0, &[ip("127.0.0.1")]).await;
    assert_eq!((addresses.len(), silent.len()), (0, 1));
}

/// Of one family that leads nowhere no server is to blame, and what the other tells is kept.
#[tokio::test(start_paused = true)]
async fn a_family_without_a_way_out_costs_nothing_of_the_other() {
    let mut servers = vec![FakeServer::start("127.0.0.1:0", "192.0.2.1", true).await];
    for _ in 0..8 {
        servers.push(FakeServer::start("[::1]:0", "2001:db8::1", false).await);
    }
    let servers: Vec<_> = servers.iter().collect();
    let told = asked(&servers, &["127.0.0.1", "::1"]).await;
    assert_eq!(told, (vec![ip("192.0.2.1")], vec![]));
    let began = Instant::now();
    let (none, silent) = asked(&servers, &["::1"]).await;
    assert!(none.is_empty() && !silent.is_empty() && silent.len() < 8, "{silent:?}");
    assert!(began.elapsed() < LOOK * 2, "{:?}", began.elapsed());
}
