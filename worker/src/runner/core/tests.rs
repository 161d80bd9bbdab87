//! Whole sessions in virtual time, with handlers and gateways that misbehave by a seed.

use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;
use crate::{frame::Frame, handler::HandlerError};

/// How a simulated handler takes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Succeed,
    Fail,
    Panic,
}

/// Plays a script and writes down what it was asked.
#[derive(Debug, Clone)]
struct Scripted {
    start: Act,
    /// One act for each frame.
    process: Vec<Act>,
    stop: Act,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Scripted {
    fn new(start: Act, process: &[Act], stop: Act) -> Self {
        Self { start, process: process.to_vec(), stop, calls: Arc::default() }
    }

    fn call(&self, call: &'static str, act: Act) -> Result<(), HandlerError> {
        self.calls.lock().unwrap().push(call);
        match act {
            Act::Succeed => Ok(()),
            Act::Fail => Err(format!("{call} failed").into()),
            // A panic without the hook, which would print thousands of them.
            Act::Panic => panic::resume_unwind(Box::new(format!("{call} panicked"))),
        }
    }
}

impl Handler for Scripted {
    fn start(&mut self) -> Result<(), HandlerError> {
        self.call("start", self.start)
    }

    fn process(&mut self, frame: Frame) -> Result<Frame, HandlerError> {
        let act = self.process[usize::try_from(frame.seq() / 3).unwrap()];
        self.call("process", act).map(|()| frame)
    }

