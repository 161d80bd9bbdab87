//! Calls that run one at a time: those that hang, and those that others wait for.

use super::*;

/// Sends the next frame's call into a standstill, once: a file that a program's function removes.
struct Standstill(PathBuf);

impl Standstill {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("reframe-{name}-{}", std::process::id())))
    }

    /// A program whose next call does `hang` when the file is there.
    fn program(&self, name: &str, hang: &str) -> Program {
        let flag = self.0.to_str().expect("a UTF-8 name");
        let text = format!(
            r#"
import os
import re
import time

import numpy as np
from reframe import Stream, VideoStreamHandler

def stands_still():
    {hang}

def flip(image):
    try:
        os.remove({flag:?})
    except FileNotFoundError:
        return np.flip(image, axis=0)
    stands_still()
    return image

Stream(VideoStreamHandler(flip, call_limit=1)).ui.launch()
"#
        );
        Program::new(name, &text)
    }

    fn next_call(&self) {
        fs::write(&self.0, "").expect("a file");
        eventually("a call has taken it", PATIENCE, || (!self.0.exists()).then_some(()));
    }
}

impl Drop for Standstill {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// The second holds Python's lock, so that nothing else of its process can run Python.
#[test]
fn a_process_whose_call_hangs_is_replaced_and_its_sessions_move() {
    for (name, hang) in
        [("hang", "time.sleep(1000)"), ("locked", "re.match('(a+)+$', 40 * 'a' + 'b')")]
    {
        let standstill = Standstill::new(name);
        let program = standstill.program(name, hang);
        let arguments = ["-m", "reframe", "launch", program.path(), "--processes", "2"];
        let cluster = Cluster::python("test", &arguments);
        eventually("two workers", PATIENCE, || (cluster.serving() >= 2.0).then_some(()));
        let mut peers = ["one", "two"].map(|id| connect(&cluster, id, Video::Live(Format::SMALL)));
        peers.iter().for_each(wait_for_more);
        let children = python::children(cluster.gateway.id());
        standstill.next_call();
        eventually("one worker", PATIENCE, || (cluster.serving() == 1.0).then_some(()));
        peers.iter().for_each(wait_for_more);
        eventually("two workers again", 2 * PATIENCE, || (cluster.serving() == 2.0).then_some(()));
        let now = python::children(cluster.gateway.id());
        let stayed = children.iter().filter(|child| now.contains(child)).count();
        let log = cluster.gateway.log();
        assert_eq!((stayed, now.len()), (1, 2), "{children:?}, then {now:?}: {log}");
        assert!(log.contains("a call of the handler does not return"), "{log}");
        assert!(log.contains("in stands_still"), "where it stands: {log}");
        assert_eq!(log.contains("holds Python's lock"), name == "locked", "{log}");
        peers.iter_mut().for_each(Peer::close);
        assert_balanced(&cluster);
    }
}

/// A program on its own waits: its call may stand at a breakpoint.
#[test]
fn a_program_on_its_own_goes_on_when_its_call_returns() {
    let standstill = Standstill::new("pause");
    let program = standstill.program("pause", "time.sleep(6)");
    let cluster = Cluster::python("test", &[program.path()]);
    let mut peer = connect(&cluster, "pause", Video::Live(Format::SMALL));
    wait_for_more(&peer);
    standstill.next_call();
    eventually("no worker", PATIENCE, || (cluster.serving() == 0.0).then_some(()));
    let other = Options::camera("other", Video::Live(Format::SMALL));
    let other = Peer::connect(&cluster.page(""), other);
    assert_eq!(other.expect_err("there is no room").status, 503);
    eventually("the worker again", PATIENCE, || (cluster.serving() == 1.0).then_some(()));
    wait_for_more(&peer);
    peer.close();
    assert_balanced(&cluster);
}

/// A call takes 90 ms, and one session needs ten in a second.
#[test]
fn a_process_takes_as_many_sessions_as_it_has_time_for() {
    let program = Program::new(
        "turns",
        "import time\n\
         from reframe import Stream, VideoStreamHandler\n\
         def slow(image):\n    time.sleep(0.09)\n    return image\n\
         Stream(VideoStreamHandler(slow, skip_frames=True)).ui.launch()\n",
    );
    let cluster = Cluster::python("test", &[program.path()]);
    // Before enough is known of its calls.
    let mut peers =
        ["one", "two", "three"].map(|id| connect(&cluster, id, Video::Live(Format::SMALL)));
    eventually("the capacity follows", PATIENCE, || {
        (cluster.metrics().sum("reframe_slots", &[]) == 1.0).then_some(())
    });
    let fourth = Options::camera("four", Video::Live(Format::SMALL));
    let reply = Peer::connect(&cluster.page(""), fourth).expect_err("there is no room");
    assert!(reply.body.contains("concurrency_limit_reached"), "{reply:?}");
    peers.iter().for_each(wait_for_more);
    eventually("a warning", PATIENCE, || {
        cluster.gateway.log().contains("wait longer for their turn than they work").then_some(())
    });
    let waits = cluster.metrics();
    let [sum, count] =
        ["sum", "count"].map(|part| waits.sum(&format!("reframe_turn_wait_seconds_{part}"), &[]));
    assert!(sum / count > 0.09, "{sum} s in {count} frames");
    peers.iter_mut().for_each(Peer::close);
    assert_balanced(&cluster);
}
