use super::*;

/// A whole ordered message.
fn message(stream: u16, sequence: u16) -> Content {
    Content {
        begins: true,
        ends: true,
        unordered: false,
        stream,
        sequence,
        protocol: 51,
        length: 10,
    }
}

fn unordered(begins: bool, ends: bool) -> Content {
    Content { begins, ends, unordered: true, stream: 1, sequence: 0, protocol: 51, length: 1_000 }
}

/// The first TSN is 10.
fn received() -> Received {
    Received::new(10)
}

#[test]
fn messages_come_in_any_order_and_twice() {
    let mut all = received();
    for n in [0_u16, 3, 1, 2, 3, 0, 5, 4] {
        assert_eq!(all.data(10 + u32::from(n), message(1, n)), Ok(()), "{n}");
    }
    assert_eq!((all.complete, all.seen.len()), (15, 6));
    all.acknowledge(13);
    assert_eq!((all.acknowledged, all.seen.len()), (13, 2));
    all.acknowledge(12);
    assert_eq!(all.acknowledged, 13, "an older one changes nothing");
    assert_eq!(all.data(11, message(9, 9)), Ok(()), "the stack looks no further than its number");
    assert_eq!(all.data(14, message(1, 4)), Ok(()));
    assert_eq!(
        all.data(14, message(2, 0)),
        Err(Refusal::Data),
        "the same one, with another content"
    );
}

#[test]
fn a_window_is_kept_from_the_first_on() {
    for tsn in [10 + WINDOW, u32::MAX, 10_u32.wrapping_add(1 << 31), 9_u32.wrapping_sub(1 << 30), 0]
    {
        // Before the first one: to the stack it came long ago.
        let expected = if matches!(tsn, 0 | u32::MAX) { Ok(()) } else { Err(Refusal::Data) };
        let mut all = received();
        assert_eq!(
            (all.data(tsn, message(1, 0)), all.seen.len(), all.streams.len()),
            (expected, 0, 0),
            "{tsn}"
        );
    }
    assert_eq!(received().data(9 + WINDOW, message(1, 0)), Ok(()));
    let mut near = Received::new(u32::MAX - 1);
    assert_eq!(near.data(u32::MAX - 1, message(1, 0)), Ok(()));
    assert_eq!(near.data(u32::MAX, message(1, 1)), Err(Refusal::Data), "TSNs do not wrap");
    assert_eq!(near.data(0, message(1, 2)), Err(Refusal::Data));
}

#[test]
fn what_waits_for_one_that_is_missing_is_bounded() {
    let mut all = received();
    let ahead = (0..2_048).take_while(|n| all.data(11 + n, message(1, 0)).is_ok()).count();
    assert_eq!(ahead, MAX_AHEAD);
    let mut streams = received();
    let opened =
        (0..1_000).take_while(|n| streams.data(11 + u32::from(*n), message(*n, 0)).is_ok()).count();
    assert_eq!(opened, MAX_STREAMS, "also of what waits");
}

#[test]
fn what_the_stack_does_not_acknowledge_is_bounded() {
    let mut all = received();
    let passed = (0..10_000_u16)
        .take_while(|n| all.data(10 + u32::from(*n), message(1, *n)).is_ok())
        .count();
    assert_eq!(passed, WINDOW as usize);
    all.acknowledge(9 + WINDOW);
    assert!(all.seen.is_empty());
    assert_eq!(all.data(10 + WINDOW, message(1, 4_096)), Ok(()));
}

#[test]
fn sequence_numbers_have_no_gaps() {
    let mut all = received();
    assert_eq!(
        all.clone().data(10, message(1, 1)),
        Err(Refusal::Data),
        "the stack would wait for number 0"
    );
    assert_eq!(all.data(10, message(1, 0)), Ok(()));
    assert_eq!(all.data(11, message(2, 0)), Ok(()), "each stream has its own");
    assert_eq!(all.data(12, message(1, 1)), Ok(()));
    assert_eq!(all.clone().data(13, message(1, 1)), Err(Refusal::Data));
    // What came early is looked at when its turn comes, and what would make it come is refused
    // then.
    assert_eq!(all.data(14, message(1, 7)), Ok(()));
    assert_eq!(all.data(13, message(1, 2)), Err(Refusal::Data));
}

