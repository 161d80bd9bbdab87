use super::*;
use crate::browser::net::packet::classify;
use crate::browser::net::packet::tests::{answer, check, header, nomination, signed};
use crate::browser::net::probes::{ADDRESSES, PROBES};

const VIDEO: &[u8] = &[0x80; 40];
const THEIRS: &str = "password of theirs";
const LATE: Duration = Duration::from_secs(5);

fn at(port: u16) -> SocketAddr {
    ([192, 0, 2, 7], port).into()
}

fn path(port: u16) -> Path {
    Path { socket: 0, remote: at(port) }
}

/// As the browser sends it; the stack's answer is `answer("ours")`.
fn asks() -> Vec<u8> {
    check("ours:theirs", "password of ours")
}

/// As the stack sends it; the browser's answer is `answer(THEIRS)`.
fn question() -> Vec<u8> {
    check("theirs:ours", THEIRS)
}

fn filter(speaks_first: bool) -> (Filter, Instant) {
    let mut filter = Filter::new(2, speaks_first);
    filter.set_remote_password(THEIRS);
    filter.set_local_credentials(&Credentials {
        ufrag: "ours".into(),
        password: "password of ours".into(),
    });
    (filter, Instant::now())
}

fn takes(
    filter: &mut Filter,
    now: Instant,
    path: Path,
    datagram: &[u8],
) -> Result<(SocketAddr, Bytes), &'static str> {
    filter.takes(now, path, &classify(datagram), datagram).map(|taken| (taken.from, taken.payload))
}

/// Sends as the socket does.
fn sends(
    filter: &mut Filter,
    now: Instant,
    to: SocketAddr,
    datagram: &[u8],
) -> Result<SocketAddr, &'static str> {
    // Asked again while the real socket is full.
    assert_eq!(filter.sends(now, 0, to, datagram), filter.sends(now, 0, to, datagram));
    let sent = filter.sends(now, 0, to, datagram)?;
    filter.sent(now, 0, sent, datagram);
    Ok(sent)
}

#[test]
fn only_what_is_signed_reaches_the_stack() {
    let (mut filter, now) = filter(false);
    assert_eq!(takes(&mut filter, now, path(1), &asks()), Ok((at(1), signed(&asks()))));
    assert_eq!(takes(&mut filter, now, path(1), VIDEO), Ok((at(1), VIDEO.into())));
    for kind in [[0, 1], [1, 1], [1, 0x11], [0, 0x11], [0, 3]] {
        assert_eq!(takes(&mut filter, now, path(1), &header(kind)), Err("unsigned"), "{kind:?}");
    }
    assert_eq!(
        takes(&mut filter, now, path(1), &answer(THEIRS)),
        Err("unsigned"),
        "nothing was asked"
    );
    sends(&mut filter, now, at(1), &question()).unwrap();
    assert_eq!(
        takes(&mut filter, now, path(2), &answer(THEIRS)),
        Err("unsigned"),
        "another one was asked"
    );
    assert_eq!(takes(&mut filter, now, path(1), &answer("guessed")), Err("unsigned"));
    assert_eq!(
        takes(&mut filter, now, path(1), &answer(THEIRS)),
        Ok((at(1), signed(&answer(THEIRS))))
    );
    assert_eq!(takes(&mut filter, now, path(1), &answer(THEIRS)), Err("unsigned"), "once");
}

#[test]
fn the_stack_speaks_to_nobody_first() {
    let (mut filter, now) = filter(false);
    assert_eq!(sends(&mut filter, now, at(1), &question()), Err("not_heard"));
    takes(&mut filter, now, path(1), &asks()).unwrap();
    assert_eq!(
        filter.sends(now, 1, at(1), &question()),
        Err("not_heard"),
        "by another socket of ours"
    );
    assert_eq!(sends(&mut filter, now, at(1), &question()), Ok(at(1)));
    filter.set_remote_password("another");
    assert_eq!(
        sends(&mut filter, now + LATE, at(1), &question()),
        Err("not_heard"),
        "the stack has forgotten it"
    );
    // A browser may restart with the password of before; the stack draws another name and password
    // of ours all the same.
    takes(&mut filter, now, path(1), &asks()).unwrap();
    filter.set_local_credentials(&Credentials {
        ufrag: "new".into(),
        password: "new password".into(),
    });
    assert_eq!(sends(&mut filter, now + LATE, at(1), &question()), Err("not_heard"));
}