    fn stop(&mut self) {
        self.call("stop", self.stop).ok();
    }
}

/// Frames as after a gateway that skips two of three.
fn frames(count: usize) -> impl Iterator<Item = Incoming> {
    let picture = I420::from_frame(&Frame::filled(2, 2, [9; 3]).unwrap());
    let millis = Duration::from_millis;
    (0..count as u64).map(move |n| Incoming { seq: n * 3, capture_time: millis(n * 100), picture: picture.clone() })
}

/// Runs a session whose gateway leaves after `patience` replies. Each call of the handler takes 1 ms.
fn simulate(script: &Scripted, patience: usize) -> (Summary, Vec<Reply>) {
    let clock = Cell::new(Instant::now());
    let mut replies = Vec::new();
    let summary = run(
        || Box::new(script.clone()),
        frames(script.process.len()),
        |reply| {
            replies.push(reply);
            if replies.len() < patience { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
        || clock.replace(clock.get() + Duration::from_millis(1)),
    );
    (summary, replies)
}

/// Each answered frame's number, and whether the handler succeeded.
fn results(replies: &[Reply]) -> Vec<(u64, bool)> {
    let result = |reply: &Reply| match reply {
        Reply::Result { seq, outcome, .. } => Some((*seq, outcome.is_ok())),
        _ => None,
    };
    replies.iter().filter_map(result).collect()
}

fn panic_in(call: &'static str) -> Fault {
    Fault::Panic { call, message: format!("{call} panicked") }
}

#[test]
fn any_session_keeps_the_promises() {
    let mut endings = BTreeMap::new();
    for seed in 0..3000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut act = |fail: f64, panic: f64| match rng.random::<f64>() {
            roll if roll < panic => Act::Panic,
            roll if roll < panic + fail => Act::Fail,
            _ => Act::Succeed,
        };
        let process: Vec<Act> = (0..40).map(|_| act(0.2, 0.02)).collect();
        let script = Scripted::new(act(0.1, 0.1), &process, act(0.0, 0.2));
        let patience = *[1, 2, 10, usize::MAX].choose(&mut rng).unwrap();
        let (summary, replies) = simulate(&script, patience);

        let started = script.start == Act::Succeed;
        let crash = process.iter().position(|act| *act == Act::Panic).filter(|_| started);
        let answered = if started { crash.unwrap_or(process.len()).min(patience) } else { 0 };
        let cut_off = answered == patience;
        let ended = match (script.start, crash) {
            (Act::Fail, _) => Some(Fault::Start { message: "start failed".into() }),
            (Act::Panic, _) => Some(panic_in("start")),
            (Act::Succeed, Some(_)) if !cut_off => Some(panic_in("process")),
            _ => None,
        };

        // Frames: once each, in order, with what the handler made of them.
        let expected: Vec<_> =
            (0..).step_by(3).zip(process.iter().map(|act| *act == Act::Succeed)).take(answered).collect();
        assert_eq!(results(&replies), expected, "seed {seed}");
        let errors = expected.iter().filter(|(_, succeeded)| !succeeded).count();
        assert_eq!((summary.frames, summary.errors), (answered as u64, errors as u64), "seed {seed}");

        // A fault is told, last, as far as the gateway listens.
        let told = if ended.is_some() { 2.min(patience - answered) } else { 0 };
        assert_eq!(replies.len(), answered + told, "seed {seed}");
        let tail: Vec<_> = replies[answered..].iter().map(|reply| matches!(reply, Reply::Failed { .. })).collect();
        assert_eq!(tail, [false, true][..told], "seed {seed}");

        // The handler: started, given frames, stopped if it had started.
        let crashed = usize::from(ended == Some(panic_in("process")));
        let mut calls = vec!["start"];
        calls.extend(std::iter::repeat_n("process", answered + crashed));
        calls.extend(started.then_some("stop"));
        assert_eq!(*script.calls.lock().unwrap(), calls, "seed {seed}");

        let stopped = (started && script.stop == Act::Panic).then(|| panic_in("stop"));
        let ending = format!("{:?}, cut off: {cut_off}, stop: {:?}", ended, stopped.is_none());
        assert_eq!(summary.faults, ended.into_iter().chain(stopped).collect::<Vec<_>>(), "seed {seed}");
        *endings.entry(ending).or_insert(0) += 1;
    }
    // Cut off, crashed or neither, each with both ways to stop; and two ways not to start: all of them occurred.
    assert_eq!(endings.len(), 3 * 2 + 2, "{endings:#?}");
}

#[test]
fn handler_time_is_that_of_the_call() {
    let (_, replies) = simulate(&Scripted::new(Act::Succeed, &[Act::Succeed, Act::Fail], Act::Succeed), usize::MAX);
    let time = |reply: &Reply| match reply {
        Reply::Result { handler_time, .. } => *handler_time,
        other => panic!("not a result: {other:?}"),
    };
    assert_eq!(replies.iter().map(time).collect::<Vec<_>>(), [Duration::from_millis(1); 2]);
}

#[test]
fn a_handler_sees_the_frame_that_was_sent() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let handler = move |frame: Frame| -> Result<Frame, HandlerError> {
        log.lock().unwrap().push((frame.seq(), frame.capture_time(), frame.width(), frame.height()));
        Ok(Frame::filled(3, 1, [255, 0, 0])?)
    };
    let mut replies = Vec::new();
    let reply = |reply| {
        replies.push(reply);
        ControlFlow::Continue(())
    };
    run(|| Box::new(handler), frames(2), reply, Instant::now);
    let millis = Duration::from_millis;
    assert_eq!(*seen.lock().unwrap(), [(0, millis(0), 2, 2), (3, millis(100), 2, 2)]);
    let red = I420::from_frame(&Frame::filled(3, 1, [255, 0, 0]).unwrap());
    for reply in replies {
        assert!(matches!(reply, Reply::Result { outcome: Ok(picture), .. } if picture == red));
    }
}

#[test]
fn what_a_panic_said_is_not_told_to_the_client() {
    let (summary, replies) = simulate(&Scripted::new(Act::Succeed, &[Act::Panic], Act::Succeed), usize::MAX);
    assert_eq!(summary.faults, [panic_in("process")]);
    assert_eq!(
        replies,
        [
            Reply::Error { message: "the handler crashed".into() },
            Reply::Failed { message: "the stream ended because its handler crashed".into() },
        ]
    );
}

#[test]
fn a_factory_and_a_destructor_may_panic_too() {
    struct Bomb;
    impl Handler for Bomb {
        fn process(&mut self, frame: Frame) -> Result<Frame, HandlerError> {
            Ok(frame)
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic::resume_unwind(Box::new("dropped"));
        }
    }
    let mut replies = 0;
    let mut count = |_| {
        replies += 1;
        ControlFlow::Continue(())
    };
    let made = run(|| panic::resume_unwind(Box::new("made")), frames(1), &mut count, Instant::now);
    assert_eq!(made.faults, [Fault::Panic { call: "its factory", message: "made".into() }]);
    let dropped = run(|| Box::new(Bomb), frames(1), &mut count, Instant::now);
    assert_eq!(dropped.faults, [Fault::Panic { call: "its destructor", message: "dropped".into() }]);
    assert_eq!((made.frames, dropped.frames, replies), (0, 1, 2 + 1));
}
