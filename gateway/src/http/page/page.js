// The page of one stream. `<body data-state>` is the one truth about what is shown: idle | connecting | live |
// reconnecting | failed | ended; `<body data-phase>` says the step within it, and `<body data-mode>` which way video
// goes.

import { CameraMenu } from "./camera.js";
import { $ } from "./element.js";
import { Figures } from "./figures.js";
import { Inputs } from "./inputs.js";
import { Messages } from "./messages.js";
import { notAdmitted } from "./outcome.js";
import { Outputs } from "./outputs.js";
import { Screen } from "./screen.js";
import { linkTo } from "./request.js";
import { Session } from "./session.js";
import { Denied, invitation, returnsVideo, servedStreams, streams, subtitle } from "./spec.js";

const STATS_INTERVAL_MS = 1_000;
/** Before another try to load the declaration that holds now. */
const DECLARATION_RETRY_MS = 3_000;

/** The states, and the steps between two of them: what the status line says, then the text on the stage. */
const PHASES = {
  idle: ["Ready"],
  unreachable: ["The server does not answer, trying again…", "The server does not answer", "Trying again…"],
  denied: ["Not admitted"],
  waiting: [
    "Waiting for a worker…", "Waiting for a worker…",
    "Nothing runs this stream on the server right now. This page goes on by itself as soon as something does.",
  ],
  queued: [
    "Waiting for a worker…", "Waiting for a worker…",
    "Nothing runs this stream on the server right now. It starts by itself as soon as something does; Stop gives up.",
  ],
  busy: [
    "Waiting for room…", "The server is busy",
    "It runs as many streams as it can keep up with. This one starts by itself as soon as there is room; Stop gives up.",
  ],
  away: [
    "Waiting for the server…", "The server is not there",
    "What stands in front of it answers, and it does not. This page goes on by itself as soon as it does; Stop gives up.",
  ],
  asking: ["Asking for the camera…", "One moment", "Your browser may ask whether this page may use the camera."],
  connecting: ["Connecting…", "One moment", "Making the video connection."],
  connected: ["Connected, waiting for the first picture…", "One moment", "The first picture is on its way."],
  live: ["Live"],
  replacing: ["Waiting for another worker…"],
  reconnecting: [
    "Reconnecting…", "Reconnecting…",
    "The connection was lost. It goes on by itself as soon as a server takes it; Stop gives up.",
  ],
  failed: ["Not connected"],
  ended: ["Ended"],
};

const preview = $("preview");
const screen = new Screen($("output"), $("still"), (video) => {
  fit(video);
  // Live means that a processed picture is on the screen, not merely that a connection stands.
  if (document.body.dataset.state !== "live") show("live");
});
const messages = new Messages($("messages"));
const figures = new Figures($("stats"));
const menu = new CameraMenu($("camera"), $("resolution"), switchCamera);
const inputs = new Inputs($("inputs"), (values) => session?.setInputs(values));
const outputs = new Outputs($("outputs"));
let session = null;
let stream;
/** As the server has told last that the stream is declared, or its digest. */
let newest = null;

function start() {
  messages.clear();
  outputs.clear();
  session = new Session({
    phase,
    choice: () => menu.choice,
    inputs: () => inputs.values,
    known: () => stream.declaration,
    declared: (declared) => declare(declared),
    message: (level, text) => messages.add(level, text),
    outputs: (values) => outputs.update(values),
    stats({ skipped, server_ms: serverMs, handler }) {
      Object.assign(figures, { skipped, serverMs, handler });
    },
    camera(stream) {
      preview.srcObject = stream;
      menu.list(stream.getVideoTracks()[0].getSettings().deviceId);
    },
    video: (stream) => screen.play(stream),
    lost() {
      // One that is lost again before its first picture has no better one.
      if (document.body.dataset.state !== "reconnecting") screen.keep();
      show("reconnecting");
    },
    over(state, outcome) {
      session = null;
      // A server that ends a stream by a fault says so twice: once as an error, for clients that know only those.
      messages.remove("error", outcome.message);
      screen.clear();
      preview.srcObject = null;
      if (state === "changed" || state === "stale") return startAnew(state, outcome);
      show(state);
      say(outcome.message, outcome.advice);
    },
  });
  show("connecting");
  session.start(described);
}

/** Under the declaration that holds now; not where it is the one that the server has just refused. */
async function startAnew(state, outcome) {
  const { declaration } = stream;
  show("connecting");
  described = describe();
  await described;
  // The person was sooner.
  if (session) return;
  if (state === "changed" || stream.declaration !== declaration) return start();
  show("failed");
  say(outcome.message, outcome.advice);
}