#[test]
fn an_address_that_does_not_answer_is_asked_five_times_in_all() {
    for speaks_first in [false, true] {
        let (mut filter, mut now) = filter(speaks_first);
        let mut asked = 0;
        for n in 0..100 {
            // Restarts change nothing, and neither does another socket.
            filter.set_remote_password(if n % 10 == 0 { "another" } else { THEIRS });
            for socket in 0..2 {
                takes(&mut filter, now, Path { socket, ..path(1) }, &asks()).unwrap();
                if filter.sends(now, socket, at(1), &question()).is_ok() {
                    filter.sent(now, socket, at(1), &question());
                    asked += 1;
                }
            }
            now += LATE;
        }
        assert_eq!(asked, PROBES);
        assert_eq!(sends(&mut filter, now, at(1), &question()), Err("not_answered"));
        assert_eq!(sends(&mut filter, now, at(1), VIDEO), Ok(at(1)), "all else goes");
    }
}

#[test]
fn whoever_answers_is_asked_for_ever() {
    let (mut filter, mut now) = filter(false);
    takes(&mut filter, now, path(1), &asks()).unwrap();
    for _ in 0..100 {
        sends(&mut filter, now, at(1), &question()).unwrap();
        takes(&mut filter, now, path(1), &answer(THEIRS)).unwrap();
        now += WINDOW;
    }
    for _ in 0..100 {
        sends(&mut filter, now, at(1), &question()).unwrap();
    }
}

#[test]
fn forged_addresses_are_few() {
    let (mut filter, mut now) = filter(false);
    let mut asked = HashSet::new();
    for port in 0..200 {
        now += WINDOW / 100;
        let taken = takes(&mut filter, now, path(port), &asks());
        assert_eq!(taken.is_ok(), usize::from(port) < PATHS, "{taken:?}");
        if sends(&mut filter, now, at(port), &question()).is_ok() {
            asked.insert(port);
        }
    }
    assert_eq!(asked.len(), ADDRESSES);
    assert_eq!(
        takes(&mut filter, now, path(0), &asks()).map(|(from, _)| from),
        Ok(at(0)),
        "known ones go on"
    );
    assert_eq!(takes(&mut filter, now, path(200), &asks()), Err("path_limit"));
    filter.set_remote_password("another");
    assert!(takes(&mut filter, now, path(200), &asks()).is_ok());
}

#[test]
fn checks_have_a_rate() {
    let (mut filter, now) = filter(false);
    for second in 0..3 {
        let taken = (0..1_000).filter(|n| {
            filter.set_remote_password(if n % 2 == 0 { "another" } else { THEIRS });
            takes(&mut filter, now + WINDOW * second, path(1), &asks()).is_ok()
        });
        assert_eq!(taken.count(), CHECKS as usize);
    }
    assert_eq!(takes(&mut filter, now + WINDOW * 2, path(1), &asks()), Err("check_rate"));
}

#[test]
fn a_check_has_one_answer() {
    let (mut filter, now) = filter(false);
    assert_eq!(sends(&mut filter, now, at(1), &answer("ours")), Err("not_asked"));
    takes(&mut filter, now, path(1), &asks()).unwrap();
    assert_eq!(sends(&mut filter, now, at(2), &answer("ours")), Err("not_asked"));
    // The stack sends an error and an answer where it sees a conflict of roles.
    assert_eq!(sends(&mut filter, now, at(1), &header([1, 0x11])), Ok(at(1)));
    assert_eq!(sends(&mut filter, now, at(1), &answer("ours")), Err("not_asked"));
    for _ in 0..2 {
        takes(&mut filter, now, path(1), &asks()).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(
            sends(&mut filter, now, at(1), &answer("ours")),
            Ok(at(1)),
            "as often as it was asked"
        );
    }
}

#[test]
fn a_nomination_that_comes_too_early_waits() {
    let (mut filter, now) = filter(false);
    let early = nomination("ours:theirs", "password of ours");
    assert_eq!(
        takes(&mut filter, now, path(1), &early),
        Ok((at(1), signed(&asks()))),
        "it is answered at once"
    );
    assert_eq!(takes(&mut filter, now, path(2), &asks()), Ok((at(2), signed(&asks()))));
    for port in [2, 1] {
        sends(&mut filter, now, at(port), &question()).unwrap();
        let answer = answer(THEIRS);
        let taken = filter.takes(now, path(port), &classify(&answer), &answer).unwrap();
        assert_eq!(
            taken.nomination,
            (port == 1).then(|| signed(&early)),
            "with its own path's answer"
        );
        assert_eq!(taken.selects, port == 1);
    }
    assert_eq!(
        takes(&mut filter, now, path(1), &early),
        Ok((at(1), signed(&early))),
        "from now on as it comes"
    );
    // Of the credentials before an ICE restart the stack knows nothing any more.
    filter.set_remote_password("another");
    filter.set_local_credentials(&Credentials {
        ufrag: "new".into(),
        password: "new password".into(),
    });
    assert_eq!(takes(&mut filter, now, path(1), &early), Ok((at(1), signed(&early))));
}

