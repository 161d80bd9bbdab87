// What the server says of its streams, and that in words.

import { request } from "./request.js";

/** A worker that starts is seen this soon, at the latest; it costs the server next to nothing. */
const ASK_AGAIN_MS = 3_000;

/** The server wants to see a right that this page has not shown; the message is the server's. */
export class Denied extends Error {}

/** The streams that have a worker now; throws when the server does not answer, or not to this page. */
export async function streams(url) {
  const response = await request(url);
  if (response.status === 401 || response.status === 403) {
    const answer = await response.json().catch(() => ({}));
    throw new Denied(answer.meta?.message ?? `HTTP ${response.status}`);
  }
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status}`);
  return (await response.json()).streams;
}

/**
 * Resolves to the streams once there is one. `waiting(phase)` is told of each try before: `waiting` while no worker
 * serves, `unreachable` while the server does not answer, `denied` with the server's reason.
 */
export async function servedStreams(url, waiting) {
  for (;;) {
    const found = await streams(url).catch((error) => error);
    if (found.length) return found;
    if (found instanceof Denied) waiting("denied", found.message);
    else waiting(found instanceof Error ? "unreachable" : "waiting");
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS * (0.3 + 0.7 * Math.random())));
  }
}

export const sendsCamera = (mode) => mode !== "receive";
export const returnsVideo = (mode) => mode !== "send";

const MODES = {
  "send-receive": "Your camera, processed on the server",
  receive: "Video from the server",
  send: "Your camera, watched on the server",
};

export const modeInWords = (mode) => MODES[mode] ?? mode;

/** 29.97 stays 29.97, and 30000/1001 becomes it. */
export const rate = (fps) => String(Math.round(fps * 100) / 100);

/** One sentence where the author gave none. */
export function subtitle({ subtitle, mode, fps, skip_frames }) {
  if (subtitle) return subtitle;
  const frames = skip_frames ? "always the newest frame" : "every frame";
  switch (mode) {
    case "receive":
      return `Video from the server, ${rate(fps)} frames a second.`;
    case "send":
      return `Your camera, watched on the server: ${frames}. No video comes back, only what it finds.`;
    default:
      return `Your camera, processed on the server: ${frames}, shown at ${rate(fps)} fps.`;
  }
}

const READY = {
  "send-receive": "Press Start and allow the camera. Your video comes back here, processed.",
  receive: "Press Start. The video comes from the server; your camera stays off.",
  send: "Press Start and allow the camera. What the server finds in its video is shown beside it.",
};

/** What to do to begin, and how long it will last. */
export function invitation({ mode, time_limit: seconds }) {
  if (!seconds) return READY[mode];
  const [unit, length] = seconds < 120 ? ["second", 1] : ["minute", 60];
  const time = new Intl.NumberFormat("en", { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 1 });
  return `${READY[mode]} A stream ends by itself after ${time.format(seconds / length)}.`;
}
