//! Whole sessions in virtual time, with handlers and gateways that misbehave by a seed.

use std::collections::BTreeMap;
use std::iter;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::components::Number;
use crate::handler::{AdditionalOutputs, CloseStream, Handler, VideoStreamHandler};
use crate::stream::StreamBuilder;

/// How a simulated handler takes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Picture,
    Values,
    Nothing,
    Fail,
    Close,
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

    fn call(&self, call: &'static str, act: Act) -> Result<Output, HandlerError> {
        self.calls.lock().unwrap().push(call);
        match act {
            Act::Picture => Ok(picture().into()),
            Act::Values => Ok(AdditionalOutputs::new([1]).into()),
            Act::Nothing => Ok(().into()),
            Act::Close => Ok((picture(), CloseStream::new("enough")).into()),
            Act::Fail => Err(HandlerError::new(format!("{call} failed"))),
            // A panic without the hook, which would print thousands of them.
            Act::Panic => panic::resume_unwind(Box::new(format!("{call} panicked"))),
        }
    }

    /// The same script as a generator, which has no `start` and no `stop`.
    fn items(self) -> impl Iterator<Item = Result<Output, HandlerError>> {
        (0..self.process.len()).map(move |index| self.call("next", self.process[index]))
    }
}

impl Handler for Scripted {
    fn start(&mut self, _: &Session) -> Result<(), HandlerError> {
        self.call("start", self.start).map(drop)
    }

    fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
        self.call("process", self.process[usize::try_from(frame.seq() / 3).unwrap()])
    }

    fn stop(&mut self) {
        self.call("stop", self.stop).ok();
    }
}

/// Nothing depends on it.
const CREDITS: u32 = 5;

fn picture() -> Frame {
    Frame::filled(2, 2, [9; 3]).unwrap()
}

/// Frames as after a gateway that skips two of three.
fn frames(count: usize) -> impl Iterator<Item = Job> {
    let picture = I420::from_frame(picture()).0;
    let millis = Duration::from_millis;
    (0..count as u64).map(move |n| {
        let (picture, traceparent) = (picture.clone(), String::new());
        Job::Frame { seq: n * 3, capture_time: millis(n * 100), picture, traceparent }
    })
}

fn pull(seq: u64) -> Job {
    Job::Pull { seq, traceparent: String::new() }
}

fn session() -> Session {
    Session::of_nobody("simulated")
}

/// Runs a session until its jobs end or a step breaks.
fn run(
    stream: Stream,
    jobs: impl Iterator<Item = Job>,
    mut reply: impl FnMut(Reply) -> ControlFlow<()>,
) -> Summary {
    let session = session();
    let caller = Arc::new(stream.handler.calls()).caller(&session);
    let mut core = Core::new(Arc::new(stream), session, caller);
    let mut flow = core.start(CREDITS, &mut reply);
    for job in jobs {
        if flow.is_break() {
            break;
        }
        flow = core.answer(job, &mut reply);
    }
    core.finish()
}

