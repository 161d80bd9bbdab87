//! Programs in Python, in a real Chromium: their page, and an application's own.

use reframe_tests::browser::Camera as Permission;

use super::super::browser::{SOON, start};
use super::*;

#[test]
fn the_page_shows_what_the_function_returns() {
    let cluster = example("gradio-6", "input_output.py");
    let browser = start("python", Permission::Allowed);
    browser.open(&cluster.page("/"));
    browser.click("start");
    browser.wait_for_state("live");
    // Edges in white on black; with the highest threshold few are left.
    let bright = || {
        let [red, green, blue] = browser.picture("output").mean(0.0, 1.0);
        red + green + blue
    };
    let edges = eventually("edges", SOON, || Some(bright()).filter(|bright| *bright > 3.0));
    browser.run(
        "const slider = document.querySelector('input[type=range]'); slider.value = slider.max; \
         slider.dispatchEvent(new Event('input', { bubbles: true })); \
         slider.dispatchEvent(new Event('change', { bubbles: true }));",
    );
    eventually("fewer edges", SOON, || (bright() < edges / 2.0).then_some(()));
    browser.click("start");
    browser.wait_for_state("idle");
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}

/// An application as FastRTC's documents have it, and a page after the same documents: with
/// `mount`, that page's requests go through the application.
#[test]
fn a_page_for_fastrtc_works_in_an_application() {
    let page = Program::new("page", include_str!("../access/fastrtc.html"));
    let program = Program::new(
        "application",
        r#"
import socket
import sys
import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel
from reframe import AdditionalOutputs, Slider, Number, Stream

def echo(image, by=1):
    return image, AdditionalOutputs(by)

stream = Stream(
    echo, additional_inputs=[Slider(0, 10, value=1)], additional_outputs=[Number(label="By")]
)
app = FastAPI()
stream.mount(app)

class Inputs(BaseModel):
    webrtc_id: str
    by: float

@app.get("/")
def page():
    return HTMLResponse(open(sys.argv[1]).read())

@app.post("/input_hook")
def input_hook(inputs: Inputs):
    stream.set_input(inputs.webrtc_id, inputs.by)
    return {"status": "ok"}

@app.get("/updates")
async def updates(webrtc_id: str):
    async def events():
        async for output in stream.output_stream(webrtc_id):
            yield f"data: {output.args[0]}\n\n"
    return StreamingResponse(events(), media_type="text/event-stream")

listener = socket.create_server(("127.0.0.1", 0))
print(f"application http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.run(app, fd=listener.fileno(), log_level="warning")
"#,
    );
    let mut command = python::command("gradio-6");
    command.args([program.path(), page.path()]).env("REFRAME_BITRATE_MIN", "1000");
    let mut application = Process::spawn("python", command);
    let url = application.announced("application ");
    eventually("the application answers", PATIENCE, || http::get(&url).ok());
    let browser = start("mounted", Permission::Allowed);
    browser.open(&format!("{url}/?server={url}&id=0b8f0d0e5a0c4b579a2c"));
    let told = |what: &str, name: &str| {
        let script = format!("return window.{name} ?? null");
        eventually(what, SOON, || Some(browser.run(&script)).filter(|told| !told.is_null()))
    };
    let answer = told("an answer to its offer", "answer");
    assert_eq!(answer["status"], 200, "{answer}");
    browser.wait_for_picture("output", "what the camera sees", |code| !code.flipped);
    browser.run("set(7)");
    let answer = told("an answer to what it sets", "wasSet");
    assert_eq!(answer["status"], 200, "{answer}");
    eventually("the output follows the input", SOON, || {
        let output = browser.run("return Number(window.newest)");
        (output.as_f64() == Some(7.0)).then_some(())
    });
}
