//! Programs in Python that import `reframe` where they imported `fastrtc`: real interpreters, each
//! in an environment of `scripts/python.sh`.

mod batch;
mod calls;
mod ends;
mod pages;

use std::fs;
use std::path::PathBuf;

use reframe_tests::http;
use reframe_tests::pattern::flip_vertical;
use reframe_tests::process::Process;
use reframe_tests::python;
use reframe_tests::source::{Format, Video};
use reframe_worker::{Frame, PixelFormat};
use serde_json::json;

use super::*;

/// A program of this test, in a file of its own.
struct Program(PathBuf);

impl Program {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("reframe-{name}-{}.py", std::process::id()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a UTF-8 name")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// `python worker/python/examples/NAME`.
fn example(environment: &str, name: &str) -> Cluster {
    Cluster::python(environment, &[python::example(name).to_str().expect("a UTF-8 name")])
}

#[test]
fn a_function_over_arrays_turns_the_picture_upside_down() {
    let cluster = example("test", "flip.py");
    let mut peer = connect(&cluster, "flip", Video::Live(Format::VGA));
    peer.wait_received(60, PATIENCE);
    let (stats, _) = settle_books(&cluster, &peer);
    assert_flipped_in_order(&stats);
    assert_picture(&stats, flip_vertical);
    peer.close();
    assert_balanced(&cluster);
}

/// FastRTC's documents say RGB; its handlers are given BGR, and so are ours.
#[test]
fn colours_are_blue_green_red_both_ways() {
    let program = Program::new(
        "bgr",
        "from reframe import Stream\n\
         def without_blue(image):\n    image[..., 0] = 0\n    return image\n\
         Stream(without_blue).ui.launch()\n",
    );
    let cluster = Cluster::python("test", &[program.path()]);
    let mut peer = connect(&cluster, "bgr", Video::Live(Format::VGA));
    peer.wait_received(30, PATIENCE);
    let stats = peer.stats();
    assert_picture(&stats, |width, height, camera| {
        let frame = Frame::new(PixelFormat::I420, width, height, camera.to_vec()).expect("a frame");
        let mut frame = frame.to_format(PixelFormat::Bgr24);
        frame.data_mut().iter_mut().step_by(3).for_each(|blue| *blue = 0);
        frame.to_format(PixelFormat::I420).into_data()
    });
    peer.close();
}

/// The seed's program, with Gradio's own slider: its values reach the function.
#[test]
fn a_slider_of_gradios_is_obeyed() {
    for environment in ["gradio-5", "gradio-6"] {
        let cluster = example(environment, "input_output.py");
        let low = Options::camera("low", Video::Live(Format::VGA))
            .with_inputs(json!({ "conf_threshold": 0.01 }));
        let mut peer = connect_with(&cluster, low);
        peer.wait_received(20, PATIENCE);
        let bright = |stats: &Stats| {
            let picture = stats.picture.as_ref().expect("a decoded picture");
            let luma = &picture.data[..picture.width as usize * picture.height as usize];
            luma.iter().map(|value| f64::from(*value)).sum::<f64>() / luma.len() as f64
        };
        let edges = bright(&peer.stats());
        // With the highest threshold hardly an edge is left.
        peer.set_inputs(&json!({ "conf_threshold": 1.0 }));
        peer.wait_until("fewer edges", PATIENCE, |stats| {
            (bright(stats) < edges / 2.0).then_some(())
        });
        let refused = Options::camera("high", Video::Live(Format::VGA))
            .with_inputs(json!({ "conf_threshold": 1.5 }));
        let reply = Peer::connect(&cluster.page(""), refused).expect_err("it is out of range");
        assert_eq!(reply.status, 422, "{reply:?}");
        peer.close();
    }
}

#[test]
fn a_generator_plays_its_clip_and_tells_its_rate() {
    let cluster = example("gradio-6", "output_rate.py");
    let mut peer = connect_with(&cluster, Options::viewer("rate"));
    let told = peer.wait_output("fps", PATIENCE, Value::is_number);
    assert!(told.as_f64().is_some_and(|fps| (10.0..70.0).contains(&fps)), "{told} fps");
    let stats = peer.stats();
    let fps = Stats::fps(&stats.received[30..]);
    assert!((35.0..66.0).contains(&fps), "{fps:.1} fps");
    peer.close();

    let cluster = example("test", "server_to_client.py");
    let mut peer = connect_with(&cluster, Options::viewer("clip"));
    peer.wait_received(60, PATIENCE);
    peer.close();
    cluster.wait_for_sessions(0, CLOSED);
}

#[test]
fn a_slow_function_is_given_the_newest_frame() {
    let cluster = example("test", "skip_frames.py");
    let mut peer = connect(&cluster, "slow", Video::Live(Format::VGA));
    peer.wait_until("120 frames sent", PATIENCE, |stats| (stats.sent.len() >= 120).then_some(()));
    let (stats, metrics) = settle_books(&cluster, &peer);
    assert_flipped_in_order(&stats);
    let reason = [("hop", "session"), ("reason", "skipped")];
    let skipped = metrics.sum("reframe_frames_dropped_total", &reason);
    assert!(skipped * 2.0 > stats.sent.len() as f64, "{skipped} of {} skipped", stats.sent.len());
    peer.close();
    assert_balanced(&cluster);
}

/// Whatever a function does with one frame costs that frame, and the person is told why.
#[test]
fn an_error_costs_its_frame() {
    let program = Program::new(
        "faults",
        r#"
import numpy as np
from reframe import Stream

class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no")

def deep():
    return deep()

def faulty(image):
    faulty.calls += 1
    step = faulty.calls % 8
    if step == 1:
        raise ValueError("no face here")
    if step == 2:
        raise SystemExit(3)
    if step == 3:
        deep()
    if step == 4:
        raise Unspeakable
    if step == 5:
        return image / 255
    if step == 6:
        return None
    if step == 7:
        return image[:0]
    return np.flip(image, axis=0)

faulty.calls = 0
Stream(faulty).ui.launch()
"#,
    );
    let cluster = Cluster::python("test", &[program.path()]);
    let mut peer = connect(&cluster, "faults", Video::Live(Format::VGA));
    peer.wait_until("pictures between the faults", PATIENCE, |stats| {
        (stats.numbers().len() >= 10).then_some(())
    });
    let said = told(&peer.stats(), "error");
    for expected in ["no face here", "3", "recursion", "Unspeakable", "float64", "None", "empty"] {
        assert!(said.iter().any(|text| text.contains(expected)), "{expected}: {said:?}");
    }
    // The traceback is for the log, once for each kind.
    let log = cluster.gateway.log();
    assert_eq!(log.matches("ValueError: no face here").count(), 1, "{log}");
    peer.close();
    assert_balanced(&cluster);
}

/// Two processes work; the one that is killed is replaced, and its session goes on.
#[test]
fn a_worker_process_that_dies_is_replaced() {
    let program = python::example("flip.py");
    let program = program.to_str().expect("a UTF-8 name");
    let cluster =
        Cluster::python("test", &["-m", "reframe", "launch", program, "--processes", "2"]);
    eventually("two workers", PATIENCE, || (cluster.serving() >= 2.0).then_some(()));
    let mut peers: Vec<_> = ["one", "two"]
        .map(|id| connect(&cluster, id, Video::Live(Format::VGA)))
        .into_iter()
        .collect();
    peers.iter().for_each(wait_for_more);
    let parent = cluster.gateway.id();
    let children = python::children(parent);
    assert_eq!(children.len(), 2, "{children:?}");
    python::kill(children[0]);
    peers.iter().for_each(wait_for_more);
    eventually("two workers again", PATIENCE, || (cluster.serving() >= 2.0).then_some(()));
    peers.iter().for_each(wait_for_more);
    let now = python::children(parent);
    assert!(now.len() == 2 && !now.contains(&children[0]), "{children:?}, then {now:?}");
    peers.iter_mut().for_each(Peer::close);
    // Killed as by the kernel: nobody is left behind.
    drop(cluster);
    for child in now {
        eventually("the child is gone", PATIENCE, || (!python::is_alive(child)).then_some(()));
    }
}

#[test]
fn control_c_ends_it_without_a_traceback() {
    let program = python::example("flip.py");
    let program = program.to_str().expect("a UTF-8 name");
    let several = ["-m", "reframe", "launch", program, "--processes", "2"];
    for (arguments, signals) in [(&[program][..], 1), (&[program], 2), (&several, 1)] {
        let mut cluster = Cluster::python("test", arguments);
        let mut peer = connect(&cluster, "end", Video::Live(Format::VGA));
        wait_for_more(&peer);
        for _ in 0..signals {
            cluster.gateway.interrupt();
        }
        let code = cluster.gateway.exit(PATIENCE).and_then(|status| status.code());
        let log = cluster.gateway.log();
        // The second asks it to leave everything as it is.
        assert!(code == Some(0) || (signals == 2 && code == Some(1)), "{code:?}: {log}");
        assert!(!log.contains("Traceback") && !log.contains("Fatal"), "{log}");
        peer.vanish();
    }
}

/// FastAPI's application has its own routes; the offer, the inputs and the outputs go through it,
/// and the pictures do not.
#[test]
fn a_stream_is_mounted_in_an_application() {
    let program = Program::new(
        "mounted",
        r#"
import socket
import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from reframe import AdditionalOutputs, Stream

def shade(image, level=0):
    image[...] = level
    return image, AdditionalOutputs(float(image.mean()))

stream = Stream(
    shade,
    additional_inputs=[gr.Slider(0, 255, value=40, step=1)],
    additional_outputs=[gr.Number(label="Mean")],
)
app = FastAPI()
stream.mount(app, path="/video")

class Inputs(BaseModel):
    webrtc_id: str
    level: int

@app.post("/input_hook")
def input_hook(inputs: Inputs):
    stream.set_input(inputs.webrtc_id, inputs.level)

@app.get("/outputs")
async def outputs(webrtc_id: str):
    async def lines():
        async for output in stream.output_stream(webrtc_id):
            yield f"{output.args[0]}\n"
            break
    return StreamingResponse(lines(), media_type="text/plain")

listener = socket.create_server(("127.0.0.1", 0))
print(f"application http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.run(app, fd=listener.fileno(), log_level="warning")
"#,
    );
    let mut command = python::command("gradio-6");
    command.arg(program.path()).env("REFRAME_BITRATE_MIN", "1000");
    let mut application = Process::spawn("python", command);
    let url = application.announced("application ");
    eventually("the application answers", PATIENCE, || http::get(&url).ok());
    let id = "0123456789abcdef";
    let options = Options::camera(id, Video::Live(Format::VGA));
    let mut peer = Peer::connect(&format!("{url}/video"), options).expect("an answer");
    peer.wait_received(20, PATIENCE);
    let body = json!({ "webrtc_id": id, "level": 200 }).to_string();
    let reply = http::post(&format!("{url}/input_hook"), body).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.body);
    eventually("the outputs follow the input", PATIENCE, || {
        let reply = http::get(&format!("{url}/outputs?webrtc_id={id}")).expect("an answer");
        (reply.body.trim() == "200.0").then_some(())
    });
    peer.close();
    application.interrupt();
    let code = application.exit(PATIENCE).and_then(|status| status.code());
    assert_eq!(code, Some(0), "{}", application.log());
}