/// Runs a stream whose gateway leaves after `patience` replies beside `Opened`, which comes first
/// if the handler started and is left out of what this returns.
fn simulate(
    stream: &StreamBuilder,
    jobs: impl Iterator<Item = Job>,
    patience: usize,
) -> (Summary, Vec<Reply>) {
    let stream = stream.clone().additional_outputs([Number::new("n")]).build();
    let (mut opened, mut replies) = (0, Vec::new());
    let reply = |reply| {
        if reply == (Reply::Opened { credits: CREDITS }) {
            assert_eq!(replies, [], "opened late");
            opened += 1;
            return ControlFlow::Continue(());
        }
        replies.push(reply);
        if replies.len() < patience { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let summary = run(stream, jobs, reply);
    let unstarted = |fault: &Fault| match fault {
        Fault::Start { .. } => true,
        Fault::Panic { call, .. } => matches!(*call, "its factory" | "start"),
    };
    assert_eq!(opened, u32::from(!summary.faults.iter().any(unstarted)), "{summary:?}");
    (summary, replies)
}

/// [`simulate`] with a script and a gateway that listens to the end.
fn play(script: &Scripted) -> (Summary, Vec<Reply>) {
    simulate(&scripted(script), frames(script.process.len()), usize::MAX)
}

fn scripted(script: &Scripted) -> StreamBuilder {
    let script = script.clone();
    Stream::builder(VideoStreamHandler::per_session(move || script.clone()))
}

/// Of each answer: its number, whether there was a picture (`None`: an error), and its values.
fn results(replies: &[Reply]) -> Vec<(u64, Option<bool>, &str)> {
    let result = |reply| match reply {
        &Reply::Result { seq, ref outcome, ref outputs, .. } => {
            assert!(outputs.len() <= 1, "one output is declared");
            Some((
                seq,
                outcome.as_ref().ok().map(Option::is_some),
                outputs.first().map_or("", String::as_str),
            ))
        }
        _ => None,
    };
    replies.iter().filter_map(result).collect()
}

fn panic_in(call: &'static str) -> Fault {
    Fault::Panic { call, message: format!("{call} panicked") }
}

fn closed(message: &str) -> Reply {
    Reply::End { message: message.to_owned(), failed: false }
}

/// What the client is told of a panic: nothing of what it said.
fn crash() -> Vec<Reply> {
    let end = "the stream ended because its handler crashed";
    vec![
        Reply::Notice { level: Severity::Error, message: "the handler crashed".into() },
        Reply::End { message: end.into(), failed: true },
    ]
}

/// What a call answers; `empty` is what becomes of nothing.
fn answer(act: Act, empty: Option<bool>) -> (Option<bool>, &'static str) {
    match act {
        Act::Picture | Act::Close => (Some(true), ""),
        Act::Values => (Some(false), "1"),
        Act::Nothing => (empty, ""),
        Act::Fail => (None, ""),
        Act::Panic => unreachable!("a panic has no answer"),
    }
}

#[test]
fn any_session_keeps_the_promises() {
    let mut endings = BTreeMap::new();
    for seed in 0..3000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut act = |acts: &[(Act, f64)]| {
            let mut roll = rng.random::<f64>();
            let chosen = acts.iter().find(|(_, share)| {
                roll -= share;
                roll < 0.0
            });
            chosen.map_or(Act::Picture, |(act, _)| *act)
        };
        let shares = [
            (Act::Panic, 0.01),
            (Act::Close, 0.01),
            (Act::Fail, 0.1),
            (Act::Values, 0.1),
            (Act::Nothing, 0.1),
        ];
        let process: Vec<Act> = (0..40).map(|_| act(&shares)).collect();
        let start = act(&[(Act::Panic, 0.1), (Act::Fail, 0.1)]);
        let script = Scripted::new(start, &process, act(&[(Act::Panic, 0.2)]));
        let patience = *[1, 2, 10, usize::MAX].choose(&mut rng).unwrap();
        let (summary, replies) = simulate(&scripted(&script), frames(40), patience);

        let started = start == Act::Picture;
        let last = process
            .iter()
            .position(|act| matches!(act, Act::Panic | Act::Close))
            .filter(|_| started);
        // A panic has no answer, a close has one.
        let possible = last.map_or(40, |last| last + usize::from(process[last] == Act::Close));
        let answered = if started { possible.min(patience) } else { 0 };
        let cut_off = answered == patience;
        let fault = match (start, last.map(|last| process[last])) {
            (Act::Fail, _) => Some(Fault::Start { message: "start failed".into() }),
            (Act::Panic, _) => Some(panic_in("start")),
            (_, Some(Act::Panic)) if !cut_off => Some(panic_in("process")),
            _ => None,
        };
        let closes = last.is_some_and(|last| process[last] == Act::Close) && !cut_off;

        // Frames: once each, in order, with what the handler made of them.
        let expected: Vec<_> = (0..)
            .step_by(3)
            .zip(&process[..answered])
            .map(|(seq, act)| (seq, answer(*act, None).0, answer(*act, None).1))
            .collect();
        assert_eq!(results(&replies), expected, "seed {seed}");
        let errors = expected.iter().filter(|(_, picture, _)| picture.is_none()).count();
        assert_eq!(
            (summary.frames, summary.errors),
            (answered as u64, errors as u64),
            "seed {seed}"
        );

        // An end is told, last, as far as the gateway listens.
        let told = if fault.is_some() { 2 } else { usize::from(closes) }.min(patience - answered);
        assert_eq!(replies.len(), answered + told, "seed {seed}");
        let tail: Vec<_> =
            replies[answered..].iter().map(|reply| matches!(reply, Reply::End { .. })).collect();
        assert_eq!(tail, [fault.is_none(), true][..told], "seed {seed}");
        assert!(!closes || replies.last() == Some(&closed("enough")), "seed {seed}");

        // The handler: started, given frames, stopped if it had started.
        let crashed = usize::from(fault == Some(panic_in("process")));
        let mut calls = vec!["start"];
        calls.extend(iter::repeat_n("process", answered + crashed));
        calls.extend(started.then_some("stop"));
        assert_eq!(*script.calls.lock().unwrap(), calls, "seed {seed}");

        let stopped = (started && script.stop == Act::Panic).then(|| panic_in("stop"));
        let ending = format!(
            "{fault:?}, closed: {closes}, cut off: {cut_off}, stop: {:?}",
            stopped.is_none()
        );
        assert_eq!(
            summary.faults,
            fault.into_iter().chain(stopped).collect::<Vec<_>>(),
            "seed {seed}"
        );
        *endings.entry(ending).or_insert(0) += 1;
    }
    // Cut off, crashed, closed or neither, each with both ways to stop; and two ways not to start:
    // all of them occurred.
    assert_eq!(endings.len(), 4 * 2 + 2, "{endings:#?}");
}

#[test]
fn a_session_opens_when_its_handler_has_started() {
    let script = Scripted::new(Act::Picture, &[Act::Picture], Act::Picture);
    let mut replies = Vec::new();
    let reply = |reply| {
        assert_eq!(*script.calls.lock().unwrap(), ["start"]);
        replies.push(reply);
        ControlFlow::Break(())
    };
    let stream = scripted(&script).build();
    let summary = run(stream, frames(1), reply);
    assert_eq!((replies, summary), (vec![Reply::Opened { credits: CREDITS }], Summary::default()));
    assert_eq!(*script.calls.lock().unwrap(), ["start", "stop"]);
}

#[test]
fn any_generator_answers_each_pull_up_to_its_end() {
    let mut endings = BTreeMap::new();
    for seed in 0..500 {
        let mut rng = StdRng::seed_from_u64(seed);
        let acts = [Act::Picture, Act::Picture, Act::Values, Act::Nothing, Act::Fail];
        let mut process: Vec<Act> = (0..20).map(|_| *acts.choose(&mut rng).unwrap()).collect();
        process.extend([Act::Close, Act::Panic].choose(&mut rng).filter(|_| rng.random_bool(0.6)));
        let script = Scripted::new(Act::Picture, &process, Act::Picture);
        let items = script.clone();
        let stream =
            Stream::builder(VideoStreamHandler::generator(move || Ok(items.clone().items())));
        let (summary, replies) = simulate(&stream, (0..30).map(|n| pull(n * 2)), usize::MAX);

        let answered = process.iter().filter(|act| **act != Act::Panic);
        let expected: Vec<_> = (0..)
            .step_by(2)
            .zip(answered)
            // In mode receive nothing is a pause.
            .map(|(seq, act)| (seq, answer(*act, Some(false)).0, answer(*act, Some(false)).1))
            .collect();
        assert_eq!(results(&replies), expected, "seed {seed}");
        assert_eq!(*script.calls.lock().unwrap(), vec!["next"; process.len()], "seed {seed}");
        let (ending, tail, faults) = match process.get(20) {
            Some(Act::Close) => ("close", vec![closed("enough")], vec![]),
            Some(_) => ("panic", crash(), vec![panic_in("next")]),
            None => ("end", vec![closed("The stream has ended")], vec![]),
        };
        assert_eq!(replies[expected.len()..], tail, "seed {seed}");
        assert_eq!(summary.faults, faults, "seed {seed}");
        *endings.entry(ending).or_insert(0) += 1;
    }
    assert_eq!(endings.len(), 3, "{endings:?}");
}

#[test]
fn handler_time_is_that_of_the_call() {
    const TAKES: Duration = Duration::from_millis(5);
    let handler = VideoStreamHandler::new(|frame: Frame| {
        let began = tokio::time::Instant::now();
        while began.elapsed() < TAKES {
            std::thread::yield_now();
        }
        Ok((frame, AdditionalOutputs::new([1])))
    });
    for serialized in [false, true] {
        let handler = handler.clone().serialized(serialized);
        let (_, replies) = simulate(&Stream::builder(handler), frames(2), usize::MAX);
        for reply in &replies {
            let Reply::Result { times, .. } = reply else { panic!("not a result: {reply:?}") };
            assert!(times.handler >= TAKES && times.batch.is_none(), "{times:?}");
        }
        assert_eq!(replies.len(), 2);
    }
}

#[test]
fn a_handler_sees_the_frame_that_was_sent_and_may_return_another() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let handler = VideoStreamHandler::new(move |frame: Frame| {
        log.lock().unwrap().push((
            frame.seq(),
            frame.capture_time(),
            frame.width(),
            frame.height(),
        ));
        Ok(Frame::filled(3, 1, [255, 0, 0])?)
    });
    let (_, replies) = simulate(&Stream::builder(handler), frames(2), usize::MAX);
    let millis = Duration::from_millis;
    assert_eq!(*seen.lock().unwrap(), [(0, millis(0), 2, 2), (3, millis(100), 2, 2)]);
    assert_eq!(replies.len(), 2);
    let red = I420::from_frame(Frame::filled(3, 1, [255, 0, 0]).unwrap()).0;
    for reply in replies {
        assert!(
            matches!(reply, Reply::Result { outcome: Ok(Some(picture)), .. } if picture == red)
        );
    }
}