/// The one whose answer is lost must not take the other's nomination with it.
#[test]
fn each_path_has_a_nomination_of_its_own() {
    let (mut filter, now) = filter(false);
    let (early, answer) = (nomination("ours:theirs", "password of ours"), answer(THEIRS));
    for port in 1..200 {
        let now = now + WINDOW * u32::from(port);
        let take = |datagram: &[u8], filter: &mut Filter| {
            filter.takes(now, path(port % 100), &classify(datagram), datagram).unwrap()
        };
        assert!(!take(&early, &mut filter).selects);
        assert!(filter.nominated.len() <= NOMINATED);
    }
    for (port, waits) in [(99, true), (99, false), (90, true), (1, false)] {
        sends(&mut filter, now + LATE * 200, at(port), &question()).unwrap();
        let taken =
            filter.takes(now + LATE * 200, path(port), &classify(&answer), &answer).unwrap();
        assert_eq!((taken.nomination.is_some(), taken.selects), (waits, waits), "{port}");
    }
}

/// Early DTLS waits for that.
#[test]
fn it_is_known_what_makes_the_stack_select() {
    let selects = |filter: &mut Filter, now, datagram: &[u8]| {
        filter.takes(now, path(1), &classify(datagram), datagram).unwrap().selects
    };
    let (mut filter, now) = filter(false);
    let early = nomination("ours:theirs", "password of ours");
    assert!(!selects(&mut filter, now, &asks()) && !selects(&mut filter, now, VIDEO));
    sends(&mut filter, now, at(1), &question()).unwrap();
    assert!(!selects(&mut filter, now, &answer(THEIRS)), "nothing is nominated");
    assert!(!selects(&mut filter, now, &asks()));
    assert!(selects(&mut filter, now, &early), "it has answered");
    // The stack leads, and nominates.
    let ours = nomination("theirs:ours", THEIRS);
    sends(&mut filter, now, at(1), &ours).unwrap();
    assert!(selects(&mut filter, now, &answer(THEIRS)));
    // After an ICE restart the path must answer anew, and a check with the credentials from before
    // selects nothing.
    let new = Credentials { ufrag: "new".into(), password: "new password".into() };
    filter.set_local_credentials(&new);
    assert!(!selects(&mut filter, now, &check("new:theirs", "new password")));
    sends(&mut filter, now + LATE, at(1), &question()).unwrap();
    assert!(!selects(&mut filter, now, &answer(THEIRS)));
    assert!(!selects(&mut filter, now, &early), "of before");
    assert!(selects(&mut filter, now, &nomination("new:theirs", "new password")));
}

/// The stack has selected the address 1, from where video came a moment ago; 2 has answered.
#[test]
fn a_browser_that_moved_is_followed() {
    let (mut filter, now) = filter(false);
    for port in [1, 2] {
        takes(&mut filter, now, path(port), &asks()).unwrap();
    }
    sends(&mut filter, now, at(1), VIDEO).unwrap();
    takes(&mut filter, now, path(1), VIDEO).unwrap();
    let later = now + LATE;
    assert_eq!(
        takes(&mut filter, later, path(2), VIDEO),
        Ok((at(2), VIDEO.into())),
        "it has not answered"
    );
    assert_eq!(sends(&mut filter, later, at(2), &question()), Ok(at(2)));
    takes(&mut filter, later, path(2), &answer(THEIRS)).unwrap();
    assert_eq!(takes(&mut filter, later, path(2), VIDEO), Ok((at(1), VIDEO.into())));
    assert_eq!(sends(&mut filter, later, at(1), VIDEO), Ok(at(2)));
    assert_eq!(sends(&mut filter, later, at(1), &question()), Ok(at(2)), "it is asked where it is");
    assert_eq!(
        takes(&mut filter, later, path(2), &answer(THEIRS)).map(|(from, _)| from),
        Ok(at(1))
    );
    // What is still asked from the old address is answered there; the check of before was of the
    // same transaction.
    sends(&mut filter, later, at(1), &answer("ours")).unwrap();
    assert_eq!(sends(&mut filter, later, at(1), &answer("ours")), Ok(at(1)));
    // Another offer with the same password is not a restart.
    filter.set_remote_password(THEIRS);
    assert_eq!(sends(&mut filter, later, at(1), VIDEO), Ok(at(2)));
    filter.set_remote_password("another");
    assert_eq!(takes(&mut filter, later, path(2), VIDEO), Ok((at(2), VIDEO.into())));
}
