use super::*;

const SPACING: Duration = Duration::from_millis(1);

fn datagram(number: u32, bytes: usize) -> Datagram {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(bytes.max(4), 0);
    Datagram { bytes: payload, remote: ([127, 0, 0, 1], 9).into() }
}

/// Sends `count` datagrams of `bytes`, one each [`SPACING`]; what arrives, by number and the time
/// since its sending.
fn run(link: &mut Link, count: u32, bytes: usize) -> Vec<(u32, Duration)> {
    let start = Instant::now();
    let mut arrived = Vec::new();
    let mut take_until = |link: &mut Link, end: Option<Instant>| {
        while let Some(at) = link.due().filter(|at| end.is_none_or(|end| *at <= end)) {
            assert_eq!(link.take(at - Duration::from_nanos(1)), None, "before its time");
            let number = link
                .take(at)
                .map(|it| u32::from_be_bytes(it.bytes[..4].try_into().unwrap()))
                .unwrap();
            arrived.push((number, at - (start + SPACING * number)));
        }
    };
    for number in 0..count {
        link.send(start + SPACING * number, datagram(number, bytes));
        take_until(link, Some(start + SPACING * number));
    }
    take_until(link, None);
    arrived
}

fn numbers(arrived: &[(u32, Duration)]) -> Vec<u32> {
    arrived.iter().map(|(number, _)| *number).collect()
}

#[test]
fn by_default_everything_passes_at_once() {
    let mut link = Link::new(Conditions::default(), 1);
    let arrived = run(&mut link, 100, 1_200);
    assert_eq!(arrived, Vec::from_iter((0..100).map(|number| (number, Duration::ZERO))));
    assert_eq!(link.counts(), Counts { sent: 100, ..Counts::default() });
}

#[test]
fn delay_is_exact_and_a_seed_is_a_run() {
    let delay = Duration::from_millis(50);
    let arrived = run(&mut Link::new(Conditions { delay, ..Conditions::default() }, 1), 100, 1_200);
    assert!(arrived.iter().all(|(_, late)| *late == delay));
    let all = Conditions {
        delay,
        jitter: delay,
        overtaking: 0.1,
        loss: Loss::Bursts { share: 0.1, length: 3.0 },
        doubled: 0.1,
        bottleneck: Some(Bottleneck { kbps: 8_000, queue_bytes: 5_000 }),
        ..Conditions::default()
    };
    let of = |seed| numbers(&run(&mut Link::new(all, seed), 1_000, 1_200));
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));
}

#[test]
fn jitter_reorders_unless_in_order() {
    let (delay, jitter) = (Duration::from_millis(20), Duration::from_millis(10));
    for in_order in [false, true] {
        let conditions = Conditions { delay, jitter, in_order, ..Conditions::default() };
        let arrived = run(&mut Link::new(conditions, 2), 1_000, 100);
        assert_eq!(arrived.len(), 1_000);
        assert!(arrived.iter().all(|(_, late)| (delay..=delay + jitter).contains(late)));
        assert_eq!(numbers(&arrived).is_sorted(), in_order);
    }
    let conditions = Conditions { delay, overtaking: 0.1, ..Conditions::default() };
    let arrived = run(&mut Link::new(conditions, 2), 1_000, 100);
    let ahead = arrived.iter().filter(|(_, late)| late.is_zero()).count();
    assert!((60..140).contains(&ahead), "{ahead} of 1000 overtook");
    assert!(arrived.iter().all(|(_, late)| late.is_zero() || *late == delay));
}

#[test]
fn losses_have_their_share_and_bursts_their_length() {
    const COUNT: u32 = 100_000;
    for (loss, length) in
        [(Loss::Random(0.05), 1.05), (Loss::Bursts { share: 0.05, length: 4.0 }, 4.0)]
    {
        let mut link = Link::new(Conditions { loss, ..Conditions::default() }, 3);
        let arrived = numbers(&run(&mut link, COUNT, 100));
        let lost = COUNT - u32::try_from(arrived.len()).unwrap();
        assert_eq!(
            link.counts(),
            Counts { sent: COUNT.into(), lost: lost.into(), ..Counts::default() }
        );
        let share = f64::from(lost) / f64::from(COUNT);
        assert!((0.045..0.055).contains(&share), "{loss:?}: {share}");
        let bursts = arrived.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
        let mean = f64::from(lost) / bursts as f64;
        assert!((length * 0.9..length * 1.1).contains(&mean), "{loss:?}: {mean}");
    }
}

#[test]
fn doubles_are_counted_beside() {
    let mut link = Link::new(Conditions { doubled: 0.2, ..Conditions::default() }, 4);
    let mut arrived = numbers(&run(&mut link, 1_000, 100));
    assert_eq!(arrived.len() as u64, 1_000 + link.counts().doubled);
    assert!((150..250).contains(&link.counts().doubled));
    arrived.dedup();
    assert_eq!(arrived, Vec::from_iter(0..1_000));
}

#[test]
fn a_bottleneck_delays_then_refuses() {
    // 1000 bytes take 2 ms, and one is sent each millisecond: half of them, once the queue of ten
    // is full.
    let bottleneck = Some(Bottleneck { kbps: 4_000, queue_bytes: 10_000 });
    let mut link = Link::new(Conditions { bottleneck, ..Conditions::default() }, 5);
    let arrived = run(&mut link, 1_000, 1_000);
    assert_eq!(arrived[0].1, Duration::from_millis(2));
    assert!(
        arrived.iter().all(|(_, late)| *late <= Duration::from_millis(22)),
        "the queue is bounded"
    );
    assert_eq!(arrived.len() as u64 + link.counts().refused, 1_000);
    assert!((500..515).contains(&arrived.len()), "{}", arrived.len());
    assert!(numbers(&arrived).is_sorted());
}

#[test]
fn a_blackout_begins_and_ends() {
    let delay = Duration::from_millis(5);
    let mut link = Link::new(Conditions { delay, ..Conditions::default() }, 6);
    let start = Instant::now();
    link.send(start, datagram(1, 100));
    link.change(Conditions { delay, blackout: true, ..Conditions::default() });
    link.send(start, datagram(2, 100));
    link.change(Conditions::default());
    link.send(start + delay * 2, datagram(3, 100));
    let end = start + delay * 2;
    let arrived: Vec<u8> = std::iter::from_fn(|| link.take(end)).map(|it| it.bytes[3]).collect();
    assert_eq!(arrived, [1, 3], "what was on its way arrives");
    assert_eq!(link.counts(), Counts { sent: 3, lost: 1, ..Counts::default() });
}

#[test]
fn what_flies_is_bounded() {
    let mut link =
        Link::new(Conditions { delay: Duration::from_secs(1), ..Conditions::default() }, 7);
    let now = Instant::now();
    (0..10_000).for_each(|number| link.send(now, datagram(number, 4)));
    assert_eq!((link.flying.len(), link.counts().refused), (IN_FLIGHT, 10_000 - IN_FLIGHT as u64));
}