/// The error of each answer.
fn errors(replies: &[Reply]) -> Vec<Option<&str>> {
    let mut errors = Vec::new();
    for reply in replies {
        if let Reply::Result { outcome, .. } = reply {
            errors.push(outcome.as_ref().err().map(HandlerError::message));
        }
    }
    errors
}

#[test]
fn a_frame_in_mode_send_is_an_error_and_nothing_is_not() {
    let acts = [Act::Picture, Act::Values, Act::Nothing, Act::Close];
    let script = Scripted::new(Act::Picture, &acts, Act::Picture);
    let (summary, replies) = simulate(&scripted(&script).mode(Mode::Send), frames(4), usize::MAX);
    let refused = Some(
        "the handler returned a frame, but a stream of mode send shows none: return \
         AdditionalOutputs or ()",
    );
    assert_eq!(errors(&replies), [refused, None, None, refused]);
    assert_eq!(results(&replies)[1..3], [(3, Some(false), "1"), (6, Some(false), "")]);
    // It is over all the same: that much of the last one was right.
    assert_eq!((replies.last(), summary.errors), (Some(&closed("enough")), 2));
}

#[test]
fn nothing_in_mode_send_receive_is_an_error() {
    let (_, replies) = play(&Scripted::new(Act::Picture, &[Act::Nothing], Act::Picture));
    let text = "the handler returned nothing: mode send-receive needs a frame, or \
                AdditionalOutputs at least";
    assert_eq!(errors(&replies), [Some(text)]);
}