#[test]
fn a_message_is_of_one_piece_in_the_end() {
    let mut all = received();
    for (tsn, content) in
        [(12, unordered(false, true)), (10, unordered(true, false)), (11, unordered(false, false))]
    {
        assert_eq!(all.data(tsn, content), Ok(()));
    }
    assert!(all.open.is_none());
    assert_eq!(
        all.clone().data(13, unordered(false, true)),
        Err(Refusal::Data),
        "the end of nothing"
    );
    assert_eq!(all.data(13, unordered(true, false)), Ok(()));
    assert_eq!(all.clone().data(14, unordered(true, true)), Err(Refusal::Data), "another within");
    assert_eq!(
        all.clone().data(14, Content { stream: 2, ..unordered(false, true) }),
        Err(Refusal::Data)
    );
    assert_eq!(
        all.clone().data(14, Content { protocol: 50, ..unordered(false, true) }),
        Err(Refusal::Data)
    );
    let pieces =
        (14..10_000).take_while(|tsn| all.data(*tsn, unordered(false, false)).is_ok()).count();
    assert_eq!(pieces, 261, "with the first one {MAX_MESSAGE} bytes");
    let mut small = received();
    let piece = |begins| Content { length: 1, ..unordered(begins, false) };
    let pieces = (10..10_000).take_while(|tsn| small.data(*tsn, piece(*tsn == 10)).is_ok()).count();
    assert_eq!(pieces, usize::from(MAX_FRAGMENTS));
}

#[test]
fn a_channels_own_message_waits_for_its_turn() {
    let own = |sequence| Content { protocol: DCEP, ..message(1, sequence) };
    let mut all = received();
    assert_eq!(
        all.clone().data(12, own(1)),
        Err(Refusal::Data),
        "what is before it might be of the same message"
    );
    assert_eq!(all.data(10, Content { ends: false, ..own(0) }), Ok(()));
    assert_eq!(
        all.clone().data(11, Content { protocol: 53, begins: false, ..own(0) }),
        Err(Refusal::Data)
    );
    assert_eq!(all.data(11, Content { begins: false, ..own(0) }), Ok(()), "in parts");
    assert_eq!(all.data(11, Content { begins: false, ..own(0) }), Ok(()), "and twice");
    assert_eq!(all.data(12, own(1)), Ok(()));
}

#[test]
fn a_reset_is_acted_upon_at_once_and_few_are() {
    let bytes = [0, 1];
    let reset = |number, last_tsn| Reset::new(number, last_tsn, &bytes);
    let mut all = received();
    assert_eq!(all.data(10, message(1, 0)), Ok(()));
    assert_eq!(all.clone().reset(&reset(1, 11)), Err(Refusal::Reset), "the stack would keep it");
    assert_eq!(all.reset(&reset(1, 10)), Ok(()));
    assert_eq!(all.reset(&reset(1, 10)), Ok(()), "sent again");
    assert_eq!(
        all.data(10, message(1, 0)),
        Ok(()),
        "what is sent again does not bring the stream back"
    );
    assert_eq!(all.reset(&reset(1, 10)), Ok(()), "nor is its answer lost");
    assert_eq!(all.data(11, message(1, 0)), Ok(()), "the stream begins anew");
    assert_eq!(all.clone().reset(&reset(1, 10)), Err(Refusal::Reset), "sent again, and late");
    let passed = (2..1_000).take_while(|number| all.reset(&reset(*number, 11)).is_ok()).count();
    assert_eq!(passed, usize::from(MAX_RESETS) - 1);
}