function stop() {
  session?.finish("idle", { message: "Stopped", advice: "Press Start to begin again." });
}

function show(state) {
  document.body.dataset.state = state;
  phase(state);
  if (state !== "live") figures.clear();
  menu.disabled = state === "connecting" || state === "reconnecting";
  $("start").textContent = session ? "Stop" : "Start";
}

function phase(name) {
  if (name === "connected") {
    // What is shown already goes on; without video back there is no first picture to wait for.
    if (document.body.dataset.state === "live") name = "live";
    else if (!returnsVideo(stream.mode)) return show("live");
  }
  if (name === "waiting" && session) name = "queued";
  const [status, title, advice] = PHASES[name];
  document.body.dataset.phase = name;
  $("phase").textContent = status;
  if (title) say(title, advice);
}

function say(title, advice) {
  $("outcome-title").textContent = title;
  $("outcome-advice").textContent = advice;
}

/** The server may change the size at any time, and phones turn. */
function fit(video) {
  const { videoWidth, videoHeight } = video;
  if (video === preview && returnsVideo(stream.mode)) return;
  if (videoWidth && videoHeight) document.documentElement.style.setProperty("--ratio", videoWidth / videoHeight);
}

async function switchCamera() {
  if (document.body.dataset.state !== "live") return;
  // One switch at a time: two would each open a camera, and one of them would stay on.
  menu.disabled = true;
  await session.switchCamera(menu.choice);
  menu.disabled = false;
}

async function showFigures() {
  const running = session;
  if (document.body.dataset.state !== "live") return;
  const report = await running.report();
  // It may have ended meanwhile.
  if (session === running) figures.show(report);
}

/** Resolves to the declaration of this page's stream, as soon as a worker serves it. */
async function describe() {
  let waited = false;
  const served = await servedStreams("api/streams", (name, reason) => {
    waited = true;
    phase(name);
    if (name === "denied") {
      const { message, advice } = notAdmitted(reason);
      say(message, advice);
    }
    $("start").disabled = name === "denied";
  });
  // The root shows the only stream or the list of them, as the server sees it; there may be more by now.
  if (waited && served.length > 1) {
    location.reload();
    return new Promise(() => {});
  }
  $("start").disabled = false;
  const named = (wanted) => served.find(({ name }) => name === wanted);
  present(named(stream?.name) ?? named("default") ?? served[0]);
  if (!session) {
    phase("idle");
    say("Ready when you are", invitation(stream));
  }
  if (location.pathname.endsWith(`/${encodeURIComponent(stream.name)}/`)) offerOthers().catch(() => {});
  return stream;
}

function present(declared) {
  stream = declared;
  document.body.dataset.mode = stream.mode;
  document.title = $("title").textContent = stream.title || stream.name;
  $("subtitle").textContent = subtitle(stream);
  inputs.show(stream.inputs ?? []);
  outputs.show(stream.outputs ?? []);
}

/** The server declares the stream otherwise now; a text: in more than a message holds, under this digest. */
async function declare(declared) {
  newest = declared;
  if (typeof declared === "string") declared = await fetched(declared);
  if (declared) present(declared);
}

/** Tries until the server tells the declaration; resolves to null where it is not wanted any more. */
async function fetched(digest) {
  const running = session;
  const wanted = () => session === running && newest === digest;
  const url = `api/streams?declaration=${encodeURIComponent(digest)}`;
  let told = null;
  try {
    for (;;) {
      const [declared, problem] = await streams(url).then(
        (served) => [served.find(({ name }) => name === stream.name), "no worker serves it just now"],
        (error) => [null, error instanceof Denied ? `it says “${error.message}”` : "the server does not answer"],
      );
      if (!wanted()) return null;
      if (declared) return declared;
      const text = `The stream has changed. Its new controls could not be loaded: ${problem}. The page tries again.`;
      if (told !== text) {
        messages.remove("warning", told);
        messages.add("warning", text);
        told = text;
      }
      await new Promise((resolve) => setTimeout(resolve, DECLARATION_RETRY_MS));
      if (!wanted()) return null;
    }
  } finally {
    messages.remove("warning", told);
  }
}

async function offerOthers() {
  $("others").hidden = (await streams("../api/streams")).length < 2;
  $("others").href = linkTo("../");
}

$("start").addEventListener("click", () => (session ? stop() : start()));
// Of whichever videos are on it; the event does not bubble.
$("stage").addEventListener("resize", ({ target }) => fit(target), { capture: true });
// A page that goes away says goodbye, or its place stays taken until the server's timeout.
addEventListener("pagehide", stop);
setInterval(() => showFigures().catch(() => {}), STATS_INTERVAL_MS);
menu.list();
let described = describe();