#[test]
fn values_that_do_not_fit_cost_their_frame_and_change_nothing() {
    let handler = VideoStreamHandler::new(|frame: Frame| {
        let value = if frame.seq() == 3 { json!("two") } else { json!(frame.seq()) };
        Ok((frame, AdditionalOutputs::new([value])))
    });
    let previous = |previous: &[Value], current: &[Value]| {
        let number =
            |values: &[Value]| values.first().map_or(0, |value| value.as_u64().unwrap_or(1000));
        if current[0].is_string() {
            current.to_vec()
        } else {
            vec![json!(number(previous) + number(current))]
        }
    };
    let stream = Stream::builder(handler).additional_outputs_handler(previous);
    let (summary, replies) = simulate(&stream, frames(4), usize::MAX);
    let error = Some("output \"n\": a text is not a number");
    assert_eq!(errors(&replies), [None, error, None, None]);
    let expected =
        [(0, Some(true), "0"), (3, None, ""), (6, Some(true), "6"), (9, Some(true), "15")];
    assert_eq!((results(&replies), summary.errors), (expected.to_vec(), 1));
}

#[test]
fn an_outputs_handler_may_panic() {
    let stream = scripted(&Scripted::new(Act::Picture, &[Act::Picture, Act::Values], Act::Picture))
        .additional_outputs_handler(|_, _| panic::resume_unwind(Box::new("summed up")));
    let (summary, replies) = simulate(&stream, frames(2), usize::MAX);
    let fault = Fault::Panic { call: "additional_outputs_handler", message: "summed up".into() };
    assert_eq!((summary.faults, summary.frames), (vec![fault], 1));
    assert_eq!(replies[1..], crash());
}

