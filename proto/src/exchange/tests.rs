use std::fs::File;
use std::os::unix::net::UnixStream;

use super::*;

fn both() -> [(Arc<Exchange>, Arc<Exchange>); 2] {
    let table = Exchange::open();
    let (shared, file) = Exchange::share().unwrap();
    let admitted = Exchange::admit(shared.token(), file).unwrap();
    [(table.clone(), Exchange::join(table.token()).unwrap()), (shared, admitted)]
}

#[test]
fn a_picture_is_taken_once_by_who_knows_the_token() {
    for (exchange, joined) in both() {
        assert!(Exchange::join(exchange.token().wrapping_add(1)).is_none());
        assert!(Arc::ptr_eq(&Exchange::join(joined.token()).unwrap(), &joined));
        let slot = exchange.frames.give(Bytes::from_static(b"picture")).unwrap();
        let later = Slot { generation: slot.generation + 1, ..slot };
        assert_eq!((joined.frames.take(later, 7), joined.results.take(slot, 7)), (None, None));
        assert_eq!(joined.frames.take(slot, 7).unwrap(), "picture");
        assert_eq!(joined.frames.take(slot, 7), None);
        let slot = joined.results.give(Bytes::from_static(b"result")).unwrap();
        assert_eq!(exchange.results.take(slot, 6).unwrap(), "result");
    }
}

#[test]
fn within_one_process_it_is_handed_over() {
    let exchange = Exchange::open();
    let picture = Bytes::from(vec![7; 4096]);
    let address = picture.as_ptr();
    let slot = exchange.frames.give(picture).unwrap();
    assert_eq!(exchange.frames.take(slot, 4096).unwrap().as_ptr(), address);
}

#[test]
fn nothing_is_left_of_an_exchange() {
    for (exchange, joined) in both() {
        let token = exchange.token();
        drop(exchange);
        assert!(Exchange::join(token).is_some(), "the worker may still answer");
        drop(joined);
        assert!(Exchange::join(token).is_none());
    }
}

#[test]
fn what_finds_no_room_comes_back() {
    let [_, (shared, admitted)] = both();
    let picture = |n: u8| Bytes::from(vec![n; 100_000]);
    let slots: Vec<_> = (0..4).map(|n| shared.frames.give(picture(n)).unwrap()).collect();
    assert_eq!(shared.frames.give(picture(9)).unwrap_err(), picture(9), "four wait");
    assert!(shared.results.give(picture(9)).is_ok(), "the other way there is room");
    assert_eq!(admitted.frames.take(slots[2], 100_000).unwrap(), picture(2));
    let next = shared.frames.give(picture(4)).unwrap();
    assert_eq!((next.index, next.generation), (slots[2].index, 5), "its slot again, as another's");
    assert_eq!(admitted.frames.take(slots[2], 100_000), None);
    let huge = Bytes::from(vec![0; crate::MAX_PICTURE_BYTES + 4096]);
    assert!(admitted.results.give(huge).is_err());
}

#[test]
fn no_slot_is_out_of_bounds() {
    let [_, (shared, admitted)] = both();
    let good = shared.frames.give(Bytes::from_static(b"picture")).unwrap();
    for index in [4, 8, 1 << 20, u32::MAX] {
        assert_eq!(admitted.frames.take(Slot { index, ..good }, 7), None);
    }
    assert_eq!(admitted.frames.take(Slot { index: 1, generation: 0 }, 7), None, "a free one");
    assert_eq!(admitted.frames.take(good, usize::MAX), None);
    assert_eq!(admitted.frames.take(good, 7).unwrap(), "picture");
}

#[test]
fn only_memory_that_stays_is_taken() {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

    let (shared, file) = Exchange::share().unwrap();
    let len = rustix::fs::fstat(&file).unwrap().st_size.try_into().unwrap();
    ftruncate(&file, 0).unwrap_err();
    ftruncate(&file, len + 1).unwrap_err();
    assert!(matches!(Exchange::admit(0, file.try_clone().unwrap()), Err(NotOurs::Token)));
    let held = Exchange::admit(shared.token(), file.try_clone().unwrap()).unwrap();
    assert!(
        matches!(Exchange::admit(shared.token(), file), Err(NotOurs::Token)),
        "a second with one token"
    );
    assert!(Arc::ptr_eq(&Exchange::join(shared.token()).unwrap(), &held), "the first stays");

    let made = |len: u64, seals| {
        let file = memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&file, len).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file
    };
    let sealed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let others = [
        made(len, SealFlags::SHRINK),
        made(len, SealFlags::empty()),
        made(len - 1, sealed),
        made(0, sealed),
    ];
    for file in others.into_iter().chain([File::open("/dev/zero").unwrap().into()]) {
        assert!(matches!(Exchange::admit(7, file), Err(NotOurs::File)));
    }
    assert!(Exchange::admit(7, made(len, sealed)).is_ok());
}

#[test]
fn memory_is_passed_with_its_token_and_nothing_else_is() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (shared, file) = Exchange::share().unwrap();
    pass::send(&ours, shared.token(), file).unwrap();
    let (token, file) = pass::receive(&theirs).unwrap();
    let admitted = Exchange::admit(token, file).unwrap();
    let slot = admitted.results.give(Bytes::from_static(b"result")).unwrap();
    assert_eq!(shared.results.take(slot, 6).unwrap(), "result");

    // Bytes alone; too few; none.
    io::Write::write_all(&mut &ours, &[0; 8]).unwrap();
    assert_eq!(pass::receive(&theirs).unwrap_err().kind(), io::ErrorKind::InvalidData);
    io::Write::write_all(&mut &ours, &[0; 3]).unwrap();
    assert_eq!(pass::receive(&theirs).unwrap_err().kind(), io::ErrorKind::InvalidData);
    drop(ours);
    assert_eq!(pass::receive(&theirs).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

/// Two threads, each with a mapping of its own, as fast as they can.
#[test]
fn every_picture_arrives_whole() {
    const PICTURES: u32 = 20_000;
    let [_, (shared, admitted)] = both();
    let (send, slots) = std::sync::mpsc::sync_channel(2);
    let giver = std::thread::spawn(move || {
        for n in 0..PICTURES {
            let picture = Bytes::from(n.to_le_bytes().repeat(256));
            send.send(shared.frames.give(picture).unwrap()).unwrap();
        }
    });
    for (n, slot) in slots.into_iter().enumerate() {
        let picture = admitted.frames.take(slot, 1024).unwrap();
        assert!(picture == u32::try_from(n).unwrap().to_le_bytes().repeat(256), "picture {n}");
    }
    giver.join().unwrap();
}
