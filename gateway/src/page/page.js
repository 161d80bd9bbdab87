// The page: one stream, one video, one button. `<body data-state>` is the one truth about what is shown:
// idle | connecting | live | failed | ended.

import { Session } from "./session.js";

const STATS_INTERVAL_MS = 1_000;
/** More would cover the video; the oldest goes. */
const MAX_MESSAGES = 4;

const $ = (id) => document.getElementById(id);
const [output, preview, camera, stats] = ["output", "preview", "camera", "stats"].map($);
let session = null;

function start() {
  $("messages").replaceChildren();
  show("connecting", { message: "One moment", advice: "Your browser may ask whether this page may use the camera." });
  session = new Session({
    phase,
    message,
    camera(stream) {
      preview.srcObject = stream;
      listCameras(stream.getVideoTracks()[0].getSettings().deviceId);
    },
    video(stream) {
      output.srcObject = stream;
    },
    over(state, outcome) {
      session = null;
      // A server that ends a stream by a fault says so twice: once as an error, for clients that know only those.
      shownMessage("error", outcome.message)?.remove();
      output.srcObject = preview.srcObject = null;
      show(state, outcome);
    },
  });
  session.start(camera.value);
}

function stop() {
  session?.finish("idle", { message: "Stopped", advice: "Press Start to begin again." });
}

/** What the status line says. The states of the page, and the steps of a session between two of them. */
const PHASES = {
  idle: "Idle",
  asking: "Asking for the camera…",
  connecting: "Connecting…",
  connected: "Connected, waiting for the first picture…",
  live: "Live",
  interrupted: "Connection interrupted…",
  failed: "Not connected",
  ended: "Ended",
};

function show(state, outcome) {
  document.body.dataset.state = state;
  phase(state);
  stats.textContent = "";
  camera.disabled = state === "connecting";
  $("start").textContent = state === "connecting" || state === "live" ? "Stop" : "Start";
  if (!outcome) return;
  $("outcome-title").textContent = outcome.message;
  $("outcome-advice").textContent = outcome.advice;
}

function phase(key) {
  // A connection that came back after an interruption is still showing pictures.
  if (key === "connected" && document.body.dataset.state === "live") key = "live";
  $("phase").textContent = PHASES[key];
}

const LEVELS = { error: "Error", warning: "Warning", log: "From the server" };

/** A handler that fails on every frame must not bury the page: equal messages are counted, not repeated. */
function message(level, text) {
  const shown = shownMessage(level, text);
  if (shown) {
    shown.dataset.count = Number(shown.dataset.count) + 1;
    shown.querySelector("strong").textContent = `${LEVELS[level]} (${shown.dataset.count} times)`;
    return;
  }
  const item = document.createElement("div");
  item.className = `message ${level}`;
  item.dataset.key = `${level} ${text}`;
  item.dataset.count = 1;
  const body = document.createElement("p");
  const heading = document.createElement("strong");
  heading.textContent = LEVELS[level];
  body.append(heading, text);
  const dismiss = document.createElement("button");
  dismiss.type = "button";
  dismiss.textContent = "Dismiss";
  dismiss.addEventListener("click", () => item.remove());
  item.append(body, dismiss);
  $("messages").append(item);
  if ($("messages").childElementCount > MAX_MESSAGES) $("messages").firstElementChild.remove();
}

function shownMessage(level, text) {
  return [...$("messages").children].find((item) => item.dataset.key === `${level} ${text}`);
}

/** Names and ids are empty until the person has allowed the camera once; until then the list stays as it is. */
async function listCameras(selected = camera.value || remembered()) {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const cameras = devices.filter((device) => device.kind === "videoinput" && device.deviceId);
  if (cameras.length === 0) return;
  camera.replaceChildren(...cameras.map(({ label, deviceId }, i) => new Option(label || `Camera ${i + 1}`, deviceId)));
  if (cameras.some((device) => device.deviceId === selected)) camera.value = selected;
}

const REMEMBERED = "reframe.camera";

/** Storage throws where the person has forbidden it; then nothing is remembered, and nothing else changes. */
function remembered() {
  try {
    return localStorage.getItem(REMEMBERED) ?? "";
  } catch {
    return "";
  }
}

function remember(deviceId) {
  try {
    localStorage.setItem(REMEMBERED, deviceId);
  } catch {
    // As above.
  }
}

async function showStats() {
  const running = session;
  if (document.body.dataset.state !== "live") return;
  const { fps, width, height, roundTripMs } = await running.stats();
  // It may have ended meanwhile.
  if (session !== running) return;
  const parts = [`${Math.round(fps ?? 0)} fps`];
  if (width && height) parts.push(`${width} × ${height}`);
  if (roundTripMs !== undefined) parts.push(`${Math.round(roundTripMs)} ms round trip`);
  stats.textContent = parts.join(" · ");
}

async function describe() {
  const response = await fetch("api/streams");
  if (!response.ok) return;
  const { streams } = await response.json();
  const stream = streams.find(({ name }) => name === "default") ?? streams[0];
  if (!stream) return;
  document.title = $("title").textContent = stream.title || stream.name;
  const frames = stream.skip_frames ? "always the newest frame" : "every frame";
  $("subtitle").textContent = `Your camera, processed on the server: ${frames}, shown at ${stream.fps} fps.`;
}

$("start").addEventListener("click", () => (session ? stop() : start()));
camera.addEventListener("change", async () => {
  remember(camera.value);
  if (document.body.dataset.state !== "live") return;
  // One switch at a time: two would each open a camera, and one of them would stay on.
  camera.disabled = true;
  await session.switchCamera(camera.value);
  camera.disabled = false;
});
// Live means that a processed picture is on the screen, not merely that a connection stands.
output.addEventListener("playing", () => document.body.dataset.state === "connecting" && show("live"));
// The server may change the size at any time, and phones turn.
output.addEventListener("resize", () => {
  const { videoWidth, videoHeight } = output;
  if (videoWidth && videoHeight) document.documentElement.style.setProperty("--ratio", videoWidth / videoHeight);
});
// A page that goes away says goodbye, or its place stays taken until the server's timeout.
addEventListener("pagehide", stop);
navigator.mediaDevices?.addEventListener("devicechange", () => listCameras());
setInterval(() => showStats().catch(() => {}), STATS_INTERVAL_MS);
// Without these the page still works: it keeps the texts it came with, and the browser's own choice of camera.
describe().catch(() => {});
listCameras().catch(() => {});