#[test]
fn what_a_panic_said_is_not_told_to_the_client() {
    let (summary, replies) = play(&Scripted::new(Act::Picture, &[Act::Panic], Act::Picture));
    assert_eq!((summary.faults, replies), (vec![panic_in("process")], crash()));
}

#[test]
fn a_generator_that_cannot_be_made_says_why() {
    let none =
        || -> Result<iter::Empty<Frame>, HandlerError> { Err(HandlerError::new("no such clip")) };
    let stream = Stream::builder(VideoStreamHandler::generator(none));
    let (summary, replies) = simulate(&stream, iter::once(pull(0)), usize::MAX);
    assert_eq!(summary.faults, [Fault::Start { message: "no such clip".into() }]);
    let told = [
        Reply::Notice { level: Severity::Error, message: "no such clip".into() },
        Reply::End { message: "the handler could not start".into(), failed: true },
    ];
    assert_eq!(replies, told);
}

#[test]
fn a_factory_and_a_destructor_may_panic_too() {
    struct Bomb;
    impl Handler for Bomb {
        fn process(&mut self, frame: Frame, _: &Session) -> Result<Output, HandlerError> {
            Ok(frame.into())
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic::resume_unwind(Box::new("dropped"));
        }
    }
    let factory = || -> Bomb { panic::resume_unwind(Box::new("made")) };
    let unmade = Stream::builder(VideoStreamHandler::per_session(factory));
    let (summary, replies) = simulate(&unmade, frames(1), usize::MAX);
    assert_eq!(summary.faults, [Fault::Panic { call: "its factory", message: "made".into() }]);
    assert_eq!(replies, crash());

    let (summary, replies) =
        simulate(&Stream::builder(VideoStreamHandler::per_session(|| Bomb)), frames(1), usize::MAX);
    assert_eq!(
        summary.faults,
        [Fault::Panic { call: "its destructor", message: "dropped".into() }]
    );
    assert_eq!((summary.frames, replies.len()), (1, 1));
}
